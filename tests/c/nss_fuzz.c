/*
 * libFuzzer target: the input, its header repaired, replaces the posix.db that the NSS module looks
 * at, as the compiler would replace it; then every entry point is called. The module's clock is
 * made to run, so that a refused file does not put off the next look.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int running_clock(clockid_t which, struct timespec *now);
#define clock_gettime running_clock
#include "nss_map.c"
#undef clock_gettime

#include "exercise.h"
#include "nss_public.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
running_clock(clockid_t which, struct timespec *now)
{
    static time_t seconds;

    (void)which;
    *now = (struct timespec){.tv_sec = seconds += 2};
    return 0;
}

/* Puts `bytes` in the installed file's place and marks the one before. */
static void
install(const unsigned char *bytes, size_t size)
{
    static int installed = -1;
    int fd = open(IDMAP_POSIX_DB ".tmp", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    promise(fd >= 0 && write(fd, bytes, size) == (ssize_t)size, "the file is written");
    promise(rename(IDMAP_POSIX_DB ".tmp", IDMAP_POSIX_DB) == 0, "the file is installed");
    if (installed >= 0) {
        promise(pwrite(installed, "\1", 1, POSIX_AT_SUPERSEDED) == 1, "the old one is marked");
        close(installed);
    }
    installed = fd;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"alice", "bob", "carol", "proj", "lab", "absent", ""};
    static char buffer[1 << 16];
    unsigned char *bytes;
    struct passwd pw;
    struct group gr;
    int error;

    if (size < POSIX_HEADER_PAGE || (bytes = malloc(size)) == NULL)
        return 0;
    memcpy(bytes, data, size);
    repair(bytes, size);
    store_u32(bytes + POSIX_AT_SUPERSEDED, 0);
    install(bytes, size);
    free(bytes);
    for (size_t room = 0; room <= sizeof(buffer); room = room * 4 + 16) {
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            long limit = room == 16 ? 1 : -1;
            long start = 0;
            long length = 1;
            gid_t *groups = malloc(sizeof(*groups));

            promise(groups != NULL, "memory");
            if (_nss_idmap_getpwnam_r(names[i], &pw, buffer, room, &error) == NSS_STATUS_SUCCESS)
                promise(pw.pw_uid >= 1000 && pw.pw_gid >= 1000, "a number of the system");
            if (_nss_idmap_getgrnam_r(names[i], &gr, buffer, room, &error) == NSS_STATUS_SUCCESS)
                promise(gr.gr_gid >= 1000, "a number of the system");
            (void)_nss_idmap_initgroups_dyn(names[i], 300000, &start, &length, &groups, limit,
                                            &error);
            promise(start <= length, "groups inside their array");
            free(groups);
            (void)_nss_idmap_getpwuid_r(200000 + (uid_t)i, &pw, buffer, room, &error);
            (void)_nss_idmap_getgrgid_r(300000 + (gid_t)i, &gr, buffer, room, &error);
        }
        (void)_nss_idmap_setpwent(0);
        while (_nss_idmap_getpwent_r(&pw, buffer, room, &error) == NSS_STATUS_SUCCESS)
            promise(pw.pw_uid >= 1000, "a number of the system");
        (void)_nss_idmap_endpwent();
        while (_nss_idmap_getgrent_r(&gr, buffer, room, &error) == NSS_STATUS_SUCCESS)
            promise(gr.gr_gid >= 1000, "a number of the system");
        (void)_nss_idmap_endgrent();
    }
    return 0;
}
