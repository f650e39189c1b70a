/*
 * Everything the reader and the copying code can do with one posix.db, and what must hold whatever
 * the bytes are: no number of the system, none outside the file's windows, no endless walk. Shared
 * by the bit-flip driver and the fuzz target; a broken promise aborts.
 */
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
exercise_user(const struct posix_db *db, const struct posix_user *user)
{
    struct passwd pw;
    size_t size = user->strings_size + 2;
    char *buffer = malloc(size);
    uint32_t gid;

    exercised_records++;
    promise(load_u32((const unsigned char *)user->strings - USER_AT_STRINGS) == user->reference,
            "a record that does not name itself");
    promise(nss_copy_user(user, &pw, buffer, size - 1) == NSS_TOO_SMALL, "one byte is missing");
    promise(nss_copy_user(user, &pw, buffer, size) == NSS_COPIED, "the buffer is large enough");
    promise(name_judge(pw.pw_name, strlen(pw.pw_name)) == NAME_GOOD, "a name that is refused");
    check_number(&db->uids, pw.pw_uid);
    check_number(&db->gids, pw.pw_gid);
    promise(strlen(pw.pw_name) + strlen(pw.pw_gecos) + strlen(pw.pw_dir) + strlen(pw.pw_shell) <
                size,
            "strings end inside the buffer");
    for (uint32_t i = 0; i < user->gid_count; i++)
        if (posix_db_gid(db, user, i, &gid) == POSIX_FOUND)
            check_number(&db->gids, gid);
    free(buffer);
}

static void
exercise_group(const struct posix_db *db, const struct posix_group *group)
{
    struct group gr;
    size_t size =
        (group->member_count + 1) * sizeof(char *) + group->name_length + 3 + group->members_size;
    char *buffer = malloc(size);
    size_t total = 0;

    exercised_records++;
    promise(nss_copy_group(db, group, &gr, buffer, size - 1) == NSS_TOO_SMALL,
            "one byte is missing");
    if (nss_copy_group(db, group, &gr, buffer, size) == NSS_COPIED) {
        promise(name_judge(gr.gr_name, strlen(gr.gr_name)) == NAME_GOOD, "a name that is refused");
        check_number(&db->gids, gr.gr_gid);
        for (char **member = gr.gr_mem; *member != NULL; member++)
            total += strlen(*member) + 1;
        promise(total <= group->members_size, "members end inside the buffer");
    }
    free(buffer);
}

/* Runs all there is to run on `bytes`. */
static void
exercise(const unsigned char *bytes, size_t length)
{
    static const char *const names[] = {"alice", "bob", "carol", "proj", "lab",    "absent",
                                        "u_big", "",    "root",  "a:b",  "dave.x", "big-group"};
    struct posix_db db;
    struct posix_user user;
    struct posix_group group;
    uint64_t cursor;
    uint64_t next = 0;
    unsigned long steps;

    if (posix_db_attach(&db, bytes, length) != 0)
        return;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (posix_db_user_by_name(&db, names[i], &user) == POSIX_FOUND) {
            promise(strcmp(user.strings, names[i]) == 0, "another name");
            exercise_user(&db, &user);
        }
        if (posix_db_group_by_name(&db, names[i], &group) == POSIX_FOUND)
            exercise_group(&db, &group);
    }
    for (uint32_t n = 0; n < 16; n++) {
        uint32_t number = n < 12 ? 200000 + n : n - 12;

        if (posix_db_user_by_number(&db, number, &user) == POSIX_FOUND) {
            promise(user.uid_number == number, "another number");
            exercise_user(&db, &user);
        }
        if (posix_db_group_by_number(&db, 100000 + number, &group) == POSIX_FOUND)
            exercise_group(&db, &group);
    }
    for (cursor = 0, steps = 0; posix_db_user_at(&db, cursor, &user, &next) == POSIX_FOUND;
         cursor = next, steps++) {
        promise(next > cursor && steps <= length, "enumeration moves on");
        exercise_user(&db, &user);
    }
    for (cursor = 0, steps = 0; posix_db_group_at(&db, cursor, &group, &next) == POSIX_FOUND;
         cursor = next, steps++) {
        promise(next > cursor && steps <= length, "enumeration moves on");
        exercise_group(&db, &group);
    }
}

/* Makes the header say what the bytes are, so that damage behind it is not hidden by it. */
static void
repair(unsigned char *bytes, size_t length)
{
    memcpy(bytes, POSIX_MAGIC, MAGIC_SIZE);
    store_u32(bytes + POSIX_AT_VERSION, FORMAT_VERSION);
    store_u32(bytes + POSIX_AT_FLAGS, 0);
    store_u64(bytes + POSIX_AT_LENGTH, length);
    store_u32(bytes + POSIX_AT_CHECKSUM, format_checksum(bytes, POSIX_AT_CHECKSUM));
}
