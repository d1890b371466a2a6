#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0

"""A processor of tree_d that does one thing wrong: hostile.py MODE.

`initialize-*` modes answer the handshake wrongly, `task-*` modes the task. `noisy` sends all kinds
of rubbish and then the right answer; `silent-task` never answers it.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../processors/examples/python"))
import tree_d  # noqa: E402

OUT = os.fdopen(os.dup(1), "wb")
OFFER = {"stage": "tree_d", "schemaVersion": "1.0", "maxConcurrent": 1}
INITIALIZED = {
    "protocolVersion": "1.0",
    "processor": {"name": "hostile", "version": "1"},
    "stages": [OFFER],
}

# Lines that are no message, or belong to nothing. None of them may do any harm.
RUBBISH = [
    b"",
    b"words",
    b"\x00\x01\xff\xfe",
    b"{",
    b'{"jsonrpc":"2.0"',
    b"[]",
    b'[{"jsonrpc":"2.0","id":1,"result":{}}]',
    b"null",
    b"1e999",
    b'"\\ud800"',
    b"[" * 200_000,
    b'{"a":' * 200_000,
    b"{}",
    b'{"jsonrpc":"1.0","id":2,"result":{}}',
    b'{"jsonrpc":"2.0","id":null,"result":1}',
    b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"you"}}',
    b'{"jsonrpc":"2.0","id":999999,"result":{"output":{}}}',
    b'{"jsonrpc":"2.0","id":"x","error":{"code":1,"message":"y"}}',
    b'{"jsonrpc":"2.0","id":-1,"result":{}}',
    b'{"jsonrpc":"2.0","id":1.5,"result":{}}',
    b'{"jsonrpc":"2.0","id":18446744073709551616,"result":{}}',
    b'{"jsonrpc":"2.0","id":1,"result":{"late":true}}',
    b'{"jsonrpc":"2.0","id":{"a":1},"result":{}}',
    b'{"jsonrpc":"2.0","method":7}',
    b'{"jsonrpc":"2.0","method":"task/progress"}',
    b'{"jsonrpc":"2.0","method":"task/progress","params":[]}',
    b'{"jsonrpc":"2.0","method":"task/progress","params":{"taskId":"nobody","attempt":1,'
    b'"phase":"p","done":1,"total":2,"unit":"u"}}',
    b'{"jsonrpc":"2.0","method":"task/progress","params":{"taskId":"t01000-1/tree_d","attempt":1,'
    b'"phase":"p","done":-1,"total":"2","unit":null}}',
    b'{"jsonrpc":"2.0","method":"task/progress","params":{"taskId":"t01000-1/tree_d","attempt":1,'
    b'"phase":"p","done":9007199254740991,"total":0,"unit":""}}',
    b'{"jsonrpc":"2.0","method":"task/progress","params":{"taskId":"t01000-1/tree_d",'
    b'"attempt":4294967295,"phase":"p","done":1,"total":1,"unit":"u"}}',
    b'{"jsonrpc":"2.0","method":"log/message","params":{"level":"shout","message":"\\u0007"}}',
    b'{"jsonrpc":"2.0","method":"log/message","params":7}',
    b'{"jsonrpc":"2.0","method":"processor/status","params":{"state":"asleep"}}',
    b'{"jsonrpc":"2.0","method":"no/such","params":{}}',
    b'{"jsonrpc":"2.0","id":7,"method":"give/me","params":{"everything":true}}',
    b'{"jsonrpc":"2.0","id":7,"method":"initialize","params":{}}',
    b'{"jsonrpc":"2.0","id":8,"method":"task/run","params":{}}',
    b'{"jsonrpc":"2.0","id":9,"method":"shutdown","params":{"mode":"interrupt"}}',
    b"x" * (20 << 20),
]


def main(mode):
    for line in sys.stdin.buffer:
        message = json.loads(line)
        method, number = message.get("method"), message.get("id")
        if method == "initialize":
            initialize(mode, number)
        elif method == "task/run":
            run(mode, number, message["params"])
        elif method == "shutdown":
            answer(number, result={"openTasks": 0})


def initialize(mode, number):
    other = {
        "initialize-number": 7,
        "initialize-empty": {},
        "initialize-no-stage": INITIALIZED | {"stages": []},
        "initialize-other-stage": INITIALIZED | {"stages": [OFFER | {"stage": "pc1"}]},
        "initialize-no-task": INITIALIZED | {"stages": [OFFER | {"maxConcurrent": 0}]},
        "initialize-huge": INITIALIZED | {"stages": [OFFER | {"maxConcurrent": 1 << 40}]},
        "initialize-version": INITIALIZED | {"protocolVersion": "9.9"},
    }
    if mode == "initialize-error":
        answer(number, error={"code": 1001, "message": "only 7.0 is spoken here"})
    elif mode == "initialize-odd-error":
        answer(number, error="no")
    elif mode == "initialize-half":
        write(b'{"jsonrpc":"2.0","id":%d,"resu' % number)
        sys.exit(0)
    elif mode == "initialize-closed":
        OUT.close()
        os.close(1)
    else:
        answer(number, result=other.get(mode, INITIALIZED))


def run(mode, number, params):
    results = {
        "task-number": 7,
        "task-null": None,
        "task-no-output": {},
        "task-odd-output": {"output": 7},
        "task-odd-member": {"output": {"commD": "zz"}},
        "task-other-data": {"output": {"commD": "11" * 32}},
    }
    if mode == "silent-task":
        return
    if mode in results:
        answer(number, result=results[mode])
    elif mode == "task-error":
        answer(number, error={"code": 12345, "message": "no\u0000 \u001b[31mway", "data": [1]})
    elif mode == "task-half":
        write(b'{"jsonrpc":"2.0","id":%d,"result":{"outp' % number)
        sys.exit(0)
    elif mode == "task-closed":
        OUT.close()
        os.close(1)
    elif mode == "task-rubbish":
        write(b"rubbish\n" * 2_000)
    elif mode == "noisy":
        for line in RUBBISH:
            write(line + b"\n")
        output = tree_d.run(tree_d.read(params["params"]), Task())
        answer(number, result={"output": output})
        answer(number, result={"output": {"commD": "22" * 32}})


class Task:
    def progress(self, *_):
        pass


def answer(number, **what):
    write(json.dumps({"jsonrpc": "2.0", "id": number} | what).encode() + b"\n")


def write(content):
    OUT.write(content)
    OUT.flush()


if __name__ == "__main__":
    main(sys.argv[1])
