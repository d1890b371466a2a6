/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* The first words, the five requests, and the end. Reading is the main thread's. */

#include "sealpipe_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Exit codes. */
enum { EXIT_ASKED = 0, EXIT_ABANDONED = 1, EXIT_VERSION = 3, EXIT_REFUSED = 4 };

/* How much of the grace is kept for the last frames to leave. */
#define FLUSH_MS 200

static const sp_json null_id = {"null", 4};

static const char *program_name, *program_version;
static const sp_stage *program_stages;
static size_t n_program_stages;

static bool initialized, draining;
static uint64_t grace_ms;
static size_t frame_bytes = SP_FIRST_FRAME_BYTES;        /* taken */
static size_t worker_frame_bytes = SP_FIRST_FRAME_BYTES; /* taken by the worker */

static const char *class_of(int code)
{
    switch (code) {
    case SP_CANCELLED:
        return "abort";
    case SP_INTERNAL_ERROR:
    case SP_BUSY:
    case SP_OUTPUT_CONFLICT:
    case SP_RESOURCE_EXHAUSTED:
    case SP_INTERRUPTED:
        return "temporary";
    default:
        return "permanent";
    }
}

bool sp_fail(sp_error *error, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error->code = code;
    error->class = NULL;
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return false;
}

bool sp_integer(sp_json params, const char *name, uint64_t low, uint64_t high, uint64_t *number,
                sp_error *error)
{
    sp_json value = sp_json_member(params, name);
    if (!value.text || sp_json_to_integer(value, low, high, number))
        return true;
    return sp_fail(error, SP_INVALID_PARAMS, "`%s` is an integer from %llu to %llu", name,
                   (unsigned long long)low, (unsigned long long)high);
}

char *sp_path(sp_json params, const char *name, sp_error *error)
{
    char *path = sp_json_to_string(sp_json_member(params, name), NULL);
    bool plain = path && *path == '/';
    for (const char *part = path; plain && *part; part += strcspn(part, "/")) {
        part++;
        plain = strncmp(part, "..", 2) != 0 || (part[2] != '/' && part[2] != '\0');
    }
    if (plain)
        return path;
    sp_fail(error, SP_INVALID_PARAMS, "`%s` is an absolute path without `..`", name);
    free(path);
    return NULL;
}

char *sp_task_id(sp_json params, size_t *n_bytes, sp_error *error)
{
    char *id = sp_json_to_string(sp_json_member(params, "taskId"), n_bytes);
    size_t n_chars = 0;
    for (size_t i = 0; id && i < *n_bytes; i++)
        n_chars += (id[i] & 0xc0) != 0x80;
    if (n_chars >= 1 && n_chars <= 128)
        return id;
    sp_fail(error, SP_INVALID_PARAMS, "`taskId` has 1 to 128 characters");
    free(id);
    return NULL;
}

/* Up to five digits without leading zeros. */
static const char *eat_number(const char *at, unsigned *number)
{
    const char *begin = at;
    for (*number = 0; *at >= '0' && *at <= '9' && at < begin + 5; at++)
        *number = *number * 10 + (unsigned)(*at - '0');
    return at == begin || (*begin == '0' && at > begin + 1) ? NULL : at;
}

bool sp_version(sp_json value, unsigned *major)
{
    unsigned minor;
    char *text = sp_json_to_string(value, NULL);
    const char *at = text ? eat_number(text, major) : NULL;
    at = at && *at == '.' ? eat_number(at + 1, &minor) : NULL;
    bool good = at && *at == '\0';
    free(text);
    return good;
}

void sp_put_error(sp_buffer *frame, sp_json id, const sp_error *error, const char *more)
{
    sp_printf(frame, "{\"jsonrpc\":\"2.0\",\"id\":");
    sp_put(frame, id.text, id.n_bytes);
    sp_printf(frame, ",\"error\":{\"code\":%d,\"message\":", error->code);
    sp_put_string(frame, error->message);
    const char *class = error->class ? error->class : class_of(error->code);
    sp_printf(frame, ",\"data\":{\"class\":\"%s\"%s}}}", class, more);
}

void sp_respond(sp_json id, sp_buffer *frame)
{
    /* A request's id alone may be too long. */
    const sp_json ids[] = {id, null_id};
    for (size_t i = 0; i < 2 && frame->n_bytes > worker_frame_bytes; i++) {
        sp_error error;
        sp_fail(&error, SP_INTERNAL_ERROR, "the answer has %zu bytes, the worker takes %zu",
                frame->n_bytes, worker_frame_bytes);
        error.class = "permanent";
        frame->n_bytes = 0;
        sp_put_error(frame, ids[i], &error, "");
    }
    sp_wire_send(frame);
}

static void respond_error(sp_json id, const sp_error *error)
{
    sp_buffer frame = {0};
    sp_put_error(&frame, id, error, "");
    sp_respond(id, &frame);
}

static void respond_n_open(sp_json id)
{
    sp_buffer frame = {0};
    sp_printf(&frame, "{\"jsonrpc\":\"2.0\",\"id\":");
    sp_put(&frame, id.text, id.n_bytes);
    sp_printf(&frame, ",\"result\":{\"openTasks\":%zu}}", sp_tasks_open());
    sp_respond(id, &frame);
}

static bool is_identity(sp_json value)
{
    return sp_json_kind(sp_json_member(value, "name")) == '"' &&
           sp_json_kind(sp_json_member(value, "version")) == '"';
}

static bool is_kind_or_absent(sp_json value, char kind, bool or_null)
{
    return !value.text || sp_json_kind(value) == kind || (or_null && sp_json_kind(value) == 'n');
}

/* Checks all of the parameters; false with -32602. */
static bool read_initialize(sp_json params, bool *speaks_ours, uint64_t *takes, sp_error *error)
{
    sp_json versions = sp_json_member(params, "protocolVersions"), version;
    sp_json limits = sp_json_member(params, "limits");
    sp_json concurrent = sp_json_member(limits, "concurrent");
    uint64_t ignored;
    unsigned major;
    size_t n_versions = 0;
    bool good = is_identity(sp_json_member(params, "worker")) &&
                is_kind_or_absent(sp_json_member(params, "entry"), '"', true) &&
                is_kind_or_absent(sp_json_member(params, "capabilities"), '{', false) &&
                is_kind_or_absent(limits, '{', false) &&
                (!concurrent.text || sp_json_kind(concurrent) == 'n' ||
                 sp_json_to_integer(concurrent, 1, 1000000, &ignored));
    for (size_t position = 0; sp_json_next(versions, &position, &version); n_versions++) {
        good = good && sp_version(version, &major);
        *speaks_ours = *speaks_ours || sp_json_is_string(version, "1.0");
    }
    if (!good || n_versions == 0)
        return sp_fail(error, SP_INVALID_PARAMS, "`initialize` does not fit its schema");
    return sp_integer(limits, "maxFrameBytes", 65536, SP_MAX_INTEGER, takes, error) &&
           sp_integer(limits, "graceMs", 0, 86400000, &grace_ms, error) &&
           sp_place(sp_json_member(params, "placement"), true, error);
}

static void initialize(sp_json id, sp_json params)
{
    uint64_t takes = SP_MAX_FRAME_BYTES;
    bool speaks_ours = false;
    sp_error error;
    sp_buffer frame = {0};
    grace_ms = 10000;
    if (!read_initialize(params, &speaks_ours, &takes, &error)) {
        respond_error(id, &error);
        return;
    }
    if (!speaks_ours) {
        sp_fail(&error, SP_UNSUPPORTED_VERSION, "this processor speaks 1.0");
        sp_put_error(&frame, id, &error, ",\"supported\":[\"1.0\"]");
        sp_respond(id, &frame);
        _exit(EXIT_VERSION);
    }
    if (!sp_place(sp_json_member(params, "placement"), false, &error)) {
        respond_error(id, &error);
        _exit(EXIT_REFUSED);
    }
    sp_printf(&frame, "{\"jsonrpc\":\"2.0\",\"id\":");
    sp_put(&frame, id.text, id.n_bytes);
    sp_printf(&frame, ",\"result\":{\"protocolVersion\":\"1.0\",\"processor\":{\"name\":");
    sp_put_string(&frame, program_name);
    sp_printf(&frame, ",\"version\":");
    sp_put_string(&frame, program_version);
    sp_printf(&frame, "},\"limits\":{\"maxFrameBytes\":%zu},\"stages\":[", SP_MAX_FRAME_BYTES);
    for (size_t i = 0; i < n_program_stages; i++)
        sp_printf(&frame,
                  "%s{\"stage\":\"%s\",\"schemaVersion\":\"1.0\",\"maxConcurrent\":%u,"
                  "\"device\":\"%s\",\"implementation\":\"C\"}",
                  i > 0 ? "," : "", program_stages[i].name, program_stages[i].max_concurrent,
                  program_stages[i].device);
    sp_printf(&frame, "],\"placement\":");
    sp_put_placement(&frame);
    sp_printf(&frame, "}}");
    sp_respond(id, &frame);
    initialized = true;
    frame_bytes = SP_MAX_FRAME_BYTES;
    worker_frame_bytes = takes < SIZE_MAX ? (size_t)takes : SIZE_MAX;
    /* Threads only now: they inherit the placement. */
    sp_wire_start();
    sp_tasks_start(program_stages, n_program_stages);
}

static bool cancel(sp_json id, sp_json params, sp_error *error)
{
    size_t n_bytes;
    char *task_id = sp_task_id(params, &n_bytes, error);
    if (!task_id)
        return false;
    bool was_open = sp_tasks_cancel(task_id, n_bytes);
    free(task_id);
    sp_buffer frame = {0};
    sp_printf(&frame, "{\"jsonrpc\":\"2.0\",\"id\":");
    sp_put(&frame, id.text, id.n_bytes);
    sp_printf(&frame, ",\"result\":{\"open\":%s}}", was_open ? "true" : "false");
    sp_respond(id, &frame);
    return true;
}

static bool shut_down(sp_json id, sp_json params, sp_error *error)
{
    sp_json mode = sp_json_member(params, "mode");
    bool interrupt = sp_json_is_string(mode, "interrupt");
    if (!interrupt && !sp_json_is_string(mode, "drain"))
        return sp_fail(error, SP_INVALID_PARAMS, "`mode` is drain or interrupt");
    draining = true;
    sp_tasks_drain();
    if (interrupt)
        sp_tasks_interrupt();
    sp_buffer frame = {0};
    sp_printf(&frame, "{\"jsonrpc\":\"2.0\",\"method\":\"processor/status\","
                      "\"params\":{\"state\":\"draining\"}}");
    sp_wire_send(&frame);
    respond_n_open(id);
    return true;
}

static void request(sp_json id, sp_json method, sp_json params)
{
    sp_error error;
    bool good = true;
    bool is_initialize = sp_json_is_string(method, "initialize");
    if (!initialized && is_initialize)
        initialize(id, params);
    else if (!initialized)
        good = sp_fail(&error, SP_NOT_INITIALIZED, "`initialize` comes first");
    else if (is_initialize)
        good = sp_fail(&error, SP_INVALID_REQUEST, "`initialize` was answered already");
    else if (sp_json_is_string(method, "task/run"))
        good = sp_tasks_run(id, params, &error);
    else if (sp_json_is_string(method, "task/cancel"))
        good = cancel(id, params, &error);
    else if (sp_json_is_string(method, "ping"))
        respond_n_open(id);
    else if (sp_json_is_string(method, "shutdown"))
        good = shut_down(id, params, &error);
    else
        good = sp_fail(&error, SP_METHOD_NOT_FOUND, "there is no such method");
    if (!good)
        respond_error(id, &error);
}

/* Acts upon a line. */
static void take(const char *line, size_t n_bytes)
{
    enum { VERSION, ID, METHOD, PARAMS, RESULT, ERROR, N };
    static const char *const names[N] = {"jsonrpc", "id", "method", "params", "result", "error"};
    sp_json message, values[N];
    sp_error error;
    uint64_t ignored;
    const char *problem = line ? sp_json_check(line, n_bytes, &message) : NULL;
    if (!line)
        sp_fail(&error, SP_INVALID_REQUEST, "a line of over %zu bytes", frame_bytes);
    else if (problem)
        sp_fail(&error, SP_PARSE_ERROR, "the line is not taken: %s", problem);
    else if (sp_json_kind(message) != '{')
        sp_fail(&error, SP_INVALID_REQUEST, "the line is no JSON object");
    if (!line || problem || sp_json_kind(message) != '{') {
        respond_error(null_id, &error);
        return;
    }
    sp_json_members(message, N, names, values);
    if (!values[METHOD].text && (values[RESULT].text || values[ERROR].text))
        return; /* A response that nobody waits for. */
    bool has_id = sp_json_kind(values[ID]) == '"' ||
                  sp_json_to_integer(values[ID], 0, SP_MAX_INTEGER, &ignored);
    if (!sp_json_is_string(values[VERSION], "2.0") || sp_json_kind(values[METHOD]) != '"' ||
        !is_kind_or_absent(values[PARAMS], '{', false) || (values[ID].text && !has_id)) {
        sp_fail(&error, SP_INVALID_REQUEST, "the line is no request of JSON-RPC 2.0");
        respond_error(has_id ? values[ID] : null_id, &error);
    } else if (has_id) {
        request(values[ID], values[METHOD], values[PARAMS]);
    } /* Else a notification: 1.0 has none for processors. */
}

int sp_serve(const char *name, const char *version, const sp_stage *stages, size_t n_stages)
{
    program_name = name;
    program_version = version;
    program_stages = stages;
    n_program_stages = n_stages;
    sp_wire_open();
    bool asked = sp_wire_read(&frame_bytes, take) && draining;
    if (!initialized)
        return EXIT_ABANDONED;
    /* Stdin's end interrupts what is open. */
    uint64_t end_ms = sp_now_ms() + grace_ms;
    sp_tasks_interrupt();
    bool stopped = sp_tasks_close(grace_ms > FLUSH_MS ? end_ms - FLUSH_MS : end_ms);
    bool flushed = sp_wire_close(end_ms > sp_now_ms() + FLUSH_MS ? end_ms : sp_now_ms() + FLUSH_MS);
    int code = asked && stopped ? EXIT_ASKED : EXIT_ABANDONED;
    /* Threads that did not stop in time must not keep the process. */
    if (!stopped || !flushed)
        _exit(code);
    return code;
}
