# SPDX-License-Identifier: MIT OR Apache-2.0

"""Cpus, memory and GPUs: what the worker grants, and what is observed (R-033 to R-036). Part of
sealpipe.py. Cpus and memory policy belong to a thread and are inherited by later ones, so `apply`
comes before any other thread exists."""

import ctypes
import itertools
import os
import platform
import re

from sealpipe_wire import MAX_INTEGER, Error, integer, invalid, member, record, text

CPU_LIST = re.compile(r"[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*", re.ASCII)

# set_mempolicy(2) and get_mempolicy(2), which no module wraps.
SYSTEM_CALLS = {"x86_64": (238, 239), "aarch64": (237, 236)}
POLICIES = {"default": 0, "preferred": 1, "bind": 2}
POLICY_FLAGS = 0xE000  # In the high bits of the mode: include/uapi/linux/mempolicy.h.
MASK_BITS, WORD_BITS = 2048, 8 * ctypes.sizeof(ctypes.c_ulong)
Mask = ctypes.c_ulong * (MASK_BITS // WORD_BITS)


class Grant:
    """The `placement` of `initialize`, checked; nothing is applied yet."""

    def __init__(self, params):
        granted = record(params, "placement", {})
        self.cpus, self.policy = text(granted, "cpus", None), text(granted, "memoryPolicy", None)
        self.node = integer(granted, "memoryNode", 0, MAX_INTEGER, None)
        self.gpus = member(granted, "gpus", None)
        if self.cpus is not None:
            self.cpus = read_cpus(self.cpus)
        if self.gpus is not None:
            is_list = isinstance(self.gpus, list)
            if not is_list or not all(isinstance(gpu, str) for gpu in self.gpus):
                raise invalid("gpus", "a list of strings", self.gpus)
        if self.policy is None and self.node is not None:
            self.policy = "preferred"

    def apply(self):
        """Raises 1004 for what this machine does not have."""
        if self.cpus is not None:
            try:
                os.sched_setaffinity(0, self.cpus)
            except OSError as error:
                raise Error(1004, f"cannot run on cpus {write_cpus(self.cpus)}: {error}") from error
            # The kernel drops cpus that do not exist without a word, as long as one is left.
            if missing := self.cpus - os.sched_getaffinity(0):
                raise Error(1004, f"cpus {write_cpus(missing)} are not here, or not allowed")
        if self.policy is not None:
            set_memory_policy(self.policy, self.node)
        if self.gpus is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus)


def observe():
    """What this thread runs with, as the system says."""
    seen = {"cpus": write_cpus(os.sched_getaffinity(0)), **observe_memory()}
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
    if gpus is not None:
        seen["gpus"] = [gpu.strip() for gpu in gpus.split(",") if gpu.strip()]
    return seen


def read_cpus(list_format):
    """Linux' list format: 0-3,8."""
    if not CPU_LIST.fullmatch(list_format):
        raise invalid("cpus", "a list such as 0-3,8", list_format)
    cpus = set()
    for part in list_format.split(","):
        first, _, last = part.partition("-")
        if last and int(last) < int(first):
            raise invalid("cpus", "a list of ranges that run forwards", list_format)
        cpus.update(range(int(first), int(last or first) + 1))
    return cpus


def write_cpus(cpus):
    parts = []
    for _, run in itertools.groupby(enumerate(sorted(cpus)), lambda pair: pair[1] - pair[0]):
        run = [cpu for _, cpu in run]
        parts.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return ",".join(parts)


def system_call(which, *arguments):
    if platform.machine() not in SYSTEM_CALLS:
        return f"unknown system call numbers of {platform.machine()}"
    number = SYSTEM_CALLS[platform.machine()][which]
    failed = ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)
    return os.strerror(ctypes.get_errno()) if failed else None


def set_memory_policy(policy, node):
    mask, named = Mask(), f"memory policy {policy!r:.50} of node {node}"
    if policy not in POLICIES or (node or 0) >= MASK_BITS:
        raise Error(1004, f"{named} is unknown")
    if node is not None and policy != "default":
        mask[node // WORD_BITS] |= 1 << node % WORD_BITS
    if problem := system_call(0, POLICIES[policy], mask, ctypes.c_ulong(MASK_BITS)):
        raise Error(1004, f"{named}: {problem}", hint="`numactl --hardware` lists the nodes")


def observe_memory():
    mode, mask = ctypes.c_int(), Mask()
    more = (ctypes.c_ulong(MASK_BITS), None, ctypes.c_ulong(0))
    if system_call(1, ctypes.byref(mode), mask, *more):
        return {}
    names = {number: name for name, number in POLICIES.items()}
    seen = {"memoryPolicy": names.get(mode.value & ~POLICY_FLAGS, "other")}
    bits = sum(word << WORD_BITS * index for index, word in enumerate(mask))
    return {**seen, "memoryNode": (bits & -bits).bit_length() - 1} if bits else seen
