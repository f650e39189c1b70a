/* The auth phase: one credential, asked for, judged by the verifier, compared with the system. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* explicit_bzero, getrandom */
#endif
#include <security/pam_ext.h>
#include <security/pam_modutil.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <syslog.h>

#include "pam_internal.h"
#include "verify_client.h"

/* OpenSSH's client reads an answer into 1024 bytes and drops the rest without a word. */
#define CLIENT_CUT 1023

static const char first_prompt[] = "Access token: ";
static const char second_prompt[] =
    "The ssh client cut the token at 1023 characters. Paste the rest of it: ";

/* Adds `answer` (may be NULL) to `secret`, then wipes and frees it. False if it does not fit. */
static bool
keep_answer(char *secret, char *answer)
{
    size_t held = strlen(secret), more = answer == NULL ? 0 : strlen(answer);
    bool fits = more <= IDMAP_SECRET_MAX - held;

    if (answer == NULL)
        return true;
    if (fits)
        memcpy(secret + held, answer, more + 1);
    explicit_bzero(answer, more);
    free(answer);
    return fits;
}

/* Asks for the credential into `secret` (IDMAP_SECRET_MAX + 1 bytes, zeroed). Returns PAM's code
 * for the conversation; `fault` is set if the answer is not worth sending. */
static int
ask_for_credential(const struct idmap_login *login, char *secret, const char **fault)
{
    char *answer = NULL;
    int code = pam_prompt(login->pam, PAM_PROMPT_ECHO_OFF, &answer, "%s", first_prompt);
    bool fits = keep_answer(secret, answer);

    if (code == PAM_SUCCESS && fits && strlen(secret) == CLIENT_CUT) {
        answer = NULL;
        code = pam_prompt(login->pam, PAM_PROMPT_ECHO_OFF, &answer, "%s", second_prompt);
        /* sshd's `password` method gives every prompt the same answer: that is not a second half.
         */
        if (answer != NULL && strcmp(answer, secret) == 0)
            explicit_bzero(answer, CLIENT_CUT);
        fits = keep_answer(secret, answer);
    }
    if (!fits)
        *fault = "token_too_large";
    else if (secret[0] == '\0')
        *fault = "credential_missing";
    for (const char *byte = secret; *byte != '\0'; byte++)
        if (*byte < ' ' || *byte > '~')
            *fault = "token_malformed";
    return code;
}

/* Finds the verifier's uid. False if its user does not exist. */
static bool
find_verifier(const struct idmap_login *login, uid_t *verifier_uid)
{
    const struct passwd *entry = NULL;

    if (login->settings.verifier_uid >= 0)
        *verifier_uid = (uid_t)login->settings.verifier_uid;
    else if ((entry = pam_modutil_getpwnam(login->pam, login->settings.verifier_user)) != NULL)
        *verifier_uid = entry->pw_uid;
    return login->settings.verifier_uid >= 0 || entry != NULL;
}

/* A correlation id for refusals in which the verifier had no part. */
static void
make_ref(char ref[IDMAP_REF_SIZE])
{
    uint64_t random = 0;

    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        random = 0; /* an id that finds nothing beats a login that waits */
    (void)snprintf(ref, IDMAP_REF_SIZE, "%016" PRIx64, random);
}

/* Compares what the verifier proved with the name asked for, our record and the system's answer.
 * `rhost` is for the log. */
static int
judge(const struct idmap_login *login, const struct idmap_verify_reply *reply, const char *rhost)
{
    struct idmap_refusal refusal = {.ref = reply->ref, .pam_code = PAM_AUTH_ERR};

    refusal.shown = reply->proved;
    if (!reply->accepted)
        refusal.reason = reply->reason;
    else if (strcmp(reply->name, login->username) != 0 ||
             reply->uid_number != login->record.uid_number)
        refusal.reason = "identity_mismatch";
    else if (!idmap_system_agrees(login))
        refusal.reason = "local_account";
    if (refusal.reason != NULL)
        return idmap_refuse(login, &refusal);
    pam_syslog(login->pam, LOG_INFO,
               "event=login_accepted username=%s uid_number=%u ref=%s rhost=%s", login->record.name,
               (unsigned int)reply->uid_number, reply->ref, rhost);
    /* For the account phase. The number itself is kept in the pointer's place: nothing to free. */
    return pam_set_data(login->pam, IDMAP_TOKEN_SHOWN, (void *)(uintptr_t)reply->uid_number, NULL);
}

/* Has the verifier judge `secret`; `refusal` brings a ref for the case that it does not answer. */
static int
verify(const struct idmap_login *login, const char *secret, struct idmap_refusal *refusal)
{
    char rhost[IDMAP_RHOST_MAX + 1], service[IDMAP_SERVICE_MAX + 1];
    const struct idmap_verify_request request = {login->username, rhost, service, secret};
    struct idmap_verify_reply reply;
    enum idmap_verify_status status;
    const void *item = NULL;
    uid_t verifier_uid = 0;

    (void)pam_get_item(login->pam, PAM_RHOST, &item);
    idmap_printable(rhost, sizeof rhost, item);
    item = NULL;
    (void)pam_get_item(login->pam, PAM_SERVICE, &item);
    idmap_printable(service, sizeof service, item);

    refusal->reason = "agent_unavailable";
    refusal->shown = true; /* says nothing about a person, and the person can do something else */
    refusal->pam_code = PAM_AUTHINFO_UNAVAIL;
    refusal->detail = "no_verifier_user";
    if (!find_verifier(login, &verifier_uid))
        return idmap_refuse(login, refusal);
    status = idmap_verify_ask(login->settings.socket_path, verifier_uid, &request, &reply);
    refusal->detail = idmap_verify_status_name(status);
    if (status != IDMAP_VERIFY_REPLIED)
        return idmap_refuse(login, refusal);
    if (login->settings.debug)
        pam_syslog(login->pam, LOG_DEBUG, "event=verifier_replied reason=%s ref=%s", reply.reason,
                   reply.ref);
    return judge(login, &reply, rhost);
}

int
idmap_authenticate(const struct idmap_login *login)
{
    char secret[IDMAP_SECRET_MAX + 1] = "", ref[IDMAP_REF_SIZE];
    struct idmap_refusal refusal = {.ref = ref};
    int code;

    make_ref(ref);
    if (idmap_unconfigured(login, &refusal))
        return idmap_refuse(login, &refusal);
    if (!login->in_file &&
        (login->reason == IDMAP_ACCOUNT_UNKNOWN || login->standing == IDMAP_FOREIGN))
        return PAM_USER_UNKNOWN;
    refusal.detail = NULL;
    if (!login->in_file) {
        refusal.reason = idmap_reason_code(login->reason);
        refusal.pam_code = PAM_AUTHINFO_UNAVAIL;
        return idmap_refuse(login, &refusal);
    }
    refusal.pam_code = PAM_AUTH_ERR;
    refusal.reason = NULL;
    (void)pam_set_data(login->pam, IDMAP_TOKEN_SHOWN, NULL, NULL);
    code = ask_for_credential(login, secret, &refusal.reason);
    if (code == PAM_SUCCESS)
        code = refusal.reason == NULL ? verify(login, secret, &refusal)
                                      : idmap_refuse(login, &refusal);
    explicit_bzero(secret, sizeof secret);
    return code;
}
