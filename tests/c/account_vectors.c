/*
 * account_vectors: the account phase as a filter, for differential tests against Python.
 *
 * One question a line on standard input, `posix_path TAB bans_path TAB name TAB now`; one answer a
 * line on standard output, `code TAB uid_number TAB gid_number TAB name` (0, 0 and nothing when
 * there is no record). Answers come in order and are flushed at each line. Exit status 2 on a
 * malformed question.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"

int
main(void)
{
    static char line[16384];

    while (fgets(line, sizeof(line), stdin) != NULL) {
        char *field[4];
        char *at = line;
        char *rest = NULL;
        struct idmap_account account;
        enum idmap_reason reason;
        long long now;

        line[strcspn(line, "\n")] = '\0';
        for (int i = 0; i < 4; i++) {
            field[i] = at;
            at = at == NULL ? NULL : strchr(at, '\t');
            if (at != NULL)
                *at++ = '\0';
        }
        if (field[3] == NULL || field[2] == NULL || at != NULL)
            return 2;
        now = strtoll(field[3], &rest, 10);
        if (field[3][0] == '\0' || *rest != '\0')
            return 2;
        reason = idmap_account_check(field[0], field[1], field[2], now, &account);
        printf("%s\t%u\t%u\t%s\n", idmap_reason_code(reason), account.uid_number,
               account.gid_number, account.name);
        fflush(stdout);
    }
    return 0;
}
