/*
 * Writing a file that is either wholly there or not at all.
 *
 * The order at the end is the whole point: data synced before it has a name; the old file held
 * under a second name before it loses its first; the old file marked after the new one is visible.
 * A crash between any two steps leaves one whole file under the target's name, and what is left
 * beside it is dealt with by the next run. An installed file is never written but for that mark.
 *
 * One run per target at a time: `<target>.lock` is locked from the first step to the end of the
 * program, whatever ends it. So what lies under the temporary name is nobody's, and goes. The lock
 * is a file of its own because who may read a file or directory may also lock it.
 */
#define _GNU_SOURCE
#include "compile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whose temporary file goes when the program ends before its time; NULL: there is none. */
static const struct output *unfinished;

void
compile_end(enum status status)
{
    if (unfinished != NULL)
        unlinkat(unfinished->directory, unfinished->temporary, 0);
    _exit((int)status);
}

/* Opens the directory of `target`, makes the names there, and takes the lock as `how` says. */
static void
open_directory(struct output *out, const char *target, int how)
{
    const char *slash = strrchr(target, '/');
    char *path, *lock;
    int fd;

    out->name = slash == NULL ? target : slash + 1;
    if (asprintf(&path, "%.*s.", (int)(out->name - target), target) < 0 ||
        asprintf(&lock, "%s.lock", out->name) < 0 ||
        asprintf(&out->temporary, "%s.tmp", out->name) < 0 ||
        asprintf(&out->previous, "%s.previous", out->name) < 0)
        fail("no_memory", target);
    out->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (out->directory < 0 ||
        (fd = openat(out->directory, lock, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) < 0)
        fail("output_unwritable", target);
    free(path);
    free(lock);
    if (flock(fd, how) != 0)
        fail("busy", target);
}

void
output_open(struct output *out, const char *target)
{
    int fd;

    open_directory(out, target, LOCK_EX | LOCK_NB);
    signal(SIGXFSZ, SIG_IGN); /* so that the limit shows as EFBIG */
    unfinished = out;
    if (unlinkat(out->directory, out->temporary, 0) != 0 && errno != ENOENT)
        fail("output_unwritable", out->temporary);
    fd = openat(out->directory, out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || (out->file = fdopen(fd, "w")) == NULL ||
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

/* Sets the superseded word of the file under the previous name and removes that name. A file that
 * is still the target itself only loses the second name; so does what is no posix.db. */
static void
settle(const struct output *out)
{
    static const unsigned char word[4] = {1}; /* little-endian */
    int fd = openat(out->directory, out->previous, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    unsigned char magic[MAGIC_SIZE] = {0};
    struct stat previous = {0};
    struct stat target = {0};

    if (fd < 0 && errno == ENOENT)
        return;
    if (fd < 0 || fstat(fd, &previous) != 0 ||
        (fstatat(out->directory, out->name, &target, AT_SYMLINK_NOFOLLOW) != 0 && errno != ENOENT))
        fail("not_marked", out->previous);
    if ((previous.st_ino != target.st_ino || previous.st_dev != target.st_dev) &&
        previous.st_size >= POSIX_HEADER_PAGE &&
        pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
        memcmp(magic, POSIX_MAGIC, sizeof(magic)) == 0 &&
        pwrite(fd, word, sizeof(word), POSIX_AT_SUPERSEDED) != (ssize_t)sizeof(word))
        fail("not_marked", out->previous);
    if (unlinkat(out->directory, out->previous, 0) != 0)
        fail("not_marked", out->previous);
    close(fd);
}

void
output_install(struct output *out, const unsigned char header[POSIX_HEADER_PAGE])
{
    int fd = fileno(out->file);
    bool placed;
    int error;

    if (fflush(out->file) != 0 || pwrite(fd, header, POSIX_HEADER_PAGE, 0) != POSIX_HEADER_PAGE ||
        fchmod(fd, 0644) != 0 || fsync(fd) != 0)
        fail("output_unwritable", out->temporary);
    settle(out);
    if (linkat(out->directory, out->name, out->directory, out->previous, 0) != 0 && errno != ENOENT)
        fail("output_unwritable", out->previous);
    placed = renameat(out->directory, out->temporary, out->directory, out->name) == 0 &&
             fsync(out->directory) == 0;
    error = errno;
    settle(out); /* either way: marks what was replaced, or undoes the link */
    errno = error;
    if (!placed)
        fail("output_unwritable", out->name);
}

void
output_settle(struct output *out, const char *target)
{
    open_directory(out, target, LOCK_EX); /* waits for what a killed agent left running */
    settle(out);
}
