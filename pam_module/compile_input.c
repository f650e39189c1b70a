/*
 * Reading and splitting the input, and saying what is wrong with it.
 */
#include "compile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES (1u << 20) /* 65 535 gids of ten digits, and room for the rest */
#define BUFFER_SIZE (LINE_MAX_BYTES + (1u << 18))

enum result
refuse_line(const struct input *in, unsigned long line, const char *code, const char *reason)
{
    fprintf(stderr, "idmap-compile: %s:%lu: %s [%s]\n", in->path, line, reason, code);
    return RESULT_REFUSED;
}

enum result
refuse(const struct input *in, const char *code, const char *reason)
{
    return refuse_line(in, in->line, code, reason);
}

enum result
failed(const char *code, const char *what)
{
    fprintf(stderr, "idmap-compile: %s: %s [%s]\n", what, strerror(errno), code);
    return RESULT_FAILED;
}

enum result
input_open(struct input *in, const char *path)
{
    memset(in, 0, sizeof(*in));
    in->fd = -1;
    in->path = path;
    in->buffer = malloc(BUFFER_SIZE);
    if (in->buffer == NULL)
        return failed("no_memory", path);
    in->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (in->fd < 0)
        return failed("input_unreadable", path);
    return RESULT_OK;
}

void
input_close(struct input *in)
{
    if (in->fd > STDIN_FILENO)
        close(in->fd);
    free(in->buffer);
    in->buffer = NULL;
}

/* Reads until the buffer holds a whole line; gives its end in `*newline`, NULL at the end. */
static enum result
fill(struct input *in, char **newline)
{
    size_t searched = in->start;

    for (;;) {
        ssize_t got;

        *newline = memchr(in->buffer + searched, '\n', in->end - searched);
        searched = (*newline != NULL ? (size_t)(*newline - in->buffer) : in->end) - in->start;
        if (searched >= LINE_MAX_BYTES)
            return refuse(in, "line_too_long", "a line is longer than 1 MiB");
        if (*newline != NULL || in->at_end)
            return RESULT_OK;
        if (in->end == BUFFER_SIZE) {
            memmove(in->buffer, in->buffer + in->start, searched);
            in->start = 0;
            in->end = searched;
        }
        searched = in->end;
        do
            got = read(in->fd, in->buffer + in->end, BUFFER_SIZE - in->end);
        while (got < 0 && errno == EINTR);
        if (got < 0)
            return failed("input_unreadable", in->path);
        in->at_end = got == 0;
        in->end += (size_t)got;
    }
}

enum result
input_next(struct input *in)
{
    enum result result;
    char *newline;
    char *at;

    in->line++;
    in->count = 0;
    result = fill(in, &newline);
    if (result != RESULT_OK)
        return result;
    if (newline == NULL) {
        if (in->start < in->end)
            return refuse(in, "truncated", "the last line does not end");
        return RESULT_OK;
    }
    at = in->buffer + in->start;
    in->start = (size_t)(newline - in->buffer) + 1;
    in->field[in->count++] = at;
    for (; at < newline; at++) {
        unsigned char c = (unsigned char)*at;

        if (c == '\t') {
            if (in->count == FIELD_MAX)
                return refuse(in, "field_count", "too many fields");
            *at = '\0';
            in->length[in->count - 1] = (size_t)(at - in->field[in->count - 1]);
            in->field[in->count++] = at + 1;
        } else if (c < ' ' || c == 0x7f) {
            return refuse(in, "control_character", "a control character");
        }
    }
    *newline = '\0';
    in->length[in->count - 1] = (size_t)(newline - in->field[in->count - 1]);
    return RESULT_OK;
}

enum result
input_number(const struct input *in, int i, uint64_t max, uint64_t *value)
{
    const char *p = in->field[i];
    uint64_t n = 0;

    if (in->length[i] == 0 || (p[0] == '0' && in->length[i] > 1))
        return refuse(in, "number_malformed", "not a decimal number");
    for (; *p != '\0'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');

        if (*p < '0' || *p > '9')
            return refuse(in, "number_malformed", "not a decimal number");
        if (n > (max - digit) / 10 || digit > max)
            return refuse(in, "number_too_large", "a number is too large for its field");
        n = n * 10 + digit;
    }
    *value = n;
    return RESULT_OK;
}
