/*
 * The reader of bans.db: which uid numbers are refused, until when.
 *
 * The whole file is covered by checksums and is read only at logins, so any damage at all makes it
 * unreadable; the caller then refuses. It holds no names and no reasons.
 */
#ifndef IDMAP_BANS_DB_H
#define IDMAP_BANS_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "mapped_file.h"

struct bans_db {
    struct mapped_file file;
    uint64_t counter;
    int64_t issued;
    int64_t signed_time; /* the newest signed time that the agent has seen */
    bool clock_skew;     /* the agent finds the node's clock ahead of it */
    uint32_t count;
};

/* Maps and checks `path`: mapped_file_open's checks, magic, version, exact length, both checksums.
 * Gives 0, or an errno value with `db` zeroed. */
int bans_db_open(struct bans_db *db, const char *path);

/* The same on `length` bytes that the caller keeps; for tests. bans_db_close must not follow. */
int bans_db_attach(struct bans_db *db, const unsigned char *base, uint64_t length);

/* Unmaps; does nothing to a zeroed `db`. */
void bans_db_close(struct bans_db *db);

/* Whether `uid_number` is banned at `now`: it is listed, and its end (if any) is after `now`. */
bool bans_db_is_banned(const struct bans_db *db, uint32_t uid_number, int64_t now);

#endif
