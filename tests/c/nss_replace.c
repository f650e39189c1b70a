/*
 * nss_replace MODULE THREADS STOP_FILE: lookups in many threads, with forks in between, while the
 * file is replaced. Every string of a record carries its revision (`rN`), members too; within one
 * call all must be of one revision, and a thread's revisions never go back. Ends when STOP_FILE
 * exists; prints lookups, revisions seen, open descriptors and mappings of posix.db.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nss_symbols.h"

static struct nss_module module;
static atomic_int stop;
static atomic_long lookups;
static atomic_int newest;
static atomic_int forks;

static void
broken(const char *what)
{
    static const char newline = '\n';

    if (write(2, what, strlen(what)) < 0 || write(2, &newline, 1) < 0)
        _exit(4);
    _exit(3);
}

/* The number after the last 'r' of `text`. */
static int
revision_in(const char *text)
{
    const char *r = strrchr(text, 'r');

    return r == NULL ? -1 : atoi(r + 1);
}

/* One lookup of each kind; gives the revision. */
static int
look(int before)
{
    char buffer[4096];
    struct passwd pw;
    struct group gr;
    int error = 0;
    int revision;

    if (module.getpwnam_r("alice", &pw, buffer, sizeof(buffer), &error) != NSS_STATUS_SUCCESS)
        broken("alice is gone");
    revision = revision_in(pw.pw_gecos);
    if (revision_in(pw.pw_dir) != revision || revision_in(pw.pw_shell) != revision)
        broken("a record of two revisions");
    if (revision < before)
        broken("an older revision came back");
    before = revision;
    if (module.getgrnam_r("lab", &gr, buffer, sizeof(buffer), &error) != NSS_STATUS_SUCCESS)
        broken("lab is gone");
    if (gr.gr_mem[0] == NULL || gr.gr_mem[1] == NULL || gr.gr_mem[2] != NULL)
        broken("lab has other members");
    revision = revision_in(gr.gr_mem[0]);
    if (revision_in(gr.gr_mem[1]) != revision || revision < before)
        broken("members of two revisions");
    atomic_fetch_add(&lookups, 2);
    return revision;
}

static void *
work(void *argument)
{
    int seen = 0;

    for (long i = 0; !atomic_load(&stop); i++) {
        seen = look(seen);
        if (argument != NULL && i % 500 == 0) {
            int status;
            pid_t child = fork();

            if (child == 0) {
                for (int j = 0; j < 50; j++)
                    seen = look(seen);
                _exit(0);
            }
            waitpid(child, &status, 0);
            if (status != 0)
                broken("a forked child failed");
            atomic_fetch_add(&forks, 1);
        }
    }
    if (seen > atomic_load(&newest))
        atomic_store(&newest, seen);
    return NULL;
}

static int
count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    while (directory != NULL && readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
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
    pthread_t thread[256];
    int threads;
    int before;
    int last;

    if (argc != 4)
        return 2;
    nss_load(&module, argv[1]);
    threads = atoi(argv[2]);
    before = count_descriptors();
    look(0);
    puts("ready");
    fflush(stdout);
    for (int i = 0; i < threads; i++)
        pthread_create(&thread[i], NULL, work, i % 4 == 0 ? &stop : NULL);
    while (access(argv[3], F_OK) != 0)
        usleep(10000);
    atomic_store(&stop, 1);
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    /* With no reader left inside, the very next lookup is of the newest revision: no waiting. */
    last = look(atomic_load(&newest));
    printf("lookups %ld forks %d newest %d leaked_descriptors %d mappings %d\n",
           atomic_load(&lookups), atomic_load(&forks), last, count_descriptors() - before,
           count_mappings());
    return 0;
}
