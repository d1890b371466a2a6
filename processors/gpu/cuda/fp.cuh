// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The base field of BLS12-381:
// p = 0x1a0111ea397fe69a4b1ba7b6434bacd7_64774b84f38512bf6730d2a0f6b0f624_1eabfffeb153ffffb9feffffffffaaab.
//
// Elements are 12 words, least significant first, in Montgomery form with R = 2^384, where p = 0.1016 R: there
// is room for multiples of p. Bounds are stated in p: `loose` is below 2p, `canonical` below p.
//   mul(a, b) = a b / R, below 0.1016 |a| |b| + 1: loose for |a| |b| <= 9.8, so for 2p x 4p or 3p x 3p.
// Every function takes loose elements and gives loose ones where nothing else is said.
//
// Wide products (32 x 32 -> 64 bit): mul 108 + 144, square 78 + 144, and 12 narrow ones for quotients.
#pragma once
#include "word.cuh"

// Called, not inlined. Arguments and results by value stay in registers, so a call costs some 40 moves; while
// loops of many inlined products, of 5 KB each, do not fit the caches of instructions.
#ifdef __CUDACC__
#define FN_CALL inline __device__ __noinline__
#else
#define FN_CALL inline
#endif

namespace fp {

using namespace word;

constexpr int N = 12;

struct Fp {
    uint32_t w[N];
};

// -1/p mod 2^32.
#define FP_M0 0xfffcfffdu

#define FP_P                                                                                                   \
    {0xffffaaabu, 0xb9feffffu, 0xb153ffffu, 0x1eabfffeu, 0xf6b0f624u, 0x6730d2a0u,                             \
     0xf38512bfu, 0x64774b84u, 0x434bacd7u, 0x4b1ba7b6u, 0x397fe69au, 0x1a0111eau}
#define FP_2P                                                                                                  \
    {0xffff5556u, 0x73fdffffu, 0x62a7ffffu, 0x3d57fffdu, 0xed61ec48u, 0xce61a541u,                             \
     0xe70a257eu, 0xc8ee9709u, 0x869759aeu, 0x96374f6cu, 0x72ffcd34u, 0x340223d4u}
// R mod p: the number one.
#define FP_ONE                                                                                                 \
    {0x0002fffdu, 0x76090000u, 0xc40c0002u, 0xebf4000bu, 0x53c758bau, 0x5f489857u,                             \
     0x70525745u, 0x77ce5853u, 0xa256ec6du, 0x5c071a97u, 0xfa80e493u, 0x15f65ec3u}

FN Fp zero() {
    Fp a;
#pragma unroll
    for (int i = 0; i < N; i++) a.w[i] = 0;
    return a;
}

FN Fp one() { return Fp{FP_ONE}; }

// All words equal: equal numbers when both are canonical.
FN bool same(const Fp &a, const Fp &b) {
    uint32_t difference = 0;
#pragma unroll
    for (int i = 0; i < N; i++) difference |= a.w[i] ^ b.w[i];
    return difference == 0;
}

FN bool is_zero(const Fp &a) {
    uint32_t any = 0;
#pragma unroll
    for (int i = 0; i < N; i++) any |= a.w[i];
    return any == 0;
}

// a - m if that is not negative, else a.
FN Fp subtract_once(const Fp &a, const uint32_t *m) {
    Fp d;
    d.w[0] = sub_cc(a.w[0], m[0]);
#pragma unroll
    for (int i = 1; i < N; i++) d.w[i] = subc_cc(a.w[i], m[i]);
    uint32_t borrow = subc(0, 0);
#pragma unroll
    for (int i = 0; i < N; i++) d.w[i] = borrow ? a.w[i] : d.w[i];
    return d;
}

// Below 4p to loose.
FN Fp loose(const Fp &a) {
    const uint32_t m[N] = FP_2P;
    return subtract_once(a, m);
}

// Loose to canonical.
FN Fp canonical(const Fp &a) {
    const uint32_t m[N] = FP_P;
    return subtract_once(a, m);
}

// a + b as numbers, below |a| + |b|, which must be at most 9.
FN Fp sum(const Fp &a, const Fp &b) {
    Fp s = a;
    word::add<N>(s.w, b.w);
    return s;
}

// a - b + 2p for loose b: below |a| + 2.
FN Fp difference(const Fp &a, const Fp &b) {
    Fp s = {FP_2P};
    word::add<N>(s.w, a.w);
    word::sub<N>(s.w, s.w, b.w);
    return s;
}

// Sums and differences of loose elements, loose.
FN Fp add(const Fp &a, const Fp &b) { return loose(sum(a, b)); }
FN Fp twice(const Fp &a) { return loose(sum(a, a)); }
FN Fp sub(const Fp &a, const Fp &b) { return loose(difference(a, b)); }

// -a, canonical for canonical a.
FN Fp negative(const Fp &a) {
    const uint32_t m[N] = FP_P;
    Fp s;
    word::sub<N>(s.w, m, a.w);
    uint32_t keep = is_zero(a) ? 0 : 0xffffffffu;
#pragma unroll
    for (int i = 0; i < N; i++) s.w[i] &= keep;
    return s;
}

// odd[i] = odd[i + 2] + a[0], a[2], … times c, with the carry in; the carry out is dropped.
FN void mad_row_shifted(uint32_t *odd, const uint32_t *a, uint32_t c) {
#pragma unroll
    for (int i = 0; i < N - 2; i += 2) {
        odd[i] = madc_lo_cc(a[i], c, odd[i + 2]);
        odd[i + 1] = madc_hi_cc(a[i], c, odd[i + 3]);
    }
    odd[N - 2] = madc_lo_cc(a[N - 2], c, 0);
    odd[N - 1] = madc_hi(a[N - 2], c, 0);
}

// odd over even, after a whole number of steps: the lowest word of odd's partner is zero.
FN Fp joined(const uint32_t *even, const uint32_t *odd) {
    Fp s;
    s.w[0] = add_cc(even[0], odd[1]);
#pragma unroll
    for (int i = 1; i < N - 1; i++) s.w[i] = addc_cc(even[i], odd[i + 1]);
    s.w[N - 1] = addc(even[N - 1], 0);
    return s;
}

// t / R for t of 24 words: below t / R + 1.
FN Fp reduce(const uint32_t *t) {
    const uint32_t p[N] = FP_P;
    uint32_t even[N], odd[N];
#pragma unroll
    for (int i = 0; i < N; i++) even[i] = t[i];
    uint32_t m = even[0] * FP_M0;
    mul_row<N / 2>(odd, p + 1, m);
    mad_row<N / 2>(even, p, m);
    odd[N - 1] = addc(odd[N - 1], 0);
#pragma unroll
    for (int i = 1; i < N; i++) {
        uint32_t *e = i % 2 ? odd : even, *o = i % 2 ? even : odd;
        e[0] = add_cc(e[0], o[1]);
        m = e[0] * FP_M0;
        mad_row_shifted(o, p + 1, m);
        mad_row<N / 2>(e, p, m);
        o[N - 1] = addc(o[N - 1], 0);
    }
    Fp s = joined(even, odd);
    word::add<N>(s.w, t + N);
    return s;
}

// t[0..2M) = even + odd at one word further up.
template <int M> FN void join(uint32_t *t, const uint32_t *even, const uint32_t *odd) {
    t[0] = even[0];
    t[1] = add_cc(even[1], odd[0]);
#pragma unroll
    for (int i = 2; i < 2 * M - 1; i++) t[i] = addc_cc(even[i], odd[i - 1]);
    t[2 * M - 1] = addc(even[2 * M - 1], odd[2 * M - 2]);
}

// t[0..N) = a b for the halves of elements.
//
// A row whose uppermost product meets nothing but an earlier carry carries nothing out.
FN void half_product(uint32_t *t, const uint32_t *a, const uint32_t *b) {
    constexpr int M = N / 2;
    uint32_t even[N], odd[N];
#pragma unroll
    for (int i = 0; i < N; i++) even[i] = odd[i] = 0;
#pragma unroll
    for (int i = 0; i < M; i += 2) {
        if (i == 0) {
            mul_row<M / 2>(even, a, b[0]);
            mul_row<M / 2>(odd, a + 1, b[0]);
        } else {
            mad_row<M / 2>(even + i, a, b[i]);
            even[i + M] = addc(0, 0);
            mad_row<M / 2>(odd + i, a + 1, b[i]);
        }
        mad_row<M / 2>(odd + i, a, b[i + 1]);
        odd[i + M] = addc(0, 0);
        mad_row<M / 2>(even + i + 2, a + 1, b[i + 1]);
    }
    join<M>(t, even, odd);
}

// to[0..M) = a - b; all ones where that is negative, else zero.
template <int M> FN uint32_t difference_of(uint32_t *to, const uint32_t *a, const uint32_t *b) {
    to[0] = sub_cc(a[0], b[0]);
#pragma unroll
    for (int i = 1; i < M; i++) to[i] = subc_cc(a[i], b[i]);
    return subc(0, 0);
}

// t[0..M) -= a & mask; what is borrowed from word M, as it is subtracted.
template <int M> FN uint32_t subtract_masked(uint32_t *t, const uint32_t *a, uint32_t mask) {
    uint32_t masked[M];
#pragma unroll
    for (int i = 0; i < M; i++) masked[i] = a[i] & mask;
    return difference_of<M>(t, t, masked);
}

// t[0..24) = a b (Karatsuba): additions are at hand while products are waited for, so 108 wide ones and 80
// additions more are less than 144.
//
// With halves a0, a1 and b0, b1, a0 b1 + a1 b0 = a0 b0 + a1 b1 + (a0 - a1) (b1 - b0). A negative difference is
// 2^192 too large as a number of six words, which is taken back from the product of these numbers.
FN void wide_mul(uint32_t *t, const Fp &a, const Fp &b) {
    constexpr int M = N / 2;
    uint32_t da[M], db[M], middle[N + 1];
    uint32_t a_is_negative = difference_of<M>(da, a.w, a.w + M);
    uint32_t b_is_negative = difference_of<M>(db, b.w + M, b.w);
    half_product(middle, da, db);
    middle[N] = (a_is_negative & b_is_negative & 1);
    middle[N] += subtract_masked<M>(middle + M, db, a_is_negative);
    middle[N] += subtract_masked<M>(middle + M, da, b_is_negative);
    half_product(t, a.w, b.w);
    half_product(t + N, a.w + M, b.w + M);
#pragma unroll
    for (int part = 0; part < 2; part++) {
        const uint32_t *own = t + part * N;
        middle[0] = add_cc(middle[0], own[0]);
#pragma unroll
        for (int i = 1; i < N; i++) middle[i] = addc_cc(middle[i], own[i]);
        middle[N] = addc(middle[N], 0);
    }
    t[M] = add_cc(t[M], middle[0]);
#pragma unroll
    for (int i = 1; i <= N; i++) t[M + i] = addc_cc(t[M + i], middle[i]);
#pragma unroll
    for (int i = M + N + 1; i < 2 * N - 1; i++) t[i] = addc_cc(t[i], 0);
    t[2 * N - 1] = addc(t[2 * N - 1], 0);
}

// One row of the triangle below: a[i] times a[j] for j > i, where j - i is odd and where it is even.
template <int I> FN void square_row(uint32_t *even, uint32_t *odd, const uint32_t *a) {
    constexpr int ODD = (N - I) / 2, EVEN = (N - 1 - I) / 2;
    if constexpr (ODD > 0) {
        mad_row<ODD>(odd + 2 * I, a + I + 1, a[I]);
        odd[2 * I + 2 * ODD] = addc(odd[2 * I + 2 * ODD], 0);
    }
    if constexpr (EVEN > 0) {
        mad_row<EVEN>(even + 2 * I + 2, a + I + 2, a[I]);
        even[2 * I + 2 + 2 * EVEN] = addc(even[2 * I + 2 + 2 * EVEN], 0);
    }
}

// t[0..24) = a a.
FN void wide_square(uint32_t *t, const Fp &a) {
    uint32_t even[2 * N], odd[2 * N];
#pragma unroll
    for (int i = 0; i < 2 * N; i++) even[i] = odd[i] = 0;
    mul_row<N / 2>(odd, a.w + 1, a.w[0]);
    mul_row<N / 2 - 1>(even + 2, a.w + 2, a.w[0]);
    square_row<1>(even, odd, a.w);
    square_row<2>(even, odd, a.w);
    square_row<3>(even, odd, a.w);
    square_row<4>(even, odd, a.w);
    square_row<5>(even, odd, a.w);
    square_row<6>(even, odd, a.w);
    square_row<7>(even, odd, a.w);
    square_row<8>(even, odd, a.w);
    square_row<9>(even, odd, a.w);
    square_row<10>(even, odd, a.w);
    join<N>(t, even, odd);
    t[1] = add_cc(t[1], t[1]);
#pragma unroll
    for (int i = 2; i < 2 * N - 1; i++) t[i] = addc_cc(t[i], t[i]);
    t[2 * N - 1] = addc(t[2 * N - 1], t[2 * N - 1]);
    t[0] = mad_lo_cc(a.w[0], a.w[0], t[0]);
    t[1] = madc_hi_cc(a.w[0], a.w[0], t[1]);
#pragma unroll
    for (int i = 1; i < N; i++) {
        t[2 * i] = madc_lo_cc(a.w[i], a.w[i], t[2 * i]);
        t[2 * i + 1] = i < N - 1 ? madc_hi_cc(a.w[i], a.w[i], t[2 * i + 1]) : madc_hi(a.w[i], a.w[i], t[2 * i + 1]);
    }
}

// a b / R. a must be below 2^383, b a number of 12 words.
FN_CALL Fp mul(Fp a, Fp b) {
    uint32_t t[2 * N];
    wide_mul(t, a, b);
    return reduce(t);
}

// a a / R.
FN_CALL Fp square(Fp a) {
    uint32_t t[2 * N];
    wide_square(t, a);
    return reduce(t);
}

} // namespace fp
