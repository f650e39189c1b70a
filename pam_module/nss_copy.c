/*
 * Copying records out. The password field is `*`: pam_unix asks for shadow only when it is `x`, and
 * no password can match a star.
 */
#include "nss_copy.h"

#include <string.h>

static const char no_password[] = "*";

enum nss_copied
nss_copy_user(const struct posix_user *user, struct passwd *out, char *buffer, size_t size)
{
    if (size < user->strings_size + sizeof(no_password))
        return NSS_TOO_SMALL;
    memcpy(buffer, user->strings, user->strings_size);
    out->pw_name = buffer;
    out->pw_gecos = out->pw_name + user->name_length + 1;
    out->pw_dir = out->pw_gecos + user->gecos_length + 1;
    out->pw_shell = out->pw_dir + user->home_length + 1;
    out->pw_passwd = buffer + user->strings_size;
    memcpy(out->pw_passwd, no_password, sizeof(no_password));
    out->pw_uid = user->uid_number;
    out->pw_gid = user->gid_number;
    return NSS_COPIED;
}

enum nss_copied
nss_copy_group(const struct posix_db *db, const struct posix_group *group, struct group *out,
               char *buffer, size_t size)
{
    uintptr_t misfit = (uintptr_t)buffer % _Alignof(char *);
    size_t padding = misfit == 0 ? 0 : _Alignof(char *) - misfit;
    size_t table = ((size_t)group->member_count + 1) * sizeof(char *);
    size_t fixed = padding + table + group->name_length + 1 + sizeof(no_password);
    char **members;
    char *at;
    size_t left;

    if (size < fixed || size - fixed < group->members_size)
        return NSS_TOO_SMALL;
    members = (char **)(void *)(buffer + padding);
    at = buffer + padding + table;
    memcpy(at, group->name, group->name_length + 1);
    out->gr_name = at;
    at += group->name_length + 1;
    memcpy(at, no_password, sizeof(no_password));
    out->gr_passwd = at;
    at += sizeof(no_password);
    left = group->members_size;
    for (uint32_t i = 0; i < group->member_count; i++) {
        struct posix_user member;

        if (posix_db_member(db, group, i, &member) != POSIX_FOUND || member.name_length >= left)
            return NSS_DAMAGED;
        memcpy(at, member.strings, member.name_length + 1);
        members[i] = at;
        at += member.name_length + 1;
        left -= member.name_length + 1;
    }
    members[group->member_count] = NULL;
    out->gr_mem = members;
    out->gr_gid = group->gid_number;
    return NSS_COPIED;
}
