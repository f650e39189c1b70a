/*
 * libnss_bare.so.2: a bare hash lookup and record copy behind the same
 * interface as a real module.
 *
 * See bare.h for what it leaves out. It maps the file in a constructor, so that
 * no lookup pays.
 */
#include "bare.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BARE_DB "/var/lib/bench/bare.db"
typedef enum nss_status status_t;

status_t _nss_bare_getpwnam_r(const char *, struct passwd *, char *, size_t, int *);
status_t _nss_bare_getpwuid_r(uid_t, struct passwd *, char *, size_t, int *);
status_t _nss_bare_getgrnam_r(const char *, struct group *, char *, size_t, int *);
status_t _nss_bare_getgrgid_r(gid_t, struct group *, char *, size_t, int *);
status_t _nss_bare_initgroups_dyn(const char *, gid_t, long int *, long int *, gid_t **, long int,
                                  int *);

static const char *base;
static struct bare_header header;

__attribute__((constructor)) static void
map(void)
{
    int fd = open(BARE_DB, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0)
        abort();
    base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        abort();
    close(fd);
    memcpy(&header, base, sizeof(header));
}

/* The record of `hash` that is named `name` (`n` bytes with the zero), or has
 * `id`; or NULL. */
static const struct bare_record *
find(int which, uint64_t hash, const char *name, size_t n, uint32_t id)
{
    const struct bare_slot *slots = (const void *)(base + header.slots_at[which]);
    uint64_t mask = header.mask[which];

    for (uint64_t at = hash & mask; slots[at].reference != 0; at = (at + 1) & mask) {
        const struct bare_record *record;

        if (slots[at].fingerprint != (uint32_t)(hash >> 32))
            continue;
        record = (const void *)(base + (uint64_t)slots[at].reference * 8);
        if (name == NULL ? record->id == id : memcmp(record->strings, name, n) == 0)
            return record;
    }
    return NULL;
}

static const struct bare_record *
find_name(int which, const char *name)
{
    size_t n = strlen(name);

    return find(which, bare_hash_name(name, n), name, n + 1, 0);
}

static status_t
give_user(const struct bare_record *record, struct passwd *out, char *buffer, size_t size, int *err)
{
    if (record == NULL || record->strings_size > size) {
        *err = record == NULL ? ENOENT : ERANGE;
        return record == NULL ? NSS_STATUS_NOTFOUND : NSS_STATUS_TRYAGAIN;
    }
    memcpy(buffer, record->strings, record->strings_size);
    out->pw_name = buffer;
    out->pw_gecos = out->pw_name + strlen(out->pw_name) + 1;
    out->pw_dir = out->pw_gecos + strlen(out->pw_gecos) + 1;
    out->pw_shell = out->pw_dir + strlen(out->pw_dir) + 1;
    out->pw_passwd = buffer + record->strings_size - 2;
    out->pw_uid = record->id;
    out->pw_gid = record->primary;
    return NSS_STATUS_SUCCESS;
}

static status_t
give_group(const struct bare_record *record, struct group *out, char *buffer, size_t size, int *err)
{
    char **members = (void *)(buffer + (8 - (uintptr_t)buffer % 8) % 8);
    char *at;

    if (record == NULL) {
        *err = ENOENT;
        return NSS_STATUS_NOTFOUND;
    }
    if (16 + (record->count + 1) * sizeof(char *) + record->strings_size > size) {
        *err = ERANGE;
        return NSS_STATUS_TRYAGAIN;
    }
    at = (char *)(members + record->count + 1);
    memcpy(at, record->strings, record->strings_size);
    out->gr_name = at;
    out->gr_passwd = at + strlen(at) + 1;
    at = out->gr_passwd + 2;
    for (uint32_t i = 0; i < record->count; i++) {
        members[i] = at;
        at += strlen(at) + 1;
    }
    members[record->count] = NULL;
    out->gr_mem = members;
    out->gr_gid = record->id;
    return NSS_STATUS_SUCCESS;
}

status_t
_nss_bare_getpwnam_r(const char *name, struct passwd *out, char *buffer, size_t size, int *err)
{
    return give_user(find_name(BY_NAME, name), out, buffer, size, err);
}

status_t
_nss_bare_getpwuid_r(uid_t uid, struct passwd *out, char *buffer, size_t size, int *err)
{
    return give_user(find(BY_ID, bare_hash_id(uid), NULL, 0, uid), out, buffer, size, err);
}

status_t
_nss_bare_getgrnam_r(const char *name, struct group *out, char *buffer, size_t size, int *err)
{
    return give_group(find_name(GROUP_BY_NAME, name), out, buffer, size, err);
}

status_t
_nss_bare_getgrgid_r(gid_t gid, struct group *out, char *buffer, size_t size, int *err)
{
    return give_group(find(GROUP_BY_ID, bare_hash_id(gid), NULL, 0, gid), out, buffer, size, err);
}

status_t
_nss_bare_initgroups_dyn(const char *name, gid_t primary, long int *start, long int *size,
                         gid_t **groups, long int limit, int *err)
{
    const struct bare_record *record = find_name(BY_NAME, name);

    (void)primary;
    (void)limit;
    if (record == NULL || *start + (long int)record->count > *size) {
        *err = ENOENT;
        return NSS_STATUS_NOTFOUND;
    }
    memcpy(*groups + *start, record->strings + ((record->strings_size + 3) & ~3u),
           record->count * sizeof(gid_t));
    *start += (long int)record->count;
    return NSS_STATUS_SUCCESS;
}
