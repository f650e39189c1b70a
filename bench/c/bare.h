/*
 * The limit that NSS modules are measured against: one hash lookup and one copy
 * of the record in a mapped file. Layout of the file: a header, one array of
 * slots per index, then the records.
 *
 * Independent of posix.db and without any of its safety: nothing is
 * bounds-checked, no replacement is noticed, the hash has no key, and the name
 * must be shorter than 64 bytes.
 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include <stdint.h>
#include <string.h>

enum { BY_NAME, BY_ID, GROUP_BY_NAME, GROUP_BY_ID, BARE_INDEXES };

struct bare_slot {
    uint32_t fingerprint;
    uint32_t reference; /* file offset in units of eight bytes; 0: empty */
};

struct bare_header {
    uint64_t slots_at[BARE_INDEXES];
    uint64_t mask[BARE_INDEXES];
};

/* A user: `strings` is what a lookup copies in one piece; then, 4-aligned, the
 * gids. A group: the same with its members' names, one after the other, behind
 * its own. */
struct bare_record {
    uint32_t id;
    uint32_t primary;
    uint32_t strings_size;
    uint32_t count; /* of gids, or of members */
    char strings[];
};

static inline uint64_t
bare_mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0x9fb21c651e98df25u;
    h ^= h >> 29;
    return h;
}

static inline uint64_t
bare_hash_name(const char *name, size_t n)
{
    uint64_t h = n * 0x9e3779b97f4a7c15u;
    uint64_t word;

    for (; n >= 8; n -= 8, name += 8) {
        memcpy(&word, name, 8);
        h = bare_mix(h ^ word);
    }
    word = 0;
    memcpy(&word, name, n);
    return bare_mix(h ^ word);
}

static inline uint64_t
bare_hash_id(uint32_t id)
{
    return bare_mix(id * 0x9e3779b97f4a7c15u);
}

#endif
