/*
 * The reader of posix.db: names, numbers and group lists of one revision.
 *
 * A damaged file may give a wrong string, but never a read outside the map, a loop, or a number in
 * the refused ranges or outside the file's own windows: each record passes those checks on its way
 * out. Every lookup is a pure read of the map: no system call, no allocation, no lock. What comes
 * out points into the map and is good until posix_db_close; NSS copies before it lets go.
 */
#ifndef IDMAP_POSIX_DB_H
#define IDMAP_POSIX_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "format.h"
#include "mapped_file.h"

struct id_window {
    uint32_t first;
    uint32_t last;
};

struct id_windows {
    uint32_t count;
    struct id_window window[WINDOW_MAX];
};

struct posix_section_place {
    uint64_t offset;
    uint64_t size;
};

struct posix_db {
    struct mapped_file file;
    uint64_t revision;
    int64_t created;
    int64_t not_after; /* 0: none */
    unsigned char seed[16];
    struct posix_section_place section[SECTION_COUNT];
    uint32_t max_probes[INDEX_COUNT];
    struct id_windows uids;
    struct id_windows gids;
};

enum posix_found {
    POSIX_FOUND,
    POSIX_ABSENT,
    POSIX_DAMAGED /* what should have answered fails a check; the answer is "unavailable" */
};

/* Strings end with a zero; the lengths are without it. `strings` holds name, gecos, home and shell
 * in that order, `strings_size` bytes with their zeros. */
struct posix_user {
    uint32_t reference;
    uint32_t uid_number;
    uint32_t gid_number;
    enum user_state state;
    uint32_t expires_day; /* last day, in days since the epoch; 0: none */
    uint32_t grace_day;
    const char *strings;
    size_t strings_size;
    size_t name_length;
    size_t gecos_length;
    size_t home_length;
    size_t shell_length;
    const unsigned char *gids; /* read with posix_db_gid */
    uint32_t gid_count;
};

struct posix_group {
    uint32_t gid_number;
    const char *name;
    size_t name_length;
    const unsigned char *members; /* read with posix_db_member */
    uint32_t member_count;
    size_t members_size; /* bytes that all member names take with their zeros */
};

/* Maps and checks `path`: mapped_file_open's checks, magic, version, exact length, checksum of the
 * header, places of the sections. Gives 0, or an errno value with `db` zeroed (EINVAL: the content
 * is not a sound header). */
int posix_db_open(struct posix_db *db, const char *path);

/* The same on `length` bytes that the caller keeps; for tests. posix_db_close must not follow. */
int posix_db_attach(struct posix_db *db, const unsigned char *base, uint64_t length);

/* Unmaps; does nothing to a zeroed `db`. */
void posix_db_close(struct posix_db *db);

/* Whether the installer has put a newer file in this one's place. */
bool posix_db_is_superseded(const struct posix_db *db);

/* One record by key. `name` ends with a zero and may be anything; so may the numbers. */
enum posix_found posix_db_user_by_name(const struct posix_db *db, const char *name,
                                       struct posix_user *user);
enum posix_found posix_db_user_by_number(const struct posix_db *db, uint32_t uid_number,
                                         struct posix_user *user);
enum posix_found posix_db_group_by_name(const struct posix_db *db, const char *name,
                                        struct posix_group *group);
enum posix_found posix_db_group_by_number(const struct posix_db *db, uint32_t gid_number,
                                          struct posix_group *group);

/* The record at `*cursor` (0: the first), in the order of numbers; on POSIX_FOUND, `*next` is the
 * cursor of the one behind it. POSIX_ABSENT: past the last. */
enum posix_found posix_db_user_at(const struct posix_db *db, uint64_t cursor,
                                  struct posix_user *user, uint64_t *next);
enum posix_found posix_db_group_at(const struct posix_db *db, uint64_t cursor,
                                   struct posix_group *group, uint64_t *next);

/* The `i`-th secondary gid of `user`, or the `i`-th member of `group`; `i` below the count.
 * Never POSIX_ABSENT. */
enum posix_found posix_db_gid(const struct posix_db *db, const struct posix_user *user, uint32_t i,
                              uint32_t *gid_number);
enum posix_found posix_db_member(const struct posix_db *db, const struct posix_group *group,
                                 uint32_t i, struct posix_user *member);

#endif
