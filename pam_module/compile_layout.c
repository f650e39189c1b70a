/*
 * From checked records to the file: what needs all of them at once. Users are sorted by number if
 * they did not come so; member lists are derived from the users' own lists, because membership is
 * told once; four indexes are filled. Each index's longest search is recorded, and the reader
 * enforces it.
 */
#include "compile_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORGET_AFTER (8u << 20) /* of a mapped section walked through, to keep memory bounded */

/* An empty table for `count` entries, at most 61 % full. */
static bool
table_make(struct table *table, size_t count)
{
    table->slots = INDEX_MIN_SLOTS;
    while (table->slots * 61 < (uint64_t)count * 100)
        table->slots *= 2;
    table->max_probes = 0;
    table->slot = calloc(table->slots, sizeof(*table->slot));
    return table->slot != NULL;
}

/* Whether entry `i` has the key that is looked for. */
typedef bool (*same_key)(const struct build *b, uint32_t i, const void *key);

/* The place of the entry with this key, or of the free slot where it belongs. */
static uint32_t *
table_seek(const struct build *b, struct table *table, uint64_t hash, uint32_t fingerprint,
           same_key same, const void *key, uint32_t *probes)
{
    uint64_t at = hash & (table->slots - 1);

    for (*probes = 1;; ++*probes) {
        uint32_t *slot = table->slot[at];

        if (slot[1] == 0 || (slot[0] == fingerprint && same(b, slot[1] - 1, key)))
            return slot;
        at = (at + 1) & (table->slots - 1);
    }
}

/* Enters entry `i`. Gives false, with the other entry in `*other`, when its key is there. */
static bool
table_enter(const struct build *b, struct table *table, uint64_t hash, uint32_t fingerprint,
            same_key same, const void *key, uint32_t i, uint32_t *other)
{
    uint32_t probes;
    uint32_t *slot = table_seek(b, table, hash, fingerprint, same, key, &probes);

    if (slot[1] != 0) {
        *other = slot[1] - 1;
        return false;
    }
    slot[0] = fingerprint;
    slot[1] = i + 1;
    if (probes > table->max_probes)
        table->max_probes = probes;
    return true;
}

struct name_key {
    const char *name;
    size_t length;
};

static bool
group_has_name(const struct build *b, uint32_t i, const void *key)
{
    const struct name_key *wanted = key;

    return b->group[i].name_length == wanted->length &&
           memcmp(b->names + b->group[i].name, wanted->name, wanted->length) == 0;
}

static bool
group_has_number(const struct build *b, uint32_t i, const void *key)
{
    const uint32_t *wanted = key;

    return b->group[i].gid_number == *wanted;
}

/* The record of user `i` in the mapped section. */
static const unsigned char *
user_record(const struct build *b, size_t i)
{
    return b->written + (uint64_t)b->user[i].reference * REFERENCE_UNIT;
}

static bool
user_has_name(const struct build *b, uint32_t i, const void *key)
{
    const struct name_key *wanted = key;
    const unsigned char *record = user_record(b, i);

    return record[USER_AT_NAME_LENGTH] == wanted->length &&
           memcmp(record + USER_AT_STRINGS, wanted->name, wanted->length) == 0;
}

static bool
user_has_number(const struct build *b, uint32_t i, const void *key)
{
    const uint32_t *wanted = key;

    return b->user[i].uid_number == *wanted;
}

static int
compare_groups(const void *left, const void *right)
{
    const struct group_entry *a = left;
    const struct group_entry *b = right;

    if (a->gid_number != b->gid_number)
        return a->gid_number < b->gid_number ? -1 : 1;
    return a->line < b->line ? -1 : 1;
}

static int
compare_users(const void *left, const void *right)
{
    const struct user_entry *a = left;
    const struct user_entry *b = right;

    if (a->uid_number != b->uid_number)
        return a->uid_number < b->uid_number ? -1 : 1;
    return a->line < b->line ? -1 : 1;
}

enum result
layout_groups(struct build *b)
{
    uint32_t other;

    if (!table_make(&b->group_names, b->group_count) ||
        !table_make(&b->group_numbers, b->group_count))
        return failed("no_memory", b->in->path);
    if (b->group_count > 0)
        qsort(b->group, b->group_count, sizeof(*b->group), compare_groups);
    for (uint32_t i = 0; i < b->group_count; i++) {
        struct group_entry *group = &b->group[i];
        struct name_key key = {b->names + group->name, group->name_length};
        uint64_t hash = format_hash_name(b->seed, key.name, key.length);

        if (!table_enter(b, &b->group_numbers, format_hash_number(b->seed, group->gid_number),
                         group->gid_number, group_has_number, &group->gid_number, i, &other))
            return refuse_line(b->in, group->line, "number_repeated", "the gid is given twice");
        if (!table_enter(b, &b->group_names, hash, (uint32_t)(hash >> 32), group_has_name, &key, i,
                         &other)) {
            unsigned long line = b->group[other].line;

            return refuse_line(b->in, group->line > line ? group->line : line, "name_repeated",
                               "the group name is given twice");
        }
    }
    return RESULT_OK;
}

struct group_entry *
layout_find_number(struct build *b, uint32_t gid_number)
{
    uint32_t probes;
    uint32_t *slot = table_seek(b, &b->group_numbers, format_hash_number(b->seed, gid_number),
                                gid_number, group_has_number, &gid_number, &probes);

    return slot[1] == 0 ? NULL : &b->group[slot[1] - 1];
}

struct group_entry *
layout_find_name(struct build *b, const char *name, size_t length)
{
    struct name_key key = {name, length};
    uint64_t hash = format_hash_name(b->seed, name, length);
    uint32_t probes;
    uint32_t *slot =
        table_seek(b, &b->group_names, hash, (uint32_t)(hash >> 32), group_has_name, &key, &probes);

    return slot[1] == 0 ? NULL : &b->group[slot[1] - 1];
}

/* Maps what is written so far. */
static enum result
map_written(struct build *b)
{
    void *base;

    if (output_flush(b->out) != RESULT_OK)
        return RESULT_FAILED;
    b->written_size = b->out->offset;
    base = mmap(NULL, (size_t)b->written_size, PROT_READ, MAP_SHARED, b->out->fd, 0);
    if (base == MAP_FAILED)
        return failed("no_memory", b->out->temporary);
    b->written = base;
    return RESULT_OK;
}

static void
unmap_written(struct build *b)
{
    union {
        const unsigned char *in;
        void *out;
    } base = {b->written};

    if (base.out != NULL)
        munmap(base.out, (size_t)b->written_size);
    b->written = NULL;
}

/* Gives back the pages of the mapping before `record`, once per FORGET_AFTER bytes. */
static void
forget_before(struct build *b, const unsigned char *record, uint64_t *forgotten)
{
    uint64_t at = (uint64_t)(record - b->written) & ~(uint64_t)(FORGET_AFTER - 1);
    union {
        const unsigned char *in;
        void *out;
    } base = {b->written + *forgotten};

    if (at <= *forgotten)
        return;
    madvise(base.out, (size_t)(at - *forgotten), MADV_DONTNEED);
    *forgotten = at;
}

/* Copies the user section into an unnamed file beside the target and maps it there instead. */
static enum result
map_copy(struct build *b, int *fd)
{
    uint64_t done = 0;
    void *base;

    (void)unlinkat(b->out->directory, b->out->unsorted, 0);
    *fd = openat(b->out->directory, b->out->unsorted, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (*fd < 0)
        return failed("output_unwritable", b->out->unsorted);
    (void)unlinkat(b->out->directory, b->out->unsorted, 0);
    while (done < b->written_size) {
        ssize_t n = write(*fd, b->written + done, (size_t)(b->written_size - done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return failed("output_unwritable", b->out->name);
        done += (uint64_t)n;
    }
    base = mmap(NULL, (size_t)b->written_size, PROT_READ, MAP_SHARED, *fd, 0);
    if (base == MAP_FAILED)
        return failed("no_memory", b->out->name);
    unmap_written(b);
    b->written = base;
    return RESULT_OK;
}

/* Writes the user records anew, in the order of their numbers. */
static enum result
sort_users(struct build *b)
{
    enum result result = map_written(b);
    int fd = -1;

    if (result == RESULT_OK)
        result = map_copy(b, &fd);
    if (result != RESULT_OK)
        goto done;
    qsort(b->user, b->user_count, sizeof(*b->user), compare_users);
    b->out->offset = POSIX_HEADER_PAGE;
    for (size_t i = 0; i < b->user_count && result == RESULT_OK; i++) {
        const unsigned char *record = user_record(b, i);
        unsigned char reference[4];

        b->user[i].reference = (uint32_t)(b->out->offset / REFERENCE_UNIT);
        store_u32(reference, b->user[i].reference);
        result = output_write(b->out, reference, sizeof(reference));
        if (result == RESULT_OK)
            result = output_write(b->out, record + sizeof(reference),
                                  load_u32(record + RECORD_AT_SIZE) - sizeof(reference));
    }
done:
    unmap_written(b);
    if (fd >= 0)
        close(fd);
    return result;
}

/* Says in the header where a section lies: from `offset` to what is written now. */
static void
note_section(struct build *b, enum posix_section section, uint64_t offset)
{
    unsigned char *place = b->header + POSIX_AT_SECTIONS + (size_t)section * 16;

    store_u64(place, offset);
    store_u64(place + 8, b->out->offset - offset);
}

/* For each group, the references of its members in the order of their numbers. The caller frees. */
static uint32_t *
collect_members(struct build *b)
{
    uint32_t *members = calloc((size_t)b->memberships + 1, sizeof(*members));
    uint64_t *next = calloc(b->group_count + 1, sizeof(*next));
    uint64_t forgotten = 0;

    if (members == NULL || next == NULL) {
        free(members);
        members = NULL;
        goto done;
    }
    for (size_t i = 0; i < b->group_count; i++)
        next[i + 1] = next[i] + b->group[i].member_count;
    for (size_t i = 0; i < b->user_count; i++) {
        const unsigned char *record = user_record(b, i);
        uint32_t count = load_u32(record + USER_AT_GID_COUNT);
        size_t strings = (size_t)record[USER_AT_NAME_LENGTH] +
                         load_u16(record + USER_AT_GECOS_LENGTH) +
                         load_u16(record + USER_AT_HOME_LENGTH) +
                         load_u16(record + USER_AT_SHELL_LENGTH) + (size_t)4;
        const unsigned char *gids = record + round_up(USER_AT_STRINGS + strings, 4);

        for (uint32_t g = 0; g < count; g++) {
            struct group_entry *group = layout_find_number(b, load_u32(gids + (size_t)g * 4));

            members[next[group - b->group]++] = b->user[i].reference;
        }
        forget_before(b, record, &forgotten);
    }
done:
    free(next);
    return members;
}

static enum result
write_groups(struct build *b)
{
    uint32_t *members = collect_members(b);
    const uint32_t *at = members;
    uint64_t start;
    enum result result;

    if (members == NULL)
        return failed("no_memory", b->in->path);
    result = output_align(b->out, SECTION_ALIGN);
    start = b->out->offset;
    for (size_t i = 0; i < b->group_count && result == RESULT_OK; i++) {
        struct group_entry *group = &b->group[i];
        unsigned char head[GROUP_AT_STRINGS + 36] = {0};
        size_t head_size = (size_t)round_up(GROUP_AT_STRINGS + group->name_length + 1u, 4);
        uint64_t size = round_up(head_size + (uint64_t)group->member_count * 4, REFERENCE_UNIT);

        if (size > UINT32_MAX || b->out->offset / REFERENCE_UNIT > UINT32_MAX) {
            result = refuse(b->in, "too_large", "the groups do not fit the format");
            break;
        }
        group->reference = (uint32_t)(b->out->offset / REFERENCE_UNIT);
        store_u32(head + RECORD_AT_REFERENCE, group->reference);
        store_u32(head + RECORD_AT_SIZE, (uint32_t)size);
        store_u32(head + GROUP_AT_GID, group->gid_number);
        store_u32(head + GROUP_AT_MEMBER_COUNT, group->member_count);
        head[GROUP_AT_NAME_LENGTH] = group->name_length;
        store_u32(head + GROUP_AT_MEMBERS_SIZE, group->members_size);
        memcpy(head + GROUP_AT_STRINGS, b->names + group->name, group->name_length);
        result = output_write(b->out, head, head_size);
        for (uint32_t m = 0; m < group->member_count && result == RESULT_OK; m++) {
            unsigned char reference[4];

            store_u32(reference, *at++);
            result = output_write(b->out, reference, sizeof(reference));
        }
        if (result == RESULT_OK)
            result = output_align(b->out, REFERENCE_UNIT);
    }
    note_section(b, SECTION_GROUPS, start);
    free(members);
    return result;
}

/* Writes an index and frees it. The entries' numbers become references here. */
static enum result
write_table(struct build *b, enum posix_section section, struct table *table, bool of_users)
{
    enum result result = output_align(b->out, SECTION_ALIGN);
    uint64_t start = b->out->offset;

    for (uint64_t i = 0; i < table->slots && result == RESULT_OK; i++) {
        unsigned char slot[SLOT_SIZE] = {0};
        uint32_t entry = table->slot[i][1];

        if (entry != 0) {
            store_u32(slot, table->slot[i][0]);
            store_u32(slot + 4,
                      of_users ? b->user[entry - 1].reference : b->group[entry - 1].reference);
        }
        result = output_write(b->out, slot, sizeof(slot));
    }
    note_section(b, section, start);
    store_u32(b->header + POSIX_AT_MAX_PROBES + (size_t)(section - SECTION_USER_NAMES) * 4,
              table->max_probes);
    free(table->slot);
    table->slot = NULL;
    return result;
}

/* Enters all users in `table` by name or by number; refuses a key that comes twice. */
static enum result
enter_users(struct build *b, struct table *table, bool by_name)
{
    uint64_t forgotten = 0;
    uint32_t other;

    for (uint32_t i = 0; i < b->user_count; i++) {
        uint32_t number = b->user[i].uid_number;
        unsigned long line = b->user[i].line;
        bool entered;

        if (by_name) {
            const unsigned char *record = user_record(b, i);
            struct name_key key = {(const char *)record + USER_AT_STRINGS,
                                   record[USER_AT_NAME_LENGTH]};
            uint64_t hash = format_hash_name(b->seed, key.name, key.length);

            entered =
                table_enter(b, table, hash, (uint32_t)(hash >> 32), user_has_name, &key, i, &other);
            forget_before(b, record, &forgotten);
        } else {
            entered = table_enter(b, table, format_hash_number(b->seed, number), number,
                                  user_has_number, &number, i, &other);
        }
        if (!entered) {
            if (b->user[other].line > line)
                line = b->user[other].line;
            return by_name
                       ? refuse_line(b->in, line, "name_repeated", "the username is given twice")
                       : refuse_line(b->in, line, "number_repeated", "the uid is given twice");
        }
    }
    return RESULT_OK;
}

static enum result
write_user_table(struct build *b, enum posix_section section)
{
    struct table table = {0};
    enum result result;

    if (!table_make(&table, b->user_count))
        return failed("no_memory", b->in->path);
    result = enter_users(b, &table, section == SECTION_USER_NAMES);
    if (result == RESULT_OK)
        result = write_table(b, section, &table, true);
    free(table.slot);
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
    store_u32(header + POSIX_AT_USERS, (uint32_t)b->user_count);
    store_u32(header + POSIX_AT_GROUPS, (uint32_t)b->group_count);
    store_u32(header + POSIX_AT_UID_WINDOWS, b->uids.count);
    store_u32(header + POSIX_AT_GID_WINDOWS, b->gids.count);
    store_windows(header + POSIX_AT_UID_WINDOW, &b->uids);
    store_windows(header + POSIX_AT_GID_WINDOW, &b->gids);
    store_u32(header + POSIX_AT_CHECKSUM, format_checksum(header, POSIX_AT_CHECKSUM));
    return output_overwrite(b->out, 0, header, POSIX_HEADER_PAGE);
}

enum result
layout_finish(struct build *b)
{
    enum result result = RESULT_OK;

    if (b->users_unsorted)
        result = sort_users(b);
    if (result == RESULT_OK)
        result = map_written(b);
    if (result != RESULT_OK)
        return result;
    note_section(b, SECTION_USERS, POSIX_HEADER_PAGE);
    if ((result = write_groups(b)) != RESULT_OK ||
        (result = write_user_table(b, SECTION_USER_NAMES)) != RESULT_OK ||
        (result = write_user_table(b, SECTION_USER_NUMBERS)) != RESULT_OK ||
        (result = write_table(b, SECTION_GROUP_NAMES, &b->group_names, false)) != RESULT_OK ||
        (result = write_table(b, SECTION_GROUP_NUMBERS, &b->group_numbers, false)) != RESULT_OK ||
        (result = output_flush(b->out)) != RESULT_OK)
        goto done;
    result = write_header(b);
done:
    unmap_written(b);
    return result;
}
