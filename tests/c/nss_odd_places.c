/*
 * nss_odd_places MODULE: a lookup by name in a thread with a 64 KiB stack, in a vfork child, with
 * the standard descriptors closed, and in a child forked after that. Exit status 0 when all answer.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nss_symbols.h"

static struct nss_module module;

static int
answers(void)
{
    char buffer[1024];
    struct passwd pw;
    int error;

    errno = 77;
    return module.getpwnam_r("alice", &pw, buffer, sizeof(buffer), &error) == NSS_STATUS_SUCCESS &&
           pw.pw_uid == 200000 && errno == 77;
}

static void *
in_thread(void *result)
{
    *(int *)result = answers();
    return NULL;
}

int
main(int argc, char **argv)
{
    static volatile int in_vfork;
    pthread_attr_t attributes;
    pthread_t thread;
    int status = 1;
    int good = 0;
    pid_t child;

    if (argc != 2)
        return 2;
    nss_load(&module, argv[1]);
    pthread_attr_init(&attributes);
    if (pthread_attr_setstacksize(&attributes, 65536) != 0 ||
        pthread_create(&thread, &attributes, in_thread, &good) != 0)
        return 2;
    pthread_join(thread, NULL);
    if (!good)
        return 10;
    child = vfork();
    if (child == 0) {
        in_vfork = answers();
        _exit(0);
    }
    waitpid(child, &status, 0);
    if (!in_vfork)
        return 11;
    close(0);
    close(1);
    close(2);
    if (!answers() || module.setpwent(0) != NSS_STATUS_SUCCESS || !answers())
        return 12;
    child = fork();
    if (child == 0)
        _exit(answers() ? 0 : 1);
    waitpid(child, &status, 0);
    return status == 0 ? 0 : 13;
}
