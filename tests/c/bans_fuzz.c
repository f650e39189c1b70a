/*
 * libFuzzer target: the input is a bans.db whose header and checksums are repaired before it is
 * read, and then asked about every number that stands in it.
 */
#include <stdlib.h>
#include <string.h>

#include "bans_db.h"
#include "format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bans_db db = {.file = {.length = size}};
    unsigned char *bytes;

    if (size < BANS_HEADER || (bytes = malloc(size)) == NULL)
        return 0;
    memcpy(bytes, data, size);
    memcpy(bytes, BANS_MAGIC, MAGIC_SIZE);
    store_u32(bytes + AT_VERSION, FORMAT_VERSION);
    store_u64(bytes + AT_LENGTH, size);
    store_u32(bytes + BANS_AT_BODY_CHECKSUM,
              format_checksum(bytes + BANS_HEADER, size - BANS_HEADER));
    store_u32(bytes + BANS_AT_CHECKSUM, format_checksum(bytes, BANS_AT_CHECKSUM));
    db.file.base = bytes;
    if (bans_db_read(&db))
        for (size_t at = BANS_HEADER; at + BAN_SIZE <= size; at += BAN_SIZE)
            (void)bans_db_is_banned(&db, load_u32(bytes + at), 1);
    free(bytes);
    return 0;
}
