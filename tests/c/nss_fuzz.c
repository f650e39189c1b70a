/*
 * libFuzzer target: the input, its header repaired, replaces the posix.db that the NSS module looks
 * at, as the compiler would replace it; then every entry point is called.
 *
 * The header page's unused bytes say what goes wrong meanwhile: which system call of the mapping
 * fails or shows a file that must not be read, whether the process forks with the lock held,
 * whether every slot is held. The module's clock stands still until it is told to go on. Which file
 * is mapped afterwards is checked each time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum fault {
    FAULT_NONE,
    FAULT_OPEN,
    FAULT_STAT,
    FAULT_OWNER,
    FAULT_OVERFLOW_OWNER, /* by itself: inside the initial user namespace */
    FAULT_UNREADABLE_NAMESPACE,
    FAULT_EMPTY_NAMESPACE,
    FAULT_GROUP_WRITABLE,
    FAULT_WORLD_WRITABLE,
    FAULT_PIPE,
    FAULT_EMPTY_FILE,
    FAULT_TRUNCATED,
    FAULT_MAP,
    FAULT_SAME_FILE, /* the mapped file was marked, but nothing took its place */
    REFUSALS,
    FAULT_OTHER_NAMESPACE = REFUSALS, /* from here on: to be taken all the same */
    FAULT_NO_ROOM,
    FAULT_FORK,
    FAULT_HELD_SLOTS,
    FAULT_LOCKED,
    FAULT_NO_PAGE,
    FAULT_PAGE_RACE,
    FAULTS
};

static enum fault fault;
static time_t seconds = 1;

static int
faulty_open(const char *path, int flags)
{
    if ((fault == FAULT_OPEN || fault == FAULT_UNREADABLE_NAMESPACE) &&
        (fault == FAULT_OPEN) == (strcmp(path, IDMAP_POSIX_DB) == 0)) {
        errno = EMFILE;
        return -1;
    }
    return open(path, flags);
}

static int
faulty_fstat(int fd, struct stat *st)
{
    if (fault == FAULT_STAT || fstat(fd, st) != 0)
        return -1;
    if (fault == FAULT_OWNER)
        st->st_uid = 12345;
    if ((fault >= FAULT_OVERFLOW_OWNER && fault <= FAULT_EMPTY_NAMESPACE) ||
        fault == FAULT_OTHER_NAMESPACE)
        st->st_uid = 65534;
    if (fault == FAULT_GROUP_WRITABLE || fault == FAULT_WORLD_WRITABLE)
        st->st_mode |= fault == FAULT_GROUP_WRITABLE ? S_IWGRP : S_IWOTH;
    if (fault == FAULT_PIPE)
        st->st_mode = S_IFIFO | 0644;
    if (fault == FAULT_EMPTY_FILE || fault == FAULT_TRUNCATED)
        st->st_size = fault == FAULT_EMPTY_FILE ? 0 : 1000;
    return 0;
}

static ssize_t
faulty_read(int fd, char *text, size_t size)
{
    static const char initial[] = "         0          0 4294967295\n";
    static const char other[] = "         0      12345          1\n";

    (void)fd;
    if (fault == FAULT_EMPTY_NAMESPACE)
        return 0;
    memcpy(text, fault == FAULT_OTHER_NAMESPACE ? other : initial, sizeof(initial) - 1);
    return size < sizeof(initial) ? -1 : (ssize_t)sizeof(initial) - 1;
}

static void page_of_another_thread(void);

static void *
faulty_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (fault == (fd < 0 ? FAULT_NO_PAGE : FAULT_MAP)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    if (fault == FAULT_PAGE_RACE && fd < 0)
        page_of_another_thread();
    return mmap(at, size, protection, flags, fd, offset);
}

static void *
faulty_realloc(void *old, size_t size)
{
    return fault == FAULT_NO_ROOM ? NULL : realloc(old, size);
}

static int
standing_clock(clockid_t which, struct timespec *now)
{
    (void)which;
    *now = (struct timespec){.tv_sec = seconds};
    return 0;
}

#define open faulty_open
#define fstat faulty_fstat
#define read faulty_read
#define mmap faulty_mmap
#define realloc faulty_realloc
#define clock_gettime standing_clock
#include "mapped_file.c"
#include "nss_map.c"
#include "nss_public.c"
#undef open
#undef fstat
#undef read
#undef mmap
#undef realloc
#undef clock_gettime

#include "exercise.h"

static void
page_of_another_thread(void)
{
    fault = FAULT_NONE;
    promise(wiped_page() != NULL, "another thread was quicker");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Puts `bytes` in the installed file's place and marks the one before. Gives the new inode. */
static ino_t
install(const unsigned char *bytes, size_t size)
{
    static int installed = -1;
    struct stat st;
    int fd = installed;

    if (fault != FAULT_SAME_FILE || installed < 0) {
        fd = open(IDMAP_POSIX_DB ".tmp", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        promise(fd >= 0 && write(fd, bytes, size) == (ssize_t)size, "the file is written");
        promise(rename(IDMAP_POSIX_DB ".tmp", IDMAP_POSIX_DB) == 0, "the file is installed");
    }
    if (installed >= 0)
        promise(pwrite(installed, "\1", 1, POSIX_AT_SUPERSEDED) == 1, "the old one is marked");
    if (installed >= 0 && fd != installed)
        close(installed);
    installed = fd;
    promise(fstat(fd, &st) == 0, "it is looked at");
    return st.st_ino;
}

/* The inode that answers now; 0 when none does. */
static ino_t
answering(void)
{
    struct nss_lease lease = nss_map_take();
    ino_t inode = lease.db == NULL ? 0 : lease.db->file.inode;

    nss_map_return(lease);
    return inode;
}

/* A child of a process whose other threads were in the middle of everything. */
static void
fork_in_the_middle(void)
{
    struct nss_lease lease = nss_map_take();
    int status = 1;
    pid_t child;

    promise(!atomic_flag_test_and_set(&wiped->mapping), "the lock is free");
    promise(nss_cursor_lock(POSIX_USER), "the cursor is free");
    child = fork();
    if (child == 0) {
        for (int slot = 0; slot < SLOTS; slot++)
            promise(!slot_has_readers(wiped, slot), "no reader is inherited");
        promise(!atomic_flag_test_and_set(&wiped->mapping), "no held lock is inherited");
        atomic_flag_clear(&wiped->mapping);
        nss_map_return(lease);
        (void)answering();
        promise(nss_cursor_lock(POSIX_USER), "no held cursor is inherited");
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) /* libFuzzer's alarm */
        ;
    promise(child > 0 && status == 0, "the child is well");
    promise(!nss_cursor_lock(POSIX_USER), "the parent's cursor is still held");
    nss_cursor_unlock(POSIX_USER);
    atomic_flag_clear(&wiped->mapping);
    nss_map_return(lease);
}

/* Readers that stay inside: the newest revision waits for a slot, the others are whole. */
static void
hold_every_slot(const unsigned char *bytes, size_t size)
{
    struct nss_lease held[SLOTS];
    ino_t newest = 0;

    for (int i = 0; i < SLOTS; i++) {
        held[i] = nss_map_take();
        newest = install(bytes, size);
    }
    promise(answering() == held[SLOTS - 1].db->file.inode, "the newest that has a slot answers");
    nss_map_return(held[0]);
    promise(answering() == newest, "a freed slot is taken at once");
    for (int i = 1; i < SLOTS; i++)
        nss_map_return(held[i]);
    for (int i = 0, in_use = atomic_load(&current) - 1; i < SLOTS; i++)
        promise((slots[i].file.base != NULL) == (i == in_use), "nothing else stays mapped");
}

/* Every entry point, with every kind of buffer. */
static void
call_all(void)
{
    static const char *const names[] = {"alice", "bob", "carol", "proj", "lab", "absent", ""};
    static char buffer[1 << 16];
    struct passwd pw;
    struct group gr;
    int error;

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
        (void)_nss_idmap_setgrent(0);
        while (_nss_idmap_getgrent_r(&gr, buffer, room, &error) == NSS_STATUS_SUCCESS)
            promise(gr.gr_gid >= 1000, "a number of the system");
        (void)_nss_idmap_endgrent();
    }
}

/* A last reader that finds the lock taken leaves its mapping to the lock's holder. */
static void
return_under_the_lock(const unsigned char *bytes, size_t size)
{
    struct nss_lease lease = nss_map_take();
    const struct posix_db *old = lease.db;
    ino_t newest = install(bytes, size);

    promise(answering() == newest && old->file.base != NULL, "a held mapping stays");
    promise(!atomic_flag_test_and_set(&wiped->mapping), "the lock is free");
    nss_map_return(lease);
    promise(old->file.base != NULL, "nothing is done without the lock");
    atomic_flag_clear(&wiped->mapping);
    sweep_left_behind(wiped);
    promise(old->file.base == NULL, "it is unmapped after all");
}

/* What another thread is at is not waited for; the error is EAGAIN. */
static void
enumerate_locked(void)
{
    struct passwd pw;
    int error = 0;

    promise(nss_cursor_lock(POSIX_USER), "the cursor is free");
    promise(_nss_idmap_setpwent(0) == NSS_STATUS_TRYAGAIN && errno == EAGAIN, "set is told");
    promise(_nss_idmap_getpwent_r(&pw, NULL, 0, &error) == NSS_STATUS_TRYAGAIN && error == EAGAIN,
            "get is told");
    nss_cursor_unlock(POSIX_USER);
}

static void
replace(const unsigned char *bytes, size_t size, int is_sound)
{
    int in_use = atomic_load(&current) - 1;
    ino_t before = in_use < 0 ? 0 : slots[in_use].file.inode;
    static unsigned forks;
    bool is_refused = fault > FAULT_NONE && fault < REFUSALS;
    ino_t inode, newest;
    struct passwd pw;
    int error = 0;

    if (fault == FAULT_NO_PAGE || fault == FAULT_PAGE_RACE) {
        if (wiped != NULL)
            munmap(wiped, sizeof(*wiped));
        wiped = NULL;
    }
    inode = install(bytes, size);
    newest = is_sound && fault != FAULT_SAME_FILE ? inode : before;
    if (fault == FAULT_LOCKED)
        promise(!atomic_flag_test_and_set(&wiped_page()->mapping), "the lock is free");
    promise(answering() == (fault == FAULT_NO_PAGE                ? 0
                            : is_refused || fault == FAULT_LOCKED ? before
                                                                  : newest),
            "the right file answers");
    if (fault != FAULT_SAME_FILE && (is_refused || !is_sound)) {
        (void)_nss_idmap_setpwent(0);
        promise(fault == FAULT_NO_PAGE ||
                    _nss_idmap_getpwent_r(&pw, NULL, 0, &error) == NSS_STATUS_UNAVAIL,
                "an enumeration takes no other file");
    }
    call_all();
    if (fault == FAULT_LOCKED)
        atomic_flag_clear(&wiped->mapping);
    if (is_refused) {
        fault = FAULT_NONE;
        promise(answering() == before, "no second look within a second");
        seconds += 2;
    }
    fault = fault == FAULT_NO_PAGE ? FAULT_NONE : fault;
    promise(answering() == newest, "the newest answers in the end");
    if (newest == 0)
        return;
    if (fault == FAULT_FORK && forks++ % 64 == 0) /* a fork takes as long as a hundred lookups */
        fork_in_the_middle();
    if (fault == FAULT_LOCKED)
        enumerate_locked();
    if (fault == FAULT_LOCKED && is_sound)
        return_under_the_lock(bytes, size);
    if (fault == FAULT_HELD_SLOTS && is_sound)
        hold_every_slot(bytes, size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_first = true;
    struct posix_db db;
    unsigned char *bytes;

    if (size < POSIX_HEADER_PAGE || (bytes = malloc(size)) == NULL)
        return 0;
    memcpy(bytes, data, size);
    fault = (enum fault)(bytes[POSIX_AT_SUPERSEDED + 8] % FAULTS);
    if (is_first && fault == FAULT_SAME_FILE)
        fault = FAULT_NONE; /* there is none yet */
    is_first = false;
    repair(bytes, size);
    store_u32(bytes + POSIX_AT_SUPERSEDED, 0);
    seconds += 2;
    replace(bytes, size, attach(&db, bytes, size));
    free(bytes);
    return 0;
}
