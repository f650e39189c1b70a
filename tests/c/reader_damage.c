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
