#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0

"""A processor of `echo` in a mood: moody.py MOOD [WORD].

`good` answers, `critical`, `abort`, `busy` and `elsewhere` refuse every task with that class of error,
and `marked` refuses with a critical error those whose payload holds WORD. `gated` answers once there is
a file WORD. `late` answers the handshake only after a second, `mute` never does.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../processors/examples/python"))
import sealpipe  # noqa: E402
import echo  # noqa: E402

MOOD = sys.argv[1]
WORD = sys.argv[2] if len(sys.argv) > 2 else ""


def run(params, task):
    if MOOD == "critical" or (MOOD == "marked" and WORD in str(params.payload)):
        raise sealpipe.Error(1010, "the result is wrong", "critical")
    if MOOD == "abort":
        raise sealpipe.Error(1006, "give it up", "abort")
    if MOOD == "busy":
        raise sealpipe.Error(1003, "try again", "temporary")
    if MOOD == "elsewhere":
        retry = {"where": "other-process", "afterMs": 0}
        raise sealpipe.Error(1009, "not here", "temporary", retry=retry)
    while MOOD == "gated" and not os.path.exists(WORD):
        task.sleep(0.02)
    return echo.run(params, task)


if __name__ == "__main__":
    if MOOD == "mute":
        time.sleep(600)
    if MOOD == "late":
        time.sleep(1)
    stage = sealpipe.Stage("echo", echo.read, run, max_concurrent=4)
    sealpipe.serve("moody", "1.0", [stage])
