/*
 * The reader of bans.db: which uid numbers are refused, until when.
 *
 * The whole file is covered by checksums and is read only at logins, so any damage at all makes it
 * unreadable; the caller then refuses. It holds no names and no reasons.
 */
#ifndef IDMAP_BANS_DB_H
#define IDMAP_BANS_DB_H

#include "format.h"
#include "mapped_file.h"

/* The layout; how the file opens stands in format.h, the rest in docs/posix-db.md. */
#define BANS_MAGIC "IDMAPBAN"
#define BANS_HEADER 64
#define BANS_AT_COUNTER 24
#define BANS_AT_ISSUED 32
#define BANS_AT_SIGNED_TIME 40
#define BANS_AT_COUNT 48
#define BANS_AT_BODY_CHECKSUM 52
#define BANS_AT_CHECKSUM 60
#define BANS_FLAG_CLOCK_SKEW 1u
#define BAN_SIZE 16
#define BAN_AT_UID 0
#define BAN_AT_UNTIL 8

struct bans_db {
    struct mapped_file file;
    uint64_t counter;
    int64_t issued;
    int64_t signed_time; /* the newest signed time that the agent has seen */
    bool clock_skew;     /* the agent finds the node's clock ahead of it */
    uint32_t count;
};

/* Maps and checks `path`: its owner and mode, how it opens, both checksums, the order of its
 * entries. False leaves `db->file` zeroed. mapped_file_close ends it. */
bool bans_db_open(struct bans_db *db, const char *path);

/* Checks `db->file` and fills the rest of `db`. */
bool bans_db_read(struct bans_db *db);

/* Whether `uid_number` is banned at `now`: it is listed, and its end (if any) is after `now`. */
bool bans_db_is_banned(const struct bans_db *db, uint32_t uid_number, int64_t now);

#endif
