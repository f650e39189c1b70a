/*
 * Text records in, checked one by one. What cannot be judged from one record (doubles, order) is
 * judged in compile_layout.c. Nothing here trusts that a signature was checked before.
 */
#include "compile.h"

#include "refusals.h"

#define TEXT_LENGTH_MAX 1023 /* of home, shell and gecos */

/* The fields of a user's line. */
enum { NAME = 1, UID, GID, STATE, EXPIRES_DAY, GRACE_DAY, HOME, SHELL, GECOS, SECONDARY, FLAGS };

/* The number in field `i`, at most `max`. */
static uint64_t
number(const struct build *b, int i, uint64_t max)
{
    return input_number(&b->in, b->in.field[i], max);
}

/* The id number in field `i`: one that may be had, inside the windows of its kind. */
static uint32_t
id_number(const struct build *b, int i, enum posix_kind kind)
{
    uint32_t id = (uint32_t)number(b, i, UINT32_MAX);

    if (number_is_refused(id))
        refuse(&b->in, "number_refused", "the number belongs to the system");
    if (!id_windows_hold(&b->all[kind].windows, id))
        refuse(&b->in, "number_outside_windows", "the number is outside the windows");
    return id;
}

static void
check_name(const struct build *b)
{
    enum name_verdict verdict = name_judge(b->in.field[NAME], strlen(b->in.field[NAME]));

    if (verdict == NAME_RESERVED)
        refuse(&b->in, "name_reserved", "the name belongs to the system");
    if (verdict != NAME_GOOD)
        refuse(&b->in, "name_malformed", "the name cannot be carried");
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

/* Judges the text in field `i`: a path, or gecos. */
static void
check_text(const struct build *b, int i, bool is_path)
{
    const char *text = b->in.field[i];
    bool is_good = strlen(text) <= TEXT_LENGTH_MAX && (!is_path || text[0] == '/');

    for (size_t n = 1; is_good && *text != '\0'; text += n) {
        n = utf8_length((const unsigned char *)text);
        is_good = n != 0 && *text != ':' && (!is_path || n == 1);
    }
    if (!is_good && is_path)
        refuse(
            &b->in, "path_malformed",
            "home and shell are absolute paths of at most 1023 ASCII characters without a colon");
    if (!is_good)
        refuse(&b->in, "gecos_malformed", "gecos is UTF-8 of at most 1023 bytes without a colon");
}

/* Reads the next line, which must be `keyword` and a number of at most `max`. */
static uint64_t
head(struct build *b, const char *keyword, uint64_t max)
{
    if (!input_next(&b->in))
        refuse(&b->in, "truncated", "there is no end line");
    if (b->in.count != 2 || strcmp(b->in.field[0], keyword) != 0)
        refuse(&b->in, "out_of_order", keyword);
    return number(b, 1, max);
}

/* The lines that come first, each once. */
static void
parse_head(struct build *b)
{
    uint64_t created, not_after;

    if (head(b, "idmap-posix", UINT32_MAX) != 2)
        refuse(&b->in, "version_unknown", "not version 2");
    store_u64(b->header + POSIX_AT_REVISION, head(b, "revision", UINT64_MAX));
    created = head(b, "created", INT64_MAX);
    not_after = head(b, "not_after", INT64_MAX);
    if (not_after != 0 && not_after < created)
        refuse(&b->in, "dates_malformed", "not_after is before created");
    store_u64(b->header + POSIX_AT_CREATED, created);
    store_u64(b->header + POSIX_AT_NOT_AFTER, not_after);
}

static void
parse_window(struct build *b)
{
    bool is_uid = strcmp(b->in.field[1], "uid") == 0;
    struct id_windows *windows = &b->all[is_uid ? POSIX_USER : POSIX_GROUP].windows;
    uint32_t first, last;

    if (!is_uid && strcmp(b->in.field[1], "gid") != 0)
        refuse(&b->in, "window_malformed", "a window is for uid or gid");
    first = (uint32_t)number(b, 2, UINT32_MAX);
    last = (uint32_t)number(b, 3, UINT32_MAX);
    if (windows->count == WINDOW_MAX || first > last)
        refuse(&b->in, "window_malformed", "too many windows, or first above last");
    if (number_is_refused(first) || number_is_refused(last) || (first <= 60001 && last >= 65535))
        refuse(&b->in, "number_refused", "the window touches numbers of the system");
    windows->window[windows->count].first = first;
    windows->window[windows->count++].last = last;
}

/* A fourth field says that the group's members are not to be listed. */
static void
parse_group(struct build *b)
{
    bool is_withheld = b->in.count == 4;

    check_name(b);
    if (is_withheld && strcmp(b->in.field[3], "nomembers") != 0)
        refuse(&b->in, "field_unknown", "what may follow a gid is nomembers");
    layout_add(b, POSIX_GROUP, id_number(b, 2, POSIX_GROUP))->is_withheld = is_withheld;
}

/* Reads one secondary gid and counts the user into its group, if that lists its members. */
static uint32_t
add_secondary(struct build *b, const char *text)
{
    uint32_t gid_number = (uint32_t)input_number(&b->in, text, UINT32_MAX);
    struct entry *group = layout_group(b, NULL, gid_number);
    uint32_t stamp = (uint32_t)b->all[POSIX_USER].count + 1;
    uint32_t name_size = (uint32_t)strlen(b->in.field[NAME]) + 1;

    if (group == NULL)
        refuse(&b->in, "group_unknown", "a secondary gid is no group's number");
    if (group->stamp == stamp)
        refuse(&b->in, "group_repeated", "a secondary gid is given twice");
    if (group->members_size > UINT32_MAX - name_size)
        refuse(&b->in, "too_large", "too many members of a group");
    group->stamp = stamp;
    if (group->is_withheld)
        return gid_number;
    group->count++;
    group->members_size += name_size;
    b->groups = grow(b->groups, &b->group_room, b->group_count + 1, sizeof(*b->groups));
    b->groups[b->group_count++] = (uint32_t)(group - b->all[POSIX_GROUP].entry);
    return gid_number;
}

/* Reads the secondary gids; gives how many. */
static uint32_t
parse_secondary(struct build *b)
{
    char *rest = b->in.field[SECONDARY];
    uint32_t count = 0;

    if (*rest == '\0')
        return 0;
    for (char *gid; (gid = strsep(&rest, ",")) != NULL; count++) {
        if (count == SECONDARY_MAX)
            refuse(&b->in, "too_large", "too many groups of a user");
        store_u32(b->gids + (size_t)count * 4, add_secondary(b, gid));
    }
    return count;
}

static void
parse_state(const struct build *b, unsigned char *head)
{
    static const char *const states[USER_STATE_COUNT] = {"active", "grace", "suspended"};
    unsigned char state = 0;

    while (state < USER_STATE_COUNT && strcmp(b->in.field[STATE], states[state]) != 0)
        state++;
    if (state == USER_STATE_COUNT)
        refuse(&b->in, "state_unknown", "the state is active, grace or suspended");
    head[USER_AT_STATE] = state;
    store_u32(head + USER_AT_EXPIRES_DAY, (uint32_t)number(b, EXPIRES_DAY, INT32_MAX));
    store_u32(head + USER_AT_GRACE_DAY, (uint32_t)number(b, GRACE_DAY, INT32_MAX));
    if (state == USER_GRACE && load_u32(head + USER_AT_GRACE_DAY) == 0)
        refuse(&b->in, "dates_malformed", "grace needs its last day");
}

/* The primary group's number, which must be a group's. A group may have the user's name only with
 * the user's number. */
static uint32_t
primary_gid(struct build *b, uint32_t uid_number)
{
    uint32_t gid_number = id_number(b, GID, POSIX_GROUP);
    const struct entry *namesake = layout_group(b, b->in.field[NAME], 0);

    if (layout_group(b, NULL, gid_number) == NULL)
        refuse(&b->in, "group_unknown", "the primary gid is no group's number");
    if (namesake != NULL && namesake->number != uid_number)
        refuse(&b->in, "name_repeated", "a group of another number has the name");
    return gid_number;
}

static void
parse_user(struct build *b)
{
    static const int order[4] = {NAME, GECOS, HOME, SHELL}; /* as they lie in the record */
    unsigned char head[USER_AT_STRINGS] = {0};
    char strings[4 * (TEXT_LENGTH_MAX + 1)];
    size_t strings_size = 0;
    size_t lists_before = b->group_count;
    uint32_t uid_number, gid_count;
    struct entry *user;

    check_name(b);
    uid_number = id_number(b, UID, POSIX_USER);
    store_u32(head + USER_AT_GID, primary_gid(b, uid_number));
    check_text(b, HOME, true);
    check_text(b, SHELL, true);
    check_text(b, GECOS, false);
    parse_state(b, head);
    store_u32(head + USER_AT_FLAGS, (uint32_t)number(b, FLAGS, USER_FLAGS_KNOWN));
    store_u16(head + USER_AT_GECOS_LENGTH, (uint16_t)strlen(b->in.field[GECOS]));
    store_u16(head + USER_AT_HOME_LENGTH, (uint16_t)strlen(b->in.field[HOME]));
    store_u16(head + USER_AT_SHELL_LENGTH, (uint16_t)strlen(b->in.field[SHELL]));
    for (int i = 0; i < 4; i++) {
        size_t size = strlen(b->in.field[order[i]]) + 1;

        memcpy(strings + strings_size, b->in.field[order[i]], size);
        strings_size += size;
    }
    gid_count = parse_secondary(b);
    store_u32(head + USER_AT_GID_COUNT, gid_count);
    user = layout_add(b, POSIX_USER, uid_number);
    user->count = (uint32_t)(b->group_count - lists_before);
    layout_record(b, user, head, sizeof(head), strings, strings_size, b->gids, gid_count);
}

static void
parse_end(struct build *b)
{
    if (number(b, 1, UINT32_MAX) != b->all[POSIX_GROUP].count ||
        number(b, 2, UINT32_MAX) != b->all[POSIX_USER].count)
        refuse(&b->in, "truncated", "the end line counts otherwise");
}

/* The records in their only order: each kind repeats until a later one comes. */
enum stage { STAGE_HEAD, STAGE_WINDOWS, STAGE_GROUPS, STAGE_USERS, STAGE_END };

static const struct record_kind {
    const char *keyword;
    int fields;
    int optional; /* fields that may follow */
    int stage;
    void (*parse)(struct build *b);
} record_kinds[] = {
    {"user", 12, 0, STAGE_USERS, parse_user},      {"group", 3, 1, STAGE_GROUPS, parse_group},
    {"window", 4, 0, STAGE_WINDOWS, parse_window}, {"end", 3, 0, STAGE_END, parse_end},
    {"idmap-posix", 2, 0, STAGE_HEAD, NULL}, /* known, but over once the others come */
    {"revision", 2, 0, STAGE_HEAD, NULL},          {"created", 2, 0, STAGE_HEAD, NULL},
    {"not_after", 2, 0, STAGE_HEAD, NULL},         {NULL, 0, 0, STAGE_HEAD, NULL},
};

static void
parse_record(struct build *b)
{
    const struct record_kind *kind = record_kinds;

    while (kind->keyword != NULL && strcmp(b->in.field[0], kind->keyword) != 0)
        kind++;
    if (kind->keyword == NULL || b->stage == STAGE_END)
        refuse(&b->in, "record_unknown", "of no known kind, or behind the end");
    if (kind->stage < b->stage)
        refuse(&b->in, "out_of_order", "the record is out of order or given twice");
    if (b->in.count < kind->fields || b->in.count > kind->fields + kind->optional)
        refuse(&b->in, "field_count", "the record has too few or too many fields");
    if (b->stage < STAGE_USERS && kind->stage >= STAGE_USERS)
        layout_index(b, POSIX_GROUP);
    b->stage = kind->stage;
    kind->parse(b);
}

void
compile_posix(struct build *b)
{
    parse_head(b);
    b->stage = STAGE_WINDOWS;
    output_write(&b->out, b->header, sizeof(b->header));
    while (input_next(&b->in))
        parse_record(b);
    if (b->stage != STAGE_END)
        refuse(&b->in, "truncated", "there is no end line");
    layout_finish(b);
}
