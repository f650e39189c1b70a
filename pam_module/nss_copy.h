/*
 * From a record in the map to the caller's struct and buffer: nothing that points into the map
 * ever leaves. A buffer that is too small is found out before anything is promised.
 */
#ifndef IDMAP_NSS_COPY_H
#define IDMAP_NSS_COPY_H

#include <nss.h>

#include "posix_db.h"

/*
 * Fills `out` (a struct passwd or a struct group, after the record's kind) and the `size` bytes at
 * `buffer`, for a group with its whole member list. Gives SUCCESS; TRYAGAIN with ERANGE when the
 * buffer is too small; UNAVAIL with ENOENT when a member fails its checks.
 */
enum nss_status nss_copy(const struct posix_db *db, const struct posix_record *record, void *out,
                         char *buffer, size_t size, int *errnop);

#endif
