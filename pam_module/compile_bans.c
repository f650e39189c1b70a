/*
 * Ban records in, bans.db out.
 *
 * Deliberately forgiving in two places, because a list that is refused whole lets everyone on it
 * in: a number that no account can have is carried like any other (it matches nobody), and of two
 * bans on one number the longer counts. Anything malformed or incomplete is refused all the same:
 * the node then keeps the list it has.
 */
#include "compile.h"

#include <stdlib.h>

/* By number, then the one that lasts longest first. */
static int
compare(const void *left, const void *right)
{
    const struct ban *a = left;
    const struct ban *b = right;

    if (a->uid_number != b->uid_number)
        return a->uid_number < b->uid_number ? -1 : 1;
    if (a->until == b->until)
        return 0;
    return a->until - 1 > b->until - 1 ? -1 : 1; /* no end becomes the latest of all */
}

/* Reads the list's lines and its end. */
static void
body(struct build *b)
{
    struct input *in = &b->in;

    while (input_next(in) && in->count == 3 && strcmp(in->field[0], "ban") == 0) {
        if (b->ban_count == UINT32_MAX / BAN_SIZE)
            refuse(in, "too_large", "too many bans");
        b->ban = grow(b->ban, &b->ban_room, b->ban_count + 1, sizeof(*b->ban));
        b->ban[b->ban_count].uid_number = (uint32_t)input_number(in, in->field[1], UINT32_MAX);
        b->ban[b->ban_count++].until = input_number(in, in->field[2], INT64_MAX);
    }
    if (in->count == 0)
        refuse(in, "truncated", "there is no end line");
    if (in->count != 2 || strcmp(in->field[0], "end") != 0)
        refuse(in, "record_unknown", "neither a ban nor the end");
    if (input_number(in, in->field[1], UINT32_MAX) != b->ban_count)
        refuse(in, "truncated", "the end line counts otherwise");
    if (input_next(in))
        refuse(in, "record_unknown", "a line after the end");
}

/* Sorts the bans and turns them, without the shorter of two, into the file's entries in place;
 * gives how many bytes these take. */
static size_t
pack(struct ban *ban, size_t count)
{
    unsigned char *end = (unsigned char *)ban;
    uint64_t last = UINT64_MAX;

    if (count > 0)
        qsort(ban, count, sizeof(*ban), compare);
    for (size_t i = 0; i < count; i++) {
        struct ban one = ban[i];

        if (one.uid_number == last)
            continue;
        last = one.uid_number;
        memset(end, 0, BAN_SIZE);
        store_u32(end + BAN_AT_UID, one.uid_number);
        store_u64(end + BAN_AT_UNTIL, one.until);
        end += BAN_SIZE;
    }
    return (size_t)(end - (unsigned char *)ban);
}
_Static_assert(sizeof(struct ban) == BAN_SIZE, "entries are packed in place");

void
compile_bans(struct build *b)
{
    static const struct file_form form = {BANS_MAGIC, BANS_HEADER, BANS_AT_CHECKSUM, 0};
    struct input *in = &b->in;
    unsigned char *header = b->header;
    uint32_t flags;
    size_t size;

    if (input_head(in, "idmap-bans", UINT32_MAX) != FORMAT_VERSION)
        refuse(in, "version_unknown", "not version 1");
    store_u64(header + BANS_AT_COUNTER, input_head(in, "counter", UINT64_MAX));
    store_u64(header + BANS_AT_ISSUED, input_head(in, "issued", INT64_MAX));
    store_u64(header + BANS_AT_SIGNED_TIME, input_head(in, "signed_time", INT64_MAX));
    flags = input_head(in, "clock_skew", 1) != 0 ? BANS_FLAG_CLOCK_SKEW : 0;
    body(b);
    b->ban = grow(b->ban, &b->ban_room, 1, sizeof(*b->ban));
    size = pack(b->ban, b->ban_count);
    store_u32(header + BANS_AT_COUNT, (uint32_t)(size / BAN_SIZE));
    store_u32(header + BANS_AT_BODY_CHECKSUM, format_checksum((unsigned char *)b->ban, size));
    output_write(&b->out, header, BANS_HEADER);
    output_write(&b->out, b->ban, size);
    output_seal(&b->out, &form, flags, header);
}
