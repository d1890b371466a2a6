#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0

"""tree_d in Python: the binary SHA-256 tree over a sector's data, bit for bit filecoin-proofs'.

    [[processors.tree_d]]
    bin = "processors/examples/python/tree_d.py"
"""

import hashlib
import os

import sealpipe

NODE_BYTES = 32
SECTOR_BYTES = {
    "StackedDrg2KiBV1_1": 2 << 10,
    "StackedDrg8MiBV1_1": 8 << 20,
    "StackedDrg512MiBV1_1": 512 << 20,
}


def tree_d(params, task):
    size = SECTOR_BYTES.get(params["proof"])
    if size is None:
        raise sealpipe.Error(1002, f"{params['proof']} is too much for Python")
    with open(params["unsealedPath"], "rb") as file:
        row = file.read(size + 1)
    if len(row) != size:
        raise sealpipe.Error(1006, f"{params['unsealedPath']} has not {size} bytes")
    path = os.path.join(params["cacheDir"], "sc-02-data-tree-d.dat")
    # All rows one after another, leaves first, down to the root.
    n_nodes = 2 * size // NODE_BYTES - 1
    root = b""

    def write(file):
        nonlocal row, root
        done = 0
        while True:
            file.write(row)
            done += len(row) // NODE_BYTES
            if len(row) == NODE_BYTES:
                root = row
                return
            row = parents(row, lambda: task.progress("rows", done, n_nodes, "nodes"))

    sealpipe.install(path, write)
    return {"commD": root.hex()}


def parents(row, tick):
    """The row above: SHA-256 over pairs of nodes, the two highest bits cleared so that the result is
    an element of BLS12-381's scalar field, little-endian (filecoin-proofs, `Sha256Hasher`)."""
    above = bytearray(len(row) // 2)
    for i in range(0, len(row), 2 * NODE_BYTES):
        if i % (1 << 18) == 0:
            tick()
        node = bytearray(hashlib.sha256(row[i : i + 2 * NODE_BYTES]).digest())
        node[31] &= 0x3F
        above[i // 2 : i // 2 + NODE_BYTES] = node
    return bytes(above)


if __name__ == "__main__":
    sealpipe.serve("tree-d-python", "1.0", {"tree_d": tree_d})
