#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0

"""A processor for the tests of the fleet, of the stage that its last argument names. It writes down
that it was started and which tasks it begins; each task's payload says what it is to do:

    until   paths: wait until each of them is there, and say after each that it has advanced
    fail    how to end: `critical`, `temporary`, `permanent` or `die`

From the environment: `SDK`, where sealpipe.py lies; `LOG`, the directory to write to; `GENERATION`, which
is answered; `MAX`, tasks at a time; `SICK`, a file that makes the start fail while it is there; `GATE`, a
file without which it does not answer.
"""

import os
import sys
import time

sys.path.insert(0, os.environ["SDK"])

import sealpipe  # noqa: E402

POLL_S = 0.01
ERRORS = {
    "critical": (1010, sealpipe.CRITICAL),
    "temporary": (1008, sealpipe.TEMPORARY),
    "permanent": (1006, sealpipe.PERMANENT),
}


def write_down(name, *words):
    path = os.path.join(os.environ["LOG"], name)
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(log, (" ".join(str(word) for word in words) + "\n").encode())
    os.close(log)


def run(payload, task):
    write_down("tasks", task.id, task.attempt, os.getpid())
    gates = payload.get("until", [])
    for n, gate in enumerate(gates):
        while not os.path.exists(gate):
            task.sleep(POLL_S)
        task.progress("gates", n + 1, len(gates), "gates")
    fail = payload.get("fail")
    if fail == "die":
        os._exit(7)
    if fail:
        code, error_class = ERRORS[fail]
        raise sealpipe.Error(code, "as asked", error_class)
    return {"payload": {"pid": os.getpid(), "generation": os.environ.get("GENERATION")}}


if __name__ == "__main__":
    write_down("pids", os.getpid())
    if os.path.exists(os.environ.get("SICK", "")):
        sys.exit("it is sick")
    while "GATE" in os.environ and not os.path.exists(os.environ["GATE"]):
        time.sleep(POLL_S)
    most = int(os.environ.get("MAX", "4"))
    stage = sealpipe.Stage(sys.argv[-1], lambda params: params["payload"], run, most)
    sealpipe.serve("fleet-test", "1.0", [stage])
