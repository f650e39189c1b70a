/*
 * From checked records to the file: what needs all of them at once. Member lists are derived from
 * the users' own lists, because membership is told once; users and groups are indexed by the same
 * code. Each index's longest search is recorded, and the reader enforces it.
 */
#include "compile_posix.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 0x7fffffff

void *
layout_grow(void *array, size_t *room, size_t count, size_t more, size_t size)
{
    size_t wanted = *room + *room / 2 + more + 1024;
    void *grown;

    if (more <= *room - count)
        return array;
    grown = realloc(array, wanted * size);
    if (grown != NULL)
        *room = wanted;
    return grown;
}

enum result
layout_add(struct build *b, struct entries *entries, uint32_t number)
{
    struct input *in = b->in;
    struct entry *entry;
    char *names;

    if (entries->count == 0) {
        entries->first_line = in->line;
    } else if (number <= entries->entry[entries->count - 1].number) {
        if (number == entries->entry[entries->count - 1].number)
            return refuse(in, "number_repeated", "the number is given twice");
        return refuse(in, "out_of_order", "the numbers do not ascend");
    }
    if (entries->count == ENTRIES_MAX)
        return refuse(in, "too_large", "too many users or groups");
    entry = layout_grow(entries->entry, &entries->room, entries->count, 1, sizeof(*entry));
    if (entry == NULL)
        return failed("no_memory", in->path);
    entries->entry = entry;
    names = layout_grow(entries->names, &entries->names_room, entries->names_size, in->length[1],
                        sizeof(*names));
    if (names == NULL)
        return failed("no_memory", in->path);
    entries->names = names;
    entry += entries->count++;
    memset(entry, 0, sizeof(*entry));
    entry->number = number;
    entry->name = entries->names_size;
    entry->name_length = (uint8_t)in->length[1];
    memcpy(names + entries->names_size, in->field[1], in->length[1]);
    entries->names_size += in->length[1];
    return RESULT_OK;
}

/* An empty table for `count` entries, at most 61 % full. */
static bool
table_make(struct table *table, size_t count)
{
    table->slots = INDEX_MIN_SLOTS;
    while (table->slots * 61 < (uint64_t)count * 100)
        table->slots *= 2;
    table->slot = calloc(table->slots, sizeof(*table->slot));
    return table->slot != NULL;
}

/* Enters entry `i` at `slot`, which was found free after `probes` slots. */
static void
table_enter(struct table *table, uint32_t *slot, uint32_t fingerprint, size_t i, uint32_t probes)
{
    slot[0] = fingerprint;
    slot[1] = (uint32_t)i + 1;
    if (probes > table->max_probes)
        table->max_probes = probes;
}

/* The slot of the entry with this name, or the free one where it belongs. */
static uint32_t *
seek_name(const struct entries *entries, uint64_t hash, const char *name, size_t length,
          uint32_t *probes)
{
    const struct table *table = &entries->by_name;
    uint64_t at = hash & (table->slots - 1);

    for (*probes = 1;; ++*probes, at = (at + 1) & (table->slots - 1)) {
        uint32_t *slot = table->slot[at];
        const struct entry *entry;

        if (slot[1] == 0)
            return slot;
        entry = &entries->entry[slot[1] - 1];
        if (slot[0] == (uint32_t)(hash >> 32) && entry->name_length == length &&
            memcmp(entries->names + entry->name, name, length) == 0)
            return slot;
    }
}

/* The same by number. */
static uint32_t *
seek_number(const struct build *b, const struct entries *entries, uint32_t number, uint32_t *probes)
{
    const struct table *table = &entries->by_number;
    uint64_t at = format_hash_number(b->seed, number) & (table->slots - 1);

    for (*probes = 1;; ++*probes, at = (at + 1) & (table->slots - 1))
        if (table->slot[at][1] == 0 || table->slot[at][0] == number)
            return table->slot[at];
}

enum result
layout_index(struct build *b, struct entries *entries)
{
    uint32_t probes;

    if (!table_make(&entries->by_name, entries->count) ||
        !table_make(&entries->by_number, entries->count))
        return failed("no_memory", b->in->path);
    for (size_t i = 0; i < entries->count; i++) {
        const struct entry *entry = &entries->entry[i];
        const char *name = entries->names + entry->name;
        uint64_t hash = format_hash_name(b->seed, name, entry->name_length);
        uint32_t *slot = seek_name(entries, hash, name, entry->name_length, &probes);

        if (slot[1] != 0)
            return refuse_line(b->in, entries->first_line + i, "name_repeated",
                               "the name is given twice");
        table_enter(&entries->by_name, slot, (uint32_t)(hash >> 32), i, probes);
        slot = seek_number(b, entries, entry->number, &probes); /* free: the numbers ascend */
        table_enter(&entries->by_number, slot, entry->number, i, probes);
    }
    return RESULT_OK;
}

struct entry *
layout_find_number(struct build *b, struct entries *entries, uint32_t number)
{
    uint32_t probes;
    const uint32_t *slot = seek_number(b, entries, number, &probes);

    return slot[1] == 0 ? NULL : &entries->entry[slot[1] - 1];
}

struct entry *
layout_find_name(struct build *b, struct entries *entries, const char *name, size_t length)
{
    uint32_t probes;
    uint64_t hash = format_hash_name(b->seed, name, length);
    const uint32_t *slot = seek_name(entries, hash, name, length, &probes);

    return slot[1] == 0 ? NULL : &entries->entry[slot[1] - 1];
}

/* Says in the header where a section lies: from `offset` to what is written now. */
static void
note_section(struct build *b, enum posix_section section, uint64_t offset)
{
    unsigned char *place = b->header + POSIX_AT_SECTIONS + (size_t)section * 16;

    store_u64(place, offset);
    store_u64(place + 8, b->out->offset - offset);
}

/* For each group, the references of its members in the order of their numbers. The caller frees;
 * NULL when there is no memory. */
static uint32_t *
collect_members(struct build *b)
{
    uint32_t *members = calloc(b->gid_count + 1, sizeof(*members));
    size_t *next = calloc(b->groups.count + 1, sizeof(*next));
    const uint32_t *gid = b->gids;

    if (members == NULL || next == NULL) {
        free(members);
        free(next);
        return NULL;
    }
    for (size_t i = 0; i < b->groups.count; i++)
        next[i + 1] = next[i] + b->groups.entry[i].count;
    for (size_t i = 0; i < b->users.count; i++)
        for (uint32_t g = 0; g < b->users.entry[i].count; g++)
            members[next[*gid++]++] = b->users.entry[i].reference;
    free(next);
    return members;
}

/* Writes one group with its members, of which `*members` names the next. */
static enum result
write_group(struct build *b, struct entry *group, const uint32_t **members)
{
    unsigned char head[GROUP_AT_STRINGS + 36] = {0};
    size_t head_size = (size_t)round_up(GROUP_AT_STRINGS + group->name_length + 1u, 4);
    uint64_t size = round_up(head_size + (uint64_t)group->count * 4, REFERENCE_UNIT);

    if (size > UINT32_MAX || b->out->offset / REFERENCE_UNIT > UINT32_MAX)
        return refuse(b->in, "too_large", "the groups do not fit the format");
    group->reference = (uint32_t)(b->out->offset / REFERENCE_UNIT);
    store_u32(head + RECORD_AT_REFERENCE, group->reference);
    store_u32(head + RECORD_AT_SIZE, (uint32_t)size);
    store_u32(head + GROUP_AT_GID, group->number);
    store_u32(head + GROUP_AT_MEMBER_COUNT, group->count);
    head[GROUP_AT_NAME_LENGTH] = group->name_length;
    store_u32(head + GROUP_AT_MEMBERS_SIZE, group->members_size);
    memcpy(head + GROUP_AT_STRINGS, b->groups.names + group->name, group->name_length);
    if (output_write(b->out, head, head_size) != RESULT_OK)
        return RESULT_FAILED;
    for (uint32_t m = 0; m < group->count; m++) {
        unsigned char reference[4];

        store_u32(reference, *(*members)++);
        if (output_write(b->out, reference, sizeof(reference)) != RESULT_OK)
            return RESULT_FAILED;
    }
    return output_align(b->out, REFERENCE_UNIT);
}

static enum result
write_groups(struct build *b)
{
    uint32_t *members = collect_members(b);
    const uint32_t *at = members;
    enum result result;
    uint64_t start;

    if (members == NULL)
        return failed("no_memory", b->in->path);
    result = output_align(b->out, SECTION_ALIGN);
    start = b->out->offset;
    for (size_t i = 0; i < b->groups.count && result == RESULT_OK; i++)
        result = write_group(b, &b->groups.entry[i], &at);
    note_section(b, SECTION_GROUPS, start);
    free(members);
    return result;
}

/* Writes an index. The entries' numbers become references here. */
static enum result
write_table(struct build *b, enum posix_section section, const struct table *table,
            const struct entry *entry)
{
    enum result result = output_align(b->out, SECTION_ALIGN);
    uint64_t start = b->out->offset;

    for (uint64_t i = 0; i < table->slots && result == RESULT_OK; i++) {
        unsigned char slot[SLOT_SIZE] = {0};

        if (table->slot[i][1] != 0) {
            store_u32(slot, table->slot[i][0]);
            store_u32(slot + 4, entry[table->slot[i][1] - 1].reference);
        }
        result = output_write(b->out, slot, sizeof(slot));
    }
    note_section(b, section, start);
    store_u32(b->header + POSIX_AT_MAX_PROBES + (size_t)(section - SECTION_USER_NAMES) * 4,
              table->max_probes);
    return result;
}

static void
store_windows(unsigned char *p, const struct id_windows *windows)
{
    for (size_t i = 0; i < windows->count; i++) {
        store_u32(p + i * WINDOW_SIZE, windows->window[i].first);
        store_u32(p + i * WINDOW_SIZE + 4, windows->window[i].last);
    }
}

/* Completes the header; it goes over the zeros that opened the file. */
static enum result
write_header(struct build *b)
{
    unsigned char *header = b->header;

    memcpy(header, POSIX_MAGIC, MAGIC_SIZE);
    store_u32(header + POSIX_AT_VERSION, FORMAT_VERSION);
    store_u64(header + POSIX_AT_LENGTH, b->out->offset);
    memcpy(header + POSIX_AT_SEED, b->seed, sizeof(b->seed));
    store_u32(header + POSIX_AT_USERS, (uint32_t)b->users.count);
    store_u32(header + POSIX_AT_GROUPS, (uint32_t)b->groups.count);
    store_u32(header + POSIX_AT_UID_WINDOWS, b->users.windows.count);
    store_u32(header + POSIX_AT_GID_WINDOWS, b->groups.windows.count);
    store_windows(header + POSIX_AT_UID_WINDOW, &b->users.windows);
    store_windows(header + POSIX_AT_GID_WINDOW, &b->groups.windows);
    store_u32(header + POSIX_AT_CHECKSUM, format_checksum(header, POSIX_AT_CHECKSUM));
    return output_overwrite(b->out, 0, header, POSIX_HEADER_PAGE);
}

enum result
layout_finish(struct build *b)
{
    const struct entries *users = &b->users;
    const struct entries *groups = &b->groups;
    enum result result = layout_index(b, &b->users);

    note_section(b, SECTION_USERS, POSIX_HEADER_PAGE);
    if (result != RESULT_OK || (result = write_groups(b)) != RESULT_OK)
        return result;
    if (write_table(b, SECTION_USER_NAMES, &users->by_name, users->entry) != RESULT_OK ||
        write_table(b, SECTION_USER_NUMBERS, &users->by_number, users->entry) != RESULT_OK ||
        write_table(b, SECTION_GROUP_NAMES, &groups->by_name, groups->entry) != RESULT_OK ||
        write_table(b, SECTION_GROUP_NUMBERS, &groups->by_number, groups->entry) != RESULT_OK ||
        output_flush(b->out) != RESULT_OK)
        return RESULT_FAILED;
    return write_header(b);
}
