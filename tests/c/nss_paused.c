/*
 * nss_paused MODULE: readers that stop inside the library, at the moment they copy into their
 * buffer, and go on when told. The buffer is a page that may not be written; the fault's handler
 * waits. Reads commands and answers each with a line:
 *
 *   pause      starts a reader; answers its number once it has stopped
 *   release N  lets reader N go on and end; answers the revision it got
 *   ask        a lookup of the main thread; answers its revision
 *   maps       answers how many mappings of posix.db there are
 *
 * Every string of a record carries its revision (`rN`); `torn` stands for a record of two.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nss_symbols.h"

#define READERS 32
#define PAGE 4096

static struct nss_module module;

static struct reader {
    pthread_t thread;
    char *page;
    sem_t stopped;
    sem_t go_on;
    char revision[64];
} readers[READERS];

/* Puts the record's revision into `revision`. */
static void
look(char *buffer, size_t size, char *revision)
{
    struct passwd pw;
    int error = 0;

    if (module.getpwnam_r("alice", &pw, buffer, size, &error) != NSS_STATUS_SUCCESS)
        snprintf(revision, 64, "none");
    else if (strcmp(strrchr(pw.pw_dir, '/') + 1, pw.pw_gecos) != 0 ||
             strcmp(strrchr(pw.pw_shell, '/') + 1, pw.pw_gecos) != 0)
        snprintf(revision, 64, "torn");
    else
        snprintf(revision, 64, "%.60s", pw.pw_gecos);
}

/* Waits in the reader whose page was touched, then lets it be written. */
static void
stop_here(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    for (int i = 0; i < READERS; i++) {
        struct reader *reader = &readers[i];

        if (reader->page == NULL || (char *)info->si_addr < reader->page ||
            (char *)info->si_addr >= reader->page + PAGE)
            continue;
        sem_post(&reader->stopped);
        while (sem_wait(&reader->go_on) != 0)
            ;
        if (mprotect(reader->page, PAGE, PROT_READ | PROT_WRITE) == 0)
            return;
    }
    _exit(9);
}

static void *
read_slowly(void *argument)
{
    struct reader *reader = argument;

    look(reader->page, PAGE, reader->revision);
    return NULL;
}

static int
count_mappings(void)
{
    static char line[8192];
    FILE *maps = fopen("/proc/self/maps", "r");
    int count = 0;

    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL)
        count += strstr(line, "posix.db") != NULL;
    fclose(maps);
    return count;
}

int
main(int argc, char **argv)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    char buffer[PAGE];
    char revision[64];
    char line[64];
    int started = 0;
    int n;

    if (argc != 2)
        return 2;
    nss_load(&module, argv[1]);
    action.sa_sigaction = stop_here;
    sigaction(SIGSEGV, &action, NULL);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (strcmp(line, "pause\n") == 0 && started < READERS) {
            struct reader *reader = &readers[started];

            sem_init(&reader->stopped, 0, 0);
            sem_init(&reader->go_on, 0, 0);
            reader->page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (pthread_create(&reader->thread, NULL, read_slowly, reader) != 0)
                return 2;
            while (sem_wait(&reader->stopped) != 0)
                ;
            printf("%d\n", started++);
        } else if (sscanf(line, "release %d", &n) == 1 && n < started) {
            sem_post(&readers[n].go_on);
            pthread_join(readers[n].thread, NULL);
            puts(readers[n].revision);
        } else if (strcmp(line, "ask\n") == 0) {
            look(buffer, sizeof(buffer), revision);
            puts(revision);
        } else if (strcmp(line, "maps\n") == 0) {
            printf("%d\n", count_mappings());
        } else {
            return 2;
        }
        fflush(stdout);
    }
    return 0;
}
