/*
 * libFuzzer target: the input is a posix.db whose header is repaired before it is read.
 */
#include "exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *bytes;

    if (size < POSIX_HEADER_PAGE || (bytes = malloc(size)) == NULL)
        return 0;
    memcpy(bytes, data, size);
    repair(bytes, size);
    exercise(bytes, size);
    free(bytes);
    return 0;
}
