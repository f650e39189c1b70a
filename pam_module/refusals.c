/*
 * The name grammar and the closed table of names, as the reader and the compiler both apply them.
 * A name is folded once, through a table, and that fold decides the grammar too.
 */
#include "refusals.h"

#include <stdlib.h>
#include <string.h>

#include "reserved.h"

static int
compare(const void *folded, const void *reserved)
{
    return strcmp(folded, *(const char *const *)reserved);
}

enum name_verdict
name_judge(const char *name, size_t length)
{
    char folded[NAME_LENGTH_MAX + 1];
    bool only_digits = true;

    if (length == 0 || length > NAME_LENGTH_MAX || name[0] == '-')
        return NAME_MALFORMED;
    for (size_t i = 0; i < length; i++) {
        char c = fold[(unsigned char)name[i]];

        if (c == 0)
            return NAME_MALFORMED;
        only_digits = only_digits && c <= '9';
        folded[i] = c;
    }
    folded[length] = '\0';
    if (only_digits || (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'))))
        return NAME_MALFORMED;
    if ((reserved_lengths[folded[0] & 31] >> (length & 31) & 1) != 0 &&
        bsearch(folded, reserved_names, sizeof(reserved_names) / sizeof(reserved_names[0]),
                sizeof(reserved_names[0]), compare) != NULL)
        return NAME_RESERVED;
    return NAME_GOOD;
}
