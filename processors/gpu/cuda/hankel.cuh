// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Products of Hankel matrices of small positive integers with vectors of large ones.
//
// A Hankel matrix H[i][j] = h(i + j) of size 2n has three blocks, and needs three products of size n:
//   | A B |  (x)     P = B (x + y),   P + (A - B) x
//   | B C |  (y)                      P - (B - C) y
// and one of size 3n, with blocks h0 … h4, six of size n:
//   P01 = h1 (x + y), P02 = h2 (x + z), P12 = h3 (y + z),
//   P01 + P02 - (h1 + h2 - h0) x,  P01 + P12 - (h1 + h3 - h2) y,  P02 + P12 - (h2 + h3 - h4) z.
// h(k) = L / (k + t) is completely monotone, and so are differences of it at a distance: all matrices that
// are met stay positive, and so does every result. Checked at compile time.
//
// Elements of vectors are below 2^B, B from 255 to 258; results have 10 words, for sums below 2^320. A
// product with a constant below 2^32 costs 8 wide products, one above 16 (9 and 17 for elements of 9 words).
#pragma once
#include "word.cuh"

namespace hankel {

using namespace word;

constexpr int SUM = 10;

// Words of an element below 2^bits.
constexpr int words(int bits) { return (bits + 31) / 32; }

// Sequences of constants: at(k).
template <class S, int OFFSET> struct Shift {
    static constexpr int64_t at(int k) { return S::at(k + OFFSET); }
};
template <class S, int OFFSET, int MINUS> struct Difference {
    static constexpr int64_t at(int k) { return S::at(k + OFFSET) - S::at(k + MINUS); }
};
// h(k + A) + h(k + B) - h(k + C), for size 3n
template <class S, int A, int B, int C> struct Excess {
    static constexpr int64_t at(int k) { return S::at(k + A) + S::at(k + B) - S::at(k + C); }
};

// even (10 words) and odd (9, one word further up) += a C.
template <int B, int64_t C> FN void mac(uint32_t *even, uint32_t *odd, const uint32_t *a) {
    static_assert(C > 0 && C < (int64_t)1 << 56, "constants are positive and of two words");
    constexpr uint32_t lo = (uint32_t)C, hi = (uint32_t)(C >> 32);
    mad_row<4>(even, a, lo);
    if constexpr (words(B) == 9) {
        even[8] = madc_lo_cc(a[8], lo, even[8]);
        even[9] = madc_hi(a[8], lo, even[9]);
    } else {
        even[8] = addc_cc(even[8], 0);
        even[9] = addc(even[9], 0);
    }
    mad_row<4>(odd, a + 1, lo);
    odd[8] = addc(odd[8], 0);
    if constexpr (hi != 0) {
        mad_row<4>(even + 2, a + 1, hi);
        mad_row<4>(odd, a, hi);
        odd[8] = words(B) == 9 ? madc_lo(a[8], hi, odd[8]) : addc(odd[8], 0);
    }
}

// even and odd = a C.
template <int B, int64_t C> FN void mul(uint32_t *even, uint32_t *odd, const uint32_t *a) {
    static_assert(C > 0 && C < (int64_t)1 << 56, "constants are positive and of two words");
    constexpr uint32_t lo = (uint32_t)C, hi = (uint32_t)(C >> 32);
    mul_row<4>(even, a, lo);
    mul_row<4>(odd, a + 1, lo);
    even[8] = even[9] = odd[8] = 0;
    if constexpr (words(B) == 9) mul_row<1>(even + 8, a + 8, lo);
    if constexpr (hi != 0) {
        mad_row<4>(even + 2, a + 1, hi);
        mad_row<4>(odd, a, hi);
        odd[8] = words(B) == 9 ? madc_lo(a[8], hi, 0) : addc(0, 0);
    }
}

// to = even + odd at one word further up.
FN void join(uint32_t *to, const uint32_t *even, const uint32_t *odd) {
    to[0] = even[0];
    to[1] = add_cc(even[1], odd[0]);
#pragma unroll
    for (int i = 2; i < SUM - 1; i++) to[i] = addc_cc(even[i], odd[i - 1]);
    to[SUM - 1] = addc(even[SUM - 1], odd[SUM - 2]);
}

template <class S, int B, int I, int J, int LEN>
FN void mac_row(uint32_t *even, uint32_t *odd, const uint32_t (*v)[words(B)]) {
    if constexpr (J < LEN) {
        mac<B, S::at(I + J)>(even, odd, v[J]);
        mac_row<S, B, I, J + 1, LEN>(even, odd, v);
    }
}

// to = from + row I of the matrix of S times v; from may be to, or null for zero.
template <class S, int B, int I, int LEN>
FN void row(uint32_t *to, const uint32_t *from, const uint32_t (*v)[words(B)]) {
    uint32_t even[SUM], odd[SUM - 1];
    if (from) {
#pragma unroll
        for (int i = 0; i < SUM; i++) even[i] = from[i];
#pragma unroll
        for (int i = 0; i < SUM - 1; i++) odd[i] = 0;
        mac_row<S, B, I, 0, LEN>(even, odd, v);
    } else {
        mul<B, S::at(I)>(even, odd, v[0]);
        mac_row<S, B, I, 1, LEN>(even, odd, v);
    }
    join(to, even, odd);
}

// s = a + b for elements below 2^B.
template <int B> FN void add_elements(uint32_t *s, const uint32_t *a, const uint32_t *b) {
    constexpr int N = words(B);
    s[0] = add_cc(a[0], b[0]);
#pragma unroll
    for (int i = 1; i < N; i++) s[i] = addc_cc(a[i], b[i]);
    if constexpr (words(B + 1) > N) s[N] = addc(0, 0);
}

// Compile-time indices, for rows.
template <int I> struct Index {
    static constexpr int value = I;
};
template <class F> FN void for_three(F f) {
    f(Index<0>{});
    f(Index<1>{});
    f(Index<2>{});
}

// out = S v for three elements, row by row: 9 products.
template <class S, int B> FN void three(uint32_t (*out)[SUM], const uint32_t (*v)[words(B)]) {
    for_three([&](auto i) { row<S, B, decltype(i)::value, 3>(out[decltype(i)::value], nullptr, v); });
}

// S v for six elements, by three products of three: finish(i, sum) is called for rows 3, 4, 5, 0, 1, 2 as
// they are made, so that none of them waits in registers.
template <class S, int B, class F> FN void six(const uint32_t (*v)[words(B)], F finish) {
    uint32_t p[3][SUM];
    {
        uint32_t s[3][words(B + 1)];
#pragma unroll
        for (int i = 0; i < 3; i++) add_elements<B>(s[i], v[i], v[i + 3]);
        three<Shift<S, 3>, B + 1>(p, s);
    }
    for_three([&](auto i) {
        constexpr int I = decltype(i)::value;
        uint32_t sum[SUM];
        row<Difference<S, 3, 6>, B, I, 3>(sum, nullptr, v + 3);
        word::sub<SUM>(sum, p[I], sum);
        finish(I + 3, sum);
    });
    for_three([&](auto i) {
        constexpr int I = decltype(i)::value;
        row<Difference<S, 0, 3>, B, I, 3>(p[I], p[I], v);
        finish(I, p[I]);
    });
}

} // namespace hankel
