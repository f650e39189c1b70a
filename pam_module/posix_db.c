/*
 * Reading posix.db. Two functions stand between the file and everyone else: `span` gives bytes
 * inside a section or nothing, `record_at` gives a whole record or nothing. All other code reads
 * only inside what these two gave.
 */
#include "posix_db.h"

#include <errno.h>

#include "refusals.h"

/* `size` bytes at file offset `offset`, if they lie in the section; else NULL. */
static const unsigned char *
span(const struct posix_db *db, enum posix_section section, uint64_t offset, uint64_t size)
{
    const struct posix_section_place *place = &db->section[section];

    if (offset < place->offset || offset - place->offset > place->size)
        return NULL;
    if (size > place->size - (offset - place->offset))
        return NULL;
    return db->file.base + offset;
}

/* The record that `reference` names, its size checked to be at least `minimum` and inside the
 * section; else NULL. */
static const unsigned char *
record_at(const struct posix_db *db, enum posix_section section, uint32_t reference,
          uint32_t minimum, uint32_t *size)
{
    uint64_t offset = (uint64_t)reference * REFERENCE_UNIT;
    const unsigned char *record = span(db, section, offset, minimum);

    if (record == NULL || load_u32(record + RECORD_AT_REFERENCE) != reference)
        return NULL;
    *size = load_u32(record + RECORD_AT_SIZE);
    if (*size < minimum || *size % REFERENCE_UNIT != 0)
        return NULL;
    return span(db, section, offset, *size);
}

static bool
is_permitted(const struct id_windows *windows, uint32_t number)
{
    if (number_is_refused(number))
        return false;
    for (uint32_t i = 0; i < windows->count; i++)
        if (number >= windows->window[i].first && number <= windows->window[i].last)
            return true;
    return false;
}

/* Fills `user` from the record that `reference` names, after every check. */
static enum posix_found
read_user(const struct posix_db *db, uint32_t reference, struct posix_user *user, uint32_t *size)
{
    const unsigned char *record = record_at(db, SECTION_USERS, reference, USER_AT_STRINGS, size);
    const char *s;
    uint64_t gids_at;

    if (record == NULL || record[USER_AT_STATE] >= USER_STATE_COUNT)
        return POSIX_DAMAGED;
    user->reference = reference;
    user->uid_number = load_u32(record + USER_AT_UID);
    user->gid_number = load_u32(record + USER_AT_GID);
    user->state = (enum user_state)record[USER_AT_STATE];
    user->expires_day = load_u32(record + USER_AT_EXPIRES_DAY);
    user->grace_day = load_u32(record + USER_AT_GRACE_DAY);
    user->name_length = record[USER_AT_NAME_LENGTH];
    user->gecos_length = load_u16(record + USER_AT_GECOS_LENGTH);
    user->home_length = load_u16(record + USER_AT_HOME_LENGTH);
    user->shell_length = load_u16(record + USER_AT_SHELL_LENGTH);
    user->strings_size =
        user->name_length + user->gecos_length + user->home_length + user->shell_length + 4;
    user->gid_count = load_u32(record + USER_AT_GID_COUNT);
    gids_at = round_up(USER_AT_STRINGS + user->strings_size, 4);
    if (gids_at + (uint64_t)user->gid_count * 4 > *size)
        return POSIX_DAMAGED;
    if (!is_permitted(&db->uids, user->uid_number) || !is_permitted(&db->gids, user->gid_number))
        return POSIX_DAMAGED;
    user->strings = (const char *)record + USER_AT_STRINGS;
    user->gids = record + gids_at;
    s = user->strings + user->name_length;
    if (name_judge(user->strings, user->name_length) != NAME_GOOD || s[0] != '\0')
        return POSIX_DAMAGED;
    if (s[user->gecos_length + 1] != '\0' ||
        s[user->gecos_length + user->home_length + 2] != '\0' ||
        user->strings[user->strings_size - 1] != '\0')
        return POSIX_DAMAGED;
    return POSIX_FOUND;
}

static enum posix_found
read_group(const struct posix_db *db, uint32_t reference, struct posix_group *group, uint32_t *size)
{
    const unsigned char *record = record_at(db, SECTION_GROUPS, reference, GROUP_AT_STRINGS, size);
    uint64_t members_at;

    if (record == NULL)
        return POSIX_DAMAGED;
    group->gid_number = load_u32(record + GROUP_AT_GID);
    group->member_count = load_u32(record + GROUP_AT_MEMBER_COUNT);
    group->members_size = load_u32(record + GROUP_AT_MEMBERS_SIZE);
    group->name_length = record[GROUP_AT_NAME_LENGTH];
    group->name = (const char *)record + GROUP_AT_STRINGS;
    members_at = round_up(GROUP_AT_STRINGS + group->name_length + 1, 4);
    if (members_at + (uint64_t)group->member_count * 4 > *size)
        return POSIX_DAMAGED;
    group->members = record + members_at;
    if (!is_permitted(&db->gids, group->gid_number) || group->name[group->name_length] != '\0')
        return POSIX_DAMAGED;
    if (name_judge(group->name, group->name_length) != NAME_GOOD)
        return POSIX_DAMAGED;
    /* A wrong sum would ask callers for ever larger buffers. */
    if (group->members_size > (uint64_t)group->member_count * (NAME_LENGTH_MAX + 1))
        return POSIX_DAMAGED;
    return POSIX_FOUND;
}

/* The walk over one index's slots with a given hash. Bounded by the number of probes that the
 * compiler recorded, so a damaged index cannot make it long. */
struct probe {
    const unsigned char *slots;
    uint64_t mask;
    uint64_t at;
    uint32_t left;
    uint32_t fingerprint;
};

static void
probe_start(struct probe *probe, const struct posix_db *db, enum posix_section section,
            uint64_t hash, uint32_t fingerprint)
{
    probe->slots = db->file.base + db->section[section].offset;
    probe->mask = db->section[section].size / SLOT_SIZE - 1;
    probe->at = hash & probe->mask;
    probe->left = db->max_probes[section - SECTION_USER_NAMES];
    probe->fingerprint = fingerprint;
}

/* The next reference whose fingerprint fits; 0 when there is none. */
static uint32_t
probe_next(struct probe *probe)
{
    while (probe->left > 0) {
        const unsigned char *slot = probe->slots + probe->at * SLOT_SIZE;
        uint32_t reference = load_u32(slot + 4);

        probe->at = (probe->at + 1) & probe->mask;
        probe->left--;
        if (reference == 0)
            return 0;
        if (load_u32(slot) == probe->fingerprint)
            return reference;
    }
    return 0;
}

/* Starts a walk for a name; gives its length, or 0 when no record can have that name. */
static size_t
probe_name(struct probe *probe, const struct posix_db *db, enum posix_section section,
           const char *name)
{
    size_t length = strnlen(name, NAME_LENGTH_MAX + 1);
    uint64_t hash;

    if (length == 0 || length > NAME_LENGTH_MAX)
        return 0;
    hash = format_hash_name(db->seed, name, length);
    probe_start(probe, db, section, hash, (uint32_t)(hash >> 32));
    return length;
}

enum posix_found
posix_db_user_by_name(const struct posix_db *db, const char *name, struct posix_user *user)
{
    struct probe probe;
    size_t length = probe_name(&probe, db, SECTION_USER_NAMES, name);
    uint32_t reference;
    uint32_t size;

    while (length > 0 && (reference = probe_next(&probe)) != 0) {
        if (read_user(db, reference, user, &size) != POSIX_FOUND)
            return POSIX_DAMAGED;
        if (user->name_length == length && memcmp(user->strings, name, length) == 0)
            return POSIX_FOUND;
    }
    return POSIX_ABSENT;
}

enum posix_found
posix_db_user_by_number(const struct posix_db *db, uint32_t uid_number, struct posix_user *user)
{
    struct probe probe;
    uint32_t reference;
    uint32_t size;

    probe_start(&probe, db, SECTION_USER_NUMBERS, format_hash_number(db->seed, uid_number),
                uid_number);
    reference = probe_next(&probe);
    if (reference == 0)
        return POSIX_ABSENT;
    if (read_user(db, reference, user, &size) != POSIX_FOUND || user->uid_number != uid_number)
        return POSIX_DAMAGED;
    return POSIX_FOUND;
}

enum posix_found
posix_db_group_by_name(const struct posix_db *db, const char *name, struct posix_group *group)
{
    struct probe probe;
    size_t length = probe_name(&probe, db, SECTION_GROUP_NAMES, name);
    uint32_t reference;
    uint32_t size;

    while (length > 0 && (reference = probe_next(&probe)) != 0) {
        if (read_group(db, reference, group, &size) != POSIX_FOUND)
            return POSIX_DAMAGED;
        if (group->name_length == length && memcmp(group->name, name, length) == 0)
            return POSIX_FOUND;
    }
    return POSIX_ABSENT;
}

enum posix_found
posix_db_group_by_number(const struct posix_db *db, uint32_t gid_number, struct posix_group *group)
{
    struct probe probe;
    uint32_t reference;
    uint32_t size;

    probe_start(&probe, db, SECTION_GROUP_NUMBERS, format_hash_number(db->seed, gid_number),
                gid_number);
    reference = probe_next(&probe);
    if (reference == 0)
        return POSIX_ABSENT;
    if (read_group(db, reference, group, &size) != POSIX_FOUND || group->gid_number != gid_number)
        return POSIX_DAMAGED;
    return POSIX_FOUND;
}

/* Turns a cursor into the reference it stands for; 0 past the last record. */
static uint32_t
cursor_reference(const struct posix_section_place *place, uint64_t cursor)
{
    if (cursor >= place->size)
        return 0;
    return (uint32_t)((place->offset + cursor) / REFERENCE_UNIT);
}

enum posix_found
posix_db_user_at(const struct posix_db *db, uint64_t cursor, struct posix_user *user,
                 uint64_t *next)
{
    uint32_t reference = cursor_reference(&db->section[SECTION_USERS], cursor);
    uint32_t size;

    if (reference == 0)
        return POSIX_ABSENT;
    if (read_user(db, reference, user, &size) != POSIX_FOUND)
        return POSIX_DAMAGED;
    *next = cursor + size;
    return POSIX_FOUND;
}

enum posix_found
posix_db_group_at(const struct posix_db *db, uint64_t cursor, struct posix_group *group,
                  uint64_t *next)
{
    uint32_t reference = cursor_reference(&db->section[SECTION_GROUPS], cursor);
    uint32_t size;

    if (reference == 0)
        return POSIX_ABSENT;
    if (read_group(db, reference, group, &size) != POSIX_FOUND)
        return POSIX_DAMAGED;
    *next = cursor + size;
    return POSIX_FOUND;
}

enum posix_found
posix_db_gid(const struct posix_db *db, const struct posix_user *user, uint32_t i,
             uint32_t *gid_number)
{
    *gid_number = load_u32(user->gids + (size_t)i * 4);
    return is_permitted(&db->gids, *gid_number) ? POSIX_FOUND : POSIX_DAMAGED;
}

enum posix_found
posix_db_member(const struct posix_db *db, const struct posix_group *group, uint32_t i,
                struct posix_user *member)
{
    uint32_t size;

    return read_user(db, load_u32(group->members + (size_t)i * 4), member, &size);
}

/* Reads one window table; false when it is malformed. */
static bool
read_windows(const unsigned char *count, const unsigned char *p, struct id_windows *windows)
{
    windows->count = load_u32(count);
    if (windows->count > WINDOW_MAX)
        return false;
    for (uint32_t i = 0; i < windows->count; i++) {
        windows->window[i].first = load_u32(p + (size_t)i * WINDOW_SIZE);
        windows->window[i].last = load_u32(p + (size_t)i * WINDOW_SIZE + 4);
        if (windows->window[i].first > windows->window[i].last)
            return false;
    }
    return true;
}

/* Reads the section table; false when a section leaves the file or an index is not a power of two
 * of slots. */
static bool
read_sections(struct posix_db *db, const unsigned char *header)
{
    for (int i = 0; i < SECTION_COUNT; i++) {
        struct posix_section_place *place = &db->section[i];

        place->offset = load_u64(header + POSIX_AT_SECTIONS + (size_t)i * 16);
        place->size = load_u64(header + POSIX_AT_SECTIONS + (size_t)i * 16 + 8);
        if (place->offset < POSIX_HEADER_PAGE || place->offset % SECTION_ALIGN != 0 ||
            place->offset > db->file.length || place->size > db->file.length - place->offset)
            return false;
        if (i < SECTION_USER_NAMES)
            continue;
        uint32_t *probes = &db->max_probes[i - SECTION_USER_NAMES];
        uint64_t slots = place->size / SLOT_SIZE;

        *probes = load_u32(header + POSIX_AT_MAX_PROBES + (size_t)(i - SECTION_USER_NAMES) * 4);
        if (place->size % SLOT_SIZE != 0 || slots < INDEX_MIN_SLOTS || (slots & (slots - 1)) != 0 ||
            *probes > slots)
            return false;
    }
    return true;
}

/* Checks the header of what `db->file` describes and reads it into `db`. */
static int
read_header(struct posix_db *db)
{
    const unsigned char *header = db->file.base;

    if (memcmp(header, POSIX_MAGIC, MAGIC_SIZE) != 0 ||
        load_u32(header + POSIX_AT_VERSION) != FORMAT_VERSION ||
        load_u32(header + POSIX_AT_FLAGS) != 0 ||
        load_u64(header + POSIX_AT_LENGTH) != db->file.length ||
        load_u32(header + POSIX_AT_CHECKSUM) != format_checksum(header, POSIX_AT_CHECKSUM))
        return EINVAL;
    db->revision = load_u64(header + POSIX_AT_REVISION);
    db->created = load_i64(header + POSIX_AT_CREATED);
    db->not_after = load_i64(header + POSIX_AT_NOT_AFTER);
    memcpy(db->seed, header + POSIX_AT_SEED, sizeof(db->seed));
    if (!read_windows(header + POSIX_AT_UID_WINDOWS, header + POSIX_AT_UID_WINDOW, &db->uids) ||
        !read_windows(header + POSIX_AT_GID_WINDOWS, header + POSIX_AT_GID_WINDOW, &db->gids))
        return EINVAL;
    return read_sections(db, header) ? 0 : EINVAL;
}

int
posix_db_open(struct posix_db *db, const char *path)
{
    int error;

    memset(db, 0, sizeof(*db));
    error = mapped_file_open(&db->file, path, POSIX_HEADER_PAGE);
    if (error != 0)
        return error;
    error = read_header(db);
    if (error != 0) {
        posix_db_close(db);
        memset(db, 0, sizeof(*db));
    }
    return error;
}

int
posix_db_attach(struct posix_db *db, const unsigned char *base, uint64_t length)
{
    int error = EINVAL;

    memset(db, 0, sizeof(*db));
    if (length >= POSIX_HEADER_PAGE) {
        db->file.base = base;
        db->file.length = length;
        error = read_header(db);
    }
    if (error != 0)
        memset(db, 0, sizeof(*db));
    return error;
}

void
posix_db_close(struct posix_db *db)
{
    mapped_file_close(&db->file);
}

bool
posix_db_is_superseded(const struct posix_db *db)
{
    const volatile unsigned char *word = db->file.base + POSIX_AT_SUPERSEDED;

    return word[0] != 0;
}
