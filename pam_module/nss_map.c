/*
 * Publication by slots. A mapping lives in one of a few slots; `current` names the one in use.
 *
 * A reader announces itself in the slot's counts and then looks again whether the slot is still
 * current; only then does it touch the mapping. The re-mapper, under the lock, empties only slots
 * that are not current and have no announced reader, and fills a slot before it makes it current.
 * All of this is sequentially consistent, so one of the two always sees the other.
 *
 * Two things can keep a newer revision waiting, and both end when a thread gets to run again, not
 * by a clock: the thread that re-maps was preempted with the lock, or readers stand still inside
 * lookups of all the other slots' revisions. Until then every lookup answers from `current`: old,
 * but whole. The next lookup after that finds the lock or a slot free and maps the newest.
 */
#define _GNU_SOURCE
#include "nss_map.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

#define SLOTS 7          /* current, next, and five that slow readers still hold: one page full */
#define RETRY_AFTER 1000 /* milliseconds until a missing or unchanged file is looked for again */
#define STRIPES 8        /* counts per slot, by thread, so that threads do not share a cache line */

struct padded_count {
    _Alignas(64) atomic_int count;
};

/* What a forked child must find at zero. */
struct wiped_page {
    atomic_flag mapping;
    atomic_flag cursor[POSIX_KINDS];
    struct padded_count readers[SLOTS][STRIPES];
};
_Static_assert(sizeof(struct wiped_page) <= 4096, "one page is wiped as one");

static _Atomic(struct wiped_page *) wiped;
static struct posix_db slots[SLOTS];
static atomic_int current;      /* slot number plus one; 0: nothing mapped yet */
static atomic_llong not_before; /* no re-map before this moment of the coarse clock */
static atomic_bool left_behind; /* a last reader found the lock taken: sweep once more */

/* The wiped page, made at first use; NULL when there is no memory. */
static struct wiped_page *
wiped_page(void)
{
    struct wiped_page *page = atomic_load(&wiped);
    struct wiped_page *expected = NULL;
    void *fresh;

    if (page != NULL)
        return page;
    fresh = mmap(NULL, sizeof(struct wiped_page), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh == MAP_FAILED)
        return NULL;
    /* Before Linux 4.14 this fails; a child forked during a re-map then keeps its old mapping. */
    (void)madvise(fresh, sizeof(struct wiped_page), MADV_WIPEONFORK);
    if (atomic_compare_exchange_strong(&wiped, &expected, fresh))
        return fresh;
    munmap(fresh, sizeof(struct wiped_page));
    return expected;
}

/* Milliseconds of the coarse monotonic clock, which the vDSO reads without a system call. */
static long long
coarse_now(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool
slot_has_readers(struct wiped_page *page, int slot)
{
    for (int i = 0; i < STRIPES; i++)
        if (atomic_load(&page->readers[slot][i].count) > 0)
            return true;
    return false;
}

/* Unmaps what no reader holds. The caller has the lock. Gives an empty slot, or -1. */
static int
sweep(struct wiped_page *page)
{
    int in_use = atomic_load(&current) - 1;
    int empty = -1;

    for (int i = 0; i < SLOTS; i++) {
        if (i == in_use || slot_has_readers(page, i))
            continue;
        mapped_file_close(&slots[i].file);
        empty = i;
    }
    return empty;
}

/*
 * Unmaps what a last reader left behind. Whoever finds the lock taken leaves word, and the holder
 * looks for word after unlocking; so nothing stays mapped that nobody reads.
 */
static void
sweep_left_behind(struct wiped_page *page)
{
    while (atomic_load(&left_behind) && !atomic_flag_test_and_set(&page->mapping)) {
        atomic_store(&left_behind, false);
        sweep(page);
        atomic_flag_clear(&page->mapping);
    }
}

/* Maps the installed file if it is another one than `current`'s. The caller has the lock. */
static void
map_newer(struct wiped_page *page)
{
    int in_use = atomic_load(&current) - 1;
    const struct mapped_file *old = in_use < 0 ? NULL : &slots[in_use].file;
    int slot;

    if ((in_use >= 0 && !posix_db_is_superseded(&slots[in_use])) || (slot = sweep(page)) < 0)
        return;
    if (!posix_db_open(&slots[slot], IDMAP_POSIX_DB) ||
        (old != NULL && slots[slot].file.inode == old->inode &&
         slots[slot].file.device == old->device)) {
        mapped_file_close(&slots[slot].file);
        atomic_store(&not_before, coarse_now() + RETRY_AFTER);
        return;
    }
    atomic_store(&current, slot + 1);
    sweep(page);
}

/* Tries to bring `current` up to date, unless another thread is at it or it is too early. */
static void
refresh(struct wiped_page *page)
{
    if (coarse_now() < atomic_load(&not_before) || atomic_flag_test_and_set(&page->mapping))
        return;
    map_newer(page);
    atomic_flag_clear(&page->mapping);
    sweep_left_behind(page);
}

/* Which stripe this thread counts in: threads differ in where their stacks lie. */
static unsigned
stripe(void)
{
    unsigned char here;
    uint64_t address = (uint64_t)(uintptr_t)&here >> 16;

    return (unsigned)((address * 0x9e3779b97f4a7c15) >> 61);
}

/* Takes one off a count that a fork may have wiped meanwhile. */
static void
count_down(atomic_int *count)
{
    int seen = atomic_load(count);

    while (seen > 0 && !atomic_compare_exchange_weak(count, &seen, seen - 1))
        ;
}

/* Takes a lease on what is current, as it is; none without a page. */
static struct nss_lease
hold_current(struct wiped_page *page)
{
    struct nss_lease none = {NULL, NULL};
    unsigned mine = stripe();
    int slot;

    while (page != NULL && (slot = atomic_load(&current) - 1) >= 0) {
        struct nss_lease lease = {&slots[slot], &page->readers[slot][mine].count};

        atomic_fetch_add(&page->readers[slot][mine].count, 1);
        if (atomic_load(&current) - 1 == slot)
            return lease;
        count_down(lease.readers);
    }
    return none;
}

struct nss_lease
nss_map_take(void)
{
    struct wiped_page *page = atomic_load(&wiped);
    struct nss_lease lease = hold_current(page);
    int saved = errno;
    int cancel;

    if (lease.db != NULL && !posix_db_is_superseded(lease.db))
        return lease;
    nss_map_return(lease);
    /* open and close are cancellation points, and a cancelled thread would keep the lock. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    page = wiped_page();
    if (page != NULL)
        refresh(page);
    pthread_setcancelstate(cancel, NULL);
    errno = saved;
    return hold_current(page);
}

void
nss_map_return(struct nss_lease lease)
{
    if (lease.db == NULL)
        return;
    count_down(lease.readers);
    if (lease.db == &slots[atomic_load(&current) - 1])
        return;
    /* The mapping was replaced during this lookup, and this may have been its last reader. */
    atomic_store(&left_behind, true);
    sweep_left_behind(atomic_load(&wiped));
}

bool
nss_cursor_lock(enum posix_kind kind)
{
    struct wiped_page *page = wiped_page();

    return page != NULL && !atomic_flag_test_and_set(&page->cursor[kind]);
}

void
nss_cursor_unlock(enum posix_kind kind)
{
    atomic_flag_clear(&atomic_load(&wiped)->cursor[kind]);
}
