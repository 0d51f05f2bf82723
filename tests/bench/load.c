/*
 * Many clients in one cheap thread: what they see of a proxy, and what it costs them least to ask.
 *
 *     load PORT query CLIENTS ACTIVE RATE SECONDS TEXT [DEPTH]
 *                                        CLIENTS log in; ACTIVE of them send TEXT again and again, DEPTH times in one
 *                                        write before they look at an answer, the others together RATE times a second
 *     load PORT login CLIENTS SECONDS    CLIENTS log in, leave and come again
 *
 * All are app with the password app (mysql_native_password). When they are in, "ready" is printed, and a line on the
 * standard input begins the load. Then one line of JSON: what was done, and microseconds from question to answer of the
 * ACTIVE ones (login: of a whole connection). They stay connected until the standard input ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { GREETING, LOGIN, IDLE, ASKED };
enum { CAPABILITIES = 0x00000200 | 0x00008000 | 0x00080000 | 0x00002000 };

typedef struct {
    int fd, stage, eofs, first, left;
    double since;
    size_t have;
    unsigned char in[32768];
} Client;

static Client *clients;
static int count, active, epoll, logins_only, depth = 1;
static unsigned char *question;
static size_t question_size;
static double *times;
static size_t times_have, times_room;
static long done, failures;
static struct sockaddr_in where = {.sin_family = AF_INET};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "");
    exit(1);
}

/* SHA-1 (RFC 3174) of at most 119 bytes. */
static void sha1(const unsigned char *data, size_t size, unsigned char *digest)
{
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    unsigned char block[128] = {0};
    size_t blocks = size + 9 <= 64 ? 1 : 2;
    memcpy(block, data, size);
    block[size] = 0x80;
    for (int i = 0; i < 4; i++)
        block[blocks * 64 - 1 - i] = (unsigned char)(size * 8 >> 8 * i);
    for (size_t b = 0; b < blocks; b++) {
        uint32_t w[80], v[5];
        for (int i = 0; i < 16; i++) {
            const unsigned char *p = block + b * 64 + i * 4;
            w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        }
        for (int i = 16; i < 80; i++) {
            uint32_t x = w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16];
            w[i] = x << 1 | x >> 31;
        }
        memcpy(v, h, sizeof v);
        for (int i = 0; i < 80; i++) {
            uint32_t f = i < 20   ? ((v[1] & v[2]) | (~v[1] & v[3])) + 0x5A827999
                         : i < 40 ? (v[1] ^ v[2] ^ v[3]) + 0x6ED9EBA1
                         : i < 60 ? ((v[1] & v[2]) | (v[1] & v[3]) | (v[2] & v[3])) + 0x8F1BBCDC
                                  : (v[1] ^ v[2] ^ v[3]) + 0xCA62C1D6;
            uint32_t t = (v[0] << 5 | v[0] >> 27) + f + v[4] + w[i];
            v[4] = v[3];
            v[3] = v[2];
            v[2] = v[1] << 30 | v[1] >> 2;
            v[1] = v[0];
            v[0] = t;
        }
        for (int i = 0; i < 5; i++)
            h[i] += v[i];
    }
    for (int i = 0; i < 20; i++)
        digest[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void say(Client *c, const unsigned char *bytes, size_t size)
{
    if (send(c->fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size)
        die("send");
}

static void connect_one(Client *c)
{
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&where, sizeof where))
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
    c->stage = GREETING;
    c->have = 0;
    c->since = now();
}

static void log_in(Client *c, const unsigned char *greeting)
{
    unsigned char reply[128] = {0}, a[20], b[20], mixed[40], answer[20];
    const unsigned char *scramble = greeting + 1 + strlen((const char *)greeting + 1) + 1 + 4;
    uint32_t flags = CAPABILITIES;
    memcpy(mixed, scramble, 8);
    memcpy(mixed + 8, scramble + 8 + 1 + 2 + 1 + 2 + 2 + 1 + 10, 12);
    sha1((const unsigned char *)"app", 3, a);
    sha1(a, 20, b);
    memcpy(mixed + 20, b, 20);
    sha1(mixed, 40, answer);
    size_t at = 4;
    memcpy(reply + at, &flags, 4);
    reply[at + 7] = 1; /* packets of 16 MiB */
    reply[at + 8] = 45;
    at += 32;
    memcpy(reply + at, "app", 4);
    at += 4;
    reply[at++] = 20;
    for (int i = 0; i < 20; i++)
        reply[at++] = answer[i] ^ a[i];
    memcpy(reply + at, "mysql_native_password", 22);
    at += 22;
    reply[0] = (unsigned char)(at - 4);
    reply[3] = 1;
    say(c, reply, at);
    c->stage = LOGIN;
}

static void ask(Client *c)
{
    c->stage = ASKED;
    c->eofs = 0;
    c->first = 1;
    c->left = c - clients < active ? depth : 1;
    c->since = now();
    say(c, question, question_size * (size_t)c->left);
}

static void took(double seconds)
{
    if (times_have == times_room) {
        times_room = times_room ? times_room * 2 : 1 << 16;
        times = realloc(times, times_room * sizeof *times);
    }
    times[times_have++] = seconds;
}

static void answered(Client *c, int going)
{
    done++;
    if (--c->left) {
        c->eofs = 0;
        c->first = 1;
        return;
    }
    c->stage = IDLE;
    if (c - clients < active) {
        took(now() - c->since);
        if (going)
            ask(c);
    }
}

static int went_in; /* how many have logged in */

static void came(Client *c, const unsigned char *payload, size_t size, int going)
{
    int failed = payload[0] == 0xff;
    switch (c->stage) {
    case GREETING:
        if (failed)
            die("refused");
        log_in(c, payload);
        break;
    case LOGIN:
        if (payload[0] != 0)
            die("login refused");
        c->stage = IDLE;
        went_in++;
        if (logins_only && going) {
            done++;
            took(now() - c->since);
            close(c->fd);
            connect_one(c);
        }
        break;
    case ASKED:
        if (failed) {
            failures++;
            answered(c, going);
        } else if (c->first) {
            c->first = 0;
            if (payload[0] == 0)
                answered(c, going);
        } else if (payload[0] == 0xfe && size < 9 && ++c->eofs == 2) {
            answered(c, going);
        }
    }
}

static void readable(Client *c, int going)
{
    ssize_t got = recv(c->fd, c->in + c->have, sizeof c->in - c->have, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        die("connection lost");
    c->have += (size_t)got;
    size_t at = 0;
    int fd = c->fd;
    while (c->fd == fd && c->have - at >= 4) {
        size_t size = c->in[at] | c->in[at + 1] << 8 | (size_t)c->in[at + 2] << 16;
        if (c->have - at < size + 4)
            break;
        came(c, c->in + at + 4, size, going);
        at += size + 4;
        if (c->stage == GREETING)
            return; /* a new connection */
    }
    memmove(c->in, c->in + at, c->have - at);
    c->have -= at;
}

static void turn(int milliseconds, int going)
{
    struct epoll_event events[512];
    int got = epoll_wait(epoll, events, 512, milliseconds);
    for (int i = 0; i < got; i++)
        readable(events[i].data.ptr, going);
}

static int by_size(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static double percentile(double share)
{
    return times_have ? times[(size_t)(share * (double)(times_have - 1))] * 1e6 : 0;
}

int main(int argc, char **argv)
{
    double rate = 0, seconds;
    if (argc < 5)
        return 2;
    logins_only = !strcmp(argv[2], "login");
    count = atoi(argv[3]);
    if (logins_only) {
        seconds = atof(argv[4]);
    } else {
        if (argc < 8)
            return 2;
        active = atoi(argv[4]);
        rate = atof(argv[5]);
        seconds = atof(argv[6]);
        size_t size = strlen(argv[7]) + 1;
        if (argc > 8)
            depth = atoi(argv[8]);
        question_size = size + 4;
        question = calloc((size_t)depth, question_size);
        for (int i = 0; i < depth; i++) {
            unsigned char *at = question + (size_t)i * question_size;
            at[0] = size & 255;
            at[1] = size >> 8 & 255;
            at[4] = 3;
            memcpy(at + 5, argv[7], size - 1);
        }
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    where.sin_port = htons((uint16_t)atoi(argv[1]));
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    epoll = epoll_create1(0);
    clients = calloc((size_t)count, sizeof *clients);
    for (int i = 0; i < count; i++) {
        connect_one(clients + i);
        while (i - went_in > 100) /* as many may be in the middle of it */
            turn(1000, 0);
    }
    while (went_in < count)
        turn(1000, 0);
    puts("ready");
    fflush(stdout);
    char line[8];
    if (!fgets(line, sizeof line, stdin))
        return 0;
    double began = now(), until = began + seconds, background = 0;
    int next = active;
    if (logins_only)
        for (int i = 0; i < count; i++) {
            close(clients[i].fd);
            connect_one(clients + i);
        }
    for (int i = 0; i < active; i++)
        ask(clients + i);
    while (now() < until) {
        turn(1, 1);
        for (; rate > 0 && count > active && background < (now() - began) * rate; background++) {
            if (clients[next].stage == IDLE)
                ask(clients + next);
            next = next + 1 < count ? next + 1 : active;
        }
    }
    double elapsed = now() - began;
    qsort(times, times_have, sizeof *times, by_size);
    printf("{\"done\": %ld, \"failures\": %ld, \"seconds\": %f, \"median_us\": %.1f, \"p95_us\": %.1f, \"p99_us\": %.1f}\n",
           done, failures, elapsed, percentile(0.5), percentile(0.95), percentile(0.99));
    fflush(stdout);
    while (fgets(line, sizeof line, stdin))
        ;
    return 0;
}
