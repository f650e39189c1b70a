/* The account phase, and what both phases need: arguments, the system's answer, saying no. */
#include <errno.h>
#include <pwd.h>
#include <security/pam_ext.h>
#include <security/pam_modutil.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "pam_internal.h"
#include "reasons.h"
#include "refusals.h"

/* What PAM is told for each outcome of idmap_account_check. */
static const int pam_codes[IDMAP_REASON_COUNT] = {
    [IDMAP_OK] = PAM_SUCCESS,
    [IDMAP_FILES_UNREADABLE] = PAM_AUTHINFO_UNAVAIL,
    [IDMAP_ACCOUNT_UNKNOWN] = PAM_PERM_DENIED,
    [IDMAP_BANNED] = PAM_PERM_DENIED,
    [IDMAP_ACCOUNT_SUSPENDED] = PAM_PERM_DENIED,
    [IDMAP_NODE_CLASS_REFUSED] = PAM_PERM_DENIED,
    [IDMAP_ACCOUNT_EXPIRED] = PAM_ACCT_EXPIRED,
    [IDMAP_GRACE_ENDED] = PAM_PERM_DENIED,
    [IDMAP_SNAPSHOT_EXPIRED] = PAM_AUTHINFO_UNAVAIL,
    [IDMAP_CLOCK_SKEW] = PAM_AUTHINFO_UNAVAIL,
    [IDMAP_TOKEN_DEMANDED] = PAM_PERM_DENIED,
    [IDMAP_LOCAL_ACCOUNT] = PAM_PERM_DENIED,
};

/* Reads decimal digits up to `end` as a number below 2^32. */
static bool
read_number(const char *text, char end, uint32_t *number, const char **rest)
{
    char *stop = NULL;
    unsigned long long value;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    value = strtoull(text, &stop, 10);
    if (errno != 0 || value > UINT32_MAX || *stop != end)
        return false;
    *number = (uint32_t)value;
    *rest = stop + (end != '\0');
    return true;
}

/* Takes one argument into `settings`. False if it is not understood. */
static bool
take_argument(struct idmap_settings *settings, const char *argument)
{
    const struct {
        const char *key;
        const char **value;
    } paths[] = {
        {"posix=", &settings->posix_path},
        {"bans=", &settings->bans_path},
        {"local_groups=", &settings->local_groups_path},
        {"socket=", &settings->socket_path},
        {"verifier_user=", &settings->verifier_user},
    };
    struct id_windows *windows = &settings->windows;
    uint32_t first = 0, last = 0;
    const char *rest = NULL;

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (strncmp(argument, paths[i].key, strlen(paths[i].key)) == 0) {
            *paths[i].value = argument + strlen(paths[i].key);
            return **paths[i].value != '\0';
        }
    if (strncmp(argument, "verifier_uid=", 13) == 0) {
        if (!read_number(argument + 13, '\0', &first, &rest))
            return false;
        settings->verifier_uid = first;
        return true;
    }
    if (strncmp(argument, "window=", 7) == 0) {
        if (windows->count == WINDOW_MAX || !read_number(argument + 7, '-', &first, &rest) ||
            !read_number(rest, '\0', &last, &rest) || first > last || number_is_refused(first) ||
            number_is_refused(last))
            return false;
        windows->window[windows->count].first = first;
        windows->window[windows->count++].last = last;
        return true;
    }
    settings->debug = settings->debug || strcmp(argument, "debug") == 0;
    return strcmp(argument, "debug") == 0;
}

static enum idmap_standing
find_standing(const struct idmap_login *login)
{
    const struct idmap_settings *settings = &login->settings;
    const struct passwd *entry = pam_modutil_getpwnam(login->pam, login->username);

    if (entry == NULL)
        return IDMAP_NAMELESS;
    if (number_is_refused(entry->pw_uid))
        return IDMAP_FOREIGN;
    if (settings->windows.count == 0 || settings->faulty)
        return IDMAP_OURS;
    return id_windows_hold(&settings->windows, entry->pw_uid) ? IDMAP_OURS : IDMAP_FOREIGN;
}

int
idmap_begin(struct idmap_login *login, pam_handle_t *pam, int flags, int argc, const char **argv)
{
    const struct idmap_settings *settings = &login->settings;
    int code;
    char word[64];

    *login = (struct idmap_login){
        .pam = pam,
        .flags = flags,
        .settings = {.posix_path = "/var/lib/idmap/posix.db",
                     .bans_path = "/var/lib/idmap/bans.db",
                     .local_groups_path = "/var/lib/idmap/local-groups",
                     .socket_path = "/run/idmap/verify.sock",
                     .verifier_user = "idmap-verify",
                     .verifier_uid = -1},
    };
    for (int i = 0; i < argc; i++)
        if (!take_argument(&login->settings, argv[i])) {
            login->settings.faulty = true;
            idmap_printable(word, sizeof word, argv[i]);
            pam_syslog(pam, LOG_ERR, "event=configuration_invalid argument=%s", word);
        }
    code = pam_get_user(pam, &login->username, NULL);
    if (code != PAM_SUCCESS)
        return code;
    if (login->username == NULL || login->username[0] == '\0')
        return PAM_USER_UNKNOWN;
    login->standing = find_standing(login);
    login->reason = idmap_account_check(settings->posix_path, settings->bans_path, login->username,
                                        (int64_t)time(NULL), &login->record);
    login->in_file =
        login->reason != IDMAP_ACCOUNT_UNKNOWN && login->reason != IDMAP_FILES_UNREADABLE;
    return PAM_SUCCESS;
}

bool
idmap_unconfigured(const struct idmap_login *login, struct idmap_refusal *refusal)
{
    bool faulty = login->settings.faulty;

    refusal->reason = "configuration_invalid";
    refusal->detail = faulty ? "argument" : "no_window";
    refusal->pam_code = PAM_SERVICE_ERR;
    return faulty ? login->in_file || login->standing != IDMAP_FOREIGN
                  : login->in_file && login->settings.windows.count == 0;
}

bool
idmap_system_agrees(const struct idmap_login *login)
{
    const struct passwd *entry = pam_modutil_getpwnam(login->pam, login->username);

    return entry != NULL && entry->pw_uid == login->record.uid_number &&
           strcmp(entry->pw_name, login->record.name) == 0 &&
           strcmp(login->username, login->record.name) == 0;
}

void
idmap_printable(char *out, size_t size, const char *text)
{
    size_t length = 0;

    if (text == NULL || *text == '\0')
        text = "-";
    for (; text[length] != '\0' && length + 1 < size; length++)
        out[length] = text[length] > ' ' && text[length] <= '~' ? text[length] : '?';
    out[length] = '\0';
}

int
idmap_refuse(const struct idmap_login *login, const struct idmap_refusal *refusal)
{
    const char *shown = refusal->shown ? refusal->reason : "not_accepted";
    const void *rhost = NULL;
    char name[IDMAP_NAME_MAX + 2], origin[256];
    size_t i = 0;

    idmap_printable(name, sizeof name, login->username);
    (void)pam_get_item(login->pam, PAM_RHOST, &rhost);
    idmap_printable(origin, sizeof origin, rhost);
    pam_syslog(login->pam, LOG_NOTICE,
               "event=login_refused reason=%s username=%s ref=%s rhost=%s detail=%s",
               refusal->reason, name, refusal->ref == NULL ? "-" : refusal->ref, origin,
               refusal->detail == NULL ? "-" : refusal->detail);
    while (i + 1 < sizeof reason_texts / sizeof reason_texts[0] &&
           strcmp(reason_texts[i].reason, shown) != 0)
        i++;
    if (((unsigned int)login->flags & PAM_SILENT) == 0) {
        if (refusal->ref != NULL)
            (void)pam_error(login->pam, "idmap: %s (ref %s)%s%s", shown, refusal->ref,
                            refusal->shown ? ": " : "", refusal->shown ? reason_texts[i].text : "");
        else
            (void)pam_error(login->pam, "idmap: %s: %s", shown, reason_texts[i].text);
    }
    return refusal->pam_code;
}

static bool
has_shown_token(const struct idmap_login *login)
{
    const void *shown = NULL;

    return pam_get_data(login->pam, IDMAP_TOKEN_SHOWN, &shown) == PAM_SUCCESS &&
           (uintptr_t)shown == login->record.uid_number;
}

int
idmap_account_phase(const struct idmap_login *login)
{
    struct idmap_refusal refusal = {.shown = true};
    enum idmap_reason reason = login->reason;

    if (idmap_unconfigured(login, &refusal))
        return idmap_refuse(login, &refusal);
    if (!login->in_file && login->standing == IDMAP_FOREIGN)
        return PAM_IGNORE;
    /* Sound files without the name: ours only if a window says that the number is. */
    if (reason == IDMAP_ACCOUNT_UNKNOWN &&
        (login->standing == IDMAP_NAMELESS || login->settings.windows.count == 0))
        return PAM_IGNORE;
    if (reason == IDMAP_OK || (reason == IDMAP_TOKEN_DEMANDED && has_shown_token(login))) {
        if (idmap_system_agrees(login))
            return PAM_SUCCESS;
        reason = IDMAP_LOCAL_ACCOUNT;
    }
    refusal.reason = idmap_reason_code(reason);
    refusal.detail = NULL;
    refusal.pam_code = pam_codes[reason];
    return idmap_refuse(login, &refusal);
}
