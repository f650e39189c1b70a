/*
 * From checked records to the file: what needs all of them at once. Member lists are derived from
 * the users' own lists, because membership is told once; users and groups are indexed by the same
 * code. Each index's longest search is recorded, and the reader enforces it.
 */
#include "compile.h"

#include <stdlib.h>

struct entry *
layout_add(struct build *b, enum posix_kind kind, uint32_t number)
{
    const struct input *in = &b->in;
    struct entries *all = &b->all[kind];
    size_t name_size = strlen(in->field[1]) + 1;
    struct entry *entry;

    if (all->count == 0)
        all->first_line = in->line;
    else if (number == all->entry[all->count - 1].number)
        refuse(in, "number_repeated", "the number is given twice");
    else if (number < all->entry[all->count - 1].number)
        refuse(in, "out_of_order", "the numbers do not ascend");
    all->entry = grow(all->entry, &all->room, all->count + 1, sizeof(*all->entry));
    all->names = grow(all->names, &all->names_room, all->names_size + name_size, 1);
    entry = &all->entry[all->count++];
    *entry = (struct entry){.name = all->names_size, .number = number};
    memcpy(all->names + all->names_size, in->field[1], name_size);
    all->names_size += name_size;
    return entry;
}

/* The slot of the entry with this name, or (NULL) this number, or the free one where it belongs,
 * then with its fingerprint; `*probes` tells how many were looked at. */
static struct slot *
seek(const struct build *b, enum posix_kind kind, const char *name, uint32_t number,
     uint32_t *probes)
{
    const struct entries *all = &b->all[kind];
    struct slot *slots = all->slots[name != NULL ? KEY_NAME : KEY_NUMBER];
    uint64_t hash = name != NULL ? format_hash_name(b->seed, name, strlen(name))
                                 : format_hash_number(b->seed, number);
    uint32_t fingerprint = name != NULL ? (uint32_t)(hash >> 32) : number;

    for (*probes = 1;; ++*probes, hash++) {
        struct slot *slot = &slots[hash & (all->slot_count - 1)];

        if (slot->entry == 0)
            slot->fingerprint = fingerprint;
        if (slot->entry == 0 ||
            (slot->fingerprint == fingerprint &&
             (name == NULL || strcmp(all->names + all->entry[slot->entry - 1].name, name) == 0)))
            return slot;
    }
}

void
layout_index(struct build *b, enum posix_kind kind)
{
    struct entries *all = &b->all[kind];

    all->slot_count = INDEX_MIN_SLOTS;
    while (all->slot_count * 61 < (uint64_t)all->count * 100) /* at most 61 % full */
        all->slot_count *= 2;
    for (enum posix_key key = KEY_NAME; key < KEY_COUNT; key++) {
        all->slots[key] = calloc(all->slot_count, sizeof(*all->slots[key]));
        if (all->slots[key] == NULL)
            fail("no_memory", b->in.path);
        for (size_t i = 0; i < all->count; i++) {
            const char *name = key == KEY_NAME ? all->names + all->entry[i].name : NULL;
            uint32_t probes;
            struct slot *slot = seek(b, kind, name, all->entry[i].number, &probes);

            if (slot->entry != 0) { /* a name's: the numbers ascend */
                b->in.line = all->first_line + i;
                refuse(&b->in, "name_repeated", "the name is given twice");
            }
            slot->entry = (uint32_t)i + 1;
            if (probes > all->max_probes[key])
                all->max_probes[key] = probes;
        }
    }
}

struct entry *
layout_group(struct build *b, const char *name, uint32_t number)
{
    uint32_t probes;
    const struct slot *slot = seek(b, POSIX_GROUP, name, number, &probes);

    return slot->entry == 0 ? NULL : &b->all[POSIX_GROUP].entry[slot->entry - 1];
}

/* Says in the header that a section lies from `offset` to what is written now. */
static void
note_section(struct build *b, size_t section, uint64_t offset)
{
    unsigned char *place = b->header + POSIX_AT_SECTIONS + section * 16;

    store_u64(place, offset);
    store_u64(place + 8, b->out.offset - offset);
}

/* For each group, the references of its members in the order of their numbers, as they stand in
 * the file. The caller frees. */
static uint32_t *
collect_members(struct build *b)
{
    const struct entries *users = &b->all[POSIX_USER];
    const struct entries *groups = &b->all[POSIX_GROUP];
    uint32_t *members = calloc(b->group_count + 1, sizeof(*members));
    size_t *next = calloc(groups->count + 1, sizeof(*next));
    const uint32_t *group = b->groups;

    if (members == NULL || next == NULL)
        fail("no_memory", b->in.path);
    for (size_t i = 0; i < groups->count; i++)
        next[i + 1] = next[i] + groups->entry[i].count;
    for (size_t i = 0; i < users->count; i++)
        for (uint32_t g = 0; g < users->entry[i].count; g++)
            store_u32((unsigned char *)&members[next[*group++]++], users->entry[i].reference);
    free(next);
    return members;
}

void
layout_record(struct build *b, struct entry *entry, unsigned char *head, size_t head_size,
              const void *strings, size_t strings_size, const void *list, size_t count)
{
    uint64_t size = round_up(round_up(head_size + strings_size, 4) + count * 4, REFERENCE_UNIT);
    uint64_t reference = b->out.offset / REFERENCE_UNIT;

    if (size > UINT32_MAX || reference > UINT32_MAX)
        refuse(&b->in, "too_large", "the records do not fit the format");
    entry->reference = (uint32_t)reference;
    store_u32(head + RECORD_AT_REFERENCE, entry->reference);
    store_u32(head + RECORD_AT_SIZE, (uint32_t)size);
    store_u32(head + RECORD_AT_NUMBER, entry->number);
    head[RECORD_AT_NAME_LENGTH] = (unsigned char)strlen(strings); /* the name comes first */
    output_write(&b->out, head, head_size);
    output_write(&b->out, strings, strings_size);
    output_align(&b->out, 4);
    output_write(&b->out, list, count * 4);
    output_align(&b->out, REFERENCE_UNIT);
}

static void
write_group(struct build *b, struct entry *group, const uint32_t *members)
{
    const char *name = b->all[POSIX_GROUP].names + group->name;
    unsigned char head[GROUP_AT_STRINGS] = {0};

    head[GROUP_AT_FLAGS] = group->is_withheld ? GROUP_FLAG_MEMBERS_WITHHELD : 0;
    store_u32(head + GROUP_AT_MEMBER_COUNT, group->count);
    store_u32(head + GROUP_AT_MEMBERS_SIZE, group->members_size);
    layout_record(b, group, head, sizeof(head), name, strlen(name) + 1, members, group->count);
}

static void
write_groups(struct build *b)
{
    struct entries *groups = &b->all[POSIX_GROUP];
    uint32_t *members = collect_members(b);
    const uint32_t *at = members;
    uint64_t start;

    output_align(&b->out, SECTION_ALIGN);
    start = b->out.offset;
    for (size_t i = 0; i < groups->count; at += groups->entry[i++].count)
        write_group(b, &groups->entry[i], at);
    note_section(b, POSIX_GROUP, start);
    free(members);
}

/* Writes an index, whose entry numbers become references here. */
static void
write_index(struct build *b, enum posix_kind kind, enum posix_key key)
{
    const struct entries *all = &b->all[kind];
    size_t index = INDEX_OF(kind, key);
    uint64_t start;

    output_align(&b->out, SECTION_ALIGN);
    start = b->out.offset;
    for (uint64_t i = 0; i < all->slot_count; i++) {
        struct slot slot = all->slots[key][i];
        unsigned char *place = (unsigned char *)&all->slots[key][i];

        store_u32(place, slot.entry == 0 ? 0 : slot.fingerprint);
        store_u32(place + 4, slot.entry == 0 ? 0 : all->entry[slot.entry - 1].reference);
    }
    output_write(&b->out, all->slots[key], all->slot_count * SLOT_SIZE);
    note_section(b, SECTION_OF_INDEX(index), start);
    store_u32(b->header + POSIX_AT_MAX_PROBES + index * 4, all->max_probes[key]);
}
_Static_assert(sizeof(struct slot) == SLOT_SIZE, "slots become the file's in place");

void
layout_finish(struct build *b)
{
    layout_index(b, POSIX_USER);
    note_section(b, POSIX_USER, POSIX_HEADER_PAGE);
    write_groups(b);
    memcpy(b->header + POSIX_AT_SEED, b->seed, sizeof(b->seed));
    for (enum posix_kind kind = POSIX_USER; kind < POSIX_KINDS; kind++) {
        const struct entries *all = &b->all[kind];
        unsigned char *at = b->header + POSIX_AT_WINDOW + (size_t)kind * WINDOW_MAX * WINDOW_SIZE;

        for (enum posix_key key = KEY_NAME; key < KEY_COUNT; key++)
            write_index(b, kind, key);
        store_u32(b->header + POSIX_AT_COUNTS + (size_t)kind * 4, (uint32_t)all->count);
        store_u32(b->header + POSIX_AT_WINDOWS + (size_t)kind * 4, all->windows.count);
        for (size_t i = 0; i < all->windows.count; i++, at += WINDOW_SIZE) {
            store_u32(at, all->windows.window[i].first);
            store_u32(at + 4, all->windows.window[i].last);
        }
    }
    memcpy(b->header, POSIX_MAGIC, MAGIC_SIZE);
    store_u32(b->header + AT_VERSION, FORMAT_VERSION);
    store_u64(b->header + AT_LENGTH, b->out.offset);
    store_u32(b->header + POSIX_AT_CHECKSUM, format_checksum(b->header, POSIX_AT_CHECKSUM));
}
