/*
 * What the two halves of the posix compiler share: the records on their way from text (checked in
 * compile_posix.c) to file (laid out in compile_layout.c). Records come in ascending order of their
 * numbers, so users go straight to the output; what the indexes and the member lists need of each
 * stays in memory.
 */
#ifndef IDMAP_COMPILE_POSIX_H
#define IDMAP_COMPILE_POSIX_H

#include "compile.h"
#include "posix_db.h"

/* What stays in memory of a user or a group. */
struct entry {
    uint64_t name; /* offset into entries.names */
    uint32_t number;
    uint32_t reference;
    uint32_t count;        /* a user's secondary gids, or a group's members */
    uint32_t members_size; /* of a group: bytes of its members' names with their zeros */
    uint32_t stamp;        /* of a group: the last user that named it, to find one named twice */
    uint8_t name_length;
};

/* An index in the making: slots of {fingerprint, entry number plus one}. */
struct table {
    uint32_t (*slot)[2];
    uint64_t slots;
    uint32_t max_probes;
};

/* All users, or all groups. */
struct entries {
    struct entry *entry;
    size_t count;
    size_t room;
    char *names;
    size_t names_size;
    size_t names_room;
    unsigned long first_line; /* of the first one; they come without a gap */
    struct id_windows windows;
    struct table by_name;
    struct table by_number;
};

struct build {
    struct input *in;
    struct output *out;
    unsigned char header[POSIX_HEADER_PAGE];
    unsigned char seed[16];
    int stage;
    struct entries users;
    struct entries groups;
    uint32_t *gids; /* the groups' entry numbers of all users, one list after the other */
    size_t gid_count;
    size_t gid_room;
    unsigned char *record; /* the user record being made */
};

/* Adds an entry with the name in field 1 of the line. Refuses a number that is not above the last
 * one's. */
enum result layout_add(struct build *b, struct entries *entries, uint32_t number);

/* Makes both indexes; refuses a name given twice. Call once, after the last entry. */
enum result layout_index(struct build *b, struct entries *entries);

/* The entry with this number, or name; NULL when there is none. After layout_index. */
struct entry *layout_find_number(struct build *b, struct entries *entries, uint32_t number);
struct entry *layout_find_name(struct build *b, struct entries *entries, const char *name,
                               size_t length);

/* Everything after the last user record: groups with members, indexes, header. */
enum result layout_finish(struct build *b);

/* The array with room for `more` elements of `size` bytes beside `count`; NULL when there is no
 * memory (the array is then as it was). */
void *layout_grow(void *array, size_t *room, size_t count, size_t more, size_t size);

#endif
