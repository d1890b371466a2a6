# SPDX-License-Identifier: MIT OR Apache-2.0

"""A processor of sealpipe's protocol 1.0 in plain Python: the standard library and nothing else.

    import sealpipe

    def tree_d(params, task):
        ...
        return {"commD": root.hex()}

    sealpipe.serve("my-tree-d", "1.0", {"tree_d": tree_d})

A stage is a function of its parameters (a dict, as schemas/v1 describes them) and a `Task`. What it
returns is the result; an exception is an error response. Each task runs on a thread of its own.
"""

import fcntl
import json
import os
import queue
import sys
import threading
import time

VERSION = "1.0"
MAX_FRAME_BYTES = 16 << 20

TEMPORARY, PERMANENT, ABORT = "temporary", "permanent", "abort"


class Error(Exception):
    """An error response: a code of the protocol, a message, a class and a hint."""

    def __init__(self, code, message, cls=PERMANENT, hint=None):
        super().__init__(message)
        self.code, self.message = code, message
        self.data = {"class": cls} | ({"hint": hint} if hint else {})


class Task:
    """What a stage may say and ask while it runs."""

    def __init__(self, server, params):
        self.id, self.attempt = params["taskId"], params["attempt"]
        self.stopped = None
        self._server, self._told_at = server, 0.0

    def progress(self, phase, done, total, unit):
        """Tells how far the task is, at most once a second; raises when it is to stop."""
        self.check()
        now = time.monotonic()
        if now - self._told_at >= 1:
            self._told_at = now
            params = {"taskId": self.id, "attempt": self.attempt, "phase": phase}
            params |= {"done": done, "total": total, "unit": unit}
            self._server.notify("task/progress", params)

    def check(self):
        """Raises when the task is to stop. Call it often enough that a stop takes no second."""
        if self.stopped:
            raise self.stopped


def serve(name, version, stages):
    """Serves `stages`, functions by stage name, until the worker closes stdin. Does not return."""
    Server(name, version, stages).run()


def install(path, write):
    """Writes a file through `write`: there completely or not at all, power loss included."""
    beside = os.path.join(os.path.dirname(path), "." + os.path.basename(path) + ".part")
    with open(beside, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(beside, path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


class Server:
    def __init__(self, name, version, stages):
        self.identity = {"name": name, "version": version}
        self.stages = stages
        self.tasks = {}
        self.lock = threading.Lock()
        self.draining = False
        self.initialized = False
        self.stopping = False
        self.outgoing = queue.Queue()
        # stdout carries frames only: keep a private copy, and let whatever prints use stderr.
        self.out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)

    def run(self):
        # A worker that reads slowly must not keep us from hearing a cancel.
        writer = threading.Thread(target=self.write, daemon=True)
        writer.start()
        for line in frames(sys.stdin.buffer):
            if line is None:
                self.error(None, Error(-32600, f"a line over {MAX_FRAME_BYTES} bytes"))
            elif line.strip():
                self.take(line)
        if not self.stopping:
            # Without a shutdown the worker is gone. Files are written beside and renamed, so
            # ending right here leaves nothing half done.
            os._exit(1)
        self.outgoing.put(None)
        writer.join(timeout=5)
        os._exit(0)

    def take(self, line):
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return self.error(None, Error(-32700, "the line is not JSON"))
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            return self.error(None, Error(-32600, "the line is no request"))
        method, number = message["method"], message.get("id")
        if "id" not in message:
            return None  # A notification: none is known.
        try:
            params = message.get("params") or {}
            if not self.initialized and method != "initialize":
                raise Error(-32002, "`initialize` comes first")
            handler = {
                "initialize": self.initialize,
                "task/run": self.start,
                "task/cancel": self.cancel,
                "ping": lambda params, number: {"openTasks": len(self.tasks)},
                "shutdown": self.shut_down,
            }.get(method)
            if handler is None:
                raise Error(-32601, f"there is no method {method!r}")
            result = handler(params, number)
        except Error as error:
            return self.error(number, error)
        except (KeyError, TypeError, ValueError) as error:
            return self.error(number, Error(-32602, f"parameters of {method}: {error!r}"))
        if result is not None:
            self.send({"id": number, "result": result})

    def initialize(self, params, _):
        if VERSION not in params["protocolVersions"]:
            error = Error(1001, f"this processor speaks {VERSION}")
            error.data["supported"] = [VERSION]
            raise error
        placement = params.get("placement", {})
        if "memoryNode" in placement:
            hint = 'give the entry `pinning = "worker"`'
            raise Error(1004, "this processor cannot set a memory policy", hint=hint)
        if "cpus" in placement:
            try:
                os.sched_setaffinity(0, cpu_set(placement["cpus"]))
            except OSError as error:
                raise Error(1004, f"cpus {placement['cpus']}: {error}") from error
        self.initialized = True
        offer = {"schemaVersion": "1.0", "maxConcurrent": 1, "implementation": "Python"}
        return {
            "protocolVersion": VERSION,
            "processor": self.identity,
            "limits": {"maxFrameBytes": MAX_FRAME_BYTES},
            "stages": [{"stage": stage} | offer for stage in self.stages],
            "placement": {},
        }

    def start(self, params, number):
        stage = self.stages.get(params["stage"])
        if stage is None:
            raise Error(1002, f"{params['stage']!r} is not served, but {', '.join(self.stages)}")
        task = Task(self, params)
        if self.draining:
            raise Error(1003, "this processor is stopping", TEMPORARY)
        with self.lock:
            if self.tasks:
                raise Error(1003, "1 of 1 tasks runs", TEMPORARY)
            self.tasks[task.id] = task
        work = (stage, params["params"], task, number)
        threading.Thread(target=self.work, args=work, daemon=True).start()

    def work(self, stage, params, task, number):
        try:
            with sector_lock(params):
                answer = {"id": number, "result": {"output": stage(params, task)}}
        except Error as error:
            answer = failure(number, error)
        except OSError as error:
            full = error.errno in (28, 122)  # ENOSPC, EDQUOT
            code, cls = (1008, TEMPORARY) if full else (1005, PERMANENT)
            answer = failure(number, Error(code, str(error), cls))
        except Exception as error:  # Whatever it is, the request gets its one response.
            answer = failure(number, Error(-32603, repr(error), TEMPORARY))
        with self.lock:
            del self.tasks[task.id]
        self.send(answer)

    def cancel(self, params, _):
        task = self.tasks.get(params["taskId"])
        if task:
            task.stopped = Error(-32800, "the task was cancelled", ABORT)
        return {"open": task is not None}

    def shut_down(self, params, _):
        self.draining = self.stopping = True
        with self.lock:
            for task in self.tasks.values():
                if params["mode"] == "interrupt":
                    task.stopped = Error(1011, "the processor was told to stop", TEMPORARY)
            return {"openTasks": len(self.tasks)}

    def notify(self, method, params):
        self.send({"method": method, "params": params})

    def error(self, number, error):
        self.send(failure(number, error))

    def send(self, message):
        self.outgoing.put(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")

    def write(self):
        while (frame := self.outgoing.get()) is not None:
            self.out.write(frame)
            self.out.flush()


class sector_lock:
    """Keeps an earlier process that still stops, and this one, apart."""

    def __init__(self, params):
        paths = [params.get("cacheDir"), params.get("unsealedPath")]
        self.dir = next((os.path.dirname(path) for path in paths if path), None)

    def __enter__(self):
        if self.dir:
            self.fd = os.open(self.dir, os.O_RDONLY)
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self.fd)
                message = f"another process works on {self.dir}"
                raise Error(1007, message, TEMPORARY) from None

    def __exit__(self, *_):
        if self.dir:
            os.close(self.fd)


def failure(number, error):
    return {"id": number, "error": {"code": error.code, "message": error.message, "data": error.data}}


def frames(source):
    """The lines of a stream; None for one over the limit, which is skipped. A cut-off tail is no
    line."""
    skipping = False
    while chunk := source.readline(MAX_FRAME_BYTES + 1):
        complete = chunk.endswith(b"\n")
        if complete and not skipping:
            yield chunk
        elif complete or len(chunk) > MAX_FRAME_BYTES:
            if not skipping:
                yield None
            skipping = not complete


def cpu_set(text):
    """Linux' list format: 0-3,8."""
    ranges = (part.partition("-")[::2] for part in text.split(","))
    return {cpu for first, last in ranges for cpu in range(int(first), int(last or first) + 1)}
