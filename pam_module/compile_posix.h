/*
 * What the two halves of the posix compiler share: the records on their way from text (checked in
 * compile_posix.c) to file (laid out in compile_layout.c). User records go straight to the output;
 * only twelve bytes of each stay in memory.
 */
#ifndef IDMAP_COMPILE_POSIX_H
#define IDMAP_COMPILE_POSIX_H

#include "compile.h"
#include "posix_db.h"

struct group_entry {
    uint64_t name; /* offset into build.names */
    unsigned long line;
    uint32_t gid_number;
    uint32_t reference;
    uint32_t member_count;
    uint32_t members_size;
    uint32_t stamp; /* the last user that named it, to find a gid named twice */
    uint8_t name_length;
};

struct user_entry {
    uint32_t uid_number;
    uint32_t reference;
    uint32_t line;
};

/* An index in the making: slots of {fingerprint, entry number plus one}. */
struct table {
    uint32_t (*slot)[2];
    uint64_t slots;
    uint32_t max_probes;
};

struct build {
    struct input *in;
    struct output *out;
    unsigned char header[POSIX_HEADER_PAGE];
    unsigned char seed[16];
    struct id_windows uids;
    struct id_windows gids;
    int stage;
    bool ended;
    struct group_entry *group;
    size_t group_count;
    size_t group_room;
    char *names;
    size_t names_size;
    size_t names_room;
    struct table group_names;
    struct table group_numbers;
    struct user_entry *user;
    size_t user_count;
    size_t user_room;
    bool users_unsorted;
    uint64_t memberships;
    unsigned char *record;        /* the user record being made */
    const unsigned char *written; /* the user section, mapped for the second pass */
    uint64_t written_size;
};

/* Sorts the groups, finds doubles, and makes their indexes. Call once, after the last group. */
enum result layout_groups(struct build *b);

/* The group with this number, or name; NULL when there is none. */
struct group_entry *layout_find_number(struct build *b, uint32_t gid_number);
struct group_entry *layout_find_name(struct build *b, const char *name, size_t length);

/* Everything after the last user record: order, groups with members, indexes, header. */
enum result layout_finish(struct build *b);

#endif
