/*
 * Opening an installed file: only a regular file of root's that nobody else can write is mapped.
 *
 * Used at map time only; never per lookup. It looks at the file, not at its content. No descriptor
 * stays open.
 */
#ifndef IDMAP_MAPPED_FILE_H
#define IDMAP_MAPPED_FILE_H

#include <stdint.h>
#include <sys/types.h>

struct mapped_file {
    const unsigned char *base;
    uint64_t length;
    dev_t device;
    ino_t inode;
};

/*
 * Maps `path` whole, read-only and shared (so that the superseded word is seen when it is set).
 * Refuses symbolic links, anything but a regular file, an owner other than root (outside the
 * initial user namespace also the overflow uid, as which root then shows), group or other write
 * permission, and files shorter than `at_least` (which must not be 0). Gives 0 and fills `file`,
 * or gives an errno value and leaves `file` zeroed. The errno variable may change.
 */
int mapped_file_open(struct mapped_file *file, const char *path, uint64_t at_least);

/* Unmaps; does nothing to a zeroed `file`. Zeroes it first, so that a fork in between leaks an
 * address instead of leaving one that may belong to someone else. */
void mapped_file_close(struct mapped_file *file);

#endif
