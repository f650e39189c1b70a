/*
 * libFuzzer target: the input is a compiler input, its first byte says of which kind. It comes
 * through a memory file, and what is written goes to another. What is accepted as posix.db must be
 * a file that the reader takes, and everything in it must keep the reader's promises.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "bans_db.h"
#include "compile.h"
#include "exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned char seed[16];
    static int in_fd = -1;
    static struct output out;
    struct input in;
    unsigned char *bytes;
    enum result result;

    if (size == 0)
        return 0;
    if (in_fd < 0) {
        in_fd = memfd_create("in", MFD_CLOEXEC);
        out.fd = memfd_create("out", MFD_CLOEXEC);
        out.name = out.temporary = strdup("out");
        out.buffer = malloc(1u << 18);
    }
    promise(input_open(&in, "/dev/null") == RESULT_OK, "the input opens");
    close(in.fd);
    in.fd = in_fd;
    promise(ftruncate(in_fd, 0) == 0 && ftruncate(out.fd, 0) == 0, "the files are emptied");
    promise(pwrite(in_fd, data + 1, size - 1, 0) == (ssize_t)size - 1, "the input is written");
    lseek(in_fd, 0, SEEK_SET);
    out.used = 0;
    out.offset = 0;
    result = data[0] % 2 == 0 ? compile_posix(&in, &out, seed) : compile_bans(&in, &out);
    in.fd = -1;
    input_close(&in);
    if (result != RESULT_OK)
        return 0;
    promise(output_flush(&out) == RESULT_OK, "the output is written");
    bytes = malloc(out.offset);
    promise(bytes != NULL && pread(out.fd, bytes, out.offset, 0) == (ssize_t)out.offset,
            "it is read");
    if (data[0] % 2 == 0) {
        struct posix_db db;

        promise(posix_db_attach(&db, bytes, out.offset) == 0, "the reader takes what was accepted");
        exercise(bytes, out.offset);
    } else {
        struct bans_db db;

        promise(bans_db_attach(&db, bytes, out.offset) == 0, "the reader takes the ban list");
    }
    free(bytes);
    return 0;
}
