/* An open-loop HTTP/1.1 load generator: requests leave by a fixed schedule, whatever the server does.
 *
 * usage: openloop PORT FILE START RATE WARMUP SECONDS CONNECTIONS
 *
 * Request i is due at i / RATE seconds. It is sent then, or as soon as one of the CONNECTIONS is
 * free, and its latency counts from when it was due: a server that stalls does not make the
 * generator wait with it and so hide the stall (coordinated omission). Requests due in the first
 * WARMUP seconds are sent and not counted. FILE holds requests as cycle.lua describes; the one
 * with number START is first. Prints one line of name=value.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_BYTES = 1 << 16, PATIENCE_S = 10 };

struct connection {
    int fd;
    int next_free;         /* free connections form a stack */
    int64_t request;       /* number of the request under way, -1 for none */
    const char *rest;      /* what of it is still to be written */
    size_t rest_bytes;
    size_t held;           /* bytes of the answer so far */
    char answer[ANSWER_BYTES + 1];
};

static struct connection *connections;
static int poller, first_free = -1, port;
static const char *file, *file_end, *next_request;
static int64_t due_first, counted_from, total, sent, not_2xx, refused, broken, answered, counted;
static double rate, *latencies; /* microseconds */

static void fail(const char *what) {
    perror(what);
    exit(2);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int64_t due_ns(int64_t request) { return due_first + (int64_t)(request * 1e9 / rate); }

static void release(struct connection *c) {
    c->request = -1;
    c->held = 0;
    c->next_free = first_free;
    first_free = (int)(c - connections);
}

static void open_connection(struct connection *c) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int yes = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event)) fail("epoll_ctl");
    release(c);
}

/* The server hung up: what was under way is broken, and the next request needs a new connection. */
static void reopen(struct connection *c) {
    if (c->request >= 0) broken++;
    else { /* it hung up while free: take it off the stack */
        int *link = &first_free;
        while (*link != (int)(c - connections)) link = &connections[*link].next_free;
        *link = c->next_free;
    }
    close(c->fd);
    open_connection(c);
}

static void write_rest(struct connection *c) {
    while (c->rest_bytes) {
        ssize_t n = send(c->fd, c->rest, c->rest_bytes, MSG_NOSIGNAL);
        if (n < 0) return; /* full: EPOLLOUT goes on; closed: the read sees it */
        c->rest += n;
        c->rest_bytes -= (size_t)n;
    }
}

static void begin_next(void) {
    struct connection *c = &connections[first_free];
    uint32_t bytes;
    first_free = c->next_free;
    memcpy(&bytes, next_request, sizeof bytes);
    c->rest = next_request + sizeof bytes;
    c->rest_bytes = bytes;
    c->request = sent++;
    next_request = c->rest + bytes;
    if (next_request >= file_end) next_request = file;
    write_rest(c);
}

/* Whether the answer held is whole. */
static int whole(const struct connection *c) {
    const char *head_end = strstr(c->answer, "\r\n\r\n");
    if (!head_end) return 0;
    const char *body = head_end + 4;
    for (const char *line = strstr(c->answer, "\r\n"); line && line < head_end;
         line = strstr(line + 2, "\r\n")) {
        if (!strncasecmp(line + 2, "content-length:", 15))
            return c->held - (size_t)(body - c->answer) >= strtoul(line + 17, NULL, 10);
        if (!strncasecmp(line + 2, "transfer-encoding:", 18))
            return c->held >= 5 && !memcmp(c->answer + c->held - 5, "0\r\n\r\n", 5);
    }
    return 1;
}

static void finish(struct connection *c) {
    answered++;
    if (strncmp(c->answer, "HTTP/1.1 2", 10)) not_2xx++;
    if (!strncmp(c->answer, "HTTP/1.1 4", 10)) refused++;
    if (c->request >= counted_from)
        latencies[counted++] = (double)(now_ns() - due_ns(c->request)) / 1e3;
    release(c);
}

static void read_answer(struct connection *c) {
    for (;;) {
        if (c->held == ANSWER_BYTES) { /* larger than any answer of ours */
            reopen(c);
            return;
        }
        ssize_t n = recv(c->fd, c->answer + c->held, ANSWER_BYTES - c->held, 0);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        if (n <= 0) {
            reopen(c);
            return;
        }
        if (c->request < 0) continue; /* nobody asked */
        c->held += (size_t)n;
        c->answer[c->held] = 0;
        if (whole(c)) finish(c);
    }
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double q) {
    if (!counted) return -1;
    int64_t rank = (int64_t)(q * (double)counted);
    return latencies[rank < counted ? rank : counted - 1];
}

static void open_file(const char *path, long start) {
    struct stat about;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &about)) fail(path);
    file = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (file == MAP_FAILED) fail("mmap");
    file_end = file + about.st_size;
    next_request = file;
    while (start--) {
        uint32_t bytes;
        memcpy(&bytes, next_request, sizeof bytes);
        next_request += sizeof bytes + bytes;
        if (next_request >= file_end) next_request = file;
    }
}

int main(int count, char **given) {
    if (count != 8) {
        fprintf(stderr, "usage: openloop PORT FILE START RATE WARMUP SECONDS CONNECTIONS\n");
        return 2;
    }
    port = atoi(given[1]);
    open_file(given[2], atol(given[3]));
    rate = atof(given[4]);
    double warmup = atof(given[5]), seconds = atof(given[6]);
    int width = atoi(given[7]);
    counted_from = (int64_t)(rate * warmup);
    total = (int64_t)(rate * (warmup + seconds));
    latencies = calloc((size_t)total + 1, sizeof *latencies);
    connections = calloc((size_t)width, sizeof *connections);
    poller = epoll_create1(0);
    if (!latencies || !connections || poller < 0) fail("begin");
    for (int i = 0; i < width; i++) open_connection(&connections[i]);
    prctl(PR_SET_TIMERSLACK, 1000); /* wake within a microsecond, not fifty */

    due_first = now_ns();
    int64_t give_up = due_ns(total) + PATIENCE_S * 1000000000LL;
    struct epoll_event events[256];
    while (answered + broken < total) {
        int64_t now = now_ns();
        while (sent < total && first_free >= 0 && due_ns(sent) <= now) begin_next();
        if (now > give_up) break;
        int64_t until = sent < total && first_free >= 0 ? due_ns(sent) : give_up + 1;
        int64_t pause = until > now ? until - now : 0;
        struct timespec wait = {.tv_sec = pause / 1000000000LL, .tv_nsec = pause % 1000000000LL};
        int ready = epoll_pwait2(poller, events, 256, &wait, NULL);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) write_rest(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_answer(c);
        }
    }
    double lasted = (double)(now_ns() - due_ns(counted_from)) / 1e9;
    qsort(latencies, (size_t)counted, sizeof *latencies, by_size);
    printf("answered=%ld seconds=%.6f not_2xx=%ld refused=%ld broken=%ld p50_us=%.0f p99_us=%.0f "
           "max_us=%.0f\n",
           (long)counted, lasted, (long)not_2xx, (long)refused, (long)(total - answered),
           quantile(0.5), quantile(0.99), quantile(1.0));
    return 0;
}
