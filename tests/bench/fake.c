/*
 * A node that answers everything at once: what a proxy costs shows where the database is not the limit.
 *
 *     fake PORT [ROWS]
 *
 * Listens on 127.0.0.1:PORT, lets everybody in (mysql_native_password), and answers every command by its first letters:
 * SELECT with one column of 119 bytes (ROWS rows where the text has BETWEEN), what the monitor asks as a lone Galera
 * node that is Synced, everything else with OK. Knows BEGIN, COMMIT and autocommit, which show in the status flags. One
 * thread, one epoll, no SQL.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PROTOCOL_41 = 1 << 9, DEPRECATE_EOF = 1 << 24, IN_TRANS = 1, AUTOCOMMIT = 2 };
enum { QUIT = 1, QUERY = 3, PREPARE = 22, EXECUTE = 23, SEND_LONG_DATA = 24, STMT_CLOSE = 25 };

/* What is offered: LONG_PASSWORD, FOUND_ROWS, LONG_FLAG, CONNECT_WITH_DB, NO_SCHEMA, LOCAL_FILES, IGNORE_SPACE,
 * PROTOCOL_41, INTERACTIVE, IGNORE_SIGPIPE, TRANSACTIONS, SECURE_CONNECTION, MULTI_STATEMENTS, MULTI_RESULTS,
 * PS_MULTI_RESULTS, PLUGIN_AUTH, CONNECT_ATTRS, SESSION_TRACK, DEPRECATE_EOF. */
#define OFFERED 0x019FF7DFu

typedef struct {
    int fd, logged_in, statements;
    uint32_t capabilities;
    uint16_t status;
    size_t have, room;
    unsigned char *in;
    uint8_t params[256];
} Connection;

typedef struct {
    unsigned char *bytes;
    size_t size, room;
    unsigned char seq;
} Reply;

static Reply out;
static int rows_of_ranges = 100;

static void put(const void *bytes, size_t size)
{
    if (out.size + size > out.room) {
        out.room = (out.size + size) * 2;
        out.bytes = realloc(out.bytes, out.room);
    }
    memcpy(out.bytes + out.size, bytes, size);
    out.size += size;
}

static void packet(const void *payload, size_t size)
{
    unsigned char head[4] = {size & 255, size >> 8 & 255, size >> 16 & 255, out.seq++};
    put(head, 4);
    put(payload, size);
}

static void ok(const Connection *c, unsigned char header)
{
    unsigned char payload[] = {header, 0, 0, c->status & 255, c->status >> 8, 0, 0};
    packet(payload, sizeof payload);
}

static void eof(const Connection *c)
{
    unsigned char payload[] = {0xfe, 0, 0, c->status & 255, c->status >> 8};
    packet(payload, sizeof payload);
}

static void end_of_definitions(const Connection *c)
{
    if (!(c->capabilities & DEPRECATE_EOF))
        eof(c);
}

static void end_of_rows(const Connection *c)
{
    if (c->capabilities & DEPRECATE_EOF)
        ok(c, 0xfe);
    else
        eof(c);
}

static size_t text(unsigned char *to, const char *from)
{
    size_t size = strlen(from);
    to[0] = (unsigned char)size;
    memcpy(to + 1, from, size);
    return size + 1;
}

static void definition(const char *name)
{
    unsigned char payload[256];
    size_t at = 0;
    static const unsigned char tail[] = {0x0c, 0x2d, 0, 0xe0, 1, 0, 0, 0xfe, 0, 0, 0, 0, 0};
    at += text(payload + at, "def");
    at += text(payload + at, "bench");
    at += text(payload + at, "sbtest1");
    at += text(payload + at, "sbtest1");
    at += text(payload + at, name);
    at += text(payload + at, name);
    memcpy(payload + at, tail, sizeof tail);
    packet(payload, at + sizeof tail);
}

static void column(const Connection *c)
{
    unsigned char count = 1;
    packet(&count, 1);
    definition("c");
    end_of_definitions(c);
}

static void result(const Connection *c, int rows, int binary)
{
    unsigned char row[128];
    size_t at = 0;
    if (binary) {
        row[at++] = 0;
        row[at++] = 0;
    }
    row[at++] = 119;
    memset(row + at, '7', 119);
    at += 119;
    column(c);
    for (int i = 0; i < rows; i++)
        packet(row, at);
    end_of_rows(c);
}

/* As the monitor wants it: one value, a line for each name. It is longer than a length of one byte can say. */
static void health(const Connection *c)
{
    static const char facts[] =
        "wsrep_ready=ON\n"
        "wsrep_connected=ON\n"
        "wsrep_cluster_status=Primary\n"
        "wsrep_local_state=4\n"
        "wsrep_local_state_comment=Synced\n"
        "wsrep_cluster_state_uuid=00000000-0000-0000-0000-00000000fa4e\n"
        "wsrep_cluster_conf_id=1\n"
        "wsrep_local_recv_queue=0\n"
        "wsrep_flow_control_paused_ns=0\n"
        "read_only=0\n"
        "wsrep_desync=0\n"
        "wsrep_reject_queries=NONE\n"
        "wsrep_on=1";
    size_t size = sizeof facts - 1;
    unsigned char row[3 + sizeof facts] = {0xfc, size & 255, size >> 8};
    memcpy(row + 3, facts, size);
    column(c);
    packet(row, 3 + size);
    end_of_rows(c);
}

static int begins(const unsigned char *said, size_t size, const char *word)
{
    size_t length = strlen(word);
    return size >= length && !strncasecmp((const char *)said, word, length);
}

static void query(Connection *c, const unsigned char *said, size_t size)
{
    if (memmem(said, size, "global_status", 13)) {
        health(c);
    } else if (begins(said, size, "SELECT")) {
        result(c, memmem(said, size, "BETWEEN", 7) ? rows_of_ranges : 1, 0);
    } else {
        if (begins(said, size, "BEGIN") || begins(said, size, "START"))
            c->status |= IN_TRANS;
        else if (begins(said, size, "COMMIT") || begins(said, size, "ROLLBACK"))
            c->status &= ~IN_TRANS;
        ok(c, 0);
    }
}

static void prepare(Connection *c, const unsigned char *said, size_t size)
{
    uint8_t params = 0;
    int rows = begins(said, size, "SELECT");
    for (size_t i = 0; i < size; i++)
        params += said[i] == '?';
    int number = ++c->statements;
    c->params[number & 255] = (uint8_t)(rows ? params : params | 128);
    unsigned char head[12] = {0, number & 255, number >> 8 & 255, 0, 0, rows, 0, params, 0, 0, 0, 0};
    packet(head, sizeof head);
    for (int i = 0; i < params; i++)
        definition("?");
    if (params)
        end_of_definitions(c);
    if (rows) {
        definition("c");
        end_of_definitions(c);
    }
}

/* One command; 0: the client goes. */
static int command(Connection *c, const unsigned char *payload, size_t size)
{
    out.seq = 1;
    switch (payload[0]) {
    case QUIT:
        return 0;
    case QUERY:
        query(c, payload + 1, size - 1);
        return 1;
    case PREPARE:
        prepare(c, payload + 1, size - 1);
        return 1;
    case EXECUTE:
        if (c->params[payload[1]] & 128)
            ok(c, 0);
        else
            result(c, 1, 1);
        return 1;
    case SEND_LONG_DATA:
    case STMT_CLOSE:
        return 1;
    default:
        ok(c, 0);
        return 1;
    }
}

static void greet(Connection *c)
{
    static uint32_t id;
    unsigned char payload[128];
    size_t at = 0;
    const char *version = "5.5.5-10.11.0-MariaDB";
    id++;
    payload[at++] = 10;
    memcpy(payload + at, version, strlen(version) + 1);
    at += strlen(version) + 1;
    memcpy(payload + at, &id, 4);
    at += 4;
    memcpy(payload + at, "abcdefgh", 9);
    at += 9;
    payload[at++] = OFFERED & 255;
    payload[at++] = OFFERED >> 8 & 255;
    payload[at++] = 45;
    payload[at++] = AUTOCOMMIT;
    payload[at++] = 0;
    payload[at++] = OFFERED >> 16 & 255;
    payload[at++] = OFFERED >> 24 & 255;
    payload[at++] = 21;
    memset(payload + at, 0, 10);
    at += 10;
    memcpy(payload + at, "ijklmnopqrst", 13);
    at += 13;
    memcpy(payload + at, "mysql_native_password", 22);
    at += 22;
    out.seq = 0;
    packet(payload, at);
    c->status = AUTOCOMMIT;
}

/* All whole packets that have come; 0: the connection ends. */
static int take(Connection *c)
{
    size_t at = 0;
    while (c->have - at >= 4) {
        size_t size = c->in[at] | c->in[at + 1] << 8 | (size_t)c->in[at + 2] << 16;
        if (c->have - at < size + 4)
            break;
        const unsigned char *payload = c->in + at + 4;
        if (!c->logged_in) {
            memcpy(&c->capabilities, payload, 4);
            c->logged_in = 1;
            out.seq = (unsigned char)(c->in[at + 3] + 1);
            ok(c, 0);
        } else if (size && !command(c, payload, size)) {
            return 0;
        }
        at += size + 4;
    }
    memmove(c->in, c->in + at, c->have - at);
    c->have -= at;
    return 1;
}

/* Replies are small beside the socket's buffer; one that a client does not read is waited for. */
static int flush(const Connection *c)
{
    size_t at = 0;
    while (at < out.size) {
        ssize_t sent = send(c->fd, out.bytes + at, out.size - at, MSG_NOSIGNAL);
        if (sent < 0)
            return 0;
        at += (size_t)sent;
    }
    out.size = 0;
    return 1;
}

static void finish(Connection *c)
{
    out.size = 0;
    close(c->fd);
    free(c->in);
    free(c);
}

static int readable(Connection *c)
{
    if (c->have == c->room) {
        c->room = c->room ? c->room * 2 : 512;
        c->in = realloc(c->in, c->room);
    }
    ssize_t got = recv(c->fd, c->in + c->have, c->room - c->have, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 1;
    if (got <= 0)
        return 0;
    c->have += (size_t)got;
    return take(c) && flush(c);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s PORT [ROWS]\n", argv[0]);
        return 2;
    }
    if (argc > 2)
        rows_of_ranges = atoi(argv[2]);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int one = 1, door = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(door, (struct sockaddr *)&address, sizeof address) || listen(door, 4096)) {
        perror("fake");
        return 1;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[256];
    epoll_ctl(epoll, EPOLL_CTL_ADD, door, &event);
    for (;;) {
        int count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            Connection *c = events[i].data.ptr;
            if (c) {
                if (!readable(c))
                    finish(c);
                continue;
            }
            int fd = accept4(door, NULL, NULL, SOCK_CLOEXEC);
            if (fd < 0)
                continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            c = calloc(1, sizeof *c);
            c->fd = fd;
            greet(c);
            flush(c);
            event.data.ptr = c;
            epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
        }
    }
}
