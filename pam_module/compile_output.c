/*
 * Writing a file that is either wholly there or not at all.
 *
 * The order at the end is the whole point: data synced before it has a name; the old file held
 * under a second name before it loses its first; the old file marked after the new one is visible.
 * A crash between any two steps leaves one whole file under the target's name, and what is left
 * beside it is dealt with by the next run. An installed file is never written but for that mark.
 */
#define _GNU_SOURCE
#include "compile.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* For compile_end and the signal handler: what to remove, or NULL. */
static const char *volatile removable;
static volatile int removable_directory;

static void
remove_unfinished(void)
{
    if (removable != NULL)
        unlinkat(removable_directory, removable, 0);
    removable = NULL;
}

void
compile_end(enum status status)
{
    remove_unfinished();
    _exit((int)status);
}

static void
remove_and_exit(int signal_number)
{
    remove_unfinished();
    _exit(128 + signal_number);
}

static void
catch_signals(void)
{
    static const int fatal[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT};
    struct sigaction action = {.sa_handler = remove_and_exit};

    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
        sigaction(fatal[i], &action, NULL);
    signal(SIGXFSZ, SIG_IGN); /* so that the limit shows as EFBIG */
}

/* Opens the directory of `target` and makes the three names. They last as long as the program. */
static void
open_directory(struct output *out, const char *target)
{
    const char *slash = strrchr(target, '/');
    char *copy = strdup(target);

    memset(out, 0, sizeof(*out));
    out->name = strdup(slash == NULL ? target : slash + 1);
    if (copy == NULL || out->name == NULL || asprintf(&out->temporary, "%s.tmp", out->name) < 0 ||
        asprintf(&out->previous, "%s.previous", out->name) < 0)
        fail("no_memory", target);
    out->directory = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (out->directory < 0)
        fail("output_unwritable", target);
}

/* Opens and locks the temporary file. */
static int
open_temporary(struct output *out)
{
    struct stat named;
    struct stat held;

    for (;;) {
        int fd = openat(out->directory, out->temporary,
                        O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

        if (fd < 0)
            fail("output_unwritable", out->temporary);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0)
            fail("busy", out->temporary);
        /* Whoever had it may have installed or removed it before we got the lock. */
        if (fstat(fd, &held) == 0 &&
            fstatat(out->directory, out->temporary, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
            held.st_ino == named.st_ino && held.st_dev == named.st_dev) {
            removable_directory = out->directory;
            removable = out->temporary;
            catch_signals();
            if (S_ISREG(held.st_mode) && held.st_nlink == 1)
                return fd;
            errno = EEXIST;
            fail("output_unwritable", out->temporary);
        }
        close(fd);
    }
}

void
output_open(struct output *out, const char *target)
{
    int fd;

    open_directory(out, target);
    fd = open_temporary(out);
    if (ftruncate(fd, 0) != 0 || (out->file = fdopen(fd, "w")) == NULL ||
        setvbuf(out->file, NULL, _IOFBF, 1u << 18) != 0)
        fail("output_unwritable", out->temporary);
}

void
output_write(struct output *out, const void *bytes, size_t n)
{
    if (fwrite(bytes, 1, n, out->file) != n)
        fail("output_unwritable", out->temporary);
    out->offset += n;
}

void
output_align(struct output *out, size_t unit)
{
    static const unsigned char zeros[SECTION_ALIGN];

    output_write(out, zeros, (size_t)(round_up(out->offset, unit) - out->offset));
}

void
output_seal(struct output *out, const struct file_form *form, uint32_t flags, unsigned char *header)
{
    memcpy(header, form->magic, MAGIC_SIZE);
    store_u32(header + AT_VERSION, FORMAT_VERSION);
    store_u32(header + AT_FLAGS, flags);
    store_u64(header + AT_LENGTH, out->offset);
    store_u32(header + form->checksum_at, format_checksum(header, form->checksum_at));
    if (fflush(out->file) != 0 ||
        pwrite(fileno(out->file), header, form->header, 0) != (ssize_t)form->header)
        fail("output_unwritable", out->temporary);
}

/* Sets the superseded word of the file under the previous name and removes that name. A file that
 * is still the target itself only loses the second name. */
static void
settle(struct output *out)
{
    int fd = openat(out->directory, out->previous, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    unsigned char magic[MAGIC_SIZE] = {0};
    unsigned char word[4];
    struct stat previous = {0};
    struct stat target = {0};

    if (fd < 0 && errno == ENOENT)
        return;
    store_u32(word, 1);
    if (fd < 0 || fstat(fd, &previous) != 0 ||
        (fstatat(out->directory, out->name, &target, AT_SYMLINK_NOFOLLOW) != 0 && errno != ENOENT))
        fail("not_marked", out->previous);
    if ((previous.st_ino != target.st_ino || previous.st_dev != target.st_dev) &&
        S_ISREG(previous.st_mode) && previous.st_size >= POSIX_HEADER_PAGE &&
        pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
        memcmp(magic, POSIX_MAGIC, sizeof(magic)) == 0 &&
        pwrite(fd, word, sizeof(word), POSIX_AT_SUPERSEDED) != (ssize_t)sizeof(word))
        fail("not_marked", out->previous);
    if (unlinkat(out->directory, out->previous, 0) != 0)
        fail("not_marked", out->previous);
    close(fd);
}

/* Ends a failed installation, after what was begun has been undone. */
_Noreturn static void
fail_settled(struct output *out, bool supersede)
{
    int error = errno;

    if (supersede)
        settle(out);
    errno = error;
    fail("output_unwritable", out->name);
}

void
output_install(struct output *out, bool supersede)
{
    int fd = fileno(out->file);
    sigset_t all;

    if (fchmod(fd, 0644) != 0 || fsync(fd) != 0)
        fail("output_unwritable", out->temporary);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL); /* to the end: little is left to do */
    if (flock(out->directory, LOCK_EX) != 0)
        fail("output_unwritable", out->name);
    if (supersede) {
        settle(out);
        if (linkat(out->directory, out->name, out->directory, out->previous, 0) != 0 &&
            errno != ENOENT)
            fail("output_unwritable", out->previous);
    }
    if (renameat(out->directory, out->temporary, out->directory, out->name) != 0)
        fail_settled(out, supersede);
    removable = NULL;
    if (fsync(out->directory) != 0)
        fail_settled(out, supersede);
    if (supersede)
        settle(out);
}

void
output_settle(struct output *out, const char *target)
{
    open_directory(out, target);
    if (flock(out->directory, LOCK_EX) != 0)
        fail("output_unwritable", target);
    settle(out);
}
