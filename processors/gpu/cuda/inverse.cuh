// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The inverse in the base field of BLS12-381: the binary extended gcd on approximations (Pornin, "Optimized
// Binary GCD for Modular Inversion", eprint 2020/972, algorithm 2), not in constant time. A step halves 30
// times a 64-bit picture of (a, b), made of their lowest 30 bits and the 34 bits below the longer one's
// highest; then applies what that did to the numbers themselves, and to their factors modulo p.
//
// One thread needs some 30 microseconds of an H200, mostly latency: 26 rounds of 30 short iterations and some
// 130 wide products. A power (a^(p-2)) takes ten times as long.
#pragma once
#include "fp.cuh"

namespace fp {

constexpr int INNER = 30;
// 2 * 381 - 1 halvings suffice (theorem 1 there).
constexpr int MAX_ROUNDS = (2 * 381 - 1 + INNER - 1) / INNER;

// A row of the matrix that an inner loop yields: |f| + |g| <= 2^30.
struct Row {
    int32_t f, g;
};

FN uint32_t magnitude(int32_t f) { return f < 0 ? 0u - (uint32_t)f : (uint32_t)f; }

// The 34 bits of a below bit `length` over its lowest 30; a itself when length <= 64.
FN uint64_t picture(const Fp &a, int length) {
    if (length <= 64) return (uint64_t)a.w[1] << 32 | a.w[0];
    int from = length - 34, word = from / 32, shift = from % 32;
    uint64_t low = 0, high = 0;
#pragma unroll
    for (int i = 0; i < N; i++) {
        if (i == word) low |= a.w[i];
        if (i == word + 1) low |= (uint64_t)a.w[i] << 32;
        if (i == word + 2) high = a.w[i];
    }
    uint64_t bits = low >> shift;
    if (shift) bits |= high << (64 - shift);
    return bits << 30 | (a.w[0] & 0x3fffffffu);
}

FN int length_of(const Fp &a, const Fp &b) {
    int length = 0;
#pragma unroll
    for (int i = 0; i < N; i++) {
        uint32_t either = a.w[i] | b.w[i];
        int bits = 0;
#ifdef __CUDA_ARCH__
        bits = 32 - __clz((int)either);
#else
        while (bits < 32 && either >> bits) bits++;
#endif
        if (either) length = 32 * i + bits;
    }
    return length;
}

// The lowest 32 * 13 bits of |f| a.
FN void scaled(uint32_t *to, const Fp &a, uint32_t f) {
    uint64_t carry = 0;
#pragma unroll
    for (int i = 0; i < N; i++) {
        carry += (uint64_t)a.w[i] * f;
        to[i] = (uint32_t)carry;
        carry >>= 32;
    }
    to[N] = (uint32_t)carry;
}

// to = t / 2^30.
FN void shifted(Fp &to, const uint32_t *t) {
#pragma unroll
    for (int i = 0; i < N; i++) to.w[i] = t[i] >> INNER | t[i + 1] << (32 - INNER);
}

// |a f + b g| / 2^30, exact, with the row's signs turned where it was negative.
FN Fp combined(const Fp &a, const Fp &b, Row &row) {
    uint32_t s[N + 1], t[N + 1];
    scaled(s, a, magnitude(row.f));
    scaled(t, b, magnitude(row.g));
    bool negative = row.f < 0;
    if ((row.f < 0) == (row.g < 0)) {
        word::add<N + 1>(s, t);
    } else {
        word::sub<N + 1>(s, s, t);
        if (s[N] >> 31) {
            s[0] = sub_cc(0, s[0]);
#pragma unroll
            for (int i = 1; i < N; i++) s[i] = subc_cc(0, s[i]);
            s[N] = subc(0, s[N]);
            negative = !negative;
        }
    }
    if (negative) row.f = -row.f, row.g = -row.g;
    Fp result;
    shifted(result, s);
    return result;
}

// (u f + v g) / 2^30 mod p, canonical for canonical u and v.
FN Fp combined_mod(const Fp &u, const Fp &v, const Row &row) {
    const Fp p = {FP_P};
    uint32_t s[N + 1], t[N + 1];
    scaled(s, row.f < 0 ? negative(u) : u, magnitude(row.f));
    scaled(t, row.g < 0 ? negative(v) : v, magnitude(row.g));
    word::add<N + 1>(s, t); // below 2^30 p
    scaled(t, p, s[0] * FP_M0 & 0x3fffffffu);
    word::add<N + 1>(s, t); // below 2^31 p, and the lowest 30 bits are zero
    Fp result;
    shifted(result, s);
    return canonical(result);
}

// R^2 / a: the inverse of a / R in Montgomery form. Zero for zero.
FN_CALL Fp inverse(Fp element) {
    const Fp r3 = {{0xd94ca1e0u, 0xed48ac6bu, 0x03a7adf8u, 0x315f831eu, 0x615e29ddu, 0x9a53352au,
                    0x921e1761u, 0x34c04e5eu, 0x65724728u, 0x2512d435u, 0x91755d4du, 0x0aa63460u}};
    // a = element u and b = element v mod p throughout.
    Fp a = canonical(element), b = {FP_P}, u = zero(), v = zero();
    u.w[0] = 1;
#pragma unroll 1
    for (int round = 0; round < MAX_ROUNDS && !is_zero(a); round++) {
        int length = length_of(a, b);
        uint64_t x = picture(a, length), y = picture(b, length);
        Row row0 = {1, 0}, row1 = {0, 1};
#pragma unroll 1
        for (int i = 0; i < INNER; i++) {
            // Without branches: what an odd x takes off, after the exchange that makes x the larger.
            bool is_odd = x & 1, is_swapped = is_odd && x < y;
            uint64_t smaller = is_swapped ? x : y;
            x = is_swapped ? y : x;
            y = smaller;
            Row row = is_swapped ? row0 : row1;
            row0 = is_swapped ? row1 : row0;
            row1 = row;
            x -= is_odd ? y : 0;
            row0.f -= is_odd ? row1.f : 0;
            row0.g -= is_odd ? row1.g : 0;
            x >>= 1;
            row1.f += row1.f, row1.g += row1.g;
        }
        Fp next_a = combined(a, b, row0), next_b = combined(a, b, row1);
        Fp next_u = combined_mod(u, v, row0), next_v = combined_mod(u, v, row1);
        a = next_a, b = next_b, u = next_u, v = next_v;
    }
    return mul(v, r3);
}

} // namespace fp
