/*
 * Reading bans.db: one check of the whole file at open, then a binary search.
 */
#include "bans_db.h"

#include <errno.h>

#include "format.h"

/* The `i`-th entry; `i` below db->count, whose fit in the file was checked at open. */
static const unsigned char *
ban_at(const struct bans_db *db, uint32_t i)
{
    return db->file.base + BANS_HEADER + (size_t)i * BAN_SIZE;
}

/* Checks what `db->file` describes and reads the header into `db`. */
static int
read_header(struct bans_db *db)
{
    const unsigned char *header = db->file.base;
    uint64_t body = db->file.length - BANS_HEADER;
    uint32_t flags;

    if (memcmp(header, BANS_MAGIC, MAGIC_SIZE) != 0 ||
        load_u32(header + BANS_AT_VERSION) != FORMAT_VERSION ||
        load_u64(header + BANS_AT_LENGTH) != db->file.length ||
        load_u32(header + BANS_AT_CHECKSUM) != format_checksum(header, BANS_AT_CHECKSUM))
        return EINVAL;
    flags = load_u32(header + BANS_AT_FLAGS);
    db->count = load_u32(header + BANS_AT_COUNT);
    if ((flags & ~BANS_FLAG_CLOCK_SKEW) != 0 || (uint64_t)db->count * BAN_SIZE != body ||
        load_u32(header + BANS_AT_BODY_CHECKSUM) !=
            format_checksum(header + BANS_HEADER, (size_t)body))
        return EINVAL;
    for (uint32_t i = 1; i < db->count; i++)
        if (load_u32(ban_at(db, i - 1) + BAN_AT_UID) >= load_u32(ban_at(db, i) + BAN_AT_UID))
            return EINVAL;
    db->counter = load_u64(header + BANS_AT_COUNTER);
    db->issued = load_i64(header + BANS_AT_ISSUED);
    db->signed_time = load_i64(header + BANS_AT_SIGNED_TIME);
    db->clock_skew = (flags & BANS_FLAG_CLOCK_SKEW) != 0;
    return 0;
}

int
bans_db_open(struct bans_db *db, const char *path)
{
    int error;

    memset(db, 0, sizeof(*db));
    error = mapped_file_open(&db->file, path, BANS_HEADER);
    if (error != 0)
        return error;
    error = read_header(db);
    if (error != 0) {
        bans_db_close(db);
        memset(db, 0, sizeof(*db));
    }
    return error;
}

int
bans_db_attach(struct bans_db *db, const unsigned char *base, uint64_t length)
{
    int error = EINVAL;

    memset(db, 0, sizeof(*db));
    if (length >= BANS_HEADER) {
        db->file.base = base;
        db->file.length = length;
        error = read_header(db);
    }
    if (error != 0)
        memset(db, 0, sizeof(*db));
    return error;
}

void
bans_db_close(struct bans_db *db)
{
    mapped_file_close(&db->file);
}

bool
bans_db_is_banned(const struct bans_db *db, uint32_t uid_number, int64_t now)
{
    uint32_t low = 0;
    uint32_t high = db->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint32_t found = load_u32(ban_at(db, middle) + BAN_AT_UID);

        if (found == uid_number) {
            int64_t until = load_i64(ban_at(db, middle) + BAN_AT_UNTIL);

            return until == 0 || now < until;
        }
        if (found < uid_number)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}
