/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* The open tasks: one thread each, and one that repeats what they say. */

#define _GNU_SOURCE

#include "sealpipe_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Tasks whose newest attempt is remembered. */
#define REMEMBERED_TASKS 10000
/* Progress is told at most once in so long, and repeated after so long. */
#define PROGRESS_MS 1000
#define HEARTBEAT_MS 30000

struct sp_task {
    sp_task *next;
    const sp_stage *stage;
    void *job;
    char *sector; /* the directory that is locked; NULL: none */
    char *id;     /* without escapes, to compare; it may hold a NUL */
    size_t n_id;
    uint64_t attempt;
    sp_json id_json, request_id; /* as they came, to be given back */
    int stop;                    /* SP_CANCELLED, SP_INTERRUPTED or 0 */
    pthread_cond_t stopped;
    sp_buffer latest; /* the last progress */
    bool unsent;
    uint64_t sent_at_ms, began_at_ms; /* sent_at_ms is 0 before anything was sent */
};

/* Guards all of this, and every task. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static pthread_t ticker;
static const sp_stage *stages;
static size_t n_stages, n_open;
static sp_task *open_tasks;
static bool draining, closing;
static struct {
    char *id;
    size_t n_id;
    uint64_t attempt;
} remembered[REMEMBERED_TASKS];
static size_t n_remembered;

static sp_json copy(sp_json value)
{
    char *text = sp_alloc(value.n_bytes);
    memcpy(text, value.text, value.n_bytes);
    return (sp_json){text, value.n_bytes};
}

static void tell_if_due(sp_task *task)
{
    uint64_t now = sp_now_ms(), since = task->sent_at_ms ? task->sent_at_ms : task->began_at_ms;
    bool due = task->unsent ? !task->sent_at_ms || now - since >= PROGRESS_MS
                            : now - since >= HEARTBEAT_MS;
    if (!due)
        return;
    sp_buffer frame = {0};
    sp_printf(&frame, "{\"jsonrpc\":\"2.0\",\"method\":\"task/progress\",\"params\":{\"taskId\":");
    sp_put(&frame, task->id_json.text, task->id_json.n_bytes);
    sp_printf(&frame, ",\"attempt\":%" PRIu64 ",", task->attempt);
    sp_put(&frame, task->latest.text, task->latest.n_bytes);
    sp_printf(&frame, "}}");
    sp_wire_send(&frame);
    task->unsent = false;
    task->sent_at_ms = now;
}

static void put_progress(sp_buffer *to, const char *phase, uint64_t done, uint64_t total,
                         const char *unit)
{
    to->n_bytes = 0;
    sp_printf(to, "\"phase\":");
    sp_put_string(to, phase);
    sp_printf(to, ",\"done\":%" PRIu64 ",\"total\":%" PRIu64, done < total ? done : total, total);
    sp_printf(to, ",\"unit\":");
    sp_put_string(to, unit);
}

bool sp_progress(sp_task *task, const char *phase, uint64_t done, uint64_t total, const char *unit)
{
    pthread_mutex_lock(&lock);
    bool goes_on = task->stop == 0;
    if (goes_on) {
        put_progress(&task->latest, phase, done, total, unit);
        task->unsent = true;
        tell_if_due(task);
    }
    pthread_mutex_unlock(&lock);
    return goes_on;
}

bool sp_sleep(sp_task *task, uint64_t milliseconds)
{
    struct timespec until = sp_at_ms(sp_now_ms() + milliseconds);
    pthread_mutex_lock(&lock);
    while (task->stop == 0 && milliseconds > 0)
        if (pthread_cond_timedwait(&task->stopped, &lock, &until) == ETIMEDOUT)
            break;
    bool goes_on = task->stop == 0;
    pthread_mutex_unlock(&lock);
    return goes_on;
}

static void *tick(void *unused)
{
    pthread_mutex_lock(&lock);
    while (!closing) {
        struct timespec until = sp_at_ms(sp_now_ms() + PROGRESS_MS / 2);
        pthread_cond_timedwait(&changed, &lock, &until);
        for (sp_task *task = open_tasks; task; task = task->next)
            tell_if_due(task);
    }
    pthread_mutex_unlock(&lock);
    return unused;
}

void sp_tasks_start(const sp_stage *served, size_t n_served)
{
    stages = served;
    n_stages = n_served;
    sp_cond_init(&changed);
    if (pthread_create(&ticker, NULL, tick, NULL) != 0)
        abort();
}

static void free_task(sp_task *task)
{
    pthread_cond_destroy(&task->stopped);
    free((char *)task->id_json.text);
    free((char *)task->request_id.text);
    free(task->latest.text);
    free(task->sector);
    free(task->id);
    free(task);
}

static void remove_task(sp_task *task)
{
    sp_task **link = &open_tasks;
    while (*link != task)
        link = &(*link)->next;
    *link = task->next;
    n_open--;
    pthread_cond_broadcast(&changed);
}

static void *work(void *argument)
{
    sp_task *task = argument;
    sp_error error = {0};
    sp_buffer output = {0}, frame = {0};
    int fd = task->sector ? sp_sector_lock(task->sector, &error) : -1;
    bool good = (!task->sector || fd >= 0) && task->stage->run(task->job, task, &output, &error);
    /* The lock is given back before the response is sent. */
    if (fd >= 0)
        close(fd);
    task->stage->release(task->job);
    pthread_mutex_lock(&lock);
    int stop = task->stop;
    pthread_mutex_unlock(&lock);
    if (good) {
        sp_printf(&frame, "{\"jsonrpc\":\"2.0\",\"id\":");
        sp_put(&frame, task->request_id.text, task->request_id.n_bytes);
        sp_printf(&frame, ",\"result\":{\"output\":%s", output.n_bytes > 0 ? "" : "{}");
        sp_put(&frame, output.text, output.n_bytes);
        sp_printf(&frame, "}}");
    } else {
        if (stop)
            sp_fail(&error, stop, "the task was told to stop");
        else if (error.code == 0)
            sp_fail(&error, SP_INTERNAL_ERROR, "the stage failed and does not say why");
        sp_put_error(&frame, task->request_id, &error, "");
    }
    free(output.text);
    /* Under the lock: nothing is told of a task after its response. */
    pthread_mutex_lock(&lock);
    sp_respond(task->request_id, &frame);
    remove_task(task);
    free_task(task);
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* The newest attempt that was seen of a task, and remembers this one; 0 for none. */
static uint64_t *newest_attempt(const sp_task *task)
{
    size_t n = n_remembered < REMEMBERED_TASKS ? n_remembered : REMEMBERED_TASKS;
    for (size_t i = 0; i < n; i++)
        if (remembered[i].n_id == task->n_id && memcmp(remembered[i].id, task->id, task->n_id) == 0)
            return &remembered[i].attempt;
    return NULL;
}

static void remember(const sp_task *task)
{
    uint64_t *newest = newest_attempt(task);
    if (newest) {
        *newest = task->attempt;
        return;
    }
    /* In turn: the oldest is overwritten. */
    size_t i = n_remembered++ % REMEMBERED_TASKS;
    free(remembered[i].id);
    remembered[i].id = sp_alloc(task->n_id);
    memcpy(remembered[i].id, task->id, task->n_id);
    remembered[i].n_id = task->n_id;
    remembered[i].attempt = task->attempt;
}

/* Whether the task may be opened. */
static bool admit(const sp_task *task, sp_error *error)
{
    unsigned n_running = 0;
    const uint64_t *newest = newest_attempt(task);
    if (draining)
        return sp_fail(error, SP_BUSY, "this processor is shutting down");
    bool is_open = false;
    for (const sp_task *other = open_tasks; other; other = other->next) {
        n_running += other->stage == task->stage;
        is_open = is_open || (other->attempt == task->attempt && other->n_id == task->n_id &&
                              memcmp(other->id, task->id, task->n_id) == 0);
    }
    if (is_open || (newest && task->attempt < *newest))
        return sp_fail(error, SP_INVALID_INPUT, "attempt %" PRIu64 " is an old one, or open",
                       task->attempt);
    if (n_running >= task->stage->max_concurrent)
        return sp_fail(error, SP_BUSY, "%u of %u tasks run", n_running,
                       task->stage->max_concurrent);
    return true;
}

/* Reads what every stage has in common, and opens nothing yet. */
static bool read_run(sp_json params, sp_task *task, sp_error *error)
{
    enum { ID, ATTEMPT, STAGE, VERSION, PARAMS, N };
    static const char *const names[N] = {"taskId", "attempt", "stage", "schemaVersion", "params"};
    sp_json values[N];
    unsigned major;
    sp_json_members(params, N, names, values);
    task->id = sp_task_id(params, &task->n_id, error);
    if (!task->id)
        return false;
    if (!sp_json_to_integer(values[ATTEMPT], 1, UINT32_MAX, &task->attempt) ||
        sp_json_kind(values[STAGE]) != '"' || !sp_version(values[VERSION], &major) ||
        sp_json_kind(values[PARAMS]) != '{')
        return sp_fail(error, SP_INVALID_PARAMS, "`task/run` does not fit its schema");
    for (size_t i = 0; i < n_stages && !task->stage; i++)
        if (sp_json_is_string(values[STAGE], stages[i].name))
            task->stage = &stages[i];
    if (!task->stage)
        return sp_fail(error, SP_UNSUPPORTED, "this stage is not served here");
    if (major != 1)
        return sp_fail(error, SP_UNSUPPORTED, "parameters are read as 1.x here");
    bool good = true;
    task->sector = sp_sector_of(task->stage->name, values[PARAMS], &good, error);
    if (!good)
        return false;
    task->id_json = copy(values[ID]);
    task->job = task->stage->read(values[PARAMS], error);
    return task->job != NULL;
}

bool sp_tasks_run(sp_json id, sp_json params, sp_error *error)
{
    sp_task *task = sp_alloc(sizeof *task);
    *task = (sp_task){.began_at_ms = sp_now_ms(), .request_id = copy(id)};
    sp_cond_init(&task->stopped);
    /* Even a stage that never says anything gives signs of life. */
    put_progress(&task->latest, "running", 0, 0, "steps");
    bool good = read_run(params, task, error);
    pthread_mutex_lock(&lock);
    good = good && admit(task, error);
    if (good) {
        pthread_t thread;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        remember(task);
        task->next = open_tasks;
        open_tasks = task;
        n_open++;
        if (pthread_create(&thread, &attributes, work, task) != 0) {
            remove_task(task);
            good = sp_fail(error, SP_RESOURCE_EXHAUSTED, "cannot start a thread");
        }
        pthread_attr_destroy(&attributes);
    }
    pthread_mutex_unlock(&lock);
    if (!good) {
        if (task->job)
            task->stage->release(task->job);
        free_task(task);
    }
    return good;
}

static void stop_task(sp_task *task, int why)
{
    /* A cancel is final; an interrupt may still become one. */
    if (task->stop != SP_CANCELLED)
        task->stop = why;
    pthread_cond_broadcast(&task->stopped);
}

bool sp_tasks_cancel(const char *id, size_t n_bytes)
{
    sp_task *newest = NULL;
    pthread_mutex_lock(&lock);
    for (sp_task *task = open_tasks; task; task = task->next)
        if (task->n_id == n_bytes && memcmp(task->id, id, n_bytes) == 0)
            newest = newest && newest->attempt > task->attempt ? newest : task;
    if (newest)
        stop_task(newest, SP_CANCELLED);
    pthread_mutex_unlock(&lock);
    return newest != NULL;
}

void sp_tasks_interrupt(void)
{
    pthread_mutex_lock(&lock);
    for (sp_task *task = open_tasks; task; task = task->next)
        stop_task(task, SP_INTERRUPTED);
    pthread_mutex_unlock(&lock);
}

void sp_tasks_drain(void)
{
    pthread_mutex_lock(&lock);
    draining = true;
    pthread_mutex_unlock(&lock);
}

size_t sp_tasks_open(void)
{
    pthread_mutex_lock(&lock);
    size_t n = n_open;
    pthread_mutex_unlock(&lock);
    return n;
}

bool sp_tasks_close(uint64_t until_ms)
{
    struct timespec until = sp_at_ms(until_ms);
    pthread_mutex_lock(&lock);
    while (n_open > 0 && pthread_cond_timedwait(&changed, &lock, &until) != ETIMEDOUT)
        ;
    bool none = closing = n_open == 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    if (none) {
        pthread_join(ticker, NULL);
        for (size_t i = 0; i < REMEMBERED_TASKS; i++)
            free(remembered[i].id);
    }
    return none;
}
