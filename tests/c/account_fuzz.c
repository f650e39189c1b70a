/*
 * libFuzzer target: the account phase on two files made of the input, their headers repaired.
 *
 * The input opens with the time (8 bytes), which name is asked for, which of the files is missing,
 * and the length of the posix.db that follows; the rest is the bans.db. What comes out is checked
 * against the files, read over again without an index or a search: who gets in has nothing against
 * them, and a refusal has its reason.
 */
#define mapped_file_open open_installed_file
#define mapped_file_close close_installed_file
#include "mapped_file.c"
#undef mapped_file_open
#undef mapped_file_close

#include "account.h"
#include "bans_db.h"
#include "exercise.h"

#define HEAD 14
#define DAY INT64_C(86400)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mapped_file posix_file, bans_file;
static int open_files;

bool
mapped_file_open(struct mapped_file *file, const char *path)
{
    *file = strcmp(path, "posix") == 0 ? posix_file : bans_file;
    open_files += file->base != NULL;
    return file->base != NULL;
}

void
mapped_file_close(struct mapped_file *file)
{
    open_files -= file->base != NULL;
    memset(file, 0, sizeof(*file));
}

static void
repair_bans(unsigned char *bytes, size_t size)
{
    memcpy(bytes, BANS_MAGIC, MAGIC_SIZE);
    store_u32(bytes + AT_VERSION, FORMAT_VERSION);
    store_u64(bytes + AT_LENGTH, size);
    store_u32(bytes + BANS_AT_BODY_CHECKSUM,
              format_checksum(bytes + BANS_HEADER, size - BANS_HEADER));
    store_u32(bytes + BANS_AT_CHECKSUM, format_checksum(bytes, BANS_AT_CHECKSUM));
}

/* A copy of `size` bytes that ends where its allocation does. */
static struct mapped_file
installed(const uint8_t *data, size_t size, size_t header,
          void (*repair_header)(unsigned char *, size_t))
{
    unsigned char *bytes = malloc(size + 1);

    promise(bytes != NULL, "memory");
    memcpy(bytes, data, size);
    if (size >= header)
        repair_header(bytes, size);
    return (struct mapped_file){.base = bytes, .length = size};
}

/* Whether an entry for the number holds at `now`: every entry is looked at. */
static bool
is_banned(uint32_t uid_number, int64_t now)
{
    for (size_t at = BANS_HEADER; at + BAN_SIZE <= bans_file.length; at += BAN_SIZE) {
        int64_t until = load_i64(bans_file.base + at + BAN_AT_UNTIL);

        if (load_u32(bans_file.base + at) == uid_number && (until == 0 || until > now))
            return true;
    }
    return false;
}

/* What stands against the account, in the order of precedence. */
static enum idmap_reason
expected(const struct posix_db *posix, const char *name, int64_t now)
{
    const unsigned char *bans = bans_file.base;
    struct posix_record user;
    uint32_t flags = 0;
    int64_t not_after = load_i64(posix_file.base + POSIX_AT_NOT_AFTER);
    int64_t lower[2] = {load_i64(posix_file.base + POSIX_AT_CREATED),
                        load_i64(bans + BANS_AT_SIGNED_TIME)};

    switch (posix_db_by_name(posix, POSIX_USER, name, &user)) {
    case POSIX_ABSENT:
        return IDMAP_ACCOUNT_UNKNOWN;
    case POSIX_DAMAGED:
        return IDMAP_FILES_UNREADABLE;
    case POSIX_FOUND: /* the strings follow the head, which ends with the flags */
        flags = load_u32((const unsigned char *)user.name - 4);
        break;
    }
    if (flags > 3)
        return IDMAP_FILES_UNREADABLE;
    for (int i = 0; i < 2; i++)
        now = lower[i] > now ? lower[i] : now;
    if (is_banned(user.number, now))
        return IDMAP_BANNED;
    if (user.state == USER_SUSPENDED)
        return IDMAP_ACCOUNT_SUSPENDED;
    if ((flags & 1) != 0)
        return IDMAP_NODE_CLASS_REFUSED;
    if (user.expires_day != 0 && now / DAY > user.expires_day)
        return IDMAP_ACCOUNT_EXPIRED;
    if (user.state == USER_GRACE && user.grace_day != 0 && now / DAY > user.grace_day)
        return IDMAP_GRACE_ENDED;
    if (not_after != 0 && not_after < now)
        return IDMAP_SNAPSHOT_EXPIRED;
    if (load_u32(bans + AT_FLAGS) != 0)
        return IDMAP_CLOCK_SKEW;
    return (flags & 2) != 0 ? IDMAP_TOKEN_DEMANDED : IDMAP_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"alice", "bob", "carol", "dave.x", "absent", "", "root"};
    static const struct idmap_account zero;
    enum idmap_reason reason, wanted = IDMAP_FILES_UNREADABLE;
    struct idmap_account account;
    struct posix_db posix;
    struct bans_db bans;
    const char *name;
    size_t split;
    int64_t now;

    if (size < HEAD)
        return 0;
    now = load_i64(data);
    name = names[data[8] % (sizeof(names) / sizeof(names[0]))];
    split = load_u32(data + 10) % (size - HEAD + 1);
    posix_file = installed(data + HEAD, split, POSIX_HEADER_PAGE, repair);
    bans_file = installed(data + HEAD + split, size - HEAD - split, BANS_HEADER, repair_bans);
    posix = (struct posix_db){.file = posix_file};
    bans = (struct bans_db){.file = bans_file};
    if (data[9] == 0 && posix_db_read_header(&posix) && bans_db_read(&bans))
        wanted = expected(&posix, name, now);
    if (data[9] & 1)
        posix_file.base = NULL;
    if (data[9] & 2)
        bans_file.base = NULL;
    reason = idmap_account_check("posix", "bans", name, now, &account);
    promise(data[9] > 3 || reason == wanted, "the answer is the files'");
    promise(open_files == 0, "both files are closed");
    promise(strlen(idmap_reason_code(reason)) > 1, "every reason has its code");
    if (reason == IDMAP_FILES_UNREADABLE || reason == IDMAP_ACCOUNT_UNKNOWN)
        promise(memcmp(&account, &zero, sizeof(zero)) == 0, "nothing is told");
    else
        promise(strcmp(account.name, name) == 0 && account.uid_number >= 1000 &&
                    account.gid_number >= 1000,
                "the record is the name's");
    free((void *)(uintptr_t)posix.file.base);
    free((void *)(uintptr_t)bans.file.base);
    return 0;
}
