/*
 * Opening an installed file: only a regular file of root's that nobody else can write is mapped,
 * and only one that opens as its form says is read.
 *
 * Used at map time only; never per lookup. No descriptor stays open.
 */
#ifndef IDMAP_MAPPED_FILE_H
#define IDMAP_MAPPED_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct mapped_file {
    const unsigned char *base;
    uint64_t length;
    dev_t device;
    ino_t inode;
};

/* How a file of a form opens, with the members that format.h gives both files. */
struct file_form {
    const char *magic;
    uint32_t header; /* bytes that are always there */
    uint32_t checksum_at;
    uint32_t flags; /* those that are known */
};

/*
 * Maps `path` whole, read-only and shared (so that the superseded word is seen when it is set).
 * Refuses symbolic links, anything but a regular file, an owner other than root (outside the
 * initial user namespace also the overflow uid, as which root then shows), group or other write
 * permission, and an empty file. False leaves `file` zeroed. errno may change.
 */
bool mapped_file_open(struct mapped_file *file, const char *path);

/* Whether the header is there, with the form's magic, the version, the exact length of the file, no
 * unknown flag and a checksum that fits. */
bool mapped_file_fits(const struct mapped_file *file, const struct file_form *form);

/* Unmaps; does nothing to a zeroed `file`. Zeroes it first, so that a fork in between leaks an
 * address instead of leaving one that may belong to someone else. */
void mapped_file_close(struct mapped_file *file);

#endif
