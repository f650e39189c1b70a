/*
 * Measures one NSS module, or glibc with a given order of services, when told
 * to.
 *
 *   driver module FILE PREFIX NAMES     calls _nss_PREFIX_… of FILE directly
 *   driver glibc SERVICES - NAMES       calls getpwnam_r and its like with
 * `passwd: SERVICES`
 *
 * NAMES has one `username uid groupname gid` per line, in the order in which
 * they are asked for. Then each line on standard input, `OPERATION FIRST CALLS
 * THREADS`, asks for CALLS lookups per thread starting with the FIRST line of
 * NAMES, and is answered by one line: nanoseconds for all of them, lookups that
 * gave another answer than expected, times the process had to wait (voluntary
 * context switches: a lookup that asks a daemon waits at least once). A lookup
 * begins when the answer before is there, as with callers, who use what they
 * are told: else the processor works on several short ones at a time.
 * `unsupported` when the module lacks the function. Every answer is checked
 * against the number it must carry.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pthread.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define BUFFER_SIZE (8u << 20)
#define THREADS_MAX 64
#define GIDS_MAX 1024

int __nss_configure_lookup(const char *database, const char *services);

typedef enum nss_status (*by_name)(const char *, void *, char *, size_t, int *);
typedef enum nss_status (*by_id)(uint32_t, void *, char *, size_t, int *);
typedef enum nss_status (*list_groups)(const char *, gid_t, long int *, long int *, gid_t **,
                                       long int, int *);

struct subject {
    char *name;
    char *group;
    uint32_t uid;
    uint32_t gid;
};

enum operation { NAME, ID, GROUP_NAME, GROUP_ID, INITGROUPS, UNKNOWN, OPERATIONS };
static const char *const operation_names[OPERATIONS] = {"name", "id",         "group_name",
                                                        "gid",  "initgroups", "unknown"};
static const char *const functions[OPERATIONS] = {"getpwnam_r", "getpwuid_r",     "getgrnam_r",
                                                  "getgrgid_r", "initgroups_dyn", "getpwnam_r"};

/* What glibc's own functions look like through the modules' interface. */
static enum nss_status
glibc_getpwnam(const char *name, void *out, char *buffer, size_t size, int *err)
{
    struct passwd *found;

    *err = getpwnam_r(name, out, buffer, size, &found);
    return found != NULL ? NSS_STATUS_SUCCESS : NSS_STATUS_NOTFOUND;
}

static enum nss_status
glibc_getpwuid(uint32_t uid, void *out, char *buffer, size_t size, int *err)
{
    struct passwd *found;

    *err = getpwuid_r(uid, out, buffer, size, &found);
    return found != NULL ? NSS_STATUS_SUCCESS : NSS_STATUS_NOTFOUND;
}

static enum nss_status
glibc_getgrnam(const char *name, void *out, char *buffer, size_t size, int *err)
{
    struct group *found;

    *err = getgrnam_r(name, out, buffer, size, &found);
    return found != NULL ? NSS_STATUS_SUCCESS : NSS_STATUS_NOTFOUND;
}

static enum nss_status
glibc_getgrgid(uint32_t gid, void *out, char *buffer, size_t size, int *err)
{
    struct group *found;

    *err = getgrgid_r(gid, out, buffer, size, &found);
    return found != NULL ? NSS_STATUS_SUCCESS : NSS_STATUS_NOTFOUND;
}

static enum nss_status
glibc_initgroups(const char *name, gid_t primary, long int *start, long int *size, gid_t **groups,
                 long int limit, int *err)
{
    int count = (int)*size;

    (void)limit;
    (void)err;
    if (getgrouplist(name, primary, *groups, &count) < 0)
        return NSS_STATUS_TRYAGAIN;
    *start += count - 1;
    return NSS_STATUS_SUCCESS;
}

static void *function[OPERATIONS];
static struct subject *subjects;
static size_t subject_count;

struct work {
    enum operation operation;
    size_t first;
    size_t calls;
    size_t wrong;
    char *buffer;
    gid_t *gids;
};

/* One lookup; gives 1 if the answer was the expected one, else 0. */
static size_t
ask(struct work *work, const struct subject *subject)
{
    char unknown[64];
    struct passwd user;
    struct group group;
    long int start = 1;
    long int size = GIDS_MAX;
    int err = 0;
    enum nss_status status;

    switch (work->operation) {
    case NAME:
        status = ((by_name)function[NAME])(subject->name, &user, work->buffer, BUFFER_SIZE, &err);
        return (size_t)(status == NSS_STATUS_SUCCESS) & (size_t)(user.pw_uid == subject->uid);
    case ID:
        status = ((by_id)function[ID])(subject->uid, &user, work->buffer, BUFFER_SIZE, &err);
        return (size_t)(status == NSS_STATUS_SUCCESS) & (size_t)(user.pw_uid == subject->uid);
    case GROUP_NAME:
        status = ((by_name)function[GROUP_NAME])(subject->group, &group, work->buffer, BUFFER_SIZE,
                                                 &err);
        return (size_t)(status == NSS_STATUS_SUCCESS) & (size_t)(group.gr_gid == subject->gid);
    case GROUP_ID:
        status = ((by_id)function[GROUP_ID])(subject->gid, &group, work->buffer, BUFFER_SIZE, &err);
        return (size_t)(status == NSS_STATUS_SUCCESS) & (size_t)(group.gr_gid == subject->gid);
    case INITGROUPS:
        work->gids[0] = subject->gid;
        status = ((list_groups)function[INITGROUPS])(subject->name, subject->gid, &start, &size,
                                                     &work->gids, -1, &err);
        return (size_t)(status == NSS_STATUS_SUCCESS && start > 1) & (size_t)(work->gids[1] != 0);
    case UNKNOWN:
        unknown[0] = 'x';
        strncpy(unknown + 1, subject->name, sizeof(unknown) - 2);
        unknown[sizeof(unknown) - 1] = '\0';
        status = ((by_name)function[UNKNOWN])(unknown, &user, work->buffer, BUFFER_SIZE, &err);
        return status == NSS_STATUS_NOTFOUND;
    case OPERATIONS:
        break;
    }
    return 0;
}

static void *
run(void *argument)
{
    struct work *work = argument;
    size_t at = work->first % subject_count;

    for (size_t i = 0; i < work->calls; i++) {
        size_t right = ask(work, &subjects[at]);

        /* Who is asked for next depends on the answer, in the processor's eyes too. */
        __asm__ volatile("" : "+r"(right));
        work->wrong += 1 - right;
        at += right;
        if (at == subject_count)
            at = 0;
    }
    return NULL;
}

static int64_t
now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void
answer(enum operation operation, size_t first, size_t calls, size_t threads)
{
    static struct work works[THREADS_MAX];
    pthread_t thread[THREADS_MAX];
    struct rusage before;
    struct rusage after;
    size_t wrong = 0;
    int64_t started;
    int64_t ended;

    for (size_t i = 0; i < threads; i++) {
        if (works[i].buffer == NULL) {
            works[i].buffer = malloc(BUFFER_SIZE);
            works[i].gids = calloc(GIDS_MAX, sizeof(gid_t));
        }
        if (works[i].buffer == NULL || works[i].gids == NULL)
            exit(1);
        works[i].operation = operation;
        works[i].first = first + i * (subject_count / threads);
        works[i].calls = calls;
        works[i].wrong = 0;
    }
    getrusage(RUSAGE_SELF, &before);
    started = now();
    if (threads == 1) {
        run(&works[0]);
    } else {
        for (size_t i = 0; i < threads; i++)
            if (pthread_create(&thread[i], NULL, run, &works[i]) != 0)
                exit(1);
        for (size_t i = 0; i < threads; i++)
            pthread_join(thread[i], NULL);
    }
    ended = now();
    getrusage(RUSAGE_SELF, &after);
    for (size_t i = 0; i < threads; i++)
        wrong += works[i].wrong;
    printf("%lld %zu %ld\n", (long long)(ended - started), wrong, after.ru_nvcsw - before.ru_nvcsw);
}

static void
read_subjects(const char *path)
{
    FILE *in = fopen(path, "r");
    char name[64];
    char group[64];
    unsigned uid;
    unsigned gid;
    size_t room = 0;

    if (in == NULL)
        exit(1);
    while (fscanf(in, "%63s %u %63s %u", name, &uid, group, &gid) == 4) {
        if (subject_count == room) {
            room = room * 2 + 1024;
            subjects = realloc(subjects, room * sizeof(*subjects));
        }
        if (subjects == NULL)
            exit(1);
        subjects[subject_count++] = (struct subject){strdup(name), strdup(group), uid, gid};
    }
    fclose(in);
    if (subject_count == 0)
        exit(1);
}

static int
load(char **argv)
{
    void *module;

    if (strcmp(argv[1], "glibc") == 0) {
        function[NAME] = function[UNKNOWN] = (void *)glibc_getpwnam;
        function[ID] = (void *)glibc_getpwuid;
        function[GROUP_NAME] = (void *)glibc_getgrnam;
        function[GROUP_ID] = (void *)glibc_getgrgid;
        function[INITGROUPS] = (void *)glibc_initgroups;
        return __nss_configure_lookup("passwd", argv[2]) == 0 &&
               __nss_configure_lookup("group", argv[2]) == 0;
    }
    module = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
    if (module == NULL) {
        fprintf(stderr, "driver: %s\n", dlerror());
        return 0;
    }
    for (int i = 0; i < OPERATIONS; i++) {
        char symbol[128];

        snprintf(symbol, sizeof(symbol), "_nss_%s_%s", argv[3], functions[i]);
        function[i] = dlsym(module, symbol);
    }
    return function[NAME] != NULL;
}

int
main(int argc, char **argv)
{
    char operation[32];
    size_t first;
    size_t calls;
    size_t threads;

    if (argc != 5)
        return 2;
    read_subjects(argv[4]);
    if (!load(argv))
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    while (scanf("%31s %zu %zu %zu", operation, &first, &calls, &threads) == 4) {
        int which = 0;

        while (which < OPERATIONS && strcmp(operation, operation_names[which]) != 0)
            which++;
        if (which == OPERATIONS || threads == 0 || threads > THREADS_MAX)
            return 2;
        if (function[which] == NULL)
            puts("unsupported");
        else
            answer((enum operation)which, first, calls, threads);
    }
    return 0;
}
