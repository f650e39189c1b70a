/*
 * Reading bans.db: one check of the whole file at open, then a binary search.
 */
#include "bans_db.h"

/* The `i`-th entry; `i` below db->count, whose fit in the file was checked at open. */
static const unsigned char *
ban_at(const struct bans_db *db, uint32_t i)
{
    return db->file.base + BANS_HEADER + (size_t)i * BAN_SIZE;
}

bool
bans_db_read(struct bans_db *db)
{
    static const struct file_form form = {BANS_MAGIC, BANS_HEADER, BANS_AT_CHECKSUM,
                                          BANS_FLAG_CLOCK_SKEW};
    const unsigned char *header = db->file.base;
    uint64_t body = db->file.length - BANS_HEADER;

    if (!mapped_file_fits(&db->file, &form))
        return false;
    db->count = load_u32(header + BANS_AT_COUNT);
    if ((uint64_t)db->count * BAN_SIZE != body ||
        load_u32(header + BANS_AT_BODY_CHECKSUM) !=
            format_checksum(header + BANS_HEADER, (size_t)body))
        return false;
    for (uint32_t i = 1; i < db->count; i++)
        if (load_u32(ban_at(db, i - 1) + BAN_AT_UID) >= load_u32(ban_at(db, i) + BAN_AT_UID))
            return false;
    db->counter = load_u64(header + BANS_AT_COUNTER);
    db->issued = load_i64(header + BANS_AT_ISSUED);
    db->signed_time = load_i64(header + BANS_AT_SIGNED_TIME);
    db->clock_skew = (load_u32(header + AT_FLAGS) & BANS_FLAG_CLOCK_SKEW) != 0;
    return true;
}

bool
bans_db_open(struct bans_db *db, const char *path)
{
    if (!mapped_file_open(&db->file, path))
        return false;
    if (bans_db_read(db))
        return true;
    mapped_file_close(&db->file);
    return false;
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
