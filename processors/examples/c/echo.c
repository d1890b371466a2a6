/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* The smallest processor in C: `echo` gives its payload back, as slowly and as badly as asked.
 *
 *     [[processors.echo]]
 *     bin = "processors/examples/c/echo" */

#include "sealpipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum fail { FAIL_NOT, FAIL_TEMPORARY, FAIL_PERMANENT, FAIL_PANIC };

typedef struct {
    sp_buffer payload; /* JSON as it came: it is given back byte for byte */
    uint64_t ticks, interval_ms;
    enum fail fail;
} job;

/* False for what is none of the words. An absent member and null mean: not at all. */
static bool read_fail(sp_json value, enum fail *fail)
{
    static const char *const words[] = {"temporary", "permanent", "panic"};
    if (!value.text || sp_json_kind(value) == 'n')
        return true;
    for (size_t i = 0; i < 3; i++)
        if (sp_json_is_string(value, words[i]))
            *fail = FAIL_TEMPORARY + (enum fail)i;
    return *fail != FAIL_NOT;
}

static void echo_free(void *argument)
{
    job *echo = argument;
    free(echo->payload.text);
    free(echo);
}

static bool read_members(job *echo, sp_json params, sp_error *error)
{
    sp_json payload = sp_json_member(params, "payload");
    if (!payload.text)
        return sp_fail(error, SP_INVALID_PARAMS, "`payload` is missing");
    if (!read_fail(sp_json_member(params, "fail"), &echo->fail))
        return sp_fail(error, SP_INVALID_PARAMS, "`fail` is temporary, permanent or panic");
    /* The parameters are a slice of the line, which is gone when this returns. */
    sp_put(&echo->payload, payload.text, payload.n_bytes);
    return sp_integer(params, "ticks", 0, 1000000, &echo->ticks, error) &&
           sp_integer(params, "intervalMs", 0, 600000, &echo->interval_ms, error);
}

static void *echo_read(sp_json params, sp_error *error)
{
    job *echo = sp_alloc(sizeof *echo);
    *echo = (job){.fail = FAIL_NOT};
    if (read_members(echo, params, error))
        return echo;
    echo_free(echo);
    return NULL;
}

static bool echo_run(void *argument, sp_task *task, sp_buffer *output, sp_error *error)
{
    job *echo = argument;
    /* Libraries print: stdout has been pointed at stderr, so no frame is harmed. */
    puts("a library prints");
    for (uint64_t tick = 0; tick < echo->ticks; tick++)
        if (!sp_sleep(task, echo->interval_ms) ||
            !sp_progress(task, "echo", tick + 1, echo->ticks, "ticks"))
            return false;
    switch (echo->fail) {
    case FAIL_TEMPORARY:
        return sp_fail(error, SP_RESOURCE_EXHAUSTED, "as asked");
    case FAIL_PERMANENT:
        return sp_fail(error, SP_INVALID_INPUT, "as asked");
    case FAIL_PANIC:
        /* C has no exceptions. A stage that may crash belongs into a process of its own. */
        return sp_fail(error, SP_INTERNAL_ERROR, "as asked");
    case FAIL_NOT:
        break;
    }
    sp_printf(output, "{\"payload\":");
    sp_put(output, echo->payload.text, echo->payload.n_bytes);
    sp_put(output, "}", 1);
    return true;
}

int main(void)
{
    static const sp_stage stages[] = {{"echo", 4, "cpu", echo_read, echo_run, echo_free}};
    return sp_serve("echo-c", "1.0", stages, 1);
}
