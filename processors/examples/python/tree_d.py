#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0

"""tree_d in Python: the binary SHA-256 tree over a sector's data, bit for bit filecoin-proofs'.

    [[processors.tree_d]]
    bin = "processors/examples/python/tree_d.py"
"""

import collections
import hashlib
import os

import sealpipe

NODE_BYTES = 32
# How many bytes of a row are hashed between two looks at whether to stop: some milliseconds.
STEP_BYTES = 1 << 18
SECTOR_BYTES = {
    "StackedDrg2KiBV1_1": 2 << 10,
    "StackedDrg8MiBV1_1": 8 << 20,
    "StackedDrg512MiBV1_1": 512 << 20,
}
TOO_LARGE = ("StackedDrg32GiBV1_1", "StackedDrg64GiBV1_1")

Params = collections.namedtuple("Params", "sector_bytes unsealed_path tree_path")


def read(params):
    """Refuses what does not fit before any file is touched."""
    proof = sealpipe.text(params, "proof")
    unsealed_path = sealpipe.path(params, "unsealedPath")
    tree_path = os.path.join(sealpipe.path(params, "cacheDir"), "sc-02-data-tree-d.dat")
    if proof in TOO_LARGE:
        raise sealpipe.Error(1002, f"{proof} is too much for Python")
    if proof not in SECTOR_BYTES:
        raise sealpipe.invalid("proof", "a registered seal proof", proof)
    return Params(SECTOR_BYTES[proof], unsealed_path, tree_path)


def run(params, task):
    with open(params.unsealed_path, "rb") as file:
        row = file.read(params.sector_bytes + 1)
    if len(row) != params.sector_bytes:
        message = f"{params.unsealed_path} does not have {params.sector_bytes} bytes"
        raise sealpipe.Error(1006, message)
    n_nodes = 2 * params.sector_bytes // NODE_BYTES - 1
    root = b""

    # All rows one after another, leaves first, down to the root.
    def write(file):
        nonlocal row, root
        n_done = 0
        while True:
            file.write(row)
            n_done += len(row) // NODE_BYTES
            if len(row) == NODE_BYTES:
                root = row
                return
            row = parents(row, lambda: task.progress("rows", n_done, n_nodes, "nodes"))

    sealpipe.install(params.tree_path, write)
    return {"commD": root.hex()}


def parents(row, tick):
    """The row above: SHA-256 over pairs of nodes, the two highest bits cleared so that the result
    is an element of BLS12-381's scalar field, little-endian (filecoin-proofs, `Sha256Hasher`)."""
    above = bytearray(len(row) // 2)
    for i in range(0, len(row), 2 * NODE_BYTES):
        if i % STEP_BYTES == 0:
            tick()
        node = bytearray(hashlib.sha256(row[i : i + 2 * NODE_BYTES]).digest())
        node[31] &= 0x3F
        above[i // 2 : i // 2 + NODE_BYTES] = node
    return bytes(above)


if __name__ == "__main__":
    sealpipe.serve("tree-d-python", "1.0", [sealpipe.Stage("tree_d", read, run)])
