/*
 * Open, look, map, close. See mapped_file.h.
 *
 * The owner check can be relaxed by IDMAP_TEST_OWNER at compile time only: a run-time switch would
 * be one more thing that a set-uid program inherits from its caller.
 */
#include "mapped_file.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format.h"

#define OVERFLOW_UID 65534

/* Whether this process runs outside the initial user namespace. Unknown counts as inside: the
 * overflow uid is also nobody's. */
static bool
outside_initial_namespace(void)
{
    unsigned long inside, outside, count;
    char text[64] = "";
    int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return false;
    (void)!read(fd, text, sizeof(text) - 1);
    close(fd);
    return sscanf(text, "%lu %lu %lu", &inside, &outside, &count) == 3 &&
           (inside != 0 || outside != 0 || count != UINT32_MAX);
}

/* Whether the file's owner may have written it on root's behalf. */
static bool
owner_is_root(uid_t owner)
{
#ifdef IDMAP_TEST_OWNER
    if (owner == geteuid())
        return true;
#endif
    return owner == 0 || (owner == OVERFLOW_UID && outside_initial_namespace());
}

bool
mapped_file_open(struct mapped_file *file, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    void *base = MAP_FAILED;
    struct stat st;

    memset(file, 0, sizeof(*file));
    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
        owner_is_root(st.st_uid) && st.st_size > 0 && (uint64_t)st.st_size <= SIZE_MAX)
        base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (base == MAP_FAILED)
        return false;
    file->length = (uint64_t)st.st_size;
    file->device = st.st_dev;
    file->inode = st.st_ino;
    atomic_signal_fence(memory_order_seq_cst);
    file->base = base;
    return true;
}

bool
mapped_file_fits(const struct mapped_file *file, const struct file_form *form)
{
    const unsigned char *header = file->base;

    return file->length >= form->header && memcmp(header, form->magic, MAGIC_SIZE) == 0 &&
           load_u32(header + AT_VERSION) == FORMAT_VERSION &&
           (load_u32(header + AT_FLAGS) & ~form->flags) == 0 &&
           load_u64(header + AT_LENGTH) == file->length &&
           load_u32(header + form->checksum_at) == format_checksum(header, form->checksum_at);
}

void
mapped_file_close(struct mapped_file *file)
{
    void *base = (void *)(uintptr_t)file->base; /* written by nobody, but unmapped */
    size_t length = (size_t)file->length;

    if (base == NULL)
        return;
    memset(file, 0, sizeof(*file));
    atomic_signal_fence(memory_order_seq_cst);
    munmap(base, length);
}
