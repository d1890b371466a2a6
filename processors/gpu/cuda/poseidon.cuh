// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Poseidon over the BLS12-381 scalar field with neptune's parameters, for arities 2, 8 and 11 (t = 3, 9, 12).
//
// Definition (neptune, poseidon.rs): the state is (2^arity - 1, preimage); each of 4 + 57 + 4 rounds (t = 3:
// 4 + 55 + 4) adds constants, raises all elements (in the 57: element 0) to the fifth power and multiplies by
// M[i][j] = 1 / (i + j + t); the hash is element 1.
//
// Here M is replaced by L M, a Hankel matrix of integers h(k) = L / (k + t), L = lcm(t .. 3t - 2): 32 bits at
// t = 9, 44 at t = 12. The state is stored as true / scale, with one scale for the whole state, another in
// each round and known beforehand:
//   - a full round takes the scale to scale^5 R^4 2^64 / L: R^-4 is what four Montgomery products leave
//     behind, 2^64 what the reduction of the matrix product divides by;
//   - in a partial round only element 0 is raised: KAPPA = scale^4 R^5 brings it back to the others' scale;
//   - round constants are divided by the scale; in partial rounds those of elements 1.. are carried on through
//     M into the next full round, and that of element 0 is added to row 0 of the product before it: ROW0;
//   - the state starts with scale 1, so canonical inputs need no change of form; LAST takes the final scale off.
//
// Wide products (32 x 32 -> 64 bit) of a hash:
//                                            t = 12                        t = 9
//   s-boxes                                  153 x (88 + 88 + 116)         129 x 292
//   KAPPA, LAST                              58 x 116                      58 x 116
//   matrix, the last time one row only       64 x 81 x 16 + 192            64 x 54 x 8 + 72
//   reduction of its rows                    769 x 13                      577 x 13
//   in all                                   145 k                         80 k
// One SM of the sm_90 does 32 a clock, an H200 8.36 T/s: 58 M and 105 M hashes a second at most.
//
// Elements are at most r + 2^240 wherever they are multiplied; see fr.cuh for the bounds. The state stays in
// registers, up to 255 a thread, so that a multiprocessor has 8 warps; at t = 12 the half of it that waits does so
// in shared memory. Measured on an H200: 80 % and 73 % of the floor. More warps are slower (12: 86 %, 92 % of
// this), as is a matrix by 54 products at t = 12, whose additions take what the products leave.
#pragma once
#include "fr.cuh"
#include "hankel.cuh"
#include "poseidon_constants.cuh"

namespace poseidon {

using hankel::SUM;

template <int T> struct Width;

#define POSEIDON_WIDTH(t, l, partial)                                                             \
    template <> struct Width<t> {                                                                 \
        static constexpr int PARTIAL = partial;                                                   \
        static constexpr int64_t L = l;                                                           \
        static FN const uint32_t *full(int i) { return POSEIDON##t##_FULL[i]; }                   \
        static FN const uint32_t *row0(int i) { return POSEIDON##t##_ROW0[i]; }                   \
        static FN const uint32_t *kappa(int i) { return POSEIDON##t##_KAPPA[i]; }                 \
        static FN const uint32_t *last() { return POSEIDON##t##_LAST[0]; }                        \
    };
POSEIDON_WIDTH(3, 420, 55)              // lcm(3 .. 7)
POSEIDON_WIDTH(9, 26771144400, 57)      // lcm(9 .. 25)
POSEIDON_WIDTH(12, 144403552893600, 57) // lcm(12 .. 34)
#undef POSEIDON_WIDTH

// h(k) = L / (k + T)
template <int T> struct Mds {
    static constexpr int64_t at(int k) { return Width<T>::L / (k + T); }
};

// Words of shared memory that a thread needs; kernels.rs has the same numbers.
template <int T> constexpr int scratch_words() { return T == 12 ? 96 : 0; }

// Memory of one thread: word i is at base[i * stride].
struct Scratch {
    uint32_t *base;
    int stride;
};

template <int WORDS> FN void park(Scratch m, int at, const uint32_t *v) {
#pragma unroll
    for (int j = 0; j < WORDS; j++) m.base[(at + j) * m.stride] = v[j];
}

template <int WORDS> FN void unpark(uint32_t *v, Scratch m, int at) {
#pragma unroll
    for (int j = 0; j < WORDS; j++) v[j] = m.base[(at + j) * m.stride];
}

// sum += c, c of 8 words.
FN void add_constant(uint32_t *sum, const uint32_t *c) {
    sum[0] = word::add_cc(sum[0], c[0]);
#pragma unroll
    for (int i = 1; i < 8; i++) sum[i] = word::addc_cc(sum[i], c[i]);
    sum[8] = word::addc_cc(sum[8], 0);
    sum[9] = word::addc(sum[9], 0);
}

// s = (L M s + (c, 0, ..)) / 2^64
template <int T> struct Mix;

template <> struct Mix<3> {
    static FN void run(uint32_t (*s)[8], const uint32_t *c, Scratch) {
        uint32_t sum[3][SUM];
        hankel::three<Mds<3>, 255>(sum, s);
        add_constant(sum[0], c);
#pragma unroll
        for (int i = 0; i < 3; i++) fr::reduce10(s[i], sum[i]);
    }
};

// Three blocks of three: six products of three.
template <> struct Mix<9> {
    static FN void run(uint32_t (*s)[8], const uint32_t *c, Scratch) {
        uint32_t p01[3][SUM], p02[3][SUM], p12[3][SUM];
        pairs<3>(p01, s, s + 3);
        pairs<6>(p02, s, s + 6);
        pairs<9>(p12, s + 3, s + 6);
        rest<hankel::Excess<Mds<9>, 3, 6, 0>>(s, p01, p02, c);
        rest<hankel::Excess<Mds<9>, 3, 9, 6>>(s + 3, p01, p12, nullptr);
        rest<hankel::Excess<Mds<9>, 6, 9, 12>>(s + 6, p02, p12, nullptr);
    }
    // p = h(OFFSET + ..) (a + b)
    template <int OFFSET>
    static FN void pairs(uint32_t (*p)[SUM], const uint32_t (*a)[8], const uint32_t (*b)[8]) {
        uint32_t sum[3][8];
#pragma unroll
        for (int i = 0; i < 3; i++) hankel::add_elements<255>(sum[i], a[i], b[i]);
        hankel::three<hankel::Shift<Mds<9>, OFFSET>, 256>(p, sum);
    }
    // s = (p + q - S s + c) / 2^64
    template <class S>
    static FN void rest(uint32_t (*s)[8], const uint32_t (*p)[SUM], const uint32_t (*q)[SUM], const uint32_t *c) {
        uint32_t sum[3][SUM];
        hankel::three<S, 255>(sum, s);
#pragma unroll
        for (int i = 0; i < 3; i++) {
            word::sub<SUM>(sum[i], p[i], sum[i]);
            word::add<SUM>(sum[i], q[i]);
            if (c && i == 0) add_constant(sum[i], c);
            fr::reduce10(s[i], sum[i]);
        }
    }
};

// Two blocks of six, each of two of three: nine products of three.
template <> struct Mix<12> {
    static FN void run(uint32_t (*s)[8], const uint32_t *c, Scratch m) {
        uint32_t p[6][SUM], v[6][8];
        park<96>(m, 0, s[0]);
#pragma unroll
        for (int i = 0; i < 6; i++) hankel::add_elements<255>(v[i], s[i], s[i + 6]);
        hankel::six<hankel::Shift<Mds<12>, 6>, 256>(v, [&](int i, const uint32_t *sum) {
#pragma unroll
            for (int j = 0; j < SUM; j++) p[i][j] = sum[j];
        });
        unpark<48>(v[0], m, 0);
        hankel::six<hankel::Difference<Mds<12>, 0, 6>, 255>(v, [&](int i, uint32_t *sum) {
            uint32_t to[8];
            word::add<SUM>(sum, p[i]);
            if (i == 0) add_constant(sum, c);
            fr::reduce10(to, sum);
            park<8>(m, 8 * i, to);
        });
        unpark<48>(v[0], m, 48);
        hankel::six<hankel::Difference<Mds<12>, 6, 12>, 255>(v, [&](int i, uint32_t *sum) {
            word::sub<SUM>(sum, p[i], sum);
            fr::reduce10(s[i + 6], sum);
        });
        unpark<48>(s[0], m, 0);
    }
};

// Row 1 of the last product, its scale taken off: canonical.
template <int T> FN void output(uint32_t *out, const uint32_t (*s)[8]) {
    uint32_t sum[SUM];
    hankel::row<Mds<T>, 255, 1, T>(sum, nullptr, s);
    fr::reduce10(sum, sum);
    fr::mul(sum, sum, Width<T>::last());
    fr::subtract_r(out, sum);
}

// Hashes: s[1..T) is the preimage, canonical, and out the hash, canonical. s is used up.
template <int T> FN void hash(uint32_t *out, uint32_t (*s)[8], Scratch m) {
    constexpr int ROUNDS = 8 + Width<T>::PARTIAL;
    s[0][0] = (1u << (T - 1)) - 1;
#pragma unroll
    for (int j = 1; j < 8; j++) s[0][j] = 0;
#pragma unroll 1
    for (int r = 0;; r++) {
        if (r < 4 || r >= 4 + Width<T>::PARTIAL) {
            int full = (r < 4 ? r : r - Width<T>::PARTIAL) * T;
            // Three at a time, and the state moves up by three: code for twelve would fill the cache.
#pragma unroll 1
            for (int i = 0; i < T; i += 3) {
                uint32_t z[3][8];
#pragma unroll
                for (int k = 0; k < 3; k++) {
                    fr::add_mod(z[k], s[k], Width<T>::full(full + i + k));
                    fr::fifth_power(z[k], z[k]);
                }
#pragma unroll
                for (int k = 0; k < T - 3; k++)
#pragma unroll
                    for (int j = 0; j < 8; j++) s[k][j] = s[k + 3][j];
#pragma unroll
                for (int k = 0; k < 3; k++)
#pragma unroll
                    for (int j = 0; j < 8; j++) s[T - 3 + k][j] = z[k][j];
            }
            if (r == ROUNDS - 1) break;
        } else {
            fr::fifth_power(s[0], s[0]);
            fr::mul(s[0], s[0], Width<T>::kappa(r - 4));
            fr::subtract_r(s[0], s[0]);
        }
        Mix<T>::run(s, Width<T>::row0(r), m);
    }
    output<T>(out, s);
}

} // namespace poseidon
