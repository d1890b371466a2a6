/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* Bytes: text that grows, lines from stdin, frames to stdout. */

#define _GNU_SOURCE

#include "sealpipe_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Frames up to this size overtake longer ones. */
#define SMALL_FRAME_BYTES ((size_t)64 << 10)
/* What may wait for a worker that does not read. */
#define MAX_WAITING_BYTES (4 * SP_MAX_FRAME_BYTES)

void *sp_alloc(size_t n_bytes)
{
    void *memory = malloc(n_bytes > 0 ? n_bytes : 1);
    if (!memory) {
        fputs("error: out of memory\n", stderr);
        _exit(1);
    }
    return memory;
}

void sp_put(sp_buffer *buffer, const char *text, size_t n_bytes)
{
    if (n_bytes > SIZE_MAX / 2 - buffer->n_bytes)
        abort();
    if (buffer->n_bytes + n_bytes > buffer->n_room) {
        buffer->n_room = 2 * (buffer->n_bytes + n_bytes);
        char *larger = sp_alloc(buffer->n_room);
        if (buffer->n_bytes > 0)
            memcpy(larger, buffer->text, buffer->n_bytes);
        free(buffer->text);
        buffer->text = larger;
    }
    if (n_bytes > 0)
        memcpy(buffer->text + buffer->n_bytes, text, n_bytes);
    buffer->n_bytes += n_bytes;
}

void sp_printf(sp_buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (n < 0)
        return;
    char *text = sp_alloc((size_t)n + 1);
    va_start(arguments, format);
    vsnprintf(text, (size_t)n + 1, format, arguments);
    va_end(arguments);
    sp_put(buffer, text, (size_t)n);
    free(text);
}

static void die(const char *what)
{
    fprintf(stderr, "error: %s: %s\n", what, strerror(errno));
    _exit(1);
}

uint64_t sp_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct timespec sp_at_ms(uint64_t now_ms)
{
    return (struct timespec){(time_t)(now_ms / 1000), (long)(now_ms % 1000) * 1000000};
}

void sp_cond_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

static int input, output, signalled[2];

static void on_signal(int number)
{
    (void)number;
    int saved = errno;
    /* A full pipe has said it already. */
    if (write(signalled[1], "", 1) < 0) {
    }
    errno = saved;
}

void sp_wire_open(void)
{
    /* Private copies: what libraries print goes to stderr, and no child eats a frame. */
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    input = fcntl(0, F_DUPFD_CLOEXEC, 3);
    output = fcntl(1, F_DUPFD_CLOEXEC, 3);
    if (nothing < 0 || input < 0 || output < 0 || dup2(nothing, 0) < 0 || dup2(2, 1) < 0)
        die("cannot take over stdin and stdout");
    close(nothing);
    if (pipe2(signalled, O_CLOEXEC | O_NONBLOCK) < 0)
        die("cannot make a pipe");
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    /* A worker that does not read any more is noticed by the end of stdin. */
    signal(SIGPIPE, SIG_IGN);
}

/* Waits for bytes of stdin; 0 when it has ended, -1 when a signal came. */
static ssize_t read_some(char *chunk, size_t n_bytes)
{
    for (;;) {
        struct pollfd fds[] = {{.fd = input, .events = POLLIN},
                               {.fd = signalled[0], .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            die("cannot wait for stdin");
        if (fds[1].revents)
            return -1;
        if (!fds[0].revents)
            continue;
        ssize_t n = read(input, chunk, n_bytes);
        if (n >= 0)
            return n;
        if (errno != EINTR && errno != EAGAIN)
            return 0;
    }
}

bool sp_wire_read(const size_t *limit, void (*take)(const char *line, size_t n_bytes))
{
    static char chunk[64 << 10];
    sp_buffer line = {0};
    bool skipping = false;
    ssize_t n;
    while ((n = read_some(chunk, sizeof chunk)) > 0) {
        for (const char *at = chunk, *end = chunk + n; at < end;) {
            const char *newline = memchr(at, '\n', (size_t)(end - at));
            size_t n_bytes = (size_t)((newline ? newline : end) - at);
            /* One byte more may be a carriage return. Nothing is kept of a longer line. */
            skipping = skipping || line.n_bytes + n_bytes > *limit + 1;
            if (!skipping)
                sp_put(&line, at, n_bytes);
            at += n_bytes + (newline != NULL);
            if (!newline)
                continue;
            if (!skipping && line.n_bytes > 0 && line.text[line.n_bytes - 1] == '\r')
                line.n_bytes--;
            if (skipping || line.n_bytes > *limit)
                take(NULL, 0);
            else if (line.n_bytes > 0)
                take(line.text, line.n_bytes);
            skipping = false;
            line.n_bytes = 0;
            if (line.n_room > SP_FIRST_FRAME_BYTES) {
                /* Memory of a bulk frame is not for keeps. */
                free(line.text);
                line = (sp_buffer){0};
            }
        }
    }
    /* What the end cuts off is no line. */
    free(line.text);
    return n == 0;
}

typedef struct frame {
    struct frame *next;
    char *text;
    size_t n_bytes;
} frame;

typedef struct {
    frame *first, *last;
} lane;

/* The outbox, guarded by its lock: reading waits for no writing. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static lane small, bulk;
static size_t waiting_bytes;
static bool started, closing, has_ended;
static pthread_t writer;

static void write_all(const char *text, size_t n_bytes)
{
    while (n_bytes > 0) {
        ssize_t n = write(output, text, n_bytes);
        if (n > 0) {
            text += n;
            n_bytes -= (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd fd = {.fd = output, .events = POLLOUT};
            poll(&fd, 1, -1);
        } else if (errno != EINTR) {
            return; /* Nobody reads, nobody to tell. */
        }
    }
}

static frame *pop(lane *from)
{
    frame *first = from->first;
    if (first) {
        from->first = first->next;
        waiting_bytes -= first->n_bytes;
    }
    return first;
}

static void *write_frames(void *unused)
{
    pthread_mutex_lock(&lock);
    for (;;) {
        frame *next = pop(&small);
        if (!next)
            next = pop(&bulk);
        if (next) {
            pthread_mutex_unlock(&lock);
            write_all(next->text, next->n_bytes);
            free(next->text);
            free(next);
            pthread_mutex_lock(&lock);
        } else if (closing) {
            break;
        } else {
            pthread_cond_wait(&changed, &lock);
        }
    }
    has_ended = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return unused;
}

void sp_wire_send(sp_buffer *message)
{
    sp_put(message, "\n", 1);
    if (!started) {
        write_all(message->text, message->n_bytes);
        free(message->text);
    } else {
        frame *added = sp_alloc(sizeof *added);
        *added = (frame){NULL, message->text, message->n_bytes};
        lane *to = added->n_bytes <= SMALL_FRAME_BYTES ? &small : &bulk;
        pthread_mutex_lock(&lock);
        if (waiting_bytes > MAX_WAITING_BYTES) {
            fputs("error: the worker does not read\n", stderr);
            _exit(1);
        }
        waiting_bytes += added->n_bytes;
        if (to->first)
            to->last->next = added;
        else
            to->first = added;
        to->last = added;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
    *message = (sp_buffer){0};
}

void sp_wire_start(void)
{
    sp_cond_init(&changed);
    started = pthread_create(&writer, NULL, write_frames, NULL) == 0;
    if (!started)
        die("cannot start a thread");
}

bool sp_wire_close(uint64_t until_ms)
{
    if (!started)
        return true;
    struct timespec until = sp_at_ms(until_ms);
    pthread_mutex_lock(&lock);
    closing = true;
    pthread_cond_broadcast(&changed);
    while (!has_ended && pthread_cond_timedwait(&changed, &lock, &until) != ETIMEDOUT)
        ;
    bool ended = has_ended;
    pthread_mutex_unlock(&lock);
    if (ended)
        pthread_join(writer, NULL);
    return ended;
}
