/*
 * The account phase: may this name log in on this node, now?
 *
 * One decision over two installed files. The outcome of `decide` (Python) is already in posix.db;
 * this code adds only the time, the ban list and the file's age (law 3), and published vectors in
 * tests/vectors prove that it agrees. Used by pam_idmap (account), idmap-principals and the vector
 * driver. It opens no socket, calls no NSS, logs nothing and allocates nothing it does not release.
 */
#ifndef IDMAP_ACCOUNT_H
#define IDMAP_ACCOUNT_H

#include <stdint.h>

#define IDMAP_NAME_MAX 32 /* longest adoptable name, without the terminating zero */

/* Every outcome, in the order of precedence: the first that applies is the answer. */
enum idmap_reason {
    IDMAP_OK = 0,
    IDMAP_FILES_UNREADABLE,   /* posix.db or bans.db missing, wrong owner/mode/length/header, bad
                                 offset, unknown flag of the account */
    IDMAP_ACCOUNT_UNKNOWN,    /* posix.db is sound and has no such name */
    IDMAP_BANNED,             /* in bans.db, and the ban has not ended */
    IDMAP_ACCOUNT_SUSPENDED,  /* state suspended */
    IDMAP_NODE_CLASS_REFUSED, /* for nodes of other classes */
    IDMAP_ACCOUNT_EXPIRED,    /* the account's last day has passed */
    IDMAP_GRACE_ENDED,        /* state grace, and the last day of grace has passed */
    IDMAP_SNAPSHOT_EXPIRED,   /* effective time is past posix.db's not-after */
    IDMAP_CLOCK_SKEW, /* the node's clock runs ahead of the newest signed time; set by the agent */
    IDMAP_TOKEN_DEMANDED, /* nothing else is against a login, but that it has to show a token: for
                             a caller who saw one it is IDMAP_OK */
    IDMAP_LOCAL_ACCOUNT,  /* for callers: the system's answer for the name is not our record */
    IDMAP_REASON_COUNT
};

struct idmap_account {
    char name[IDMAP_NAME_MAX + 1];
    uint32_t uid_number;
    uint32_t gid_number;
};

/*
 * Decides for `name` from the files at `posix_path` and `bans_path` at `now` (seconds since the
 * epoch, the caller's clock). Effective time is the greatest of `now`, the snapshot's creation and
 * the newest signed time in bans.db, so a slow clock revives nothing. A date counts until the end
 * of its UTC day. `out` is filled whenever the record was found, whatever the answer; else zeroed.
 * Never aborts; any fault is IDMAP_FILES_UNREADABLE.
 */
enum idmap_reason idmap_account_check(const char *posix_path, const char *bans_path,
                                      const char *name, int64_t now, struct idmap_account *out);

/* The stable code of a reason, as in docs/error-codes.md: "ok", "node_files_unreadable",
 * "account_unknown", "banned", "account_suspended", "node_class_refused", "account_expired",
 * "grace_ended", "snapshot_expired", "clock_skew", "token_demanded", "local_account". Never NULL.
 */
const char *idmap_reason_code(enum idmap_reason reason);

#endif
