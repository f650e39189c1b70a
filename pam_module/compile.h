/*
 * idmap-compile, the only writer of posix.db: what its parts share.
 *
 * Text records come in one per line, are checked on their own (law 10: whoever signed them), and go
 * to a file beside the target that takes its place only when complete. What cannot go on says why
 * on standard error and ends the program, so every call that returns has done what it says.
 */
#ifndef IDMAP_COMPILE_H
#define IDMAP_COMPILE_H

#include <stdbool.h>
#include <stdio.h>

#include "posix_db.h"

enum status { STATUS_DONE, STATUS_REFUSED, STATUS_USAGE, STATUS_FAILED };

#define FIELD_MAX 12
#define SECONDARY_MAX 65535 /* the kernel takes 65 536 groups, the primary one included */

/* A text file, read line by line and split at tabs. */
struct input {
    const char *path; /* as said in messages */
    FILE *file;
    unsigned long line;
    int count;              /* fields of this line */
    char *field[FIELD_MAX]; /* each ended by a zero, the only one; good until the next line */
};

/* The file being written, `<target>.tmp`. `<target>.lock` is locked as long as the program runs. */
struct output {
    int directory;
    FILE *file;
    const char *name; /* of the target, in its directory */
    char *temporary;
    char *previous;
    uint64_t offset; /* where the next byte goes */
};

/* What stays in memory of a user or a group. */
struct entry {
    uint64_t name; /* offset into entries.names */
    uint32_t number;
    uint32_t reference;
    uint32_t count;        /* a user's places in groups with lists, or a group's members */
    uint32_t members_size; /* of a group: bytes of its members' names with their zeros */
    uint32_t stamp;        /* of a group: the last user that named it, to find one named twice */
    bool is_withheld;      /* of a group: its members are not listed, nor collected */
};

/* Of an index in the making. */
struct slot {
    uint32_t fingerprint;
    uint32_t entry; /* its number plus one; 0: the slot is free */
};

/* All users, or all groups. */
struct entries {
    struct entry *entry;
    size_t count;
    size_t room;
    char *names; /* each with its zero */
    size_t names_size;
    size_t names_room;
    unsigned long first_line; /* of the first one; they come without a gap */
    struct id_windows windows;
    uint64_t slot_count; /* of each index */
    struct slot *slots[KEY_COUNT];
    uint32_t max_probes[KEY_COUNT];
};

/* A posix.db on its way from text to bytes. Records come in ascending order of their numbers, so
 * users go straight to the output; what the indexes and the member lists need of each stays in
 * memory. What is allocated here lasts as long as the program. */
struct build {
    struct input in;
    struct output out;
    unsigned char header[POSIX_HEADER_PAGE];
    unsigned char seed[16];
    int stage; /* which kind of record was the last */
    struct entries all[POSIX_KINDS];
    uint32_t *groups; /* entry numbers of the groups that list each user, one after the other */
    size_t group_count;
    size_t group_room;
    unsigned char gids[SECONDARY_MAX * 4]; /* of the user being read, as they go to the file */
};

/* Removes the unfinished output and ends the program with `status`. */
_Noreturn void compile_end(enum status status);

/* Says `FILE:LINE: reason [code]` for the current line; STATUS_REFUSED. */
_Noreturn void refuse(const struct input *in, const char *code, const char *reason);

/* Says `what: errno's text [code]`; STATUS_FAILED. */
_Noreturn void fail(const char *code, const char *what);

/* The array with room for `wanted` elements of `size` bytes; `*room` says for how many it has. */
void *grow(void *array, size_t *room, size_t wanted, size_t size);

/* Opens `path`, or standard input for "-". */
void input_open(struct input *in, const char *path);

/* Reads the next line; false when there is none. Refuses a last line without its end, control
 * characters, lines above 1 MiB and more than FIELD_MAX fields. */
bool input_next(struct input *in);

/* The decimal number `text`, at most `max`: digits only, no sign, no leading zero. */
uint64_t input_number(const struct input *in, const char *text, uint64_t max);

/* Prepares to write beside `target`. */
void output_open(struct output *out, const char *target);
void output_write(struct output *out, const void *bytes, size_t n);
void output_align(struct output *out, size_t unit); /* with zeros */

/* Puts the header, now that all of it is known, over the page that was written first, and the
 * finished file in the target's place: sync, rename, sync of the directory. The replaced file keeps
 * a second name, `<target>.previous`, until its superseded word is set; one left by an earlier run
 * is settled first. */
void output_install(struct output *out, const unsigned char header[POSIX_HEADER_PAGE]);

/* Ends an interrupted replacement of `target`: marks and removes `<target>.previous`. */
void output_settle(struct output *out, const char *target);

/* From the input's first record to the last byte of the output, and `b->header`. `b` is zeroed but
 * for its seed, and its input and output, which are open. */
void compile_posix(struct build *b);

/* Adds an entry with the name in field 1 of the line. Refuses a number that is not above the last
 * one's. */
struct entry *layout_add(struct build *b, enum posix_kind kind, uint32_t number);

/* Makes both indexes; refuses a name given twice. Call once, after the last entry. */
void layout_index(struct build *b, enum posix_kind kind);

/* The group with this name, or (NULL) this number; NULL when there is none. After layout_index. */
struct entry *layout_group(struct build *b, const char *name, uint32_t number);

/* Writes a record: `head`, in which only what all records have is missing, the strings, and the
 * list of `count` 32-bit numbers. */
void layout_record(struct build *b, struct entry *entry, unsigned char *head, size_t head_size,
                   const void *strings, size_t strings_size, const void *list, size_t count);

/* Everything after the last user record: groups with members, indexes, header. */
void layout_finish(struct build *b);

#endif
