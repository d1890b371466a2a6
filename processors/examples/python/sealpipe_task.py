# SPDX-License-Identifier: MIT OR Apache-2.0

"""A running task, its sector's lock, and files that are there completely or not at all. Part of
sealpipe.py."""

import contextlib
import errno
import fcntl
import os
import threading
import time
import traceback

from sealpipe_wire import TEMPORARY, Error

# Progress is told at most once in so many seconds, and repeated after so many.
PROGRESS_S, HEARTBEAT_S = 1, 30
EXHAUSTED = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


class Task:
    """What a running stage may say and ask. It sees a stop only in here: come by often."""

    def __init__(self, notify, stage, task_id, attempt):
        self.stage, self.id, self.attempt = stage, task_id, attempt
        # Set it to what an earlier attempt had left and this one did not repeat.
        self.resumed_from = None
        # The sector's lock. A child process that writes has to inherit it: `pass_fds`.
        self.lock_fd = None
        self._notify, self._guard = notify, threading.Lock()
        self._stopped, self._why, self._ended = threading.Event(), None, False
        # Even a stage that never says anything gives signs of life.
        self._latest = {"phase": "running", "done": 0, "total": 0, "unit": "steps"}
        self._unsent, self._sent_at, self._began = False, None, time.monotonic()

    def progress(self, phase, done, total, unit, checkpoint=None):
        """Tells how far the whole task is, as often as is convenient; raises when it is to stop."""
        self.check()
        latest = {"phase": phase, "done": min(done, total), "total": total, "unit": unit}
        if checkpoint is not None:
            latest["checkpoint"] = checkpoint
        with self._guard:
            self._latest, self._unsent = latest, True
            self._tell_if_due()

    def check(self):
        """Raises when the task is to stop. Let it pass: it is the response."""
        if self._why:
            raise self._why

    def sleep(self, seconds):
        """Waits; raises when the task is to stop."""
        self._stopped.wait(seconds)
        self.check()

    def stop(self, why):
        # A cancel is final; an interrupt may still become one.
        if self._why is None or why.code == -32800:
            self._why = why
        self._stopped.set()

    def tick(self):
        with self._guard:
            self._tell_if_due()

    def _tell_if_due(self):
        now, sent_at = time.monotonic(), self._sent_at
        due = sent_at is None if self._unsent else now - (sent_at or self._began) >= HEARTBEAT_S
        due = due or (self._unsent and now - sent_at >= PROGRESS_S)
        if due and not self._ended:
            self._unsent, self._sent_at = False, now
            names = {"taskId": self.id, "attempt": self.attempt}
            self._notify("task/progress", {**names, **self._latest})

    def outcome(self, arguments, sector):
        """Runs the stage. There is always one response, whatever it does (R-014)."""
        try:
            # The lock is given back before the response is sent.
            with self._locked(sector):
                result = {"output": self.stage.run(arguments, self)}
            if self.resumed_from is not None:
                result["resumedFrom"] = self.resumed_from
            return result
        except BaseException as error:  # `sys.exit()` in a stage is no reason to stay silent.
            return self._error_of(error)
        finally:
            # Nothing is told of a task after its response.
            with self._guard:
                self._ended = True

    def _error_of(self, error):
        if self._why:
            return self._why
        if isinstance(error, Error):
            return error
        if isinstance(error, MemoryError) or getattr(error, "errno", None) in EXHAUSTED:
            return Error(1008, f"no memory, disk space or descriptors left: {error}", TEMPORARY)
        if isinstance(error, OSError):
            return Error(1005, str(error))
        traceback.print_exception(type(error), error, error.__traceback__)
        return Error(-32603, f"the stage failed: {error!r}", TEMPORARY)

    @contextlib.contextmanager
    def _locked(self, sector):
        if sector is None:
            yield
            return
        # Keeps an orphan that is still stopping, and its successor, apart.
        self.lock_fd = os.open(sector, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(self.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Error(1007, f"another process works on {sector}", TEMPORARY) from None
            yield
        finally:
            os.close(self.lock_fd)


def install(path, write):
    """Writes a file through `write`: beside, synced, and renamed, so that it is there completely or
    not at all, power loss included (R-112). What is beside is removed on failure."""
    parent, name = os.path.split(path)
    beside = os.path.join(parent, f".{name}.part")
    try:
        with open(beside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.rename(beside, path)
        directory = os.open(parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        if isinstance(error, OSError) and error.errno not in EXHAUSTED:
            raise Error(-32603, f"cannot write {path}: {error}") from error
        raise
