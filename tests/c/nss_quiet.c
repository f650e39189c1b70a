/*
 * nss_quiet MODULE COUNT NAME UID GROUP GID: COUNT lookups of each kind between two marker system
 * calls, first in this process and then in a forked child. Under strace, nothing may stand between
 * the markers. Prints nanoseconds per lookup at the end.
 */
#define _GNU_SOURCE
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "nss_symbols.h"

static struct nss_module module;
static char buffer[65536];

static double
now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void
mark(void)
{
    if (write(-1, "marker", 6) == 0)
        exit(2);
}

int
main(int argc, char **argv)
{
    struct passwd pw;
    struct group gr;
    gid_t *groups = malloc(1024 * sizeof(gid_t));
    long size = 1024;
    long count;
    int error;
    double took[6] = {0};
    int status = 0;

    if (argc != 7)
        return 2;
    nss_load(&module, argv[1]);
    count = atol(argv[2]);
    unsigned uid = (unsigned)atol(argv[4]);
    unsigned gid = (unsigned)atol(argv[6]);

    module.getpwnam_r(argv[3], &pw, buffer, sizeof(buffer), &error);
    for (int round = 0; round < 2; round++) {
        double start[7];

        mark();
        start[0] = now();
        for (long i = 0; i < count; i++)
            module.getpwnam_r(argv[3], &pw, buffer, sizeof(buffer), &error);
        start[1] = now();
        for (long i = 0; i < count; i++)
            module.getpwuid_r(uid, &pw, buffer, sizeof(buffer), &error);
        start[2] = now();
        for (long i = 0; i < count; i++)
            module.getgrnam_r(argv[5], &gr, buffer, sizeof(buffer), &error);
        start[3] = now();
        for (long i = 0; i < count; i++)
            module.getgrgid_r(gid, &gr, buffer, sizeof(buffer), &error);
        start[4] = now();
        for (long i = 0; i < count; i++) {
            long at = 0;

            module.initgroups_dyn(argv[3], 0, &at, &size, &groups, 0, &error);
        }
        start[5] = now();
        for (long i = 0; i < count; i++)
            module.getpwnam_r("no_such_name", &pw, buffer, sizeof(buffer), &error);
        start[6] = now();
        mark();
        for (int i = 0; i < 6; i++)
            took[i] = (start[i + 1] - start[i]) / (double)count;
        if (round == 0) {
            pid_t child = fork();

            if (child != 0) {
                waitpid(child, &status, 0);
                break;
            }
        } else {
            _exit(0);
        }
    }
    printf("pwnam %.0f pwuid %.0f grnam %.0f grgid %.0f initgroups %.0f miss %.0f\n", took[0],
           took[1], took[2], took[3], took[4], took[5]);
    free(groups);
    return status == 0 ? 0 : 1;
}
