# SPDX-License-Identifier: MIT OR Apache-2.0

"""A processor of sealpipe's protocol 1.0 in Python 3.9: the standard library and nothing else.

    import sealpipe

    def read(params):
        return sealpipe.path(params, "unsealedPath")

    def run(unsealed, task):
        ...
        return {"commD": root.hex()}

    sealpipe.serve("my-tree-d", "1.0", [sealpipe.Stage("tree_d", read, run)])

A stage is two functions: `read` makes of the parameters, a dict, what `run` wants, before any file
is touched; `run` computes, on a thread of its own, and gives the output. An exception of either
becomes an error response. R-033 and the like in comments are rules of schemas/v1/SPEC.md.
"""

import collections
import os
import pathlib
import re
import signal
import sys
import threading
import time

import sealpipe_placement
from sealpipe_task import PROGRESS_S, Task, install
from sealpipe_wire import ABORT, CRITICAL, MAX_FRAME_BYTES, MAX_INTEGER, PERMANENT, TEMPORARY
from sealpipe_wire import Error, Inbox, Outbox, encode, encode_response, integer, invalid, member
from sealpipe_wire import parse, path, record, text

__all__ = ["serve", "Stage", "Task", "install", "Error", "TEMPORARY", "PERMANENT", "CRITICAL"]
__all__ += ["ABORT", "text", "integer", "path", "record", "member", "invalid"]

VERSION = "1.0"
VERSION_FORM = re.compile(r"(0|[1-9][0-9]{0,4})\.(0|[1-9][0-9]{0,4})", re.ASCII)
# Tasks whose newest attempt is remembered.
REMEMBERED_TASKS = 10_000
# How much of the grace is kept for the last frames to leave.
FLUSH_S = 0.2
# The member whose parent is the sector's directory; the other stages write no files.
LOCKED_BY = dict.fromkeys(["tree_d", "pc1", "pc2", "c1", "unseal"], "cacheDir")
LOCKED_BY["add_pieces"] = "unsealedPath"


def serve(name, version, stages):
    """Serves until the worker has had enough; does not return. Call it before any thread runs."""
    Server({"name": name, "version": version}, stages).run()


class Stage:
    """A stage, and how many of its tasks may be open at a time."""

    def __init__(self, name, read, run, max_concurrent=1, device="cpu"):
        self.name, self.read, self.run, self.max_concurrent = name, read, run, max_concurrent
        self.offer = {"stage": name, "schemaVersion": "1.0", "maxConcurrent": max_concurrent}
        self.offer.update(device=device, implementation="Python")


class Terminated(BaseException):
    """SIGTERM or SIGINT came."""


def terminate(*_):
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise Terminated


def read_task_id(params):
    task_id = text(params, "taskId")
    if not 1 <= len(task_id) <= 128:
        raise invalid("taskId", "1 to 128 characters", task_id)
    return task_id


class Server:
    """The five requests, the open tasks, and the ways to stop. Reading is the main thread's."""

    def __init__(self, identity, stages):
        self.identity, self.stages = identity, {stage.name: stage for stage in stages}
        self.inbox, self.outbox = Inbox(), Outbox()
        sys.stdout = sys.stderr
        self.open, self.newest = {}, collections.OrderedDict()
        # Guards `open`; notified when it becomes smaller.
        self.changed = threading.Condition()
        self.initialized, self.draining, self.grace_s = False, False, 0
        self.methods = {"initialize": self.initialize, "task/run": self.run_task, "ping": self.ping}
        self.methods.update({"task/cancel": self.cancel, "shutdown": self.shut_down})

    def run(self):
        asked = True
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, terminate)
            for line in self.inbox:
                self.take(line)
        except Terminated:
            asked = False
        # Stdin's end interrupts what is open.
        end = time.monotonic() + self.grace_s
        self.interrupt()
        with self.changed:
            stopped = self.changed.wait_for(lambda: not self.open, max(0, self.grace_s - FLUSH_S))
        self.outbox.close(max(FLUSH_S, end - time.monotonic()))
        # Not sys.exit: a thread that did not stop in time must not keep the process.
        os._exit(0 if asked and stopped and self.draining else 1)

    def take(self, line):
        """Acts upon a line (R-006)."""
        try:
            message = None if line is None else parse(line)
        except (ValueError, RecursionError) as error:
            return self.refuse(None, Error(-32700, f"the line is not JSON: {error}"))
        if not isinstance(message, dict):
            what = f"a line of over {self.inbox.limit} bytes" if line is None else "no JSON object"
            return self.refuse(None, Error(-32600, what))
        if "method" not in message and ("result" in message or "error" in message):
            return None  # A response that nobody waits for.
        request_id, method = message.get("id"), message.get("method")
        params = message.get("params", {})
        is_number = type(request_id) is int and 0 <= request_id <= MAX_INTEGER
        if not is_number and not isinstance(request_id, str):
            request_id = None
        bad_id = "id" in message and request_id is None
        if message.get("jsonrpc") != "2.0" or not isinstance(method, str) or bad_id:
            return self.refuse(request_id, Error(-32600, "the line is no request of JSON-RPC 2.0"))
        if not isinstance(params, dict):
            return self.refuse(request_id, Error(-32600, "`params` is no object"))
        if "id" not in message:
            return None  # A notification: 1.0 has none for processors.
        try:
            if not self.initialized and method != "initialize":
                raise Error(-32002, "`initialize` comes first")
            if method not in self.methods:
                raise Error(-32601, f"there is no method {method!r}")
            result = self.methods[method](params, request_id)
        except Error as error:
            return self.refuse(request_id, error)
        if result is not None:
            self.respond({"id": request_id, "result": result})

    def initialize(self, params, request_id):
        if self.initialized:
            raise Error(-32600, "`initialize` was answered already")
        offered, worker = member(params, "protocolVersions"), record(params, "worker")
        good = isinstance(offered, list) and offered and all(isinstance(v, str) for v in offered)
        if not good or not all(VERSION_FORM.fullmatch(version) for version in offered):
            raise invalid("protocolVersions", 'a list such as ["1.0"]', offered)
        for name in ("name", "version"):
            text(worker, name)
        text(params, "entry", None)
        record(params, "capabilities", {})
        limits = record(params, "limits", {})
        takes = integer(limits, "maxFrameBytes", 65_536, MAX_INTEGER, MAX_FRAME_BYTES)
        grace_ms = integer(limits, "graceMs", 0, 86_400_000, 10_000)
        integer(limits, "concurrent", 1, 1_000_000, None)
        grant = sealpipe_placement.Grant(params)
        try:
            if VERSION not in offered:
                message = f"the worker speaks {', '.join(offered)}, this processor {VERSION}"
                raise Error(1001, message, supported=[VERSION])
            grant.apply()
        except Error as error:
            error.exit_code = 3 if error.code == 1001 else 4
            raise
        self.initialized, self.grace_s = True, grace_ms / 1000
        self.respond({"id": request_id, "result": {
            "protocolVersion": VERSION,
            "processor": self.identity,
            "limits": {"maxFrameBytes": MAX_FRAME_BYTES},
            "stages": [stage.offer for stage in self.stages.values()],
            "placement": sealpipe_placement.observe(),
        }})  # fmt: skip
        # Threads only now: they inherit the placement.
        self.inbox.limit, self.outbox.limit = MAX_FRAME_BYTES, takes
        self.outbox.start()
        threading.Thread(target=self.tick, daemon=True).start()

    def run_task(self, params, request_id):
        task_id, name = read_task_id(params), text(params, "stage")
        attempt = integer(params, "attempt", 1, 2**32 - 1)
        version, arguments = text(params, "schemaVersion"), record(params, "params")
        if not VERSION_FORM.fullmatch(version):
            raise invalid("schemaVersion", "a version such as 1.0", version)
        stage = self.stages.get(name)
        if stage is None:
            raise Error(1002, f"{name!r} is not served here, but {', '.join(self.stages)}")
        if not version.startswith("1."):
            raise Error(1002, f"parameters of {name} are read as 1.x, not {version}")
        lock = LOCKED_BY.get(name)
        sector = str(pathlib.PurePosixPath(path(arguments, lock)).parent) if lock else None
        try:
            arguments = stage.read(arguments)
        except (KeyError, TypeError, ValueError) as error:
            raise Error(-32602, f"parameters of {name}: {error!r}") from error
        task = Task(self.notify, stage, task_id, attempt)
        with self.changed:
            self.admit(task)
            self.open[task_id, attempt] = task
        work = (task, arguments, sector, request_id)
        try:
            threading.Thread(target=self.work, args=work, daemon=True).start()
        except RuntimeError as error:  # No more threads.
            self.close(task, Error(1008, str(error), TEMPORARY).response(request_id))

    def admit(self, task):
        """Raises unless the task may be opened (R-051, R-052, R-080)."""
        if self.draining:
            retry = {"where": "other-process"}
            raise Error(1003, "this processor is shutting down", TEMPORARY, retry=retry)
        newest = self.newest.get(task.id, 0)
        if task.attempt < newest or (task.id, task.attempt) in self.open:
            raise Error(1006, f"attempt {task.attempt} of {task.id!r}, of which {newest} was seen")
        n_running = sum(other.stage is task.stage for other in self.open.values())
        most = task.stage.max_concurrent
        if n_running >= most:
            retry = {"where": "same", "afterMs": 1000}
            raise Error(1003, f"{n_running} of {most} tasks run", TEMPORARY, retry=retry)
        self.newest[task.id] = task.attempt
        if len(self.newest) > REMEMBERED_TASKS:
            self.newest.popitem(last=False)

    def work(self, task, arguments, sector, request_id):
        outcome = task.outcome(arguments, sector)
        if isinstance(outcome, Error):
            self.close(task, outcome.response(request_id))
        else:
            self.close(task, {"id": request_id, "result": outcome})

    def close(self, task, response):
        frame = encode_response({"jsonrpc": "2.0", **response}, self.outbox.limit)
        with self.changed:
            del self.open[task.id, task.attempt]
            self.outbox.put(frame)
            self.changed.notify()

    def cancel(self, params, _):
        task_id = read_task_id(params)
        with self.changed:
            attempts = [attempt for open_id, attempt in self.open if open_id == task_id]
            if attempts:
                why = Error(-32800, "the task was cancelled", ABORT)
                self.open[task_id, max(attempts)].stop(why)
        return {"open": bool(attempts)}

    def ping(self, *_):
        return {"openTasks": len(self.open)}

    def shut_down(self, params, _):
        mode = text(params, "mode")
        if mode not in ("drain", "interrupt"):
            raise invalid("mode", "drain or interrupt", mode)
        self.draining = True
        if mode == "interrupt":
            self.interrupt()
        self.notify("processor/status", {"state": "draining"})
        return self.ping()

    def interrupt(self):
        with self.changed:
            for task in self.open.values():
                task.stop(Error(1011, "the processor was told to stop", TEMPORARY))

    def tick(self):
        while True:
            time.sleep(PROGRESS_S / 2)
            with self.changed:
                tasks = list(self.open.values())
            for task in tasks:
                task.tick()

    def notify(self, method, params):
        self.outbox.put(encode({"jsonrpc": "2.0", "method": method, "params": params}))

    def refuse(self, request_id, error):
        self.respond(error.response(request_id))
        if error.exit_code is not None:
            os._exit(error.exit_code)

    def respond(self, message):
        self.outbox.put(encode_response({"jsonrpc": "2.0", **message}, self.outbox.limit))
