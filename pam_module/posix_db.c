/*
 * Reading posix.db. One function stands between the file and everyone else: `record_at` gives a
 * whole record or nothing, and all other code reads only inside what it gave.
 */
#include "posix_db.h"

#include "refusals.h"

#define MEMBERS_AHEAD 8

/* The record that `reference` names, if it names itself, is at least `minimum` long and lies in its
 * section; else NULL. */
static const unsigned char *
record_at(const struct posix_db *db, enum posix_kind kind, uint32_t reference, uint32_t minimum,
          uint32_t *size)
{
    uint64_t start = db->section[kind].offset;
    uint64_t end = start + db->section[kind].size;
    uint64_t offset = (uint64_t)reference * REFERENCE_UNIT;
    const unsigned char *bytes;

    if (offset < start || offset >= end || end - offset < minimum)
        return NULL;
    bytes = db->file.base + offset;
    if (load_u32(bytes + RECORD_AT_REFERENCE) != reference)
        return NULL;
    *size = load_u32(bytes + RECORD_AT_SIZE);
    if (*size < minimum || *size % REFERENCE_UNIT != 0 || *size > end - offset)
        return NULL;
    return bytes;
}

static bool
is_permitted(const struct id_windows *windows, uint32_t number)
{
    return !number_is_refused(number) && id_windows_hold(windows, number);
}

/* What only users have: taken from the record, and its strings counted; then, in is_sound_user,
 * with the strings known to lie inside the record, checked. */
static void
take_user(const unsigned char *bytes, struct posix_record *user)
{
    user->gid_number = load_u32(bytes + USER_AT_GID);
    user->state = (enum user_state)bytes[USER_AT_STATE];
    user->expires_day = load_u32(bytes + USER_AT_EXPIRES_DAY);
    user->grace_day = load_u32(bytes + USER_AT_GRACE_DAY);
    user->gecos_length = load_u16(bytes + USER_AT_GECOS_LENGTH);
    user->home_length = load_u16(bytes + USER_AT_HOME_LENGTH);
    user->strings_size +=
        user->gecos_length + user->home_length + load_u16(bytes + USER_AT_SHELL_LENGTH) + 3;
    user->count = load_u32(bytes + USER_AT_GID_COUNT);
    user->flags = load_u32(bytes + USER_AT_FLAGS);
}

static bool
is_sound_user(const struct posix_db *db, const struct posix_record *user)
{
    const char *home = user->name + user->name_length + user->gecos_length + 2;

    return (unsigned)user->state < USER_STATE_COUNT &&
           is_permitted(&db->windows[POSIX_GROUP], user->gid_number) && home[-1] == '\0' &&
           home[user->home_length] == '\0' && user->name[user->strings_size - 1] == '\0';
}

/* Fills `record` from the one that `reference` names, after every check. */
static bool
read_record(const struct posix_db *db, enum posix_kind kind, uint32_t reference,
            struct posix_record *record)
{
    uint32_t head = kind == POSIX_USER ? USER_AT_STRINGS : GROUP_AT_STRINGS;
    const unsigned char *bytes = record_at(db, kind, reference, head, &record->size);
    uint64_t list_at;

    if (bytes == NULL)
        return false;
    record->kind = kind;
    record->reference = reference;
    record->number = load_u32(bytes + RECORD_AT_NUMBER);
    record->name = (const char *)bytes + head;
    record->name_length = bytes[RECORD_AT_NAME_LENGTH];
    record->strings_size = record->name_length + 1;
    if (kind == POSIX_USER) {
        take_user(bytes, record);
    } else {
        record->count = load_u32(bytes + GROUP_AT_MEMBER_COUNT);
        record->members_size = load_u32(bytes + GROUP_AT_MEMBERS_SIZE);
    }
    list_at = round_up(head + record->strings_size, 4);
    if (list_at + (uint64_t)record->count * 4 > record->size)
        return false;
    record->list = bytes + list_at;
    if (!is_permitted(&db->windows[kind], record->number) ||
        name_judge(record->name, record->name_length) != NAME_GOOD ||
        record->name[record->name_length] != '\0')
        return false;
    if (kind == POSIX_USER)
        return is_sound_user(db, record);
    /* A wrong sum would ask callers for ever larger buffers. */
    return record->members_size <= (uint64_t)record->count * (NAME_LENGTH_MAX + 1);
}

/* Walks the slots of an index that the hash leads to, for a record with this name, or (NULL) with
 * the fingerprint as its number. Bounded by the number of probes that the compiler recorded, so a
 * damaged index cannot make it long. */
static enum posix_found
find(const struct posix_db *db, enum posix_kind kind, uint64_t hash, uint32_t fingerprint,
     const char *name, size_t length, struct posix_record *record)
{
    unsigned index = INDEX_OF(kind, name != NULL ? KEY_NAME : KEY_NUMBER);
    const unsigned char *slots = db->file.base + db->section[SECTION_OF_INDEX(index)].offset;
    uint64_t mask = db->section[SECTION_OF_INDEX(index)].size / SLOT_SIZE - 1;

    for (uint32_t i = 0; i < db->max_probes[index]; i++) {
        const unsigned char *slot = slots + ((hash + i) & mask) * SLOT_SIZE;
        uint32_t reference = load_u32(slot + 4);

        if (reference == 0)
            return POSIX_ABSENT;
        if (load_u32(slot) != fingerprint)
            continue;
        if (!read_record(db, kind, reference, record))
            return POSIX_DAMAGED;
        if (name == NULL)
            return record->number == fingerprint ? POSIX_FOUND : POSIX_DAMAGED;
        if (record->name_length == length && memcmp(record->name, name, length) == 0)
            return POSIX_FOUND;
    }
    return POSIX_ABSENT;
}

enum posix_found
posix_db_by_name(const struct posix_db *db, enum posix_kind kind, const char *name,
                 struct posix_record *record)
{
    size_t length = strnlen(name, NAME_LENGTH_MAX + 1);
    uint64_t hash;

    if (length == 0 || length > NAME_LENGTH_MAX)
        return POSIX_ABSENT;
    hash = format_hash_name(db->seed, name, length);
    return find(db, kind, hash, (uint32_t)(hash >> 32), name, length, record);
}

enum posix_found
posix_db_by_number(const struct posix_db *db, enum posix_kind kind, uint32_t number,
                   struct posix_record *record)
{
    return find(db, kind, format_hash_number(db->seed, number), number, NULL, 0, record);
}

enum posix_found
posix_db_at(const struct posix_db *db, enum posix_kind kind, uint64_t cursor,
            struct posix_record *record)
{
    uint64_t offset = db->section[kind].offset + cursor;

    if (cursor >= db->section[kind].size)
        return POSIX_ABSENT;
    return read_record(db, kind, (uint32_t)(offset / REFERENCE_UNIT), record) ? POSIX_FOUND
                                                                              : POSIX_DAMAGED;
}

bool
posix_db_gid(const struct posix_db *db, const struct posix_record *user, uint32_t i,
             uint32_t *gid_number)
{
    *gid_number = load_u32(user->list + (size_t)i * 4);
    return is_permitted(&db->windows[POSIX_GROUP], *gid_number);
}

bool
posix_db_member(const struct posix_db *db, const struct posix_record *group, uint32_t i,
                struct posix_record *member)
{
    /* Members lie far apart: what is read soon is fetched while this one is read. */
    if (i + MEMBERS_AHEAD < group->count) {
        uint32_t soon = load_u32(group->list + ((size_t)i + MEMBERS_AHEAD) * 4);
        uintptr_t at = (uintptr_t)db->file.base + (uintptr_t)soon * REFERENCE_UNIT;

        __builtin_prefetch((const void *)at);
        __builtin_prefetch((const void *)(at + 64));
    }
    return read_record(db, POSIX_USER, load_u32(group->list + (size_t)i * 4), member);
}

/* Reads the windows of a kind; false when they are malformed. */
static bool
read_windows(const unsigned char *header, size_t kind, struct id_windows *windows)
{
    const unsigned char *at = header + POSIX_AT_WINDOW + kind * WINDOW_MAX * WINDOW_SIZE;

    windows->count = load_u32(header + POSIX_AT_WINDOWS + kind * 4);
    if (windows->count > WINDOW_MAX)
        return false;
    for (uint32_t i = 0; i < windows->count; i++, at += WINDOW_SIZE) {
        windows->window[i].first = load_u32(at);
        windows->window[i].last = load_u32(at + 4);
        if (windows->window[i].first > windows->window[i].last)
            return false;
    }
    return true;
}

bool
posix_db_read_header(struct posix_db *db)
{
    static const struct file_form form = {POSIX_MAGIC, POSIX_HEADER_PAGE, POSIX_AT_CHECKSUM, 0};
    const unsigned char *header = db->file.base;

    if (!mapped_file_fits(&db->file, &form))
        return false;
    db->revision = load_u64(header + POSIX_AT_REVISION);
    db->created = load_i64(header + POSIX_AT_CREATED);
    db->not_after = load_i64(header + POSIX_AT_NOT_AFTER);
    memcpy(db->seed, header + POSIX_AT_SEED, sizeof(db->seed));
    for (size_t kind = 0; kind < POSIX_KINDS; kind++)
        if (!read_windows(header, kind, &db->windows[kind]))
            return false;
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        uint64_t offset = load_u64(header + POSIX_AT_SECTIONS + i * 16);
        uint64_t size = load_u64(header + POSIX_AT_SECTIONS + i * 16 + 8);

        if (offset < POSIX_HEADER_PAGE || offset % SECTION_ALIGN != 0 || offset > db->file.length ||
            size > db->file.length - offset)
            return false;
        db->section[i].offset = offset;
        db->section[i].size = size;
    }
    for (size_t i = 0; i < INDEX_COUNT; i++) {
        uint64_t size = db->section[SECTION_OF_INDEX(i)].size;

        /* A power of two of slots, and no search longer than that. */
        db->max_probes[i] = load_u32(header + POSIX_AT_MAX_PROBES + i * 4);
        if (size < INDEX_MIN_SLOTS * SLOT_SIZE || (size & (size - 1)) != 0 ||
            db->max_probes[i] > size / SLOT_SIZE)
            return false;
    }
    return true;
}

bool
posix_db_open(struct posix_db *db, const char *path)
{
    if (!mapped_file_open(&db->file, path))
        return false;
    if (posix_db_read_header(db))
        return true;
    mapped_file_close(&db->file);
    return false;
}
