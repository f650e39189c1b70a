/*
 * What the two phases of pam_idmap share: the module's arguments, the system's answer for the name,
 * and the one way to say no. Everything lives on the stack of one call; nothing is kept between.
 */
#ifndef IDMAP_PAM_INTERNAL_H
#define IDMAP_PAM_INTERNAL_H

#include <security/pam_modules.h>

#include "account.h"
#include "posix_db.h"

/* Under this name a handle keeps the uid number whose token `auth` accepted. */
#define IDMAP_TOKEN_SHOWN "idmap_token_shown"

struct idmap_settings {
    const char *posix_path, *bans_path, *local_groups_path, *socket_path, *verifier_user;
    int64_t verifier_uid;      /* -1: that of verifier_user */
    struct id_windows windows; /* the uid numbers that are idmap's on this node */
    bool debug;
    bool faulty; /* an argument was not understood: nobody who could be ours gets in (law 4) */
};

/* What the system says of the uid number that a name has. */
enum idmap_standing {
    IDMAP_NAMELESS, /* no entry, or the lookup failed: no number to judge by */
    IDMAP_FOREIGN,  /* a number that is not ours */
    IDMAP_OURS      /* inside a window; without windows, any number that law 10 lets us issue */
};

/* One call of an entry point: all that the phases decide on, gathered by idmap_begin. */
struct idmap_login {
    pam_handle_t *pam;
    int flags;
    const char *username; /* PAM_USER; never NULL */
    struct idmap_settings settings;
    enum idmap_standing standing;
    enum idmap_reason reason; /* what idmap_account_check says now */
    bool in_file;             /* the files are sound and hold the name: `record` is filled */
    struct idmap_account record;
};

/* A refusal, as the log gets it; the person sees `reason` only if `shown`, else not_accepted. */
struct idmap_refusal {
    const char *reason; /* a code of idmap/domain/reasons.py */
    const char *detail; /* for the log; may be NULL; never anything secret */
    const char *ref;    /* correlation id; may be NULL */
    bool shown;
    int pam_code; /* what idmap_refuse returns */
};

/* Gathers `login`: PAM_USER, the module's arguments, the node files, the system's answer. A bad
 * argument is logged and remembered. Returns PAM_SUCCESS, or the code to return if no name is set.
 */
int idmap_begin(struct idmap_login *login, pam_handle_t *pam, int flags, int argc,
                const char **argv);

/* True, and `refusal` filled, if the arguments cannot be relied on and the name could be ours:
 * an argument is not understood, or the name is in posix.db and there is no window (law 4). */
bool idmap_unconfigured(const struct idmap_login *login, struct idmap_refusal *refusal);

/* True if the system's entry for the name has our record's name and uid number. Without this, a
 * person called like a local account would be logged in as the local account (law 10). */
bool idmap_system_agrees(const struct idmap_login *login);

/* Says no, to the log and (unless PAM_SILENT) to the person. Returns refusal->pam_code. */
int idmap_refuse(const struct idmap_login *login, const struct idmap_refusal *refusal);

/* Copies `text` (may be NULL: "-") into `out` with every byte that is not plain visible ASCII
 * replaced, so that a log line keeps its shape. Always terminates. */
void idmap_printable(char *out, size_t size, const char *text);

/* `auth`: asks for the credential of a person in posix.db and has the verifier judge it. Returns
 * PAM_USER_UNKNOWN, without a prompt, for a name that is not ours. */
int idmap_authenticate(const struct idmap_login *login);

/* `setcred`: PAM_SUCCESS for a name in posix.db, else PAM_USER_UNKNOWN; see
 * docs/verify-protocol.md. Adds to the process the groups of the node's own that the account has
 * here; one that cannot be given is logged, and keeps nobody out. */
int idmap_set_credentials(const struct idmap_login *login);

/* `account`: may this name log in now, however it proved itself? PAM_IGNORE if it is not ours.
 * A token counts as shown if `auth` of the same handle accepted one of this account. */
int idmap_account_phase(const struct idmap_login *login);

#endif
