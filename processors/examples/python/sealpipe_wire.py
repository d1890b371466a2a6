# SPDX-License-Identifier: MIT OR Apache-2.0

"""What passes over the pipes: errors, members of parameters, lines in, frames out. Part of
sealpipe.py."""

import collections
import contextlib
import json
import os
import pathlib
import threading

MAX_INTEGER = 2**53 - 1
# The longest frames taken, in bytes without the line end: before and after `initialize`.
FIRST_FRAME_BYTES, MAX_FRAME_BYTES = 1 << 20, 16 << 20
# Frames up to this size overtake longer ones.
SMALL_FRAME_BYTES = 64 << 10
# What may wait for a worker that does not read.
MAX_WAITING_BYTES = 4 * MAX_FRAME_BYTES
# Text of others is cut in errors, so that an error is never a long frame.
MAX_MESSAGE_CHARS = 1000
# Digits of an integer that are read as one: Python takes quadratic time.
MAX_DIGITS = 1000

TEMPORARY, PERMANENT, CRITICAL, ABORT = "temporary", "permanent", "critical", "abort"
REQUIRED = object()


class Error(Exception):
    """An error response: code, message, class, a hint for people, other members of `data`."""

    def __init__(self, code, message, cls=PERMANENT, hint=None, **more):
        super().__init__(message)
        self.code, self.message = code, message[:MAX_MESSAGE_CHARS]
        self.data = {"class": cls, **more}
        if hint:
            self.data["hint"] = hint
        # Set when `initialize` is refused for good: the process ends with it.
        self.exit_code = None

    def response(self, request_id):
        error = {"code": self.code, "message": self.message, "data": self.data}
        return {"jsonrpc": "2.0", "id": request_id, "error": error}


def invalid(name, wanted, got):
    return Error(-32602, f"`{name}` is {wanted}, got {got!r:.100}")


def member(params, name, default=REQUIRED):
    """A member of any type. The default is for an absent one: whoever accepts null passes None."""
    value = params.get(name, default)
    if value is REQUIRED:
        raise Error(-32602, f"`{name}` is missing")
    return value


def text(params, name, default=REQUIRED):
    value = member(params, name, default)
    if value is not default and not isinstance(value, str):
        raise invalid(name, "a string", value)
    return value


def integer(params, name, low, high, default=REQUIRED):
    value = member(params, name, default)
    # Not isinstance: a bool is an int as well.
    if value is not default and not (type(value) is int and low <= value <= high):
        raise invalid(name, f"an integer from {low} to {high}", value)
    return value


def record(params, name, default=REQUIRED):
    value = member(params, name, default)
    if not isinstance(value, dict):
        raise invalid(name, "an object", value)
    return value


def path(params, name):
    """An absolute path in UTF-8 without `..` (R-103)."""
    value = text(params, name)
    plain = value.startswith("/") and "\0" not in value and ".." not in pathlib.Path(value).parts
    if not plain or any("\ud800" <= char <= "\udfff" for char in value):
        raise invalid(name, "an absolute path without `..`", value)
    return value


def parse(line):
    """A line as a JSON value; ValueError or RecursionError for what is none."""
    return json.loads(line.decode(), parse_int=_integer, parse_constant=_constant)


def _integer(digits):
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


def _constant(name):
    raise ValueError(f"{name} is not JSON")


def encode(message):
    """A message as a frame; ValueError for what JSON has no words for."""
    # Compact and not escaped, so that what came in one frame fits into one frame.
    try:
        frame = _dump(message, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # Half a surrogate pair has an escape only.
        frame = _dump(message, ensure_ascii=True).encode()
    return frame


def _dump(message, ensure_ascii):
    return json.dumps(message, ensure_ascii=ensure_ascii, separators=(",", ":"), allow_nan=False)


def encode_response(message, limit):
    """The response as a frame that the worker takes; an error in its place if it is none."""
    try:
        frame = encode(message)
        problem = f"the answer has {len(frame)} bytes, the worker takes {limit}"
    except (ValueError, TypeError, RecursionError) as error:
        frame, problem = None, f"the answer is no JSON: {error}"
    # A request's id alone may be too long.
    for request_id in (message["id"], None):
        if frame is not None and len(frame) <= limit:
            break
        frame = encode(Error(-32603, problem).response(request_id))
    return frame


class Inbox:
    """The lines of stdin."""

    def __init__(self):
        # A private copy: children and libraries find nothing at descriptor 0 and eat no frame.
        self.limit, self._file = FIRST_FRAME_BYTES, os.fdopen(os.dup(0), "rb")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)

    def __iter__(self):
        """Lines without their end; None for one over the limit, which is not kept (R-005)."""
        skipping = False
        while chunk := self._file.readline(self.limit + len("\r\n")):
            if not chunk.endswith(b"\n"):
                # Too long; or cut off by the end of the stream, and so no line.
                skipping = True
                continue
            line = chunk[: -2 if chunk.endswith(b"\r\n") else -1]
            if skipping or len(line) > self.limit:
                yield None
            elif line:
                yield line
            skipping = False


class Outbox:
    """What waits to be written to stdout, by a thread of its own: no reading waits (R-010)."""

    def __init__(self):
        # A private copy: whatever prints finds stderr at descriptor 1.
        self.limit, self._file = FIRST_FRAME_BYTES, os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        self._small, self._bulk = collections.deque(), collections.deque()
        self._n_bytes, self._closed, self._changed = 0, False, threading.Condition()
        self._thread = None

    def start(self):
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, frame):
        """Sends a frame; before `start` it is written at once."""
        if self._thread is None:
            return self._write(frame)
        with self._changed:
            if self._n_bytes > MAX_WAITING_BYTES:
                os._exit(1)  # A worker that asks and does not read is as good as gone.
            self._n_bytes += len(frame)
            (self._small if len(frame) <= SMALL_FRAME_BYTES else self._bulk).append(frame)
            self._changed.notify()

    def close(self, timeout):
        """Waits until all has left, unless nobody reads."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread:
            self._thread.join(timeout)

    def _run(self):
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._small or self._bulk or self._closed)
                if not (self._small or self._bulk):
                    return
                frame = (self._small or self._bulk).popleft()
                self._n_bytes -= len(frame)
            self._write(frame)

    def _write(self, frame):
        left = memoryview(frame + b"\n")
        # Without a reader there is nobody to tell; the end of stdin will follow.
        with contextlib.suppress(OSError):
            while left:
                left = left[self._file.write(left) :]
