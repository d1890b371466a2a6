/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* A processor of sealpipe's protocol 1.0 in C11, with libc and pthreads alone.
 *
 *     int main(void)
 *     {
 *         static const sp_stage stages[] = {{"echo", 4, "cpu", echo_read, echo_run, echo_free}};
 *         return sp_serve("my-echo", "1.0", stages, 1);
 *     }
 *
 * A stage is three functions. `read` makes a job of the parameters, before any file is touched;
 * `run` computes, on a thread of its own; `release` frees the job. Everything else of the protocol
 * is in sp_serve. R-033 and the like in comments are rules of schemas/v1/SPEC.md. */

#ifndef SEALPIPE_H
#define SEALPIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SP_MAX_INTEGER ((UINT64_C(1) << 53) - 1) /* */

/* Codes that a stage may need; sp_error_class has what they mean to the worker. */
enum {
    SP_INVALID_PARAMS = -32602,
    SP_INTERNAL_ERROR = -32603,
    SP_UNSUPPORTED = 1002,
    SP_INPUT_UNAVAILABLE = 1005,
    SP_INVALID_INPUT = 1006,
    SP_RESOURCE_EXHAUSTED = 1008,
};

/* ---- JSON: slices of a line that was checked as a whole; nothing is copied or allocated. ---- */

/* A value. `text` is NULL when there is none. */
typedef struct {
    const char *text;
    size_t n_bytes;
} sp_json;

/* The value that `text` is, or why it is none: not JSON, not UTF-8, or nested too deeply. Safe on
 * any bytes; every other function needs a value that came from here. */
const char *sp_json_check(const char *text, size_t n_bytes, sp_json *value);

/* The members of an object by name; absent ones, and those of anything else, have no text. */
void sp_json_members(sp_json object, size_t n, const char *const names[], sp_json values[]);
sp_json sp_json_member(sp_json object, const char *name);

/* Goes through an array: `*position` is 0 at first. False when there is no further item. */
bool sp_json_next(sp_json array, size_t *position, sp_json *item);

/* What it is: one of { [ " 0 t f n, or 0 when it is absent. */
char sp_json_kind(sp_json value);

bool sp_json_is_string(sp_json value, const char *text);
bool sp_json_to_integer(sp_json value, uint64_t low, uint64_t high, uint64_t *number);

/* The string without its escapes, ended by a NUL, to be freed; NULL for what is no string or has
 * half a surrogate pair. Only when `n_bytes` is asked for it may hold a NUL itself. */
char *sp_json_to_string(sp_json value, size_t *n_bytes);

/* ---- Text that grows. Without memory the process ends: it has nothing left to say. ---- */

typedef struct {
    char *text;
    size_t n_bytes, n_room;
} sp_buffer;

void sp_put(sp_buffer *buffer, const char *text, size_t n_bytes);
void sp_printf(sp_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* As a JSON string; bytes that are not UTF-8 become question marks. */
void sp_put_string(sp_buffer *buffer, const char *text);
void *sp_alloc(size_t n_bytes);

/* ---- Stages ---- */

typedef struct {
    int code;
    const char *class; /* NULL: the one that the code has */
    char message[512]; /* what is longer is cut */
} sp_error;

/* Fills in an error and is false, to be returned. */
bool sp_fail(sp_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Members of parameters; false with -32602 when there is one that does not fit. An absent integer
 * leaves `*number` as it is. A path is absolute and without `..`, and to be freed. */
bool sp_integer(sp_json params, const char *name, uint64_t low, uint64_t high, uint64_t *number,
                sp_error *error);
char *sp_path(sp_json params, const char *name, sp_error *error);

typedef struct sp_task sp_task;

/* Each is false when the task is to stop: clean up and return false. Come by often. */
bool sp_progress(sp_task *task, const char *phase, uint64_t done, uint64_t total, const char *unit);
bool sp_sleep(sp_task *task, uint64_t milliseconds);

typedef struct {
    const char *name;
    unsigned max_concurrent;
    const char *device; /* what computes: cpu, cuda */
    /* The job, or NULL with an error. The parameters are gone when it returns. */
    void *(*read)(sp_json params, sp_error *error);
    /* Writes the output, a JSON object; or false with an error. */
    bool (*run)(void *job, sp_task *task, sp_buffer *output, sp_error *error);
    void (*release)(void *job);
} sp_stage;

/* Serves until the worker has had enough; main returns what it returns. Call it before any thread
 * runs. */
int sp_serve(const char *name, const char *version, const sp_stage *stages, size_t n_stages);

#endif
