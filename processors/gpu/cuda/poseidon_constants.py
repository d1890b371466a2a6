#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0

"""Writes poseidon_constants.cuh: what poseidon.cuh needs for t = 3, 9 and 12.

Poseidon is neptune's (tag, 8 full rounds, MDS 1/(i+j+t), x^5). How its constants are carried over to an
integer MDS stands at the head of poseidon.cuh; the names here are those used there. The table is compared
with one that is computed in Rust from the definition, by a test.
"""

from math import lcm

R_MODULUS = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
R = 1 << 256
# t: partial rounds (neptune, round_numbers.rs, 128-bit security)
WIDTHS = {3: 55, 9: 57, 12: 57}
FULL = 8


def grain(t, partial):
    """Round constants: the Grain LFSR of the Poseidon paper, appendix E."""
    bits = []
    for n_bits, value in [(2, 1), (4, 1), (12, 255), (12, t), (10, FULL), (10, partial), (30, (1 << 30) - 1)]:
        bits += [(value >> i) & 1 for i in reversed(range(n_bits))]

    def step():
        bit = bits[62] ^ bits[51] ^ bits[38] ^ bits[23] ^ bits[13] ^ bits[0]
        bits.pop(0)
        bits.append(bit)
        return bit

    def shrunk():
        while not step():
            step()
        return step()

    for _ in range(160):
        step()
    constants = []
    while len(constants) < t * (FULL + partial):
        value = 0
        for _ in range(255):
            value = value << 1 | shrunk()
        if value < R_MODULUS:
            constants.append(value)
    return constants


def inv(x):
    return pow(x, -1, R_MODULUS)


def mds_scale(t):
    """L, by which the MDS 1/(i+j+t) becomes a matrix of integers."""
    return lcm(*range(t, 3 * t - 1))


class Tables:
    """The tables of one width, by following the scale through the rounds."""

    def __init__(self, t):
        p = R_MODULUS
        self.t, self.partial = t, WIDTHS[t]
        rounds = FULL + self.partial
        self.scale_l = mds_scale(t)
        self.hankel = [self.scale_l // (k + t) for k in range(2 * t - 1)]
        c = grain(t, self.partial)
        c = [c[r * t:(r + 1) * t] for r in range(rounds)]
        mds = [[inv(i + j + t) for j in range(t)] for i in range(t)]
        # Within the partial rounds only element 0 passes an s-box: the others' constants are carried
        # through the MDS into the next round.
        for r in range(FULL // 2, FULL // 2 + self.partial):
            rest = [0] + c[r][1:]
            moved = [sum(m * x for m, x in zip(row, rest)) % p for row in mds]
            c[r] = [c[r][0]] + [0] * (t - 1)
            c[r + 1] = [(a + b) % p for a, b in zip(c[r + 1], moved)]
        half = FULL // 2
        scale = 1  # true value = scale * stored value
        self.full, self.row0, self.kappa = [], [], []
        for r in range(rounds):
            if half <= r < half + self.partial:
                self.kappa.append(pow(scale, 4, p) * pow(R, 5, p) % p)
            else:
                self.full += [x * inv(scale) % p for x in c[r]]
                scale = pow(scale, 5, p) * pow(R, 4, p) % p
            scale = scale * inv(self.scale_l) * (1 << 64) % p
            if r + 1 < rounds:
                # Added to row 0 of the product before its reduction by 2^64.
                is_partial = half <= r + 1 < half + self.partial
                self.row0.append(c[r + 1][0] * inv(scale) * (1 << 64) % p if is_partial else 0)
        # Takes the scale off the result and leaves it canonical.
        self.last = scale * R % p


def limbs(value):
    return "{" + ",".join(f"0x{(value >> 32 * i) & 0xFFFFFFFF:08x}u" for i in range(8)) + "}"


def table(kind, name, values):
    body = ",\n    ".join(limbs(v) for v in values)
    return f"POSEIDON_TABLE {kind} {name}[{len(values)}][8] = {{\n    {body}}};\n"


def main():
    print("// SPDX-License-Identifier: MIT OR Apache-2.0")
    print("// Written by poseidon_constants.py; do not edit.\n#pragma once\n#include <cstdint>\n")
    print("#ifdef __CUDACC__\n#define POSEIDON_TABLE __constant__\n#else\n#define POSEIDON_TABLE static\n#endif\n")
    for t in WIDTHS:
        tables = Tables(t)
        for name, values in [("FULL", tables.full), ("ROW0", tables.row0), ("KAPPA", tables.kappa),
                             ("LAST", [tables.last])]:
            print(table("const uint32_t", f"POSEIDON{t}_{name}", values))


def check():
    """The method against plain Poseidon, on whole numbers."""
    p = R_MODULUS
    for t in WIDTHS:
        tables = Tables(t)
        c = grain(t, tables.partial)
        pre = [pow(7, 31 * i + t, p) for i in range(t - 1)]
        s = [(1 << (t - 1)) - 1] + pre
        for r in range(FULL + tables.partial):
            s = [(x + c[r * t + i]) % p for i, x in enumerate(s)]
            is_full = r < FULL // 2 or r >= FULL // 2 + tables.partial
            s = [pow(x, 5, p) if is_full or i == 0 else x for i, x in enumerate(s)]
            s = [sum(inv(i + j + t) * x for j, x in enumerate(s)) % p for i in range(t)]
        plain = s[1]
        mont = lambda a, b: a * b * inv(R) % p
        sbox = lambda a: mont(mont(mont(a, a), mont(a, a)), a)
        s = [(1 << (t - 1)) - 1] + pre
        for r in range(FULL + tables.partial):
            if FULL // 2 <= r < FULL // 2 + tables.partial:
                s[0] = mont(sbox(s[0]), tables.kappa[r - FULL // 2])
            else:
                at = (r if r < FULL // 2 else r - tables.partial) * t
                s = [sbox(x + k) for x, k in zip(s, tables.full[at:at + t])]
            s = [sum(tables.hankel[i + j] * x for j, x in enumerate(s)) for i in range(t)]
            if r + 1 < FULL + tables.partial:
                s[0] += tables.row0[r]
            s = [x * inv(1 << 64) % p for x in s]
        assert mont(s[1], tables.last) == plain, t


if __name__ == "__main__":
    check()
    main()
