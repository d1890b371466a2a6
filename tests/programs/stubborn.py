#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0

"""A processor of tree_d that nothing ends but SIGKILL.

It answers the handshake, takes a task and never answers it; it ignores signals and the end of its
stdin. So do a child in its process group, and a grandchild in a session of its own, whose parent is
gone.
"""

import json
import os
import signal
import sys
import time

INITIALIZED = {
    "protocolVersion": "1.0",
    "processor": {"name": "stubborn", "version": "1"},
    "stages": [{"stage": "tree_d", "schemaVersion": "1.0", "maxConcurrent": 1}],
}

IGNORED = set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}


def main():
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    fork(lambda: stay("child"))
    leave("grandchild")
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if message.get("method") == "initialize":
            answer(message["id"], INITIALIZED)
        elif message.get("method") == "shutdown":
            answer(message["id"], {"openTasks": 1})
    stay(None)


def leave(name):
    """Starts a process in a session of its own, whose parent ends."""

    def begin():
        os.setsid()
        fork(lambda: stay(name))

    os.waitpid(fork(begin), 0)


def fork(run):
    pid = os.fork()
    if pid == 0:
        run()
        os._exit(0)
    return pid


def stay(name):
    """Ignores everything for ever; as a program of its own, whose command line has the name."""
    if name is None:
        while True:
            time.sleep(3600)
    # What is ignored stays ignored.
    program = "import time\nwhile True: time.sleep(3600)"
    os.execv(sys.executable, [sys.executable, "-c", program, name])


def answer(number, result):
    line = json.dumps({"jsonrpc": "2.0", "id": number, "result": result}) + "\n"
    os.write(1, line.encode())


if __name__ == "__main__":
    main()
