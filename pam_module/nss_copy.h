/*
 * From a record in the map to the caller's struct and buffer: nothing that points into the map
 * ever leaves. A buffer that is too small is found out before anything is promised.
 */
#ifndef IDMAP_NSS_COPY_H
#define IDMAP_NSS_COPY_H

#include <grp.h>
#include <pwd.h>

#include "posix_db.h"

enum nss_copied {
    NSS_COPIED,
    NSS_TOO_SMALL, /* the caller may come again with a larger buffer */
    NSS_DAMAGED    /* a member reference fails its checks */
};

/* Fills `out` and the `size` bytes at `buffer` from `user`. */
enum nss_copied nss_copy_user(const struct posix_user *user, struct passwd *out, char *buffer,
                              size_t size);

/* Fills `out` and the `size` bytes at `buffer` from `group` with its whole member list. */
enum nss_copied nss_copy_group(const struct posix_db *db, const struct posix_group *group,
                               struct group *out, char *buffer, size_t size);

#endif
