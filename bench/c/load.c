/*
 * Asks an HTTP/1.1 server on loopback: load PORT FILE CONNECTIONS, then lines `FIRST COUNT`.
 *
 * FILE holds whole requests, each after a line with its length in bytes. Connections are opened for
 * each line, before the clock starts, because servers close idle ones. Each has one thread, which
 * sends its share of the COUNT requests one after the other, starting with request FIRST and
 * wrapping around. Answered by one line: nanoseconds for all, and how many answers were not 200.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64
#define ANSWER_MAX 65536

struct request {
    char *bytes;
    size_t size;
};

static struct request *requests;
static size_t request_count;

struct connection {
    int fd;
    size_t first;
    size_t count;
    size_t wrong;
    char answer[ANSWER_MAX];
};

static int
dial(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        exit(1);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* Reads one answer; gives whether it was 200. A broken connection ends the
 * program. */
static int
receive(struct connection *c)
{
    size_t got = 0;
    size_t wanted = 0;

    while (wanted == 0 || got < wanted) {
        ssize_t n = read(c->fd, c->answer + got, ANSWER_MAX - 1 - got);
        char *end;
        char *length;

        if (n <= 0)
            exit(1);
        got += (size_t)n;
        c->answer[got] = '\0';
        if (wanted != 0 || (end = strstr(c->answer, "\r\n\r\n")) == NULL)
            continue;
        length = strcasestr(c->answer, "\r\ncontent-length:");
        if (length == NULL || length > end)
            exit(1);
        wanted = (size_t)(end + 4 - c->answer) + strtoul(length + 17, NULL, 10);
    }
    return strncmp(c->answer, "HTTP/1.1 200", 12) == 0;
}

static void *
run(void *argument)
{
    struct connection *c = argument;

    for (size_t i = 0; i < c->count; i++) {
        const struct request *request = &requests[(c->first + i) % request_count];

        if (write(c->fd, request->bytes, request->size) != (ssize_t)request->size)
            exit(1);
        c->wrong += !receive(c);
    }
    return NULL;
}

static void
read_requests(const char *path)
{
    FILE *in = fopen(path, "rb");
    size_t room = 0;
    size_t size;

    if (in == NULL)
        exit(1);
    while (fscanf(in, "%zu", &size) == 1 && fgetc(in) == '\n') {
        if (request_count == room) {
            room = room * 2 + 1024;
            requests = realloc(requests, room * sizeof(*requests));
            if (requests == NULL)
                exit(1);
        }
        requests[request_count].bytes = malloc(size);
        requests[request_count].size = size;
        if (requests[request_count].bytes == NULL ||
            fread(requests[request_count].bytes, 1, size, in) != size)
            exit(1);
        request_count++;
    }
    fclose(in);
    if (request_count == 0)
        exit(1);
}

static int64_t
now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int
main(int argc, char **argv)
{
    static struct connection connection[CONNECTIONS_MAX];
    pthread_t thread[CONNECTIONS_MAX];
    size_t connections;
    size_t first;
    size_t count;

    if (argc != 4)
        return 2;
    connections = strtoul(argv[3], NULL, 10);
    if (connections == 0 || connections > CONNECTIONS_MAX)
        return 2;
    read_requests(argv[2]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    while (scanf("%zu %zu", &first, &count) == 2) {
        size_t share = count / connections;
        size_t wrong = 0;
        int64_t started;

        for (size_t i = 0; i < connections; i++)
            connection[i].fd = dial((uint16_t)atoi(argv[1]));
        started = now();

        for (size_t i = 0; i < connections; i++) {
            connection[i].first = first + i * share;
            connection[i].count = share;
            connection[i].wrong = 0;
            if (pthread_create(&thread[i], NULL, run, &connection[i]) != 0)
                return 1;
        }
        for (size_t i = 0; i < connections; i++) {
            pthread_join(thread[i], NULL);
            wrong += connection[i].wrong;
        }
        printf("%lld %zu\n", (long long)(now() - started), wrong);
        for (size_t i = 0; i < connections; i++)
            close(connection[i].fd);
    }
    return 0;
}
