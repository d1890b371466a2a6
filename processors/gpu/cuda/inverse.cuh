// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The inverse in the base field of BLS12-381: division steps (Bernstein and Yang, "Fast constant-time gcd
// computation and modular inversion", 2019), as libsecp256k1 does them (doc/safegcd_implementation.md), not in
// constant time. A round finds, from the lowest 30 bits of f and g alone, what 30 division steps do to them, as
// a matrix over 2^30, and applies it to (f, g), and modulo p to (d, e), where f = d x and g = e x mod p.
//
// Numbers are 13 limbs of 30 bits, of which the highest has the sign: division by 2^30 drops a limb, and sums of
// two products fit 64 bits. One thread needs some 29 rounds of 12 short steps and 130 wide products.
#pragma once
#include "fp.cuh"

namespace fp {

constexpr int LIMBS = 13, LIMB_BITS = 30;
constexpr uint32_t LIMB_MASK = (1u << LIMB_BITS) - 1;

// Division steps that suffice for 381 bits: (49 * 381 + 57) / 17 (theorem 11.2 there).
constexpr int MAX_ROUNDS = ((49 * 381 + 57) / 17 + LIMB_BITS - 1) / LIMB_BITS;

struct Limbs {
    int32_t v[LIMBS];
};

// f, g -> (u f + v g, q f + r g) / 2^30.
struct Steps {
    int32_t u, v, q, r;
};

FN Limbs limbs_of(const Fp &a) {
    Limbs l;
#pragma unroll
    for (int i = 0; i < LIMBS; i++) {
        int word = LIMB_BITS * i / 32, shift = LIMB_BITS * i % 32;
        uint64_t two = a.w[word] | (uint64_t)(word + 1 < N ? a.w[word + 1] : 0) << 32;
        l.v[i] = (int32_t)((uint32_t)(two >> shift) & LIMB_MASK);
    }
    return l;
}

// The number of a sequence of limbs that is not negative and below 2^384.
FN Fp number_of(const Limbs &l) {
    Fp a;
#pragma unroll
    for (int i = 0; i < N; i++) {
        int limb = 32 * i / LIMB_BITS, shift = 32 * i % LIMB_BITS;
        uint64_t two = (uint32_t)l.v[limb] | (uint64_t)(limb + 1 < LIMBS ? (uint32_t)l.v[limb + 1] : 0) << LIMB_BITS;
        a.w[i] = (uint32_t)(two >> shift);
    }
    return a;
}

FN int trailing_zeros(uint32_t a) {
#ifdef __CUDA_ARCH__
    return __clz((int)__brev(a));
#else
    return __builtin_ctz(a);
#endif
}

// 30 division steps; eta is minus the delta of the paper.
FN Steps division_steps(int &eta, uint32_t f, uint32_t g) {
    uint32_t u = 1, v = 0, q = 0, r = 1;
    int left = LIMB_BITS;
    for (;;) {
        // A bit is set above those that are left.
        int zeros = trailing_zeros(g | 0xffffffffu << left);
        g >>= zeros, u <<= zeros, v <<= zeros;
        eta -= zeros, left -= zeros;
        if (left == 0) break;
        if (eta < 0) {
            uint32_t old = f;
            eta = -eta, f = g, g = 0u - old;
            old = u, u = q, q = 0u - old;
            old = v, v = r, r = 0u - old;
        }
        // Adds what makes the lowest bits of g zero: as many as are left and as keep eta's sign, at most 6.
        int limit = eta + 1 > left ? left : eta + 1;
        uint32_t mask = 0xffffffffu >> (32 - limit) & 63;
        uint32_t times = f * g * (f * f - 2) & mask; // -g / f mod 64
        g += f * times, q += u * times, r += v * times;
    }
    return {(int32_t)u, (int32_t)v, (int32_t)q, (int32_t)r};
}

// (a f + b g) / 2^30, which is exact.
FN Limbs combined(const Limbs &f, const Limbs &g, int32_t a, int32_t b) {
    Limbs to;
    int64_t sum = (int64_t)a * f.v[0] + (int64_t)b * g.v[0];
    sum >>= LIMB_BITS;
#pragma unroll
    for (int i = 1; i < LIMBS; i++) {
        sum += (int64_t)a * f.v[i] + (int64_t)b * g.v[i];
        to.v[i - 1] = (int32_t)((uint32_t)sum & LIMB_MASK);
        sum >>= LIMB_BITS;
    }
    to.v[LIMBS - 1] = (int32_t)sum;
    return to;
}

// (a d + b e) / 2^30 mod p, within (-2p, p) for d and e within.
FN Limbs combined_mod(const Limbs &d, const Limbs &e, int32_t a, int32_t b) {
    const Limbs p = limbs_of(Fp{FP_P});
    Limbs to;
    // p as often as makes negative numbers positive, and then as makes the lowest limb zero.
    int32_t times = (a & (d.v[LIMBS - 1] >> 31)) + (b & (e.v[LIMBS - 1] >> 31));
    int64_t sum = (int64_t)a * d.v[0] + (int64_t)b * e.v[0];
    times -= (int32_t)(((0u - FP_M0) * (uint32_t)sum + (uint32_t)times) & LIMB_MASK);
    sum += (int64_t)p.v[0] * times;
    sum >>= LIMB_BITS;
#pragma unroll
    for (int i = 1; i < LIMBS; i++) {
        sum += (int64_t)a * d.v[i] + (int64_t)b * e.v[i];
        sum += (int64_t)p.v[i] * times;
        to.v[i - 1] = (int32_t)((uint32_t)sum & LIMB_MASK);
        sum >>= LIMB_BITS;
    }
    to.v[LIMBS - 1] = (int32_t)sum;
    return to;
}

// sign a + times p, with limbs of 30 bits.
FN Limbs plus_p(const Limbs &a, int32_t sign, int32_t times) {
    const Limbs p = limbs_of(Fp{FP_P});
    Limbs to;
    int64_t sum = 0;
#pragma unroll
    for (int i = 0; i < LIMBS; i++) {
        sum += (int64_t)sign * a.v[i] + (int64_t)times * p.v[i];
        to.v[i] = i < LIMBS - 1 ? (int32_t)((uint32_t)sum & LIMB_MASK) : (int32_t)sum;
        sum >>= LIMB_BITS;
    }
    return to;
}

FN bool is_zero(const Limbs &a) {
    int32_t any = 0;
#pragma unroll
    for (int i = 0; i < LIMBS; i++) any |= a.v[i];
    return any == 0;
}

// R^2 / a: the inverse of a / R in Montgomery form. Zero for zero.
FN_CALL Fp inverse(Fp element) {
    const Fp r3 = {{0xd94ca1e0u, 0xed48ac6bu, 0x03a7adf8u, 0x315f831eu, 0x615e29ddu, 0x9a53352au,
                    0x921e1761u, 0x34c04e5eu, 0x65724728u, 0x2512d435u, 0x91755d4du, 0x0aa63460u}};
    Limbs f = limbs_of(Fp{FP_P}), g = limbs_of(canonical(element)), d = {}, e = {{1}};
    int eta = -1;
#pragma unroll 1
    for (int round = 0; round < MAX_ROUNDS && !is_zero(g); round++) {
        Steps steps = division_steps(eta, (uint32_t)f.v[0], (uint32_t)g.v[0]);
        Limbs next_d = combined_mod(d, e, steps.u, steps.v);
        e = combined_mod(d, e, steps.q, steps.r);
        d = next_d;
        Limbs next_f = combined(f, g, steps.u, steps.v);
        g = combined(f, g, steps.q, steps.r);
        f = next_f;
    }
    // f is 1 or -1, and d is within (-2p, p): first above -p, then with f's sign, then not negative.
    d = plus_p(d, 1, d.v[LIMBS - 1] < 0);
    d = plus_p(d, f.v[LIMBS - 1] < 0 ? -1 : 1, 0);
    d = plus_p(d, 1, d.v[LIMBS - 1] < 0);
    return mul(canonical(number_of(d)), r3);
}

} // namespace fp
