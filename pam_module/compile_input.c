/*
 * Reading and splitting the input, and saying what is wrong with it.
 */
#include "compile.h"

#include <errno.h>
#include <stdlib.h>

#define LINE_MAX_BYTES (1u << 20) /* 65 535 gids of ten digits, and room for the rest */

static char buffer[LINE_MAX_BYTES + 1];

void
refuse(const struct input *in, const char *code, const char *reason)
{
    fprintf(stderr, "idmap-compile: %s:%lu: %s [%s]\n", in->path, in->line, reason, code);
    compile_end(STATUS_REFUSED);
}

void
fail(const char *code, const char *what)
{
    fprintf(stderr, "idmap-compile: %s: %s [%s]\n", what, strerror(errno), code);
    compile_end(STATUS_FAILED);
}

void *
grow(void *array, size_t *room, size_t wanted, size_t size)
{
    if (wanted <= *room)
        return array;
    *room = wanted + wanted / 2 + 1024;
    array = realloc(array, *room * size);
    if (array == NULL)
        fail("no_memory", "input");
    return array;
}

void
input_open(struct input *in, const char *path)
{
    in->path = path;
    in->file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (in->file == NULL)
        fail("input_unreadable", path);
}

bool
input_next(struct input *in)
{
    char *at = buffer;
    int c;

    in->line++;
    in->count = 0;
    in->field[0] = at;
    while ((c = getc_unlocked(in->file)) != EOF) {
        if (at == buffer + LINE_MAX_BYTES)
            refuse(in, "line_too_long", "a line is longer than 1 MiB");
        if (c != '\t' && c != '\n') {
            if (c < ' ' || c == 0x7f)
                refuse(in, "control_character", "a control character");
            *at++ = (char)c;
            continue;
        }
        *at++ = '\0';
        if (++in->count == FIELD_MAX && c == '\t')
            refuse(in, "field_count", "too many fields");
        if (c == '\n')
            return true;
        in->field[in->count] = at;
    }
    if (ferror(in->file))
        fail("input_unreadable", in->path);
    if (at > buffer)
        refuse(in, "truncated", "the last line does not end");
    return false;
}

uint64_t
input_number(const struct input *in, const char *text, uint64_t max)
{
    uint64_t n = 0;

    if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
        refuse(in, "number_malformed", "not a decimal number");
    for (; *text != '\0'; text++) {
        uint64_t digit = (uint64_t)(*text - '0');

        if (*text < '0' || *text > '9')
            refuse(in, "number_malformed", "not a decimal number");
        if (n > (max - digit) / 10 || digit > max)
            refuse(in, "number_too_large", "a number is too large for its field");
        n = n * 10 + digit;
    }
    return n;
}
