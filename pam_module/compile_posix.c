/*
 * Text records in, checked one by one. What cannot be judged from one record (doubles, order) is
 * judged in compile_layout.c. Nothing here trusts that a signature was checked before.
 */
#define _GNU_SOURCE
#include "compile_posix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "refusals.h"

#define PATH_LENGTH_MAX 1023
#define GECOS_LENGTH_MAX 1023
#define SECONDARY_MAX 65535 /* the kernel takes 65 536 groups, the primary one included */
#define RECORD_MAX (USER_AT_STRINGS + 4096 + SECONDARY_MAX * 4 + 8)

/* Refuses a number that no account or group may have, or that lies outside the given windows. */
static enum result
check_number(struct build *b, const struct id_windows *windows, uint32_t number)
{
    if (number_is_refused(number))
        return refuse(b->in, "number_refused", "the number belongs to the system");
    for (uint32_t i = 0; i < windows->count; i++)
        if (number >= windows->window[i].first && number <= windows->window[i].last)
            return RESULT_OK;
    return refuse(b->in, "number_outside_windows", "the number is outside the windows");
}

/* Reads and judges the number in field `i`. */
static enum result
read_number(struct build *b, int i, const struct id_windows *windows, uint32_t *number)
{
    uint64_t value;

    if (input_number(b->in, i, UINT32_MAX, &value) != RESULT_OK)
        return RESULT_REFUSED;
    *number = (uint32_t)value;
    return check_number(b, windows, *number);
}

static enum result
check_name(struct build *b, int i)
{
    switch (name_judge(b->in->field[i], b->in->length[i])) {
    case NAME_GOOD:
        return RESULT_OK;
    case NAME_RESERVED:
        return refuse(b->in, "name_reserved", "the name belongs to the system");
    case NAME_MALFORMED:
        break;
    }
    return refuse(b->in, "name_malformed", "the name cannot be carried");
}

static enum result
check_path(struct build *b, int i)
{
    const char *p = b->in->field[i];

    if (p[0] != '/')
        return refuse(b->in, "path_malformed", "home and shell must be absolute paths");
    if (b->in->length[i] > PATH_LENGTH_MAX)
        return refuse(b->in, "path_malformed", "home or shell is too long");
    for (; *p != '\0'; p++)
        if (*p == ':' || (unsigned char)*p >= 0x80)
            return refuse(b->in, "path_malformed", "home and shell are ASCII without colons");
    return RESULT_OK;
}

/* The length of the well-formed UTF-8 sequence at `p` (RFC 3629), C1 controls excluded; 0: none. */
static size_t
utf8_length(const unsigned char *p)
{
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf && (p[1] & 0xc0) == 0x80)
        return p[0] == 0xc2 && p[1] < 0xa0 ? 0 : 2;
    if ((p[0] & 0xf0) == 0xe0 && (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80)
        return (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ? 0 : 3;
    if (p[0] >= 0xf0 && p[0] <= 0xf4 && (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80 &&
        (p[3] & 0xc0) == 0x80)
        return (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f) ? 0 : 4;
    return 0;
}

static enum result
check_gecos(struct build *b, int i)
{
    const unsigned char *p = (const unsigned char *)b->in->field[i];
    size_t n;

    if (b->in->length[i] > GECOS_LENGTH_MAX)
        return refuse(b->in, "gecos_malformed", "gecos is too long");
    for (; *p != '\0'; p += n) {
        n = utf8_length(p);
        if (n == 0 || *p == ':')
            return refuse(b->in, "gecos_malformed", "gecos is UTF-8 without colons");
    }
    return RESULT_OK;
}

static enum result
parse_version(struct build *b)
{
    return strcmp(b->in->field[1], "1") == 0 ? RESULT_OK
                                             : refuse(b->in, "version_unknown", "not version 1");
}

/* Reads a number of field 1 into the header at `at`. */
static enum result
parse_into_header(struct build *b, size_t at, uint64_t max)
{
    uint64_t value;

    if (input_number(b->in, 1, max, &value) != RESULT_OK)
        return RESULT_REFUSED;
    store_u64(b->header + at, value);
    return RESULT_OK;
}

static enum result
parse_revision(struct build *b)
{
    return parse_into_header(b, POSIX_AT_REVISION, UINT64_MAX);
}

static enum result
parse_created(struct build *b)
{
    return parse_into_header(b, POSIX_AT_CREATED, INT64_MAX);
}

static enum result
parse_not_after(struct build *b)
{
    enum result result = parse_into_header(b, POSIX_AT_NOT_AFTER, INT64_MAX);
    int64_t not_after = load_i64(b->header + POSIX_AT_NOT_AFTER);

    if (result == RESULT_OK && not_after != 0 && not_after < load_i64(b->header + POSIX_AT_CREATED))
        return refuse(b->in, "dates_malformed", "not_after is before created");
    return result;
}

static enum result
parse_window(struct build *b)
{
    bool is_uid = strcmp(b->in->field[1], "uid") == 0;
    struct id_windows *windows = is_uid ? &b->users.windows : &b->groups.windows;
    uint64_t first;
    uint64_t last;

    if (!is_uid && strcmp(b->in->field[1], "gid") != 0)
        return refuse(b->in, "window_malformed", "a window is for uid or gid");
    if (input_number(b->in, 2, UINT32_MAX, &first) != RESULT_OK ||
        input_number(b->in, 3, UINT32_MAX, &last) != RESULT_OK)
        return RESULT_REFUSED;
    if (windows->count == WINDOW_MAX || first > last)
        return refuse(b->in, "window_malformed", "too many windows, or first above last");
    if (number_is_refused((uint32_t)first) || number_is_refused((uint32_t)last) ||
        (first <= 60001 && last >= 65535))
        return refuse(b->in, "number_refused", "the window touches numbers of the system");
    windows->window[windows->count].first = (uint32_t)first;
    windows->window[windows->count++].last = (uint32_t)last;
    return RESULT_OK;
}

static enum result
parse_group(struct build *b)
{
    uint32_t gid_number;

    if (check_name(b, 1) != RESULT_OK ||
        read_number(b, 2, &b->groups.windows, &gid_number) != RESULT_OK)
        return RESULT_REFUSED;
    return layout_add(b, &b->groups, gid_number);
}

/* Reads field 10, the secondary gids, into `gids`; counts the user into each group. */
static enum result
parse_secondary(struct build *b, unsigned char *gids, uint32_t *count)
{
    char *at = b->in->field[10];
    uint32_t stamp = (uint32_t)b->users.count + 1;
    uint32_t name_size = (uint32_t)b->in->length[1] + 1;

    *count = 0;
    while (*at != '\0') {
        char *comma = strchrnul(at, ',');
        bool more = *comma == ',';
        struct entry *group;
        uint64_t value;
        uint32_t *gids_of_all;

        *comma = '\0';
        b->in->field[10] = at;
        b->in->length[10] = (size_t)(comma - at);
        if (input_number(b->in, 10, UINT32_MAX, &value) != RESULT_OK)
            return RESULT_REFUSED;
        group = layout_find_number(b, &b->groups, (uint32_t)value);
        if (group == NULL)
            return refuse(b->in, "group_unknown", "a secondary gid is no group's number");
        if (group->stamp == stamp)
            return refuse(b->in, "group_repeated", "a secondary gid is given twice");
        if (*count == SECONDARY_MAX || group->members_size > UINT32_MAX - name_size)
            return refuse(b->in, "too_large", "too many groups of a user or members of a group");
        gids_of_all = layout_grow(b->gids, &b->gid_room, b->gid_count, 1, sizeof(*b->gids));
        if (gids_of_all == NULL)
            return failed("no_memory", b->in->path);
        b->gids = gids_of_all;
        b->gids[b->gid_count++] = (uint32_t)(group - b->groups.entry);
        group->stamp = stamp;
        group->count++;
        group->members_size += name_size;
        store_u32(gids + (size_t)(*count)++ * 4, (uint32_t)value);
        at = comma + (more ? 1 : 0);
        if (more && *at == '\0')
            return refuse(b->in, "number_malformed", "a comma ends the secondary gids");
    }
    return RESULT_OK;
}

static enum result
parse_state(struct build *b, unsigned char *record)
{
    static const char *const states[USER_STATE_COUNT] = {"active", "grace", "suspended"};
    uint64_t expires_day;
    uint64_t grace_day;
    int state = 0;

    while (state < USER_STATE_COUNT && strcmp(b->in->field[4], states[state]) != 0)
        state++;
    if (state == USER_STATE_COUNT)
        return refuse(b->in, "state_unknown", "the state is active, grace or suspended");
    if (input_number(b->in, 5, INT32_MAX, &expires_day) != RESULT_OK ||
        input_number(b->in, 6, INT32_MAX, &grace_day) != RESULT_OK)
        return RESULT_REFUSED;
    if (state == USER_GRACE && grace_day == 0)
        return refuse(b->in, "dates_malformed", "grace needs its last day");
    record[USER_AT_STATE] = (unsigned char)state;
    store_u32(record + USER_AT_EXPIRES_DAY, (uint32_t)expires_day);
    store_u32(record + USER_AT_GRACE_DAY, (uint32_t)grace_day);
    return RESULT_OK;
}

/* Refuses what is wrong with the fields that stand for themselves. */
static enum result
check_user(struct build *b, uint32_t *uid_number, uint32_t *gid_number)
{
    const struct entry *namesake;

    if (check_name(b, 1) != RESULT_OK ||
        read_number(b, 2, &b->users.windows, uid_number) != RESULT_OK ||
        read_number(b, 3, &b->groups.windows, gid_number) != RESULT_OK)
        return RESULT_REFUSED;
    if (layout_find_number(b, &b->groups, *gid_number) == NULL)
        return refuse(b->in, "group_unknown", "the primary gid is no group's number");
    namesake = layout_find_name(b, &b->groups, b->in->field[1], b->in->length[1]);
    if (namesake != NULL && namesake->number != *uid_number)
        return refuse(b->in, "name_repeated", "a group of another number has the name");
    if (check_path(b, 7) != RESULT_OK || check_path(b, 8) != RESULT_OK)
        return RESULT_REFUSED;
    return check_gecos(b, 9);
}

static enum result
parse_user(struct build *b)
{
    static const int strings[4] = {1, 9, 7, 8}; /* name, gecos, home, shell */
    struct input *in = b->in;
    unsigned char *record = b->record;
    struct entry *user;
    uint32_t uid_number;
    uint32_t gid_number;
    uint32_t gid_count;
    size_t size = USER_AT_STRINGS;
    enum result result;

    if (check_user(b, &uid_number, &gid_number) != RESULT_OK)
        return RESULT_REFUSED;
    memset(record, 0, USER_AT_STRINGS);
    if (parse_state(b, record) != RESULT_OK)
        return RESULT_REFUSED;
    if (b->out->offset / REFERENCE_UNIT > UINT32_MAX - RECORD_MAX)
        return refuse(in, "too_large", "too many users");
    for (int i = 0; i < 4; i++) {
        memcpy(record + size, in->field[strings[i]], in->length[strings[i]] + 1);
        size += in->length[strings[i]] + 1;
    }
    memset(record + size, 0, 8);
    size = (size_t)round_up(size, 4);
    result = parse_secondary(b, record + size, &gid_count);
    if (result != RESULT_OK)
        return result;
    size += (size_t)gid_count * 4;
    memset(record + size, 0, 8);
    size = (size_t)round_up(size, REFERENCE_UNIT);
    result = layout_add(b, &b->users, uid_number);
    if (result != RESULT_OK)
        return result;
    user = &b->users.entry[b->users.count - 1];
    user->reference = (uint32_t)(b->out->offset / REFERENCE_UNIT);
    user->count = gid_count;
    store_u32(record + RECORD_AT_REFERENCE, user->reference);
    store_u32(record + RECORD_AT_SIZE, (uint32_t)size);
    store_u32(record + USER_AT_UID, uid_number);
    store_u32(record + USER_AT_GID, gid_number);
    record[USER_AT_NAME_LENGTH] = (unsigned char)in->length[1];
    store_u16(record + USER_AT_GECOS_LENGTH, (uint16_t)in->length[9]);
    store_u16(record + USER_AT_HOME_LENGTH, (uint16_t)in->length[7]);
    store_u16(record + USER_AT_SHELL_LENGTH, (uint16_t)in->length[8]);
    store_u32(record + USER_AT_GID_COUNT, gid_count);
    return output_write(b->out, record, size);
}

static enum result
parse_end(struct build *b)
{
    uint64_t groups;
    uint64_t users;

    if (input_number(b->in, 1, UINT32_MAX, &groups) != RESULT_OK ||
        input_number(b->in, 2, UINT32_MAX, &users) != RESULT_OK)
        return RESULT_REFUSED;
    if (groups != b->groups.count || users != b->users.count)
        return refuse(b->in, "truncated", "the end line counts otherwise");
    return RESULT_OK;
}

/* The records, in their only order. A record may come when the stage before its own is reached. */
enum stage {
    STAGE_NOTHING,
    STAGE_VERSION,
    STAGE_REVISION,
    STAGE_CREATED,
    STAGE_NOT_AFTER,
    STAGE_WINDOWS,
    STAGE_GROUPS,
    STAGE_USERS,
    STAGE_END
};

static const struct record_kind {
    const char *keyword;
    int fields;
    int from; /* the stages in which it may come */
    int stage;
    enum result (*parse)(struct build *b);
} record_kinds[] = {
    {"user", 11, STAGE_NOT_AFTER, STAGE_USERS, parse_user},
    {"group", 3, STAGE_NOT_AFTER, STAGE_GROUPS, parse_group},
    {"idmap-posix", 2, STAGE_NOTHING, STAGE_VERSION, parse_version},
    {"revision", 2, STAGE_VERSION, STAGE_REVISION, parse_revision},
    {"created", 2, STAGE_REVISION, STAGE_CREATED, parse_created},
    {"not_after", 2, STAGE_CREATED, STAGE_NOT_AFTER, parse_not_after},
    {"window", 4, STAGE_NOT_AFTER, STAGE_WINDOWS, parse_window},
    {"end", 3, STAGE_NOT_AFTER, STAGE_END, parse_end},
};

static enum result
parse_record(struct build *b)
{
    for (size_t i = 0; i < sizeof(record_kinds) / sizeof(record_kinds[0]); i++) {
        const struct record_kind *kind = &record_kinds[i];

        if (strcmp(b->in->field[0], kind->keyword) != 0)
            continue;
        /* The lines before the windows come once; the others repeat until a later kind comes. */
        if (b->stage < kind->from || b->stage > kind->stage ||
            (kind->stage <= STAGE_NOT_AFTER && b->stage != kind->from))
            return refuse(b->in, "out_of_order", "the record is out of order or given twice");
        if (b->in->count != kind->fields)
            return refuse(b->in, "field_count", "the record has too few or too many fields");
        if (b->stage < STAGE_USERS && kind->stage >= STAGE_USERS) {
            enum result result = layout_index(b, &b->groups);

            if (result != RESULT_OK)
                return result;
        }
        b->stage = kind->stage;
        return kind->parse(b);
    }
    return refuse(b->in, "record_unknown", "the record is of no known kind");
}

static enum result
parse_all(struct build *b)
{
    enum result result;

    while ((result = input_next(b->in)) == RESULT_OK && b->in->count != 0) {
        if (b->stage == STAGE_END)
            return refuse(b->in, "record_unknown", "a line after the end");
        result = parse_record(b);
        if (result != RESULT_OK)
            return result;
    }
    if (result == RESULT_OK && b->stage != STAGE_END)
        return refuse(b->in, "truncated", "there is no end line");
    return result;
}

static void
free_entries(struct entries *entries)
{
    free(entries->entry);
    free(entries->names);
    free(entries->by_name.slot);
    free(entries->by_number.slot);
}

enum result
compile_posix(struct input *in, struct output *out, const unsigned char *seed)
{
    struct build *b = calloc(1, sizeof(*b));
    enum result result;

    if (b == NULL || (b->record = malloc(RECORD_MAX)) == NULL) {
        free(b);
        return failed("no_memory", in->path);
    }
    b->in = in;
    b->out = out;
    if (seed != NULL) {
        memcpy(b->seed, seed, sizeof(b->seed));
    } else if (getrandom(b->seed, sizeof(b->seed), 0) != (ssize_t)sizeof(b->seed)) {
        result = failed("no_randomness", in->path);
        goto done;
    }
    result = output_write(out, b->header, sizeof(b->header));
    if (result == RESULT_OK)
        result = parse_all(b);
    if (result == RESULT_OK)
        result = layout_finish(b);
done:
    free_entries(&b->users);
    free_entries(&b->groups);
    free(b->gids);
    free(b->record);
    free(b);
    return result;
}
