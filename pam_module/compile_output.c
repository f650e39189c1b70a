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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format.h"

#define BUFFER_SIZE (1u << 18)

/* For the signal handler: what to remove, or NULL. */
static const char *volatile removable;
static volatile int removable_directory;

static void
remove_and_exit(int signal_number)
{
    if (removable != NULL)
        unlinkat(removable_directory, removable, 0);
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

/* Opens the directory of `target` and makes the three names. */
static enum result
open_directory(struct output *out, const char *target)
{
    const char *slash = strrchr(target, '/');
    const char *name = slash == NULL ? target : slash + 1;
    char *directory = slash == NULL     ? strdup(".")
                      : slash == target ? strdup("/")
                                        : strndup(target, (size_t)(slash - target));
    size_t room = strlen(name) + sizeof(".previous");

    memset(out, 0, sizeof(*out));
    out->fd = -1;
    out->directory = -1;
    out->name = strdup(name);
    out->temporary = malloc(room);
    out->previous = malloc(room);
    out->buffer = malloc(BUFFER_SIZE);
    if (directory == NULL || out->name == NULL || out->temporary == NULL || out->previous == NULL ||
        out->buffer == NULL) {
        free(directory);
        (void)failed("no_memory", target);
        return RESULT_FAILED;
    }
    snprintf(out->temporary, room, "%s.tmp", name);
    snprintf(out->previous, room, "%s.previous", name);
    out->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(directory);
    return out->directory < 0 ? failed("output_unwritable", target) : RESULT_OK;
}

enum result
output_open(struct output *out, const char *target)
{
    enum result result = open_directory(out, target);
    struct stat named;
    struct stat held;

    while (result == RESULT_OK) {
        int fd = openat(out->directory, out->temporary,
                        O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

        if (fd < 0)
            return failed("output_unwritable", out->temporary);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            close(fd);
            return failed("busy", out->temporary);
        }
        /* Whoever had it may have installed or removed it before we got the lock. */
        if (fstat(fd, &held) != 0 ||
            fstatat(out->directory, out->temporary, &named, AT_SYMLINK_NOFOLLOW) != 0 ||
            held.st_ino != named.st_ino || held.st_dev != named.st_dev) {
            close(fd);
            continue;
        }
        out->fd = fd;
        removable_directory = out->directory;
        removable = out->temporary;
        catch_signals();
        if (!S_ISREG(held.st_mode) || held.st_nlink != 1) {
            errno = EEXIST;
            return failed("output_unwritable", out->temporary);
        }
        if (ftruncate(fd, 0) != 0)
            return failed("output_unwritable", out->temporary);
        return RESULT_OK;
    }
    return result;
}

enum result
output_overwrite(struct output *out, uint64_t offset, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    while (n > 0) {
        ssize_t written = pwrite(out->fd, p, n, (off_t)offset);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return failed("output_unwritable", out->temporary);
        p += written;
        n -= (size_t)written;
        offset += (uint64_t)written;
    }
    return RESULT_OK;
}

enum result
output_flush(struct output *out)
{
    size_t n = out->used;

    out->used = 0;
    return output_overwrite(out, out->offset - n, out->buffer, n);
}

enum result
output_write(struct output *out, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    while (n > 0) {
        size_t part = n < BUFFER_SIZE - out->used ? n : BUFFER_SIZE - out->used;

        memcpy(out->buffer + out->used, p, part);
        out->used += part;
        out->offset += part;
        p += part;
        n -= part;
        if (out->used == BUFFER_SIZE && output_flush(out) != RESULT_OK)
            return RESULT_FAILED;
    }
    return RESULT_OK;
}

enum result
output_align(struct output *out, size_t unit)
{
    static const unsigned char zeros[POSIX_HEADER_PAGE];

    return output_write(out, zeros, (size_t)(round_up(out->offset, unit) - out->offset));
}

/* Sets the superseded word of the file under the previous name and removes that name. A file that
 * is still the target itself only loses the second name. */
static enum result
settle(struct output *out)
{
    unsigned char magic[MAGIC_SIZE] = {0};
    unsigned char word[4];
    struct stat previous;
    struct stat target;
    enum result result = RESULT_FAILED;
    int fd;

    fd = openat(out->directory, out->previous, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? RESULT_OK : failed("not_marked", out->previous);
    if (fstat(fd, &previous) != 0)
        goto done;
    if (fstatat(out->directory, out->name, &target, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT)
            goto done;
        memset(&target, 0, sizeof(target));
    }
    store_u32(word, 1);
    if ((previous.st_ino != target.st_ino || previous.st_dev != target.st_dev) &&
        S_ISREG(previous.st_mode) && previous.st_size >= POSIX_HEADER_PAGE &&
        pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
        memcmp(magic, POSIX_MAGIC, sizeof(magic)) == 0 &&
        pwrite(fd, word, sizeof(word), POSIX_AT_SUPERSEDED) != (ssize_t)sizeof(word))
        goto done;
    if (unlinkat(out->directory, out->previous, 0) != 0)
        goto done;
    result = RESULT_OK;
done:
    if (result != RESULT_OK)
        failed("not_marked", out->previous);
    close(fd);
    return result;
}

enum result
output_install(struct output *out, bool supersede)
{
    sigset_t all;
    sigset_t before;
    enum result result = output_flush(out);

    if (result != RESULT_OK)
        return result;
    if (fchmod(out->fd, 0644) != 0 || fsync(out->fd) != 0)
        return failed("output_unwritable", out->temporary);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    if (flock(out->directory, LOCK_EX) != 0) {
        result = failed("output_unwritable", out->name);
        goto done;
    }
    if (supersede) {
        result = settle(out);
        if (result != RESULT_OK)
            goto done;
        if (linkat(out->directory, out->name, out->directory, out->previous, 0) != 0 &&
            errno != ENOENT) {
            result = failed("output_unwritable", out->previous);
            goto done;
        }
    }
    if (renameat(out->directory, out->temporary, out->directory, out->name) != 0) {
        result = failed("output_unwritable", out->name);
        if (supersede)
            settle(out);
        goto done;
    }
    removable = NULL;
    if (fsync(out->directory) != 0)
        result = failed("output_unwritable", out->name);
    if (supersede && settle(out) != RESULT_OK)
        result = RESULT_FAILED;
done:
    flock(out->directory, LOCK_UN);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return result;
}

enum result
output_settle(const char *target)
{
    struct output out;
    enum result result = open_directory(&out, target);

    if (result == RESULT_OK && flock(out.directory, LOCK_EX) != 0)
        result = failed("output_unwritable", target);
    if (result == RESULT_OK)
        result = settle(&out);
    output_close(&out);
    return result;
}

void
output_close(struct output *out)
{
    if (out->fd >= 0 && removable != NULL)
        unlinkat(out->directory, removable, 0);
    removable = NULL;
    if (out->fd >= 0)
        close(out->fd);
    if (out->directory >= 0)
        close(out->directory);
    free(out->name);
    free(out->temporary);
    free(out->previous);
    free(out->buffer);
    memset(out, 0, sizeof(*out));
    out->fd = -1;
    out->directory = -1;
}
