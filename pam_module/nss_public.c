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
#include <nss.h>
#include <stdlib.h>
#include <sys/types.h>

#include "nss_copy.h"
#include "nss_map.h"

#define PUBLIC __attribute__((visibility("default")))
typedef enum nss_status status_t;

/* The prototypes are glibc's (nss/nss.h, "Actions in the NSS configuration"); no header has them.
 */
PUBLIC status_t _nss_idmap_getpwnam_r(const char *, struct passwd *, char *, size_t, int *);
PUBLIC status_t _nss_idmap_getpwuid_r(uid_t, struct passwd *, char *, size_t, int *);
PUBLIC status_t _nss_idmap_setpwent(int);
PUBLIC status_t _nss_idmap_getpwent_r(struct passwd *, char *, size_t, int *);
PUBLIC status_t _nss_idmap_endpwent(void);
PUBLIC status_t _nss_idmap_getgrnam_r(const char *, struct group *, char *, size_t, int *);
PUBLIC status_t _nss_idmap_getgrgid_r(gid_t, struct group *, char *, size_t, int *);
PUBLIC status_t _nss_idmap_setgrent(int);
PUBLIC status_t _nss_idmap_getgrent_r(struct group *, char *, size_t, int *);
PUBLIC status_t _nss_idmap_endgrent(void);
PUBLIC status_t _nss_idmap_initgroups_dyn(const char *, gid_t, long int *, long int *, gid_t **,
                                          long int, int *);

/* An enumeration: its own mapping, and the offset of the next record. */
struct cursor {
    struct posix_db db;
    uint64_t at;
};
static struct cursor cursors[NSS_CURSOR_COUNT];

static status_t
unavailable(int *errnop)
{
    *errnop = ENOENT;
    return NSS_STATUS_UNAVAIL;
}

/* The status for a lookup that gave no record. */
static status_t
not_found(enum posix_found found, int *errnop)
{
    if (found == POSIX_DAMAGED)
        return unavailable(errnop);
    *errnop = ENOENT;
    return NSS_STATUS_NOTFOUND;
}

/* The status for a copy. */
static status_t
copied(enum nss_copied result, int *errnop)
{
    switch (result) {
    case NSS_COPIED:
        return NSS_STATUS_SUCCESS;
    case NSS_TOO_SMALL:
        *errnop = ERANGE;
        return NSS_STATUS_TRYAGAIN;
    case NSS_DAMAGED:
        break;
    }
    return unavailable(errnop);
}

static status_t
give_user(enum posix_found found, const struct posix_user *user, struct passwd *out, char *buffer,
          size_t size, int *errnop)
{
    if (found != POSIX_FOUND)
        return not_found(found, errnop);
    return copied(nss_copy_user(user, out, buffer, size), errnop);
}

static status_t
give_group(const struct posix_db *db, enum posix_found found, const struct posix_group *group,
           struct group *out, char *buffer, size_t size, int *errnop)
{
    if (found != POSIX_FOUND)
        return not_found(found, errnop);
    return copied(nss_copy_group(db, group, out, buffer, size), errnop);
}

status_t
_nss_idmap_getpwnam_r(const char *name, struct passwd *out, char *buffer, size_t size, int *errnop)
{
    struct nss_lease lease = nss_map_take();
    struct posix_user user;
    status_t status;

    if (lease.db == NULL)
        return unavailable(errnop);
    status =
        give_user(posix_db_user_by_name(lease.db, name, &user), &user, out, buffer, size, errnop);
    nss_map_return(lease);
    return status;
}

status_t
_nss_idmap_getpwuid_r(uid_t uid, struct passwd *out, char *buffer, size_t size, int *errnop)
{
    struct nss_lease lease = nss_map_take();
    struct posix_user user;
    status_t status;

    if (lease.db == NULL)
        return unavailable(errnop);
    status =
        give_user(posix_db_user_by_number(lease.db, uid, &user), &user, out, buffer, size, errnop);
    nss_map_return(lease);
    return status;
}

status_t
_nss_idmap_getgrnam_r(const char *name, struct group *out, char *buffer, size_t size, int *errnop)
{
    struct nss_lease lease = nss_map_take();
    struct posix_group group;
    status_t status;

    if (lease.db == NULL)
        return unavailable(errnop);
    status = give_group(lease.db, posix_db_group_by_name(lease.db, name, &group), &group, out,
                        buffer, size, errnop);
    nss_map_return(lease);
    return status;
}

status_t
_nss_idmap_getgrgid_r(gid_t gid, struct group *out, char *buffer, size_t size, int *errnop)
{
    struct nss_lease lease = nss_map_take();
    struct posix_group group;
    status_t status;

    if (lease.db == NULL)
        return unavailable(errnop);
    status = give_group(lease.db, posix_db_group_by_number(lease.db, gid, &group), &group, out,
                        buffer, size, errnop);
    nss_map_return(lease);
    return status;
}

/* Puts an enumeration before its first record, on the file that is installed now. The caller has
 * its lock. */
static status_t
rewind_cursor(struct cursor *cursor)
{
    int saved = errno;

    posix_db_close(&cursor->db);
    cursor->at = 0;
    if (posix_db_open(&cursor->db, IDMAP_POSIX_DB) != 0) {
        errno = ENOENT;
        return NSS_STATUS_UNAVAIL;
    }
    errno = saved;
    return NSS_STATUS_SUCCESS;
}

static status_t
begin(enum nss_cursor which)
{
    status_t status;

    if (!nss_cursor_lock(which)) {
        errno = EAGAIN;
        return NSS_STATUS_TRYAGAIN;
    }
    status = rewind_cursor(&cursors[which]);
    nss_cursor_unlock(which);
    return status;
}

static status_t
end(enum nss_cursor which)
{
    int saved = errno;

    if (nss_cursor_lock(which)) {
        posix_db_close(&cursors[which].db);
        nss_cursor_unlock(which);
    }
    errno = saved;
    return NSS_STATUS_SUCCESS;
}

/* Takes an enumeration's lock and starts it if it is not under way. */
static status_t
resume(enum nss_cursor which, int *errnop)
{
    if (!nss_cursor_lock(which)) {
        *errnop = EAGAIN;
        return NSS_STATUS_TRYAGAIN;
    }
    if (cursors[which].db.file.base == NULL &&
        rewind_cursor(&cursors[which]) != NSS_STATUS_SUCCESS) {
        nss_cursor_unlock(which);
        return unavailable(errnop);
    }
    return NSS_STATUS_SUCCESS;
}

status_t
_nss_idmap_setpwent(int stay_open)
{
    (void)stay_open;
    return begin(NSS_CURSOR_PASSWD);
}

status_t
_nss_idmap_getpwent_r(struct passwd *out, char *buffer, size_t size, int *errnop)
{
    struct cursor *cursor = &cursors[NSS_CURSOR_PASSWD];
    status_t status = resume(NSS_CURSOR_PASSWD, errnop);
    struct posix_user user;
    uint64_t next = 0;
    enum posix_found found;

    if (status != NSS_STATUS_SUCCESS)
        return status;
    found = posix_db_user_at(&cursor->db, cursor->at, &user, &next);
    status = give_user(found, &user, out, buffer, size, errnop);
    if (status == NSS_STATUS_SUCCESS)
        cursor->at = next;
    nss_cursor_unlock(NSS_CURSOR_PASSWD);
    return status;
}

status_t
_nss_idmap_endpwent(void)
{
    return end(NSS_CURSOR_PASSWD);
}

status_t
_nss_idmap_setgrent(int stay_open)
{
    (void)stay_open;
    return begin(NSS_CURSOR_GROUP);
}

status_t
_nss_idmap_getgrent_r(struct group *out, char *buffer, size_t size, int *errnop)
{
    struct cursor *cursor = &cursors[NSS_CURSOR_GROUP];
    status_t status = resume(NSS_CURSOR_GROUP, errnop);
    struct posix_group group;
    uint64_t next = 0;
    enum posix_found found;

    if (status != NSS_STATUS_SUCCESS)
        return status;
    found = posix_db_group_at(&cursor->db, cursor->at, &group, &next);
    status = give_group(&cursor->db, found, &group, out, buffer, size, errnop);
    if (status == NSS_STATUS_SUCCESS)
        cursor->at = next;
    nss_cursor_unlock(NSS_CURSOR_GROUP);
    return status;
}

status_t
_nss_idmap_endgrent(void)
{
    return end(NSS_CURSOR_GROUP);
}

/* Makes room for `more` gids in glibc's array, up to `limit` (none when <= 0). Gives how many of
 * them fit, or -1 when there is no memory. The array may move: that is this function's contract. */
static long int
make_room(long int more, long int start, long int *size, gid_t **groups, long int limit)
{
    long int wanted = start + more;
    gid_t *grown;

    if (limit > 0 && wanted > limit)
        wanted = limit;
    if (wanted > *size) {
        grown = realloc(*groups, (size_t)wanted * sizeof(gid_t));
        if (grown == NULL)
            return -1;
        *groups = grown;
        *size = wanted;
    }
    return wanted > start ? wanted - start : 0;
}

status_t
_nss_idmap_initgroups_dyn(const char *name, gid_t primary, long int *start, long int *size,
                          gid_t **groups, long int limit, int *errnop)
{
    struct nss_lease lease = nss_map_take();
    struct posix_user user;
    enum posix_found found;
    status_t status = NSS_STATUS_SUCCESS;
    long int room;
    long int begin_at = *start;

    if (lease.db == NULL)
        return unavailable(errnop);
    found = posix_db_user_by_name(lease.db, name, &user);
    if (found != POSIX_FOUND) {
        status = not_found(found, errnop);
        goto done;
    }
    room = make_room((long int)user.gid_count, *start, size, groups, limit);
    if (room < 0) {
        *errnop = ENOMEM;
        status = NSS_STATUS_TRYAGAIN;
        goto done;
    }
    for (uint32_t i = 0; i < user.gid_count && room > 0; i++) {
        uint32_t gid_number;

        if (posix_db_gid(lease.db, &user, i, &gid_number) != POSIX_FOUND) {
            *start = begin_at;
            status = unavailable(errnop);
            goto done;
        }
        if (gid_number == primary)
            continue;
        (*groups)[(*start)++] = gid_number;
        room--;
    }
done:
    nss_map_return(lease);
    return status;
}
