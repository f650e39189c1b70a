/*
 * libnss_idmap.so.2: the entry points that glibc calls, and nothing else.
 *
 * They answer from the shared mapping, whatever the account's state and the snapshot's age: files
 * on disk need names (law 7). Contract of each: SUCCESS with the caller's struct filled; NOTFOUND
 * with ENOENT; TRYAGAIN with ERANGE, and with nothing else, when the buffer is too small; UNAVAIL
 * with ENOENT when there is no usable file or the record fails its checks. errno is set on failure
 * only. Enumeration has mappings of its own, so that lookups neither move a cursor nor end one, and
 * one enumeration shows one revision; a getXXent_r that gives ERANGE does not advance.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

#include "nss_copy.h"
#include "nss_map.h"

/* glibc finds these by name; no header has their prototypes. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#define ENTRY_POINT __attribute__((visibility("default"))) enum nss_status

/* The record that was found, copied out; or why there is none. */
static enum nss_status
give(const struct posix_db *db, enum posix_found found, const struct posix_record *record,
     void *out, char *buffer, size_t size, int *errnop)
{
    if (found == POSIX_FOUND)
        return nss_copy(db, record, out, buffer, size, errnop);
    *errnop = ENOENT;
    return found == POSIX_ABSENT ? NSS_STATUS_NOTFOUND : NSS_STATUS_UNAVAIL;
}

/* A lookup by name, or by number when there is no name. */
static enum nss_status
look_up(enum posix_kind kind, const char *name, uint32_t number, void *out, char *buffer,
        size_t size, int *errnop)
{
    struct nss_lease lease = nss_map_take();
    enum posix_found found = POSIX_DAMAGED;
    struct posix_record record;
    enum nss_status status;

    if (lease.db != NULL)
        found = name != NULL ? posix_db_by_name(lease.db, kind, name, &record)
                             : posix_db_by_number(lease.db, kind, number, &record);
    status = give(lease.db, found, &record, out, buffer, size, errnop);
    nss_map_return(lease);
    return status;
}

ENTRY_POINT
_nss_idmap_getpwnam_r(const char *name, struct passwd *out, char *buffer, size_t size, int *errnop)
{
    return look_up(POSIX_USER, name, 0, out, buffer, size, errnop);
}

ENTRY_POINT
_nss_idmap_getpwuid_r(uid_t uid, struct passwd *out, char *buffer, size_t size, int *errnop)
{
    return look_up(POSIX_USER, NULL, uid, out, buffer, size, errnop);
}

ENTRY_POINT
_nss_idmap_getgrnam_r(const char *name, struct group *out, char *buffer, size_t size, int *errnop)
{
    return look_up(POSIX_GROUP, name, 0, out, buffer, size, errnop);
}

ENTRY_POINT
_nss_idmap_getgrgid_r(gid_t gid, struct group *out, char *buffer, size_t size, int *errnop)
{
    return look_up(POSIX_GROUP, NULL, gid, out, buffer, size, errnop);
}

/* An enumeration: its own mapping (none: not under way), and the offset of the next record. */
static struct cursor {
    struct posix_db db;
    uint64_t at;
} cursors[POSIX_KINDS];

/* Puts an enumeration before its first record: the next one opens what is installed then. */
static enum nss_status
rewind_cursor(enum posix_kind kind)
{
    int saved = errno;

    if (!nss_cursor_lock(kind)) {
        errno = EAGAIN;
        return NSS_STATUS_TRYAGAIN;
    }
    mapped_file_close(&cursors[kind].db.file);
    cursors[kind].at = 0;
    nss_cursor_unlock(kind);
    errno = saved;
    return NSS_STATUS_SUCCESS;
}

static enum nss_status
next(enum posix_kind kind, void *out, char *buffer, size_t size, int *errnop)
{
    struct cursor *cursor = &cursors[kind];
    enum posix_found found = POSIX_DAMAGED;
    struct posix_record record;
    int saved = errno;
    enum nss_status status;

    if (!nss_cursor_lock(kind)) {
        *errnop = EAGAIN;
        return NSS_STATUS_TRYAGAIN;
    }
    if (cursor->db.file.base != NULL || posix_db_open(&cursor->db, IDMAP_POSIX_DB))
        found = posix_db_at(&cursor->db, kind, cursor->at, &record);
    errno = saved;
    status = give(&cursor->db, found, &record, out, buffer, size, errnop);
    if (status == NSS_STATUS_SUCCESS)
        cursor->at += record.size;
    nss_cursor_unlock(kind);
    return status;
}

/* set, get and end of the enumeration of one kind; glibc promises each its own arguments. */
#define ENUMERATION(database, record_type, kind)                                                   \
    ENTRY_POINT _nss_idmap_set##database(int stay_open)                                            \
    {                                                                                              \
        (void)stay_open;                                                                           \
        return rewind_cursor(kind);                                                                \
    }                                                                                              \
                                                                                                   \
    ENTRY_POINT _nss_idmap_get##database##_r(struct record_type *out, char *buffer, size_t size,   \
                                             int *errnop)                                          \
    {                                                                                              \
        return next(kind, out, buffer, size, errnop);                                              \
    }                                                                                              \
                                                                                                   \
    ENTRY_POINT _nss_idmap_end##database(void)                                                     \
    {                                                                                              \
        return rewind_cursor(kind);                                                                \
    }

ENUMERATION(pwent, passwd, POSIX_USER)
ENUMERATION(grent, group, POSIX_GROUP)

/* Adds a user's secondary gids, but for `primary`, to glibc's array, up to `limit` in all (no
 * limit when <= 0). The array may move: that is this function's contract. */
static enum nss_status
add_gids(const struct posix_db *db, const struct posix_record *user, gid_t primary, long int *start,
         long int *size, gid_t **groups, long int limit, int *errnop)
{
    long int wanted = *start + (long int)user->count;
    long int at = *start;

    if (limit > 0 && wanted > limit)
        wanted = limit;
    if (wanted > *size) {
        gid_t *grown = realloc(*groups, (size_t)wanted * sizeof(gid_t));

        if (grown == NULL) {
            *errnop = ENOMEM;
            return NSS_STATUS_TRYAGAIN;
        }
        *groups = grown;
        *size = wanted;
    }
    for (uint32_t i = 0; i < user->count && at < wanted; i++) {
        uint32_t gid_number;

        if (!posix_db_gid(db, user, i, &gid_number)) {
            *errnop = ENOENT;
            return NSS_STATUS_UNAVAIL;
        }
        if (gid_number != primary)
            (*groups)[at++] = gid_number;
    }
    *start = at;
    return NSS_STATUS_SUCCESS;
}

ENTRY_POINT
_nss_idmap_initgroups_dyn(const char *name, gid_t primary, long int *start, long int *size,
                          gid_t **groups, long int limit, int *errnop)
{
    struct nss_lease lease = nss_map_take();
    enum posix_found found = POSIX_DAMAGED;
    struct posix_record user;
    enum nss_status status;

    if (lease.db != NULL)
        found = posix_db_by_name(lease.db, POSIX_USER, name, &user);
    if (found == POSIX_FOUND)
        status = add_gids(lease.db, &user, primary, start, size, groups, limit, errnop);
    else
        status = give(lease.db, found, &user, NULL, NULL, 0, errnop);
    nss_map_return(lease);
    return status;
}
