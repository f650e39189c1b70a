/* The PAM side of the verifier's socket. See verify_client.h and docs/verify-protocol.md. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* struct ucred, explicit_bzero */
#endif
#include "verify_client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "refusals.h"

#define PROTOCOL_VERSION 1
#define SEND_MS 2000    /* the verifier accepts at once; a longer wait means it is stuck */
#define ANSWER_MS 10000 /* leaves room in sshd's LoginGraceTime for two more tries */
#define FLAG_PROVED 1U

static const char *const lower_hex = "0123456789abcdef";
static const char *const code_letters = "abcdefghijklmnopqrstuvwxyz0123456789_";

static int64_t
now_ms(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Writes `value` as `width` bytes, most significant first. */
static void
put_number(uint8_t *bytes, size_t width, uint32_t value)
{
    while (width-- > 0) {
        bytes[width] = (uint8_t)(value & 0xff);
        value >>= 8;
    }
}

static uint32_t
get_number(const uint8_t *bytes, size_t width)
{
    uint32_t value = 0;

    for (size_t i = 0; i < width; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* Copies a text field that must be zero-filled after its end. False if the last byte is not zero.
 */
static bool
get_text(char *text, const uint8_t *bytes, size_t size)
{
    memcpy(text, bytes, size);
    for (size_t i = strnlen(text, size); i < size; i++)
        if (text[i] != '\0')
            return false;
    return text[size - 1] == '\0';
}

/* Builds the request in `bytes` (IDMAP_REQUEST_MAX). Returns its length, 0 if a limit is broken. */
static size_t
build_request(const struct idmap_verify_request *request, uint8_t *bytes)
{
    const struct {
        const char *text;
        size_t length, least, most, at, width;
    } fields[] = {
        {request->username, strlen(request->username), 1, IDMAP_NAME_MAX, 6, 2},
        {request->rhost, strlen(request->rhost), 0, IDMAP_RHOST_MAX, 8, 2},
        {request->service, strlen(request->service), 0, IDMAP_SERVICE_MAX, 10, 2},
        {request->secret, strlen(request->secret), 1, IDMAP_SECRET_MAX, 12, 4},
    };
    size_t end = IDMAP_REQUEST_HEADER;

    memcpy(bytes, "IDMV", 4);
    put_number(bytes + 4, 2, PROTOCOL_VERSION);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].length < fields[i].least || fields[i].length > fields[i].most)
            return 0;
        put_number(bytes + fields[i].at, fields[i].width, (uint32_t)fields[i].length);
        memcpy(bytes + end, fields[i].text, fields[i].length);
        end += fields[i].length;
    }
    return end;
}

bool
idmap_verify_parse_reply(const uint8_t *bytes, struct idmap_verify_reply *reply)
{
    uint32_t outcome = get_number(bytes + 8, 4), flags = get_number(bytes + 12, 4);
    bool sound = memcmp(bytes, "IDMV", 4) == 0 && get_number(bytes + 4, 2) == PROTOCOL_VERSION &&
                 get_number(bytes + 6, 2) == 0 && outcome <= 1 && flags <= FLAG_PROVED;

    reply->accepted = outcome == 0;
    reply->proved = flags == FLAG_PROVED;
    reply->uid_number = get_number(bytes + 16, 4);
    sound = get_text(reply->name, bytes + 20, sizeof reply->name) && sound;
    sound = get_text(reply->reason, bytes + 53, sizeof reply->reason) && sound;
    sound = get_text(reply->ref, bytes + 93, sizeof reply->ref) && sound;
    for (size_t i = 110; i < IDMAP_REPLY_SIZE; i++)
        sound = sound && bytes[i] == 0;
    sound = sound && strspn(reply->ref, lower_hex) == IDMAP_REF_SIZE - 1 &&
            reply->reason[0] != '\0' && reply->reason[strspn(reply->reason, code_letters)] == '\0';
    if (sound && reply->accepted)
        sound = reply->proved && reply->name[0] != '\0' && !number_is_refused(reply->uid_number);
    if (!sound)
        memset(reply, 0, sizeof *reply);
    return sound;
}

/* Waits until `fd` is ready for `events`. False once `deadline` (now_ms) has passed. */
static bool
wait_for(int fd, short events, int64_t deadline)
{
    struct pollfd ready = {.fd = fd, .events = events};
    int64_t left;

    while ((left = deadline - now_ms()) > 0)
        if (poll(&ready, 1, (int)left) > 0)
            return true;
    return false;
}

/* Connects `fd` and checks who listens. Credentials are those of the process that called listen:
 * the verifier, or systemd, as root, when the socket is activated. */
static enum idmap_verify_status
reach(int fd, const char *path, uid_t verifier_uid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = SEND_MS / 1000};
    struct ucred peer;
    socklen_t size = sizeof peer;
    const int yes = 1;

    if (strlen(path) >= sizeof address.sun_path)
        return IDMAP_VERIFY_ABSENT;
    memcpy(address.sun_path, path, strlen(path));
    /* The only way to bound connect on a Unix socket: its full backlog cannot be polled. */
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) != 0)
        return IDMAP_VERIFY_ABSENT;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        return errno == EAGAIN ? IDMAP_VERIFY_LATE : IDMAP_VERIFY_ABSENT;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || size != sizeof peer)
        return IDMAP_VERIFY_WRONG_PEER;
    return peer.uid == verifier_uid || peer.uid == 0 ? IDMAP_VERIFY_REPLIED
                                                     : IDMAP_VERIFY_WRONG_PEER;
}

static enum idmap_verify_status
send_all(int fd, const uint8_t *bytes, size_t left, int64_t deadline)
{
    while (left > 0) {
        ssize_t sent = send(fd, bytes, left, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno == EAGAIN) {
            if (!wait_for(fd, POLLOUT, deadline))
                return IDMAP_VERIFY_LATE;
        } else if (sent < 0 && errno != EINTR) {
            return IDMAP_VERIFY_ABSENT;
        } else if (sent > 0) {
            bytes += sent;
            left -= (size_t)sent;
        }
    }
    return IDMAP_VERIFY_REPLIED;
}

/* Reads `left` bytes, every piece of which the kernel must say `verifier_uid` wrote. */
static enum idmap_verify_status
receive_all(int fd, uint8_t *bytes, size_t left, uid_t verifier_uid, int64_t deadline)
{
    while (left > 0) {
        union {
            struct cmsghdr align;
            char room[CMSG_SPACE(sizeof(struct ucred))];
        } control;
        struct iovec piece = {.iov_base = bytes, .iov_len = left};
        struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control};
        const struct cmsghdr *note;
        struct ucred writer;
        ssize_t got;

        message.msg_controllen = sizeof control;
        if (!wait_for(fd, POLLIN, deadline))
            return IDMAP_VERIFY_LATE;
        got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (got <= 0)
            return IDMAP_VERIFY_ABSENT;
        note = CMSG_FIRSTHDR(&message);
        if (note == NULL || note->cmsg_level != SOL_SOCKET || note->cmsg_type != SCM_CREDENTIALS ||
            note->cmsg_len != CMSG_LEN(sizeof writer) || (message.msg_flags & MSG_CTRUNC) != 0)
            return IDMAP_VERIFY_WRONG_PEER;
        memcpy(&writer, CMSG_DATA(note), sizeof writer);
        if (writer.uid != verifier_uid)
            return IDMAP_VERIFY_WRONG_PEER;
        bytes += got;
        left -= (size_t)got;
    }
    return IDMAP_VERIFY_REPLIED;
}

enum idmap_verify_status
idmap_verify_ask(const char *path, uid_t verifier_uid, const struct idmap_verify_request *request,
                 struct idmap_verify_reply *reply)
{
    uint8_t question[IDMAP_REQUEST_MAX], answer[IDMAP_REPLY_SIZE];
    int64_t begun = now_ms();
    enum idmap_verify_status status = IDMAP_VERIFY_MALFORMED;
    size_t length = build_request(request, question);
    int fd = -1;

    memset(reply, 0, sizeof *reply);
    if (length == 0)
        goto done;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    status = fd < 0 ? IDMAP_VERIFY_ABSENT : reach(fd, path, verifier_uid);
    if (status == IDMAP_VERIFY_REPLIED)
        status = send_all(fd, question, length, begun + SEND_MS);
    if (status == IDMAP_VERIFY_REPLIED)
        status = receive_all(fd, answer, sizeof answer, verifier_uid, begun + ANSWER_MS);
    if (status == IDMAP_VERIFY_REPLIED && !idmap_verify_parse_reply(answer, reply))
        status = IDMAP_VERIFY_MALFORMED;
done:
    explicit_bzero(question, sizeof question);
    if (fd >= 0)
        (void)close(fd);
    return status;
}

const char *
idmap_verify_status_name(enum idmap_verify_status status)
{
    static const char *const names[] = {"replied", "absent", "late", "wrong_peer", "malformed"};

    return (size_t)status < sizeof names / sizeof names[0] ? names[status] : "malformed";
}
