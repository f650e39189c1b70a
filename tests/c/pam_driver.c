/*
 * A program that logs somebody in through libpam, for test_pam_*.py: answers prompts from standard
 * input (one answer per line) and reports what happened, one tab-separated line per event.
 *
 *   pam_driver [--rhost R] [--silent] [--no-conversation] [--find HEX [--keep-copy]]
 *              SERVICE USERNAME STEP...
 *
 * Steps: auth, setcred, delcred, account; groups; user=NAME, which makes NAME the PAM_USER.
 * Events: prompt-off, prompt-on, error, info, syslog (all with text), STEP with PAM's code name,
 * and groups with the numbers that the process has.
 * --find looks, before pam_end, for a text (each byte xored with 0x5a, in hex, so that this program
 * does not hold it itself) in every writable page of the process and reports how often it is there.
 */
#define _GNU_SOURCE
#include <security/pam_appl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MASK 0x5a

static char answers[65536];
static size_t answers_at, answers_end;
static bool keep_copy;
static char *volatile kept;

static void
report(const char *event, const char *text)
{
    printf("%s\t%s\n", event, text);
}

/* libpam's log lines come here instead of /dev/log: the executable's symbol wins. */
void __syslog_chk(int priority, int flag, const char *format, ...);
void
__syslog_chk(int priority, int flag, const char *format, ...)
{
    char text[4096];
    va_list arguments;

    (void)priority;
    (void)flag;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    report("syslog", text);
}

/* The next answer, on the heap; the copy it came from is wiped. NULL when there is none left. */
static char *
next_answer(void)
{
    char *start = answers + answers_at, *end = memchr(start, '\n', answers_end - answers_at);
    char *answer;

    if (end == NULL)
        return NULL;
    answer = strndup(start, (size_t)(end - start));
    if (keep_copy)
        kept = strdup(answer);
    explicit_bzero(start, (size_t)(end - start));
    answers_at = (size_t)(end - answers) + 1;
    return answer;
}

static int
converse(int count, const struct pam_message **messages, struct pam_response **out, void *data)
{
    static const char *const events[] = {
        [PAM_PROMPT_ECHO_OFF] = "prompt-off",
        [PAM_PROMPT_ECHO_ON] = "prompt-on",
        [PAM_ERROR_MSG] = "error",
        [PAM_TEXT_INFO] = "info",
    };
    struct pam_response *responses = calloc((size_t)count, sizeof *responses);

    (void)data;
    for (int i = 0; i < count; i++) {
        int style = messages[i]->msg_style;

        report(events[style], messages[i]->msg);
        if (style != PAM_PROMPT_ECHO_OFF && style != PAM_PROMPT_ECHO_ON)
            continue;
        responses[i].resp = next_answer();
        if (responses[i].resp == NULL) {
            free(responses);
            return PAM_CONV_ERR;
        }
    }
    *out = responses;
    return PAM_SUCCESS;
}

static size_t
find_in_memory(const char *hex)
{
    unsigned char masked[64];
    size_t length = strlen(hex) / 2, found = 0;
    uintptr_t from, to;
    char line[512], rights[5];
    FILE *maps = fopen("/proc/self/maps", "re");

    for (size_t i = 0; i < length && i < sizeof masked; i++) {
        unsigned value;

        (void)sscanf(hex + 2 * i, "%2x", &value);
        masked[i] = (unsigned char)value;
    }
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) != 3 || rights[1] != 'w')
            continue;
        for (const unsigned char *at = (const unsigned char *)from;
             at + length <= (const unsigned char *)to; at++) {
            size_t i = 0;

            while (i < length && (at[i] ^ MASK) == masked[i])
                i++;
            found += i == length;
        }
    }
    return found;
}

static const char *
name_of(int code)
{
    switch (code) {
#define NAME(code)                                                                                 \
    case code:                                                                                     \
        return #code
        NAME(PAM_SUCCESS);
        NAME(PAM_SERVICE_ERR);
        NAME(PAM_SYSTEM_ERR);
        NAME(PAM_PERM_DENIED);
        NAME(PAM_AUTH_ERR);
        NAME(PAM_AUTHINFO_UNAVAIL);
        NAME(PAM_USER_UNKNOWN);
        NAME(PAM_ACCT_EXPIRED);
        NAME(PAM_CRED_ERR);
        NAME(PAM_CRED_INSUFFICIENT);
        NAME(PAM_CONV_ERR);
        NAME(PAM_IGNORE);
        NAME(PAM_MODULE_UNKNOWN);
    default:
        return "another code";
    }
}

static void
report_groups(void)
{
    static gid_t groups[65536];
    int count = getgroups(65536, groups);

    printf("groups\t");
    for (int i = 0; i < count; i++)
        printf("%s%u", i == 0 ? "" : " ", groups[i]);
    printf("\n");
}

int
main(int argc, char **argv)
{
    struct pam_conv conversation = {converse, NULL};
    pam_handle_t *pam = NULL;
    const char *rhost = NULL, *find = NULL;
    int flags = 0, at = 1, code;
    ssize_t got;

    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        if (strcmp(argv[at], "--rhost") == 0)
            rhost = argv[++at];
        else if (strcmp(argv[at], "--find") == 0)
            find = argv[++at];
        else if (strcmp(argv[at], "--silent") == 0)
            flags = (int)PAM_SILENT;
        else if (strcmp(argv[at], "--no-conversation") == 0)
            conversation.conv = NULL;
        else if (strcmp(argv[at], "--keep-copy") == 0)
            keep_copy = true;
        else
            return 64;
    }
    if (argc - at < 3)
        return 64;
    while ((got = read(STDIN_FILENO, answers + answers_end, sizeof answers - answers_end)) > 0)
        answers_end += (size_t)got;
    if (pam_start(argv[at], argv[at + 1], &conversation, &pam) != PAM_SUCCESS)
        return 65;
    if (rhost != NULL)
        (void)pam_set_item(pam, PAM_RHOST, rhost);
    for (int i = at + 2; i < argc; i++) {
        if (strcmp(argv[i], "groups") == 0) {
            report_groups();
            continue;
        }
        if (strncmp(argv[i], "user=", 5) == 0) {
            (void)pam_set_item(pam, PAM_USER, argv[i] + 5);
            continue;
        }
        if (strcmp(argv[i], "auth") == 0)
            code = pam_authenticate(pam, flags);
        else if (strcmp(argv[i], "setcred") == 0)
            code = pam_setcred(pam, flags | PAM_ESTABLISH_CRED);
        else if (strcmp(argv[i], "delcred") == 0)
            code = pam_setcred(pam, flags | PAM_DELETE_CRED);
        else
            code = pam_acct_mgmt(pam, flags);
        report(argv[i], name_of(code));
    }
    if (find != NULL)
        printf("found\t%zu\n", find_in_memory(find));
    (void)pam_end(pam, PAM_SUCCESS);
    return fflush(stdout) == 0 ? 0 : 66;
}
