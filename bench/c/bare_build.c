/*
 * Writes the file that bare.c maps: bare_build OUT <records, where records are
 * `idmap-posix 2`.
 *
 * Trusts its input: it is a measuring instrument, fed by bench/population.py
 * alone.
 */
#include "bare.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LINE_MAX_BYTES (1u << 20)

struct list {
    unsigned char *bytes;
    size_t used;
    size_t room;
};

struct group {
    char name[64];
    uint32_t id;
    uint32_t count;
    struct list members;
};

struct pending {
    uint64_t hash;
    uint32_t reference;
};

static struct list records;
static struct list pending[BARE_INDEXES];
static struct group *groups;
static size_t group_count;
static size_t group_room;

static void *
need(void *memory)
{
    if (memory == NULL) {
        perror("bare_build");
        exit(1);
    }
    return memory;
}

static void
add(struct list *list, const void *bytes, size_t n)
{
    if (list->used + n > list->room) {
        list->room = (list->used + n) * 2;
        list->bytes = need(realloc(list->bytes, list->room));
    }
    memcpy(list->bytes + list->used, bytes, n);
    list->used += n;
}

static void
align(struct list *list, size_t unit)
{
    static const char zeros[8];

    add(list, zeros, (unit - list->used % unit) % unit);
}

/* Notes where a record that is about to be written will be found. */
static void
point(int by_name, int by_id, const char *name, uint32_t id, size_t base)
{
    struct pending entry;

    align(&records, 8);
    entry.reference = (uint32_t)((base + records.used) / 8);
    entry.hash = bare_hash_name(name, strlen(name));
    add(&pending[by_name], &entry, sizeof(entry));
    entry.hash = bare_hash_id(id);
    add(&pending[by_id], &entry, sizeof(entry));
}

/* Groups come in order of gid. */
static struct group *
find_group(uint32_t id)
{
    size_t low = 0;
    size_t high = group_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (groups[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == group_count || groups[low].id != id)
        exit(2);
    return &groups[low];
}

/* user NAME uid gid state expires grace home shell gecos gids */
static void
add_user(char **field, size_t base)
{
    struct bare_record record = {(uint32_t)atol(field[2]), (uint32_t)atol(field[3]), 0, 0};
    struct list strings = {NULL, 0, 0};
    struct list gids = {NULL, 0, 0};

    add(&strings, field[1], strlen(field[1]) + 1);
    add(&strings, field[9], strlen(field[9]) + 1);
    add(&strings, field[7], strlen(field[7]) + 1);
    add(&strings, field[8], strlen(field[8]) + 1);
    add(&strings, "*", 2);
    record.strings_size = (uint32_t)strings.used;
    align(&strings, 4);
    for (char *at = strtok(field[10], ","); at != NULL; at = strtok(NULL, ",")) {
        uint32_t gid = (uint32_t)atol(at);
        struct group *group = find_group(gid);

        add(&gids, &gid, sizeof(gid));
        add(&group->members, field[1], strlen(field[1]) + 1);
        group->count++;
        record.count++;
    }
    point(BY_NAME, BY_ID, field[1], record.id, base);
    add(&records, &record, sizeof(record));
    add(&records, strings.bytes, strings.used);
    if (gids.used != 0)
        add(&records, gids.bytes, gids.used);
    free(strings.bytes);
    free(gids.bytes);
}

static void
add_group(char **field)
{
    if (group_count == group_room) {
        group_room = group_room * 2 + 64;
        groups = need(realloc(groups, group_room * sizeof(*groups)));
    }
    memset(&groups[group_count], 0, sizeof(*groups));
    strncpy(groups[group_count].name, field[1], sizeof(groups->name) - 1);
    groups[group_count++].id = (uint32_t)atol(field[2]);
}

static void
write_groups(size_t base)
{
    for (size_t i = 0; i < group_count; i++) {
        struct group *group = &groups[i];
        size_t name_size = strlen(group->name) + 1;
        struct bare_record record = {group->id, 0, 0, group->count};

        record.strings_size = (uint32_t)(name_size + 2 + group->members.used);
        point(GROUP_BY_NAME, GROUP_BY_ID, group->name, group->id, base);
        add(&records, &record, sizeof(record));
        add(&records, group->name, name_size);
        add(&records, "*", 2);
        if (group->members.used != 0)
            add(&records, group->members.bytes, group->members.used);
    }
}

/* Appends one index to the records; load is between a quarter and a half. */
static void
write_index(struct bare_header *header, int which, size_t base)
{
    size_t count = pending[which].used / sizeof(struct pending);
    size_t slots = 8;
    struct bare_slot *table;

    while (slots < count * 2)
        slots *= 2;
    table = need(calloc(slots, sizeof(*table)));
    for (size_t i = 0; i < count; i++) {
        struct pending entry;
        size_t at;

        memcpy(&entry, pending[which].bytes + i * sizeof(entry), sizeof(entry));
        for (at = entry.hash & (slots - 1); table[at].reference != 0; at = (at + 1) & (slots - 1))
            ;
        table[at].fingerprint = (uint32_t)(entry.hash >> 32);
        table[at].reference = entry.reference;
    }
    align(&records, 8);
    header->slots_at[which] = base + records.used;
    header->mask[which] = slots - 1;
    add(&records, table, slots * sizeof(*table));
    free(table);
}

int
main(int argc, char **argv)
{
    static char line[LINE_MAX_BYTES];
    struct bare_header header;
    FILE *out;

    if (argc != 2)
        return 2;
    while (fgets(line, sizeof(line), stdin) != NULL) {
        char *field[16] = {NULL};
        char *rest = line;
        int count = 0;

        line[strcspn(line, "\n")] = '\0';
        while (rest != NULL && count < 16)
            field[count++] = strsep(&rest, "\t");
        if (strcmp(field[0], "user") == 0 && count == 12)
            add_user(field, sizeof(header));
        else if (strcmp(field[0], "group") == 0)
            add_group(field);
    }
    write_groups(sizeof(header));
    for (int i = 0; i < BARE_INDEXES; i++)
        write_index(&header, i, sizeof(header));
    out = need(fopen(argv[1], "wb"));
    if (fwrite(&header, sizeof(header), 1, out) != 1 ||
        fwrite(records.bytes, records.used, 1, out) != 1 || fclose(out) != 0)
        return 1;
    return 0;
}
