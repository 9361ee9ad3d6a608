
/*
 * Requests at a given rate, whatever the answers do: what wrk cannot do.  They
 * are due at random moments (a Poisson process); each goes out on a connection
 * that is idle, or as soon as one is, and its time counts from when it was due.
 * "late" is how long requests waited for this program alone: what it could not
 * keep apart from the server's time; "busy" is how much of its core this
 * program had: near 1 its own queue is part of what it measures.
 *
 *     load PORT RATE SECONDS CONNECTIONS METHOD PREFIX KEYS SIZE
 *
 * to PREFIX0001, ..., all as likely as each other, with a body of SIZE bytes
 * unless that is 0.  The first half second does not count.  The last line of
 * the output is for Bench.pm; times are microseconds.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>


#define SECOND  1000000000ULL
#define HEAD    4096


typedef struct {
    int        fd;
    uint64_t   due;
    size_t     left;                    /* of the body */
    size_t     len;                     /* of the head so far */
    char       head[HEAD + 1];
} conn_t;


typedef struct {
    uint32_t  *ns100;
    size_t     n, size;
} times_t;


static conn_t    *conns;
static int        nconns, *idle, nidle, idle_first;
static char     **requests, *body;
static size_t     nkeys, body_size;
static uint64_t  *queue;                /* due, and no connection is idle */
static size_t     queue_first, queue_n, queue_size = 1 << 20;
static uint64_t   count_from;
static times_t    times, lates;
static size_t     errors, counted;
static uint64_t   seed = 88172645463325252ULL;
static char       sink[262144];


static uint64_t
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec * SECOND + ts.tv_nsec;
}


static void
die(const char *what)
{
    perror(what);
    exit(1);
}


static uint64_t
draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed;
}


static void
add(times_t *t, uint64_t ns)
{
    if (t->n == t->size) {
        t->size = t->size ? t->size * 2 : 1 << 20;
        t->ns100 = realloc(t->ns100, t->size * sizeof(uint32_t));

        if (t->ns100 == NULL) {
            die("realloc");
        }
    }

    ns /= 100;
    t->ns100[t->n++] = ns > UINT32_MAX ? UINT32_MAX : ns;
}


static void
send_one(conn_t *c, uint64_t due)
{
    char          *head = requests[draw() % nkeys];
    size_t         len = strlen(head), sum = len + body_size, done = 0;
    ssize_t        n;
    struct iovec   iov[2];
    struct pollfd  pfd = { c->fd, POLLOUT, 0 };

    c->due = due;
    c->len = 0;
    c->left = 0;

    while (done < sum) {
        iov[0].iov_base = head + (done < len ? done : len);
        iov[0].iov_len = done < len ? len - done : 0;
        iov[1].iov_base = body + (done > len ? done - len : 0);
        iov[1].iov_len = body_size - (done > len ? done - len : 0);

        n = writev(c->fd, iov, 2);

        if (n >= 0) {
            done += n;

        } else if (errno == EAGAIN) {
            (void) poll(&pfd, 1, 1000);

        } else if (errno != EINTR) {
            die("writev");
        }
    }
}


static void
finished(conn_t *c)
{
    uint64_t  t = now();

    if (c->due >= count_from) {
        counted++;
        add(&times, t - c->due);
    }

    if (queue_n) {
        t = queue[queue_first++ % queue_size];
        queue_n--;
        send_one(c, t);
        return;
    }

    idle[(idle_first + nidle++) % nconns] = c - conns;
}


/* the head is complete: what is left of the body */

static size_t
body_length(conn_t *c)
{
    char  *p;

    if (strncmp(c->head, "HTTP/1.1 2", 10) != 0) {
        errors++;
    }

    if (strncmp(c->head, "HTTP/1.1 204", 12) == 0) {
        return 0;
    }

    p = strcasestr(c->head, "\r\nContent-Length:");

    if (p == NULL) {
        fprintf(stderr, "no length: %s\n", c->head);
        exit(1);
    }

    return strtoul(p + 17, NULL, 10);
}


static void
readable(conn_t *c)
{
    int      in_body = c->left > 0;
    char    *p, *end;
    size_t   more;
    ssize_t  n;

    p = in_body ? sink : c->head + c->len;
    n = read(c->fd, p, in_body ? sizeof(sink) : HEAD - c->len);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }

    if (n <= 0) {
        fprintf(stderr, "closed by the server\n");
        exit(1);
    }

    if (in_body) {
        c->left -= (size_t) n < c->left ? (size_t) n : c->left;

        if (c->left == 0) {
            finished(c);
        }

        return;
    }

    c->len += n;
    c->head[c->len] = '\0';
    end = strstr(c->head, "\r\n\r\n");

    if (end == NULL) {
        if (c->len == HEAD) {
            fprintf(stderr, "the header does not end\n");
            exit(1);
        }

        return;
    }

    *end = '\0';
    more = c->head + c->len - (end + 4);
    c->left = body_length(c);
    c->left -= more < c->left ? more : c->left;

    if (c->left == 0) {
        finished(c);
    }
}


static void
connect_all(int epoll, int port)
{
    int                 i, one = 1;
    struct epoll_event  ev;
    struct sockaddr_in  addr = { .sin_family = AF_INET,
                                 .sin_port = htons(port) };

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    for (i = 0; i < nconns; i++) {
        conns[i].fd = socket(AF_INET, SOCK_STREAM, 0);

        if (conns[i].fd < 0
            || connect(conns[i].fd, (struct sockaddr *) &addr, sizeof(addr)))
        {
            die("connect");
        }

        setsockopt(conns[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        fcntl(conns[i].fd, F_SETFL, O_NONBLOCK);

        ev.events = EPOLLIN;
        ev.data.ptr = &conns[i];

        if (epoll_ctl(epoll, EPOLL_CTL_ADD, conns[i].fd, &ev)) {
            die("epoll_ctl");
        }

        idle[nidle++] = i;
    }
}


static void
prepare(const char *method, const char *prefix)
{
    char    length[64] = "";
    size_t  i;

    requests = calloc(nkeys, sizeof(char *));
    body = malloc(body_size + 1);
    queue = malloc(queue_size * sizeof(uint64_t));
    conns = calloc(nconns, sizeof(conn_t));
    idle = calloc(nconns, sizeof(int));

    if (!requests || !body || !queue || !conns || !idle) {
        die("malloc");
    }

    memset(body, 'v', body_size);

    if (body_size) {
        snprintf(length, sizeof(length), "Content-Length: %zu\r\n", body_size);
    }

    for (i = 0; i < nkeys; i++) {
        if (asprintf(&requests[i], "%s %s%04zu HTTP/1.1\r\n"
                     "Host: localhost\r\n%s\r\n", method, prefix, i + 1,
                     length) < 0)
        {
            die("asprintf");
        }
    }
}


/* all that is due */

static void
send_due(uint64_t *due, uint64_t end, double gap)
{
    uint64_t  t = now();

    while (*due <= t && *due < end) {

        if (nidle) {
            if (*due >= count_from) {
                add(&lates, t - *due);
            }

            send_one(&conns[idle[idle_first]], *due);
            idle_first = (idle_first + 1) % nconns;
            nidle--;

        } else if (queue_n < queue_size) {
            queue[(queue_first + queue_n++) % queue_size] = *due;

        } else {
            fprintf(stderr, "more requests wait than there is room for\n");
            exit(1);
        }

        *due += -log((double) (draw() >> 11) / 9007199254740992.0 + 1e-18)
                * gap;
        t = now();
    }
}


static void
run(int epoll, double rate, double seconds)
{
    int                 i, n;
    double              gap = SECOND / rate;
    uint64_t            t, due, end;
    struct timespec     wait;
    struct epoll_event  events[64];

    due = now();
    count_from = due + SECOND / 2;
    end = count_from + seconds * SECOND;

    for ( ;; ) {
        send_due(&due, end, gap);
        t = now();

        if (due >= end && nidle == nconns) {
            return;
        }

        if (t > end + 10 * SECOND) {
            errors += nconns - nidle + queue_n;
            return;
        }

        t = due >= end ? SECOND / 10 : due > t ? due - t : 0;
        wait.tv_sec = t / SECOND;
        wait.tv_nsec = t % SECOND;

        n = epoll_pwait2(epoll, events, 64, &wait, NULL);

        if (n < 0 && errno != EINTR) {
            die("epoll_pwait2");
        }

        for (i = 0; i < n; i++) {
            readable(events[i].data.ptr);
        }
    }
}


static int
compare(const void *a, const void *b)
{
    uint32_t  x = *(const uint32_t *) a, y = *(const uint32_t *) b;

    return x < y ? -1 : x > y;
}


static double
percentile(times_t *t, double p)
{
    size_t  i = t->n * p / 100;

    return t->n ? t->ns100[i < t->n ? i : t->n - 1] / 10.0 : 0;
}


/* of all time since the start, 0 to 1 */

static double
busy(uint64_t start)
{
    struct rusage  u;

    getrusage(RUSAGE_SELF, &u);

    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec
            + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6)
           * SECOND / (now() - start);
}


int
main(int argc, char **argv)
{
    int       epoll;
    double    seconds, share;
    uint64_t  start;

    if (argc != 9) {
        fprintf(stderr, "load PORT RATE SECONDS CONNECTIONS METHOD PREFIX "
                        "KEYS SIZE\n");
        return 2;
    }

    seconds = atof(argv[3]);
    nconns = atoi(argv[4]);
    nkeys = atoi(argv[7]);
    body_size = atoi(argv[8]);

    start = now();
    prepare(argv[5], argv[6]);
    prctl(PR_SET_TIMERSLACK, 1);

    epoll = epoll_create1(0);
    connect_all(epoll, atoi(argv[1]));
    run(epoll, atof(argv[2]), seconds);
    share = busy(start);

    if (times.n) {
        qsort(times.ns100, times.n, sizeof(uint32_t), compare);
    }

    if (lates.n) {
        qsort(lates.ns100, lates.n, sizeof(uint32_t), compare);
    }

    printf("LOAD requests=%zu errors=%zu rate=%.0f p50=%.1f p99=%.1f "
           "p999=%.1f max=%.1f late=%.1f busy=%.3f\n", counted, errors,
           counted / seconds, percentile(&times, 50), percentile(&times, 99),
           percentile(&times, 99.9), percentile(&times, 100),
           percentile(&lates, 99), share);

    return 0;
}
