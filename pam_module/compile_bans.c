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
#include <string.h>

#include "format.h"

struct ban {
    uint32_t uid_number;
    int64_t until; /* 0: no end */
};

struct ban_list {
    struct ban *ban;
    size_t count;
    size_t room;
};

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
    if (a->until == 0 || b->until == 0)
        return a->until == 0 ? -1 : 1;
    return a->until > b->until ? -1 : 1;
}

static enum result
add(struct input *in, struct ban_list *list)
{
    uint64_t uid_number;
    uint64_t until;

    if (input_number(in, 1, UINT32_MAX, &uid_number) != RESULT_OK ||
        input_number(in, 2, INT64_MAX, &until) != RESULT_OK)
        return RESULT_REFUSED;
    if (list->count == UINT32_MAX / BAN_SIZE)
        return refuse(in, "too_large", "too many bans");
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 1024 : list->room * 2;
        struct ban *grown = realloc(list->ban, room * sizeof(*grown));

        if (grown == NULL)
            return failed("no_memory", in->path);
        list->ban = grown;
        list->room = room;
    }
    list->ban[list->count].uid_number = (uint32_t)uid_number;
    list->ban[list->count++].until = (int64_t)until;
    return RESULT_OK;
}

/* Reads one of the lines that open the input: `keyword`, then a number of at most `max`. */
static enum result
head(struct input *in, const char *keyword, uint64_t max, uint64_t *value)
{
    enum result result = input_next(in);

    if (result != RESULT_OK)
        return result;
    if (in->count != 2 || strcmp(in->field[0], keyword) != 0)
        return refuse(in, "out_of_order", keyword);
    return input_number(in, 1, max, value);
}

/* Reads the list's lines and its end. */
static enum result
body(struct input *in, struct ban_list *list)
{
    uint64_t announced;
    enum result result;

    for (;;) {
        result = input_next(in);
        if (result != RESULT_OK)
            return result;
        if (in->count != 3 || strcmp(in->field[0], "ban") != 0)
            break;
        result = add(in, list);
        if (result != RESULT_OK)
            return result;
    }
    if (in->count == 0)
        return refuse(in, "truncated", "there is no end line");
    if (in->count != 2 || strcmp(in->field[0], "end") != 0)
        return refuse(in, "record_unknown", "neither a ban nor the end");
    result = input_number(in, 1, UINT32_MAX, &announced);
    if (result != RESULT_OK)
        return result;
    if (announced != list->count)
        return refuse(in, "truncated", "the end line counts otherwise");
    result = input_next(in);
    if (result == RESULT_OK && in->count != 0)
        return refuse(in, "record_unknown", "a line after the end");
    return result;
}

/* Sorts, drops the shorter of two bans, and writes the file. */
static enum result
write_out(struct ban_list *list, struct output *out, unsigned char *header)
{
    unsigned char *bytes;
    size_t kept = 0;
    size_t size;
    enum result result;

    if (list->count > 0)
        qsort(list->ban, list->count, sizeof(*list->ban), compare);
    bytes = calloc(list->count + 1, BAN_SIZE);
    if (bytes == NULL)
        return failed("no_memory", out->name);
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0 && list->ban[i].uid_number == list->ban[i - 1].uid_number)
            continue;
        store_u32(bytes + kept * BAN_SIZE + BAN_AT_UID, list->ban[i].uid_number);
        store_u64(bytes + kept * BAN_SIZE + BAN_AT_UNTIL, (uint64_t)list->ban[i].until);
        kept++;
    }
    size = kept * BAN_SIZE;
    store_u64(header + BANS_AT_LENGTH, BANS_HEADER + size);
    store_u32(header + BANS_AT_COUNT, (uint32_t)kept);
    store_u32(header + BANS_AT_BODY_CHECKSUM, format_checksum(bytes, size));
    store_u32(header + BANS_AT_CHECKSUM, format_checksum(header, BANS_AT_CHECKSUM));
    result = output_write(out, header, BANS_HEADER);
    if (result == RESULT_OK)
        result = output_write(out, bytes, size);
    free(bytes);
    return result;
}

enum result
compile_bans(struct input *in, struct output *out)
{
    unsigned char header[BANS_HEADER] = BANS_MAGIC;
    struct ban_list list = {0};
    uint64_t version = 0;
    uint64_t counter = 0;
    uint64_t issued = 0;
    uint64_t signed_time = 0;
    uint64_t skew = 0;
    enum result result;

    if ((result = head(in, "idmap-bans", UINT32_MAX, &version)) != RESULT_OK)
        goto done;
    if (version != FORMAT_VERSION) {
        result = refuse(in, "version_unknown", "not version 1");
        goto done;
    }
    if ((result = head(in, "counter", UINT64_MAX, &counter)) != RESULT_OK ||
        (result = head(in, "issued", INT64_MAX, &issued)) != RESULT_OK ||
        (result = head(in, "signed_time", INT64_MAX, &signed_time)) != RESULT_OK ||
        (result = head(in, "clock_skew", 1, &skew)) != RESULT_OK ||
        (result = body(in, &list)) != RESULT_OK)
        goto done;
    store_u32(header + BANS_AT_VERSION, FORMAT_VERSION);
    store_u32(header + BANS_AT_FLAGS, skew != 0 ? BANS_FLAG_CLOCK_SKEW : 0);
    store_u64(header + BANS_AT_COUNTER, counter);
    store_u64(header + BANS_AT_ISSUED, issued);
    store_u64(header + BANS_AT_SIGNED_TIME, signed_time);
    result = write_out(&list, out, header);
done:
    free(list.ban);
    return result;
}
