/*
 * Everything the reader and the copying code can do with one posix.db, and what must hold whatever
 * the bytes are: no number of the system, none outside the file's windows, no endless walk. Shared
 * by the bit-flip driver and the fuzz target; a broken promise aborts.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>

#include "nss_copy.h"
#include "posix_db.h"
#include "refusals.h"

static void
promise(int kept, const char *what)
{
    if (!kept) {
        fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

static void
check_number(const struct id_windows *windows, uint32_t number)
{
    int inside = 0;

    for (uint32_t i = 0; i < windows->count; i++)
        inside |= number >= windows->window[i].first && number <= windows->window[i].last;
    promise(inside, "a number outside the windows");
    promise(number >= 1000 && (number < 60001 || number > 65535) && number < 0x80000000u,
            "a number of the system");
}

static unsigned long exercised_records;

static void
exercise_user(const struct posix_db *db, const struct posix_record *user)
{
    struct passwd pw;
    size_t size = user->strings_size + 2;
    char *buffer = malloc(size);
    uint32_t gid;
    int error = 0;

    promise(nss_copy(db, user, &pw, buffer, size - 1, &error) == NSS_STATUS_TRYAGAIN &&
                error == ERANGE,
            "one byte is missing");
    promise(nss_copy(db, user, &pw, buffer, size, &error) == NSS_STATUS_SUCCESS,
            "the buffer is large enough");
    promise(name_judge(pw.pw_name, strlen(pw.pw_name)) == NAME_GOOD, "a name that is refused");
    check_number(&db->windows[POSIX_USER], pw.pw_uid);
    check_number(&db->windows[POSIX_GROUP], pw.pw_gid);
    promise(pw.pw_name + strlen(pw.pw_name) < pw.pw_gecos &&
                pw.pw_gecos + strlen(pw.pw_gecos) < pw.pw_dir &&
                pw.pw_dir + strlen(pw.pw_dir) < pw.pw_shell &&
                pw.pw_shell + strlen(pw.pw_shell) < pw.pw_passwd,
            "each string ends before the next");
    promise((unsigned)user->state < USER_STATE_COUNT, "a state that is none");
    for (uint32_t i = 0; i < user->count; i++)
        if (posix_db_gid(db, user, i, &gid))
            check_number(&db->windows[POSIX_GROUP], gid);
    free(buffer);
}

static void
exercise_group(const struct posix_db *db, const struct posix_record *group)
{
    struct group gr;
    size_t size =
        (group->count + 1) * sizeof(char *) + group->strings_size + 2 + group->members_size;
    char *buffer = malloc(size);
    size_t total = 0;
    int error = 0;

    promise(nss_copy(db, group, &gr, buffer, size - 1, &error) == NSS_STATUS_TRYAGAIN &&
                error == ERANGE,
            "one byte is missing");
    if (nss_copy(db, group, &gr, buffer, size, &error) == NSS_STATUS_SUCCESS) {
        promise(name_judge(gr.gr_name, strlen(gr.gr_name)) == NAME_GOOD, "a name that is refused");
        check_number(&db->windows[POSIX_GROUP], gr.gr_gid);
        for (char **member = gr.gr_mem; *member != NULL; member++)
            total += strlen(*member) + 1;
        promise(total <= group->members_size, "members end inside the buffer");
    } else {
        promise(error == ENOENT, "unavailable, not another size");
    }
    free(buffer);
}

static void
exercise_record(const struct posix_db *db, enum posix_kind kind, const struct posix_record *record)
{
    size_t head = kind == POSIX_USER ? USER_AT_STRINGS : GROUP_AT_STRINGS;

    exercised_records++;
    promise(kind == POSIX_USER || record->members_size <= (uint64_t)record->count * 33,
            "a group asks for more than its members can take");
    promise(record->kind == kind, "a record of the other kind");
    promise(load_u32((const unsigned char *)record->name - head) == record->reference,
            "a record that does not name itself");
    if (kind == POSIX_USER)
        exercise_user(db, record);
    else
        exercise_group(db, record);
}

/* The reader's view of bytes that the caller keeps; false when it does not take them. */
static int
attach(struct posix_db *db, const unsigned char *bytes, size_t length)
{
    *db = (struct posix_db){.file = {.base = bytes, .length = length}};
    return posix_db_read_header(db);
}

/* Runs all there is to run on `bytes`. */
static void
exercise(const unsigned char *bytes, size_t length)
{
    static const char *const names[] = {"alice", "bob", "carol", "proj", "lab",    "absent",
                                        "u_big", "",    "root",  "a:b",  "dave.x", "big-group"};
    static const uint32_t first[POSIX_KINDS] = {200000, 300000};
    struct posix_db db;
    struct posix_record record;

    if (!attach(&db, bytes, length))
        return;
    for (enum posix_kind kind = POSIX_USER; kind < POSIX_KINDS; kind++) {
        unsigned long steps = 0;

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (posix_db_by_name(&db, kind, names[i], &record) == POSIX_FOUND) {
                promise(strcmp(record.name, names[i]) == 0, "another name");
                exercise_record(&db, kind, &record);
            }
        for (uint32_t n = 0; n < 16; n++) {
            uint32_t number = n < 12 ? first[kind] + n : n - 12;

            if (posix_db_by_number(&db, kind, number, &record) == POSIX_FOUND) {
                promise(record.number == number, "another number");
                exercise_record(&db, kind, &record);
            }
        }
        for (uint64_t at = 0; posix_db_at(&db, kind, at, &record) == POSIX_FOUND;
             at += record.size) {
            promise(record.size > 0 && ++steps <= length, "enumeration moves on");
            exercise_record(&db, kind, &record);
        }
    }
}

/* Makes the header say what the bytes are, so that damage behind it is not hidden by it. */
static void
repair(unsigned char *bytes, size_t length)
{
    memcpy(bytes, POSIX_MAGIC, MAGIC_SIZE);
    store_u32(bytes + AT_VERSION, FORMAT_VERSION);
    store_u32(bytes + AT_FLAGS, 0);
    store_u64(bytes + AT_LENGTH, length);
    store_u32(bytes + POSIX_AT_CHECKSUM, format_checksum(bytes, POSIX_AT_CHECKSUM));
}
