#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0

"""The smallest processor in Python: `echo` gives its payload back, as slowly and as badly as asked.

    [[processors.echo]]
    bin = "processors/examples/python/echo.py"
"""

import collections

import sealpipe

Params = collections.namedtuple("Params", "payload ticks interval_s fail")


def read(params):
    """The parameters as `run` wants them; what does not fit is refused before anything is done."""
    fail = sealpipe.text(params, "fail", None)
    if fail not in (None, "temporary", "permanent", "panic"):
        raise sealpipe.invalid("fail", "temporary, permanent or panic", fail)
    return Params(
        payload=sealpipe.member(params, "payload"),
        ticks=sealpipe.integer(params, "ticks", 0, 1_000_000, 0),
        interval_s=sealpipe.integer(params, "intervalMs", 0, 600_000, 0) / 1000,
        fail=fail,
    )


def run(params, task):
    # Libraries print: the SDK has pointed stdout at stderr, so no frame is harmed.
    print("a library prints")
    for tick in range(params.ticks):
        task.sleep(params.interval_s)
        task.progress("echo", tick + 1, params.ticks, "ticks")
    if params.fail == "temporary":
        raise sealpipe.Error(1008, "as asked", sealpipe.TEMPORARY)
    if params.fail == "permanent":
        raise sealpipe.Error(1006, "as asked")
    if params.fail == "panic":
        raise RuntimeError("as asked")
    return {"payload": params.payload}


if __name__ == "__main__":
    stage = sealpipe.Stage("echo", read, run, max_concurrent=4)
    sealpipe.serve("echo-python", "1.0", [stage])
