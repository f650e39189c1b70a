/*
 * The mapping that all lookups of one process share, and its replacement.
 *
 * Mapped once; after that a lookup makes no system call until the installer marks the mapped file
 * as superseded. Nobody waits: a thread that finds another one re-mapping uses the old mapping, and
 * when no newer file is found the next try is a second away (coarse clock, no system call). The
 * lock and the reader counts lie in a page that a fork wipes, so a child never inherits a held one.
 */
#ifndef IDMAP_NSS_MAP_H
#define IDMAP_NSS_MAP_H

#include "posix_db.h"

#ifndef IDMAP_POSIX_DB
#define IDMAP_POSIX_DB "/var/lib/idmap/posix.db"
#endif

/* One lookup's hold on a mapping. `db` is NULL when there is none to hold. */
struct nss_lease {
    const struct posix_db *db;
    void *readers;
};

/* The newest mapping this process has, kept mapped until nss_map_return. errno is kept. */
struct nss_lease nss_map_take(void);

/* Ends a lease, also an empty one. errno is kept. */
void nss_map_return(struct nss_lease lease);

/* Takes the lock of an enumeration without waiting; false when another thread has it. */
bool nss_cursor_lock(enum posix_kind kind);
void nss_cursor_unlock(enum posix_kind kind);

#endif
