/*
 * What neither the compiler lets in nor the reader lets out (law 10): numbers that belong to the
 * system and names that cannot be carried or mean root. Pure functions of their arguments.
 */
#ifndef IDMAP_REFUSALS_H
#define IDMAP_REFUSALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_LENGTH_MAX 32

enum name_verdict { NAME_GOOD, NAME_MALFORMED, NAME_RESERVED };

/* Whether no account or group may ever have this number: below 1000, 60001-65535, from 2^31 up. */
static inline bool
number_is_refused(uint32_t number)
{
    return number < 1000 || (number >= 60001 && number <= 65535) || number >= 0x80000000u;
}

/* Judges `length` bytes as a user or group name: the adoptable grammar of idmap/domain/names.py,
 * then the closed table of reserved.h, compared after lower-casing and with `-` `.` `+` as `_`. */
enum name_verdict name_judge(const char *name, size_t length);

#endif
