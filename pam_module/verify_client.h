/*
 * The PAM side of the verifier's socket: one request, one fixed reply (docs/verify-protocol.md).
 *
 * Knows nothing of PAM. Sees the secret only to pass it on, and leaves no copy of it behind.
 */
#ifndef IDMAP_VERIFY_CLIENT_H
#define IDMAP_VERIFY_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "account.h"

#define IDMAP_SECRET_MAX 16384 /* ten times the longest token measured; see H13 of the review */
#define IDMAP_RHOST_MAX 255    /* a DNS name; informational */
#define IDMAP_SERVICE_MAX 32   /* informational */
#define IDMAP_REQUEST_HEADER 16
#define IDMAP_REQUEST_MAX                                                                          \
    (IDMAP_REQUEST_HEADER + IDMAP_NAME_MAX + IDMAP_RHOST_MAX + IDMAP_SERVICE_MAX + IDMAP_SECRET_MAX)
#define IDMAP_REPLY_SIZE 128
#define IDMAP_REASON_SIZE 40 /* with the terminating zero */
#define IDMAP_REF_SIZE 17    /* with the terminating zero */

struct idmap_verify_request {
    const char *username, *rhost, *service, *secret; /* all zero-terminated, none NULL */
};

struct idmap_verify_reply {
    bool accepted;
    bool proved; /* the secret was a good credential of somebody: the reason may be shown */
    uint32_t uid_number;
    char name[IDMAP_NAME_MAX + 1];
    char reason[IDMAP_REASON_SIZE]; /* [a-z0-9_]+ */
    char ref[IDMAP_REF_SIZE];       /* sixteen lower-case hexadecimal digits */
};

enum idmap_verify_status {
    IDMAP_VERIFY_REPLIED = 0, /* only now is the reply filled */
    IDMAP_VERIFY_ABSENT,      /* no socket, nobody listens, or the connection broke */
    IDMAP_VERIFY_LATE,        /* 2 s to connect and send, 10 s in all */
    IDMAP_VERIFY_WRONG_PEER,  /* someone else listens or answers */
    IDMAP_VERIFY_MALFORMED    /* not a reply of this version, or the request breaks a limit */
};

/*
 * Sends `request` to the socket at `path` and waits for the reply. Nothing is sent unless the
 * listener belongs to `verifier_uid` or to root (systemd listens for the verifier), and no reply
 * counts unless `verifier_uid` itself wrote it. Blocks for at most ten seconds; raises no signal.
 */
enum idmap_verify_status idmap_verify_ask(const char *path, uid_t verifier_uid,
                                          const struct idmap_verify_request *request,
                                          struct idmap_verify_reply *reply);

/* Reads IDMAP_REPLY_SIZE bytes. True and `reply` filled if every field keeps the protocol, else
 * false and `reply` zeroed. Pure; apart from idmap_verify_ask only so that it can be tested. */
bool idmap_verify_parse_reply(const uint8_t *bytes, struct idmap_verify_reply *reply);

/* "replied", "absent", "late", "wrong_peer", "malformed"; for the log. Never NULL. */
const char *idmap_verify_status_name(enum idmap_verify_status status);

#endif
