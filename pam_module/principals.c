/*
 * idmap-principals: for sshd's AuthorizedPrincipalsCommand. Prints the principals that a
 * certificate may carry to log in as USERNAME, one per line, if the account phase lets the name in
 * now.
 *
 * Reads the two node files and the system's entry for the name; opens no socket, writes nothing.
 * sshd throws stderr away, so the reason is for people who run it by hand.
 */
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "account.h"

enum { EXIT_ADMITTED = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2 };

static const char usage[] =
    "usage: idmap-principals [--posix FILE] [--bans FILE] USERNAME\n"
    "\n"
    "Prints the certificate principals that may log in as USERNAME on this node now:\n"
    "account:UID_NUMBER and USERNAME, one per line. Prints nothing and exits 1 if the\n"
    "account may not log in; the reason is written to standard error.\n"
    "\n"
    "  --posix FILE  account file (default /var/lib/idmap/posix.db)\n"
    "  --bans FILE   ban list (default /var/lib/idmap/bans.db)\n"
    "  --help        this text\n"
    "\n"
    "In sshd_config:\n"
    "  AuthorizedPrincipalsCommand /usr/bin/idmap-principals %u\n"
    "  AuthorizedPrincipalsCommandUser nobody\n";

/* Decides for `name` as pam_idmap's account phase does, but never ignores: not ours is a refusal.
 */
static enum idmap_reason
check(const char *posix_path, const char *bans_path, const char *name,
      struct idmap_account *account)
{
    enum idmap_reason reason =
        idmap_account_check(posix_path, bans_path, name, (int64_t)time(NULL), account);
    const struct passwd *entry;

    if (reason != IDMAP_OK)
        return reason;
    entry = getpwnam(name);
    if (entry == NULL || entry->pw_uid != account->uid_number ||
        strcmp(entry->pw_name, account->name) != 0 || strcmp(name, account->name) != 0)
        return IDMAP_LOCAL_ACCOUNT;
    return IDMAP_OK;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"posix", required_argument, NULL, 'p'},
        {"bans", required_argument, NULL, 'b'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *posix_path = "/var/lib/idmap/posix.db", *bans_path = "/var/lib/idmap/bans.db";
    struct idmap_account account;
    enum idmap_reason reason;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            posix_path = optarg;
            break;
        case 'b':
            bans_path = optarg;
            break;
        case 'h':
            return fputs(usage, stdout) < 0 || fflush(stdout) != 0 ? EXIT_REFUSED : EXIT_ADMITTED;
        default:
            (void)fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (argc - optind != 1) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    reason = check(posix_path, bans_path, argv[optind], &account);
    if (reason != IDMAP_OK) {
        (void)fprintf(stderr, "idmap-principals: %s\n", idmap_reason_code(reason));
        return EXIT_REFUSED;
    }
    /* sshd disregards the output of a command that fails, so a half-written list admits nobody. */
    if (printf("account:%u\n%s\n", (unsigned int)account.uid_number, account.name) < 0 ||
        fflush(stdout) != 0)
        return EXIT_REFUSED;
    return EXIT_ADMITTED;
}
