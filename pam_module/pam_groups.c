/*
 * setcred: the groups of the node's own that an account has here.
 *
 * They stand in a small text file of the agent's, `USERNAME:GID,GID` a line, and each is judged
 * once more by what the node says of it now (law 10). NSS knows nothing of them. What keeps a group
 * from being given never keeps a person out.
 */
#include <grp.h>
#include <security/pam_ext.h>
#include <security/pam_modutil.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "pam_internal.h"
#include "refusals.h"

#define LOCAL_GROUPS_MAX 64 /* as many as a signed record may name */

/* The list behind `name` and a colon at the start of a line, up to `*end`; NULL: there is none. */
static const char *
find_list(const struct mapped_file *file, const char *name, const char **end)
{
    const char *at = (const char *)file->base, *last = at + file->length;
    size_t length = strlen(name);

    for (; at < last && (*end = memchr(at, '\n', (size_t)(last - at))) != NULL; at = *end + 1)
        if ((size_t)(*end - at) > length && memcmp(at, name, length) == 0 && at[length] == ':')
            return at + length + 1;
    return NULL;
}

/* Takes a number and the comma behind it off `*at`. False at `end`, and at anything else. */
static bool
next_gid(const char **at, const char *end, gid_t *gid)
{
    uint64_t number = 0;
    const char *from = *at;

    for (; *at < end && **at >= '0' && **at <= '9' && number <= UINT32_MAX; ++*at)
        number = number * 10 + (uint64_t)(**at - '0');
    *gid = (gid_t)number;
    return *at > from && number < UINT32_MAX && (*at == end || *(*at)++ == ',');
}

/* Whether the node has a group of that number, under a name that does not mean root. */
static bool
may_be_given(const struct idmap_login *login, gid_t gid)
{
    const struct group *entry = gid == 0 ? NULL : pam_modutil_getgrgid(login->pam, gid);

    if (entry != NULL && entry->gr_gid == gid &&
        name_judge(entry->gr_name, strlen(entry->gr_name)) == NAME_GOOD)
        return true;
    pam_syslog(login->pam, LOG_WARNING, "event=local_group_refused username=%s gid_number=%u",
               login->record.name, (unsigned int)gid);
    return false;
}

/* Adds the groups of the list from `at` to `end` to those of this process. */
static void
add_groups(const struct idmap_login *login, const char *at, const char *end)
{
    int held = getgroups(0, NULL);
    size_t most = (size_t)(held < 0 ? 0 : held) + LOCAL_GROUPS_MAX, count, i;
    gid_t *groups = calloc(most, sizeof *groups), gid;

    held = groups == NULL || held < 0 ? -1 : getgroups(held, groups);
    count = held < 0 ? most : (size_t)held;
    while (count < most && next_gid(&at, end, &gid)) {
        for (i = 0; i < count && groups[i] != gid; i++)
            ;
        if (i == count && may_be_given(login, gid))
            groups[count++] = gid;
    }
    if (held < 0 || (count > (size_t)held && setgroups(count, groups) != 0))
        pam_syslog(login->pam, LOG_WARNING, "event=local_groups_failed username=%s",
                   login->record.name);
    free(groups);
}

int
idmap_set_credentials(const struct idmap_login *login)
{
    const int wanted = PAM_ESTABLISH_CRED | PAM_REINITIALIZE_CRED;
    struct mapped_file file;
    const char *list, *end;

    if (!login->in_file)
        return PAM_USER_UNKNOWN;
    if ((login->flags & wanted) == 0 || login->settings.faulty || !idmap_system_agrees(login) ||
        !mapped_file_open(&file, login->settings.local_groups_path))
        return PAM_SUCCESS;
    list = find_list(&file, login->record.name, &end);
    if (list != NULL)
        add_groups(login, list, end);
    mapped_file_close(&file);
    return PAM_SUCCESS;
}
