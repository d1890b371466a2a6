/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* What the files of sealpipe.c share, and no stage needs. */

#ifndef SEALPIPE_PARTS_H
#define SEALPIPE_PARTS_H

#include <pthread.h>

#include "sealpipe.h"

/* The longest frames taken, without the line end: before and after `initialize`. */
#define SP_FIRST_FRAME_BYTES ((size_t)1 << 20)
#define SP_MAX_FRAME_BYTES ((size_t)16 << 20)

/* Codes of the protocol's own; those of stages are in sealpipe.h. */
enum {
    SP_PARSE_ERROR = -32700,
    SP_INVALID_REQUEST = -32600,
    SP_METHOD_NOT_FOUND = -32601,
    SP_NOT_INITIALIZED = -32002,
    SP_CANCELLED = -32800,
    SP_UNSUPPORTED_VERSION = 1001,
    SP_BUSY = 1003,
    SP_PLACEMENT_MISMATCH = 1004,
    SP_OUTPUT_CONFLICT = 1007,
    SP_INTERRUPTED = 1011,
};

/* ---- sealpipe_wire.c: lines in, frames out ---- */

/* Moves frames away from descriptors 0 and 1, and makes SIGTERM end the reading. */
void sp_wire_open(void);

/* Gives every line to `take`, or NULL for one that was too long, until stdin ends: true, or a
 * signal comes: false. */
bool sp_wire_read(const size_t *limit, void (*take)(const char *line, size_t n_bytes));

/* Sends the frame and empties the buffer; before sp_wire_start it is written at once. */
void sp_wire_send(sp_buffer *frame);
void sp_wire_start(void);

/* Waits until all has left, or the time is there; whether it has. */
bool sp_wire_close(uint64_t until_ms);

/* Of the clock that never jumps. */
uint64_t sp_now_ms(void);
struct timespec sp_at_ms(uint64_t now_ms);
void sp_cond_init(pthread_cond_t *condition);

/* ---- sealpipe_placement.c: cpus, memory and GPUs (R-033 to R-036) ---- */

/* Checks the grant, and applies it unless `only_check`. */
bool sp_place(sp_json granted, bool only_check, sp_error *error);

/* What this thread runs with, as a JSON object. */
void sp_put_placement(sp_buffer *buffer);

/* ---- sealpipe_task.c: the open tasks ---- */

void sp_tasks_start(const sp_stage *stages, size_t n_stages);

/* `task/run`: opens a task, which answers the request itself when it ends; or false. */
bool sp_tasks_run(sp_json id, sp_json params, sp_error *error);

/* Stops the newest attempt of a task; whether it was open. */
bool sp_tasks_cancel(const char *id, size_t n_bytes);

/* Ends all with 1011; takes no more. */
void sp_tasks_interrupt(void);
void sp_tasks_drain(void);

/* How many runs are not answered. */
size_t sp_tasks_open(void);

/* Waits until none is open, or the time is there; whether none is. */
bool sp_tasks_close(uint64_t until_ms);

/* ---- sealpipe_sector.c: the lock on the sector's directory (R-110) ---- */

/* The directory that a stage locks, to be freed, or NULL for one that writes no files; `*good` is
 * false when the path in the parameters does not fit. */
char *sp_sector_of(const char *stage, sp_json params, bool *good, sp_error *error);

/* The descriptor that holds the lock, or -1. A stage with children that write has to see to it that
 * they share it: exec closes it. */
int sp_sector_lock(const char *sector, sp_error *error);

/* ---- sealpipe.c ---- */

/* Sends a response, or an error in its place if the worker does not take so long a frame. */
void sp_respond(sp_json id, sp_buffer *frame);

/* The response with an error; `more` are further members of its data, each after a comma. */
void sp_put_error(sp_buffer *frame, sp_json id, const sp_error *error, const char *more);

/* Reads a task's id, 1 to 128 characters, to be freed. */
char *sp_task_id(sp_json params, size_t *n_bytes, sp_error *error);

/* Whether it is a version, and its major part. */
bool sp_version(sp_json value, unsigned *major);

#endif
