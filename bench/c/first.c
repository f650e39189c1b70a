/*
 * The first lookup of a fresh process: first FILE PREFIX USERNAME UID.
 *
 * Loads the module, then times its first getpwnam_r (open, map, check, touch,
 * copy) and prints nanoseconds for loading and for that lookup. Exit status 1
 * when the answer is not UID.
 */
#include <dlfcn.h>
#include <nss.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef enum nss_status (*by_name)(const char *, struct passwd *, char *, size_t, int *);

static int64_t
now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int
main(int argc, char **argv)
{
    static char buffer[65536];
    struct passwd user;
    char symbol[128];
    void *module;
    by_name lookup;
    int64_t started = now();
    int64_t loaded;
    int64_t ended;
    int err = 0;
    enum nss_status status;

    if (argc != 5)
        return 2;
    snprintf(symbol, sizeof(symbol), "_nss_%s_getpwnam_r", argv[2]);
    module = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (module == NULL)
        return 1;
    lookup = (by_name)dlsym(module, symbol);
    if (lookup == NULL)
        return 1;
    buffer[0] = 1; /* the page fault of our own buffer is not the module's */
    loaded = now();
    status = lookup(argv[3], &user, buffer, sizeof(buffer), &err);
    ended = now();
    if (status != NSS_STATUS_SUCCESS || user.pw_uid != (uid_t)strtoul(argv[4], NULL, 10))
        return 1;
    printf("%lld %lld\n", (long long)(loaded - started), (long long)(ended - loaded));
    return 0;
}
