/*
 * reader_damage POSIX_DB BANS_DB: every single-bit flip and every truncation of two small files,
 * with the header left as it is and with it repaired. Prints how much was done; aborts (or lets the
 * sanitizers abort) when the reader breaks a promise. For bans.db nothing damaged may be accepted.
 */
#include "exercise.h"

#include "bans_db.h"

static unsigned char *
read_file(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    unsigned char *bytes = malloc(1 << 20);

    promise(file != NULL && bytes != NULL, "the file opens");
    *length = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

/* A copy that ends exactly where its allocation does, so that one byte too far is seen. */
static unsigned char *
exact_copy(const unsigned char *bytes, size_t length)
{
    unsigned char *copy = malloc(length == 0 ? 1 : length);

    promise(copy != NULL, "memory");
    memcpy(copy, bytes, length);
    return copy;
}

static int
takes_bans(const unsigned char *bytes, size_t length)
{
    struct bans_db db = {.file = {.base = bytes, .length = length}};

    return bans_db_read(&db);
}

/* Damage in several places at once, which no single flip can make: the last record of each kind
 * with a size and a count that agree with each other but not with the file, and indexes without a
 * free slot. */
static void
damage_together(const unsigned char *bytes, size_t length)
{
    struct posix_db db;
    struct posix_record record, last = {0};

    promise(attach(&db, bytes, length), "the sound file is read");
    for (enum posix_kind kind = POSIX_USER; kind < POSIX_KINDS; kind++) {
        unsigned char *copy = exact_copy(bytes, length);
        unsigned char *at;

        for (uint64_t cursor = 0; posix_db_at(&db, kind, cursor, &record) == POSIX_FOUND;
             cursor += record.size)
            last = record;
        at = copy + (size_t)last.reference * REFERENCE_UNIT;
        store_u32(at + RECORD_AT_SIZE, 0xfffffff8);
        store_u32(at + (kind == POSIX_USER ? USER_AT_GID_COUNT : GROUP_AT_MEMBER_COUNT),
                  0x3fffff00);
        exercise(copy, length);
        free(copy);
    }
    for (unsigned i = 0; i < INDEX_COUNT; i++) {
        unsigned char *copy = exact_copy(bytes, length);

        for (uint64_t slot = 0; slot < db.section[SECTION_OF_INDEX(i)].size; slot += SLOT_SIZE) {
            store_u32(copy + db.section[SECTION_OF_INDEX(i)].offset + slot, 0xdeadbeef);
            store_u32(copy + db.section[SECTION_OF_INDEX(i)].offset + slot + 4, 1);
        }
        exercise(copy, length);
        free(copy);
    }
}

int
main(int argc, char **argv)
{
    size_t length;
    size_t bans_length;
    unsigned long flips = 0;
    unsigned long cuts = 0;

    if (argc != 3)
        return 2;
    unsigned char *read_bytes = read_file(argv[1], &length);
    unsigned char *bytes = exact_copy(read_bytes, length);
    unsigned char *bans = read_file(argv[2], &bans_length);

    exercise(bytes, length);
    promise(exercised_records > 10, "the sound file answers");
    damage_together(bytes, length);
    for (size_t bit = 0; bit < length * 8; bit++, flips++) {
        unsigned char mask = (unsigned char)(1u << bit % 8);

        bytes[bit / 8] ^= mask;
        exercise(bytes, length);
        if (bit / 8 < POSIX_AT_SUPERSEDED) {
            unsigned char *repaired = exact_copy(bytes, length);

            repair(repaired, length);
            exercise(repaired, length);
            free(repaired);
        }
        bytes[bit / 8] ^= mask;
    }
    for (size_t cut = 0; cut < length; cut++, cuts++) {
        unsigned char *copy = exact_copy(bytes, cut);
        struct posix_db whole;

        promise(!attach(&whole, copy, cut), "a truncated file is refused");
        if (cut >= POSIX_HEADER_PAGE) {
            repair(copy, cut);
            exercise(copy, cut);
        }
        free(copy);
    }
    promise(takes_bans(bans, bans_length), "the sound ban list is read");
    for (size_t bit = 0; bit < bans_length * 8; bit++, flips++) {
        bans[bit / 8] ^= (unsigned char)(1u << bit % 8);
        promise(!takes_bans(bans, bans_length), "a flipped ban list is refused");
        bans[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    for (size_t cut = 0; cut < bans_length; cut++, cuts++)
        promise(!takes_bans(bans, cut), "a truncated ban list is refused");
    printf("flips %lu cuts %lu records %lu\n", flips, cuts, exercised_records);
    free(read_bytes);
    free(bytes);
    free(bans);
    return 0;
}
