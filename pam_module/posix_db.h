/*
 * The reader of posix.db: names, numbers and group lists of one revision.
 *
 * A damaged file may give a wrong string, but never a read outside the map, a loop, or a number in
 * the refused ranges or outside the file's own windows: each record passes those checks on its way
 * out. Every lookup is a pure read of the map: no system call, no allocation, no lock. What comes
 * out points into the map and is good until it is closed; NSS copies before it lets go.
 */
#ifndef IDMAP_POSIX_DB_H
#define IDMAP_POSIX_DB_H

#include "format.h"
#include "mapped_file.h"

struct id_windows {
    uint32_t count;
    struct {
        uint32_t first;
        uint32_t last;
    } window[WINDOW_MAX];
};

/* Whether the number is inside a window. */
static inline bool
id_windows_hold(const struct id_windows *windows, uint32_t number)
{
    for (uint32_t i = 0; i < windows->count; i++)
        if (number >= windows->window[i].first && number <= windows->window[i].last)
            return true;
    return false;
}

struct posix_db {
    struct mapped_file file;
    uint64_t revision;
    int64_t created;
    int64_t not_after; /* 0: none */
    unsigned char seed[16];
    struct {
        uint64_t offset;
        uint64_t size;
    } section[SECTION_COUNT];
    uint32_t max_probes[INDEX_COUNT];
    struct id_windows windows[POSIX_KINDS];
};

enum posix_found {
    POSIX_FOUND,
    POSIX_ABSENT,
    POSIX_DAMAGED /* what should have answered fails a check; the answer is "unavailable" */
};

/* A user or a group, checked. Strings end with a zero; the lengths are without it. */
struct posix_record {
    enum posix_kind kind;
    uint32_t reference;
    uint32_t size;
    uint32_t number;
    const char *name; /* a user's gecos, home and shell follow it */
    size_t name_length;
    size_t strings_size;       /* of all of them, with their zeros */
    const unsigned char *list; /* read with posix_db_gid or posix_db_member */
    uint32_t count;
    size_t members_size; /* of a group: bytes that all member names take with their zeros */
    size_t gecos_length; /* from here on: of a user */
    size_t home_length;
    uint32_t gid_number;
    enum user_state state;
    uint32_t expires_day; /* last day, in days since the epoch; 0: none */
    uint32_t grace_day;
    uint32_t flags; /* unchecked: what an unknown one forbids is for logins to fear, not for NSS */
};

/* Maps and checks `path`: its owner and mode, how it opens, places of the sections. False leaves
 * `db->file` zeroed. mapped_file_close ends it. */
bool posix_db_open(struct posix_db *db, const char *path);

/* Checks the header of `db->file` and fills the rest of `db`. */
bool posix_db_read_header(struct posix_db *db);

/* Whether the installer has put a newer file in this one's place. */
static inline bool
posix_db_is_superseded(const struct posix_db *db)
{
    return *(const volatile unsigned char *)(db->file.base + POSIX_AT_SUPERSEDED) != 0;
}

/* One record by key. `name` ends with a zero and may be anything; so may the number. */
enum posix_found posix_db_by_name(const struct posix_db *db, enum posix_kind kind, const char *name,
                                  struct posix_record *record);
enum posix_found posix_db_by_number(const struct posix_db *db, enum posix_kind kind,
                                    uint32_t number, struct posix_record *record);

/* The record at `cursor`, in the order of numbers. 0 is the first; the one behind lies
 * `record->size` further on. POSIX_ABSENT: past the last. */
enum posix_found posix_db_at(const struct posix_db *db, enum posix_kind kind, uint64_t cursor,
                             struct posix_record *record);

/* The `i`-th secondary gid of a user, or the `i`-th member of a group; `i` below the count. False
 * when it fails a check. */
bool posix_db_gid(const struct posix_db *db, const struct posix_record *user, uint32_t i,
                  uint32_t *gid_number);
bool posix_db_member(const struct posix_db *db, const struct posix_record *group, uint32_t i,
                     struct posix_record *member);

#endif
