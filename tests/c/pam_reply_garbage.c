/*
 * Feeds hostile replies to the protocol client, for test_pam_verify_client.py, under ASan and
 * UBSan.
 *
 *   pam_reply_garbage SOCKET ROUNDS
 *
 * First ROUNDS * 1000 damaged replies to the parser, then ROUNDS to the whole client over SOCKET
 * from a child that answers with damaged, short, long and empty replies, and sends descriptors
 * along. Whatever is accepted must keep every promise of verify_client.h; whatever is not must be
 * zeroed. Prints how many of each kind there were.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "refusals.h"
#include "verify_client.h"

static uint64_t state = 0x9e3779b97f4a7c15u;

static uint32_t
pick(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % below;
}

static void
good_reply(uint8_t *bytes)
{
    memset(bytes, 0, IDMAP_REPLY_SIZE);
    memcpy(bytes, "IDMV\0\1", 6);
    bytes[15] = 1;
    memcpy(bytes + 16, "\0\3\x0d\x40", 4); /* 200000 */
    memcpy(bytes + 20, "anna", 4);
    memcpy(bytes + 53, "ok", 2);
    memcpy(bytes + 93, "0123456789abcdef", 16);
}

static void
damage(uint8_t *bytes)
{
    static const uint8_t ends[] = {0, 1, 0x20, 0x7f, 0x80, 0xff, '%', 'a'};

    if (pick(50) == 0)
        for (size_t i = 0; i < IDMAP_REPLY_SIZE; i++)
            bytes[i] = (uint8_t)pick(256);
    for (uint32_t left = pick(4); left > 0; left--) {
        uint32_t at = pick(IDMAP_REPLY_SIZE), length = 1 + pick(IDMAP_REPLY_SIZE - at);

        memset(bytes + at, ends[pick(sizeof ends)], pick(2) == 0 ? 1 : length);
    }
}

static void
require(bool truth, const char *what)
{
    if (!truth) {
        fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

static void
check(bool sound, const struct idmap_verify_reply *reply)
{
    static const struct idmap_verify_reply zeroed;

    if (!sound) {
        require(memcmp(reply, &zeroed, sizeof zeroed) == 0, "not zeroed");
        return;
    }
    require(strnlen(reply->name, sizeof reply->name) < sizeof reply->name, "name");
    require(strnlen(reply->reason, sizeof reply->reason) < sizeof reply->reason, "reason");
    require(strlen(reply->ref) == sizeof reply->ref - 1, "ref");
    require(reply->reason[0] != '\0', "reason is empty");
    for (const char *at = reply->reason; *at != '\0'; at++)
        require(islower((unsigned char)*at) || isdigit((unsigned char)*at) || *at == '_', "code");
    for (const char *at = reply->ref; *at != '\0'; at++)
        require(isxdigit((unsigned char)*at) && !isupper((unsigned char)*at), "hexadecimal");
    require(!reply->accepted || (reply->proved && reply->name[0] != '\0'), "accepted nobody");
    require(!reply->accepted || !number_is_refused(reply->uid_number), "accepted the system");
}

/* Answers one connection in some wrong way, seldom in the right one. */
static void
answer(int fd)
{
    uint8_t bytes[2 * IDMAP_REPLY_SIZE] = {0}, question[IDMAP_REQUEST_MAX];
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(4 * sizeof(int))];
    } control = {0};
    struct iovec piece = {.iov_base = bytes, .iov_len = IDMAP_REPLY_SIZE};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};

    good_reply(bytes);
    damage(bytes);
    if (pick(4) == 0)
        piece.iov_len = pick(sizeof bytes);
    if (pick(4) == 0) {
        struct cmsghdr *note;
        int fds[4] = {0, 1, 2, fd};

        message.msg_control = &control;
        message.msg_controllen = sizeof control.room;
        note = CMSG_FIRSTHDR(&message);
        note->cmsg_level = SOL_SOCKET;
        note->cmsg_type = SCM_RIGHTS;
        note->cmsg_len = CMSG_LEN(sizeof fds);
        memcpy(CMSG_DATA(note), fds, sizeof fds);
    }
    if (pick(8) != 0)
        (void)!recv(fd, question, sizeof question, 0);
    (void)!sendmsg(fd, &message, MSG_NOSIGNAL);
}

static void
over_the_socket(const char *path, long rounds)
{
    static char secret[IDMAP_SECRET_MAX + 2];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct idmap_verify_request request = {"anna", "192.0.2.7", "sshd", secret};
    struct idmap_verify_reply reply;
    unsigned long counts[5] = {0};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int before = dup(0);
    pid_t child;

    (void)close(before);
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    require(bind(listener, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    require(listen(listener, 16) == 0, "listen");
    child = fork();
    if (child == 0) {
        for (;;) {
            int fd = accept(listener, NULL, NULL);

            answer(fd);
            (void)close(fd);
        }
    }
    for (long i = 0; i < rounds; i++) {
        enum idmap_verify_status status;

        memset(secret, 0, sizeof secret);
        memset(secret, 'x', 1 + pick(IDMAP_SECRET_MAX));
        status = idmap_verify_ask(path, geteuid(), &request, &reply);
        check(status == IDMAP_VERIFY_REPLIED, &reply);
        counts[status]++;
    }
    memset(secret, 'x', sizeof secret - 1);
    require(idmap_verify_ask(path, geteuid(), &request, &reply) == IDMAP_VERIFY_MALFORMED,
            "a secret too long was sent");
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    (void)close(dup(0));
    require(dup(0) == before, "a descriptor was left open");
    for (int i = 0; i < 5; i++)
        printf("socket-%s\t%lu\n", idmap_verify_status_name((enum idmap_verify_status)i),
               counts[i]);
}

int
main(int argc, char **argv)
{
    struct idmap_verify_reply reply;
    unsigned long accepted = 0, refused = 0;
    long rounds = argc == 3 ? strtol(argv[2], NULL, 10) : 0;

    for (long i = 0; i < rounds * 1000; i++) {
        uint8_t *bytes = malloc(IDMAP_REPLY_SIZE); /* exact, so that ASan sees one byte too many */
        bool sound;

        require(bytes != NULL, "memory");
        good_reply(bytes);
        damage(bytes);
        memset(&reply, 0xaa, sizeof reply);
        sound = idmap_verify_parse_reply(bytes, &reply);
        check(sound, &reply);
        accepted += sound;
        refused += !sound;
        free(bytes);
    }
    printf("parsed-sound\t%lu\nparsed-refused\t%lu\n", accepted, refused);
    over_the_socket(argv[1], rounds);
    return 0;
}
