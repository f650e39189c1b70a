/*
 * The account phase's decision; account.h is its contract and names the order of the refusals.
 * Gather (two files), decide (one function without I/O), release.
 */
#include "account.h"

#include <string.h>

#include "bans_db.h"
#include "posix_db.h"

#define SECONDS_PER_DAY 86400

static const char *const reason_codes[IDMAP_REASON_COUNT] = {
    [IDMAP_OK] = "ok",
    [IDMAP_FILES_UNREADABLE] = "node_files_unreadable",
    [IDMAP_ACCOUNT_UNKNOWN] = "account_unknown",
    [IDMAP_BANNED] = "banned",
    [IDMAP_ACCOUNT_SUSPENDED] = "account_suspended",
    [IDMAP_NODE_CLASS_REFUSED] = "node_class_refused",
    [IDMAP_ACCOUNT_EXPIRED] = "account_expired",
    [IDMAP_GRACE_ENDED] = "grace_ended",
    [IDMAP_SNAPSHOT_EXPIRED] = "snapshot_expired",
    [IDMAP_CLOCK_SKEW] = "clock_skew",
    [IDMAP_TOKEN_DEMANDED] = "token_demanded",
    [IDMAP_LOCAL_ACCOUNT] = "local_account",
};

const char *
idmap_reason_code(enum idmap_reason reason)
{
    unsigned i = (unsigned)reason;

    return i < IDMAP_REASON_COUNT ? reason_codes[i] : reason_codes[IDMAP_FILES_UNREADABLE];
}

/* Whether `day`, counted to the end of its UTC day, has passed; 0 is no day. */
static bool
day_has_passed(uint32_t day, int64_t now)
{
    return day != 0 && now >= ((int64_t)day + 1) * SECONDS_PER_DAY;
}

static enum idmap_reason
decide(const struct posix_db *posix, const struct bans_db *bans, const struct posix_record *user,
       int64_t now)
{
    if (now < posix->created)
        now = posix->created;
    if (now < bans->signed_time)
        now = bans->signed_time;
    if (bans_db_is_banned(bans, user->number, now))
        return IDMAP_BANNED;
    if (user->state == USER_SUSPENDED)
        return IDMAP_ACCOUNT_SUSPENDED;
    if ((user->flags & USER_FLAG_ELSEWHERE) != 0)
        return IDMAP_NODE_CLASS_REFUSED;
    if (day_has_passed(user->expires_day, now))
        return IDMAP_ACCOUNT_EXPIRED;
    if (user->state == USER_GRACE && day_has_passed(user->grace_day, now))
        return IDMAP_GRACE_ENDED;
    if (posix->not_after != 0 && now > posix->not_after)
        return IDMAP_SNAPSHOT_EXPIRED;
    if (bans->clock_skew)
        return IDMAP_CLOCK_SKEW;
    return (user->flags & USER_FLAG_TOKEN_ONLY) != 0 ? IDMAP_TOKEN_DEMANDED : IDMAP_OK;
}

enum idmap_reason
idmap_account_check(const char *posix_path, const char *bans_path, const char *name, int64_t now,
                    struct idmap_account *out)
{
    enum idmap_reason reason = IDMAP_FILES_UNREADABLE;
    struct posix_db posix = {0};
    struct bans_db bans = {0};
    struct posix_record user;

    memset(out, 0, sizeof(*out));
    if (!posix_db_open(&posix, posix_path) || !bans_db_open(&bans, bans_path))
        goto done;
    switch (posix_db_by_name(&posix, POSIX_USER, name, &user)) {
    case POSIX_FOUND:
        if ((user.flags & ~USER_FLAGS_KNOWN) != 0)
            break;
        memcpy(out->name, user.name, user.name_length);
        out->uid_number = user.number;
        out->gid_number = user.gid_number;
        reason = decide(&posix, &bans, &user, now);
        break;
    case POSIX_ABSENT:
        reason = IDMAP_ACCOUNT_UNKNOWN;
        break;
    case POSIX_DAMAGED:
        break;
    }
done:
    mapped_file_close(&bans.file);
    mapped_file_close(&posix.file);
    return reason;
}
