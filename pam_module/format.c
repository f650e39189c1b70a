/*
 * The three functions of bytes that writer and reader must compute alike: checksum, name hash and
 * number hash. Pure; nothing is allocated and nothing can fail.
 */
#include "format.h"

uint32_t
format_checksum(const unsigned char *p, size_t n)
{
    /* The remainders of the sixteen nibbles: a table this small costs a fresh process one line. */
    static const uint32_t nibble[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        crc = (crc >> 4) ^ nibble[crc & 15];
        crc = (crc >> 4) ^ nibble[crc & 15];
    }
    return ~crc;
}

static inline uint64_t
rotate(uint64_t v, unsigned bits)
{
    return (v << bits) | (v >> (64 - bits));
}

static inline void
sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* Takes in one word, with the one round of SipHash-1-3. */
static inline void
sip_absorb(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

uint64_t
format_hash_name(const unsigned char seed[16], const char *name, size_t n)
{
    uint64_t k0 = load_u64(seed);
    uint64_t k1 = load_u64(seed + 8);
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
                     k1 ^ 0x7465646279746573};
    unsigned char last[8] = {0};
    size_t at;

    for (at = 0; at + 8 <= n; at += 8)
        sip_absorb(v, load_u64((const unsigned char *)name + at));
    memcpy(last, name + at, n - at);
    last[7] = (unsigned char)n;
    sip_absorb(v, load_u64(last));
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t
format_hash_number(const unsigned char seed[16], uint32_t number)
{
    uint64_t x = load_u64(seed) ^ number;

    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccd;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53;
    return x ^ (x >> 33);
}
