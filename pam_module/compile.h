/*
 * idmap-compile, the only writer of posix.db and bans.db: what its parts share.
 *
 * Text records come in one per line, are checked on their own (law 10: whoever signed them), and go
 * to a file beside the target that takes its place only when complete. Every function that can fail
 * has already said why on standard error when it gives something other than RESULT_OK.
 */
#ifndef IDMAP_COMPILE_H
#define IDMAP_COMPILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Also the exit status. */
enum result { RESULT_OK, RESULT_REFUSED, RESULT_USAGE, RESULT_FAILED };

#define FIELD_MAX 11

/* A text file, read line by line and split at tabs. */
struct input {
    const char *path; /* as said in messages */
    int fd;
    unsigned long line;
    char *buffer;
    size_t start; /* of what has not been split yet */
    size_t end;
    bool at_end;
    char *field[FIELD_MAX]; /* each ended by a zero; good until the next line */
    size_t length[FIELD_MAX];
    int count; /* fields of this line; 0: no more lines */
};

/* Opens `path`, or standard input for "-". */
enum result input_open(struct input *in, const char *path);
void input_close(struct input *in);

/* Reads the next line. Refuses a last line without its end, control characters, lines above 1 MiB
 * and more than FIELD_MAX fields. */
enum result input_next(struct input *in);

/* Says `FILE:LINE: reason [code]` for the current line, or for `line`; gives RESULT_REFUSED. */
enum result refuse(const struct input *in, const char *code, const char *reason);
enum result refuse_line(const struct input *in, unsigned long line, const char *code,
                        const char *reason);

/* Reads the decimal number in field `i`, at most `max`: digits only, no sign, no leading zero. */
enum result input_number(const struct input *in, int i, uint64_t max, uint64_t *value);

/* Says `what: errno's text [code]`; gives RESULT_FAILED. */
enum result failed(const char *code, const char *what);

/* The file being written: `<target>.tmp`, locked, so that a left-over of a killed run is reused. */
struct output {
    int directory;
    int fd;
    char *name; /* of the target, in its directory */
    char *temporary;
    char *previous;
    unsigned char *buffer;
    size_t used;
    uint64_t offset; /* in the file, with what is still in the buffer */
};

/* Prepares to write beside `target`. output_close must follow, also after a failure. */
enum result output_open(struct output *out, const char *target);
enum result output_write(struct output *out, const void *bytes, size_t n);
enum result output_align(struct output *out, size_t unit); /* with zeros */
enum result output_flush(struct output *out);
enum result output_overwrite(struct output *out, uint64_t offset, const void *bytes, size_t n);

/*
 * Puts the finished file in the target's place: flush, sync, rename, sync of the directory. With
 * `supersede`, the replaced file keeps a second name, `<target>.previous`, until its superseded
 * word is set; one left by an earlier run is settled first.
 */
enum result output_install(struct output *out, bool supersede);

/* Releases all; a file that was not installed is removed. */
void output_close(struct output *out);

/* Ends an interrupted replacement of `target`: marks and removes `<target>.previous`. */
enum result output_settle(const char *target);

/* The two layouts. `seed` is 16 bytes, or NULL for a random one. */
enum result compile_posix(struct input *in, struct output *out, const unsigned char *seed);
enum result compile_bans(struct input *in, struct output *out);

#endif
