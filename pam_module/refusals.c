/*
 * The name grammar and the closed table of names, as the reader and the compiler both apply them.
 * A name is folded once, through a table, and that fold decides the grammar too.
 */
#include "refusals.h"

#include <stdlib.h>
#include <string.h>

#include "reserved.h"

/* What a byte compares as; 0 for a byte that no name may contain. */
static const char fold[256] = {
    ['+'] = '_', ['-'] = '_', ['.'] = '_', ['_'] = '_', ['0'] = '0', ['1'] = '1', ['2'] = '2',
    ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9',
    ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g',
    ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n',
    ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u',
    ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z', ['A'] = 'a', ['B'] = 'b',
    ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i',
    ['J'] = 'j', ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p',
    ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w',
    ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z',
};

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
