/*
 * Copying records out. The password field is `*`: pam_unix asks for shadow only when it is `x`, and
 * no password can match a star.
 */
#include "nss_copy.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>

static const char no_password[] = "*";

/* Copies the strings and then the password field to `at`; gives what lies behind them. */
static char *
copy_strings(const struct posix_record *record, char *at, char **name, char **password)
{
    *name = memcpy(at, record->name, record->strings_size);
    *password = memcpy(at + record->strings_size, no_password, sizeof(no_password));
    return *password + sizeof(no_password);
}

/* Gives 0 or an errno value, as copy_group does. */
static int
copy_user(const struct posix_record *user, struct passwd *out, char *buffer, size_t size)
{
    if (size < user->strings_size + sizeof(no_password))
        return ERANGE;
    (void)copy_strings(user, buffer, &out->pw_name, &out->pw_passwd);
    out->pw_gecos = out->pw_name + user->name_length + 1;
    out->pw_dir = out->pw_gecos + user->gecos_length + 1;
    out->pw_shell = out->pw_dir + user->home_length + 1;
    out->pw_uid = user->number;
    out->pw_gid = user->gid_number;
    return 0;
}

static int
copy_group(const struct posix_db *db, const struct posix_record *group, struct group *out,
           char *buffer, size_t size)
{
    size_t padding = -(uintptr_t)buffer % _Alignof(char *);
    size_t table = ((size_t)group->count + 1) * sizeof(char *);
    size_t fixed = padding + table + group->strings_size + sizeof(no_password);
    size_t left = group->members_size;
    struct posix_record member;
    char *at;

    if (size < fixed || size - fixed < group->members_size)
        return ERANGE;
    out->gr_gid = group->number;
    out->gr_mem = (char **)(void *)(buffer + padding);
    at = copy_strings(group, buffer + padding + table, &out->gr_name, &out->gr_passwd);
    for (uint32_t i = 0; i < group->count; i++) {
        if (!posix_db_member(db, group, i, &member) || member.name_length >= left)
            return ENOENT;
        out->gr_mem[i] = memcpy(at, member.name, member.name_length + 1);
        at += member.name_length + 1;
        left -= member.name_length + 1;
    }
    out->gr_mem[group->count] = NULL;
    return 0;
}

enum nss_status
nss_copy(const struct posix_db *db, const struct posix_record *record, void *out, char *buffer,
         size_t size, int *errnop)
{
    int error = record->kind == POSIX_USER ? copy_user(record, out, buffer, size)
                                           : copy_group(db, record, out, buffer, size);

    if (error == 0)
        return NSS_STATUS_SUCCESS;
    *errnop = error;
    return error == ERANGE ? NSS_STATUS_TRYAGAIN : NSS_STATUS_UNAVAIL;
}
