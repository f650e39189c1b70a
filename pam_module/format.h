/*
 * The layout of posix.db: the one place where an offset has a number.
 *
 * Shared by the reader and by idmap-compile, the only writer. docs/posix-db.md says the same in
 * words. Everything is little-endian and is read through the loads below, so neither alignment nor
 * byte order of the machine matters. Nothing here allocates or can fail.
 */
#ifndef IDMAP_FORMAT_H
#define IDMAP_FORMAT_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* How posix.db and bans.db open. The checksum covers the bytes before it. */
#define POSIX_MAGIC "IDMAPPSX"
#define MAGIC_SIZE 8
#define AT_VERSION 8
#define FORMAT_VERSION 1
#define AT_FLAGS 12
#define AT_LENGTH 16

/* What posix.db has two of. Tables of the header hold users' entry first, then groups'. */
enum posix_kind { POSIX_USER, POSIX_GROUP, POSIX_KINDS };

/* posix.db, header page. The superseded word lies behind the checksum, because it is the one word
 * ever written into an installed file. */
#define POSIX_HEADER_PAGE 4096
#define POSIX_AT_REVISION 24
#define POSIX_AT_CREATED 32
#define POSIX_AT_NOT_AFTER 40
#define POSIX_AT_SEED 48
#define POSIX_AT_COUNTS 64     /* u32 each: how many users, groups */
#define POSIX_AT_WINDOWS 72    /* u32 each: how many windows of uid, gid numbers */
#define POSIX_AT_MAX_PROBES 80 /* u32 for each index, in the order of the sections */
#define POSIX_AT_SECTIONS 128  /* {u64 offset, u64 size} for each section */
#define POSIX_AT_WINDOW 256    /* {u32 first, u32 last} for each of the most windows */
#define POSIX_AT_CHECKSUM 1020
#define POSIX_AT_SUPERSEDED 1024
#define WINDOW_MAX 16
#define WINDOW_SIZE 8
#define SECTION_ALIGN 64

/* The sections: the records of each kind, then for each kind an index by name and one by number,
 * with {u32 fingerprint, u32 reference} slots. */
enum posix_key { KEY_NAME, KEY_NUMBER, KEY_COUNT };
#define INDEX_COUNT (POSIX_KINDS * KEY_COUNT)
#define INDEX_OF(kind, key) ((unsigned)(kind)*KEY_COUNT + (unsigned)(key))
#define SECTION_OF_INDEX(index) (POSIX_KINDS + (index))
#define SECTION_COUNT SECTION_OF_INDEX(INDEX_COUNT)
#define SLOT_SIZE 8
#define INDEX_MIN_SLOTS 8

/* A reference is a record's file offset in units of eight bytes; 0 means none. Each record opens
 * with its own reference and its size, so that a damaged reference finds no record. */
#define REFERENCE_UNIT 8
#define RECORD_AT_REFERENCE 0
#define RECORD_AT_SIZE 4
#define RECORD_AT_NUMBER 8
#define RECORD_AT_NAME_LENGTH 16 /* u8 */

#define USER_AT_GID 12
#define USER_AT_STATE 17 /* u8 */
#define USER_AT_GECOS_LENGTH 18
#define USER_AT_HOME_LENGTH 20
#define USER_AT_SHELL_LENGTH 22
#define USER_AT_EXPIRES_DAY 24
#define USER_AT_GRACE_DAY 28
#define USER_AT_GID_COUNT 32
#define USER_AT_FLAGS 36
/* name, gecos, home, shell, each with its zero; then, 4-aligned, the gids */
#define USER_AT_STRINGS 40

#define GROUP_AT_MEMBER_COUNT 12
#define GROUP_AT_FLAGS 17        /* u8 */
#define GROUP_AT_MEMBERS_SIZE 20 /* bytes of all member names with their zeros */
#define GROUP_AT_STRINGS 24      /* name with its zero; then references to users, 4-aligned */

#define GROUP_FLAG_MEMBERS_WITHHELD 1u /* by this node's policy; to the reader, an empty list */

/* What the agent found against an account on this node's class. Logins know them; NSS does not. */
#define USER_FLAG_ELSEWHERE 1u  /* not to be used here */
#define USER_FLAG_TOKEN_ONLY 2u /* a login shows a token */
#define USER_FLAGS_KNOWN (USER_FLAG_ELSEWHERE | USER_FLAG_TOKEN_ONLY)

enum user_state { USER_ACTIVE, USER_GRACE, USER_SUSPENDED, USER_STATE_COUNT };

/* The smallest multiple of `unit` (a power of two) that is not below `n`. */
static inline uint64_t
round_up(uint64_t n, uint64_t unit)
{
    return (n + unit - 1) & ~(unit - 1);
}

/* load_u16, store_u16 and their like for the other widths. */
#define LOAD_AND_STORE(bits)                                                                       \
    static inline uint##bits##_t load_u##bits(const unsigned char *p)                              \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
                                                                                                   \
        memcpy(&v, p, sizeof(v));                                                                  \
        return le##bits##toh(v);                                                                   \
    }                                                                                              \
                                                                                                   \
    static inline void store_u##bits(unsigned char *p, uint##bits##_t v)                           \
    {                                                                                              \
        v = htole##bits(v);                                                                        \
        memcpy(p, &v, sizeof(v));                                                                  \
    }

LOAD_AND_STORE(16)
LOAD_AND_STORE(32)
LOAD_AND_STORE(64)

static inline int64_t
load_i64(const unsigned char *p)
{
    return (int64_t)load_u64(p);
}

/* CRC-32 as in zlib.crc32, so that Python can check a header too. */
uint32_t format_checksum(const unsigned char *p, size_t n);

/* SipHash-1-3 under the file's seed: names are chosen by people, so their hash must not be. */
uint64_t format_hash_name(const unsigned char seed[16], const char *name, size_t n);

/* A 64-bit mix of an id number with the file's seed. */
uint64_t format_hash_number(const unsigned char seed[16], uint32_t number);

#endif
