// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The scalar field of BLS12-381: r = 0x73eda753299d7d483339d80809a1d805_53bda402fffe5bfeffffffff00000001.
//
// Elements are 8 words, least significant first; R = 2^256 and mul(a, b) = a b / R mod r. Nothing here
// knows whether an element is in Montgomery form. Bounds are stated in multiples of 2^255; r is 0.9056.
//
// Wide products (32 x 32 -> 64 bit): mul 64 + 48, square 36 + 48. The reduction subtracts multiples of r from
// below. Since r = ((r >> 64) + 1) 2^64 - 2^32 + 1, the multiple that clears a word is the word itself:
//   (t - t0 r) / 2^32 = (t >> 32) + t0 - t0 ((r >> 64) + 1) 2^32,
// six words of constants, and the quotient costs nothing.
#pragma once
#include "word.cuh"

namespace fr {

using namespace word;

// Words 0 to 7 of r.
#define FR_R0 0x00000001u
#define FR_R1 0xffffffffu
#define FR_R2 0xfffe5bfeu
#define FR_R3 0x53bda402u
#define FR_R4 0x09a1d805u
#define FR_R5 0x3339d808u
#define FR_R6 0x299d7d48u
#define FR_R7 0x73eda753u

// to = a - r if that is not negative, else a. For a < 2r the result is canonical.
FN void subtract_r(uint32_t *to, const uint32_t *a) {
    const uint32_t r[8] = {FR_R0, FR_R1, FR_R2, FR_R3, FR_R4, FR_R5, FR_R6, FR_R7};
    uint32_t d[8];
    d[0] = sub_cc(a[0], r[0]);
#pragma unroll
    for (int i = 1; i < 8; i++) d[i] = subc_cc(a[i], r[i]);
    uint32_t borrow = subc(0, 0);
#pragma unroll
    for (int i = 0; i < 8; i++) to[i] = borrow ? a[i] : d[i];
}

// M for the two lowest words (t0, t1).
FN void quotient(uint32_t &m0, uint32_t &m1, uint32_t t0, uint32_t t1) {
    uint32_t sum = t0 + t1;
    m0 = sub_cc(0, t0);
    m1 = subc(0, sum);
}

// Ten words to eight: to = t / 2^64 mod r, at most (t >> 64) + r + 1. For t < 2^(320 - 1) it fits.
FN void reduce10(uint32_t *to, const uint32_t *t) {
    const uint32_t low[6] = {FR_R2 + 1, FR_R3, FR_R4, FR_R5, FR_R6, FR_R7};
    const uint32_t high[7] = {FR_R1, FR_R2, FR_R3, FR_R4, FR_R5, FR_R6, FR_R7};
    uint32_t m0, m1, odd[7], even[8];
#pragma unroll
    for (int i = 0; i < 8; i++) even[i] = t[i + 2];
    quotient(m0, m1, t[0], t[1]);
    add_cc(t[0], m0);
    addc_cc(t[1], m1);
    mad_row<3, true>(even, low, m0);
    even[6] = addc_cc(even[6], 0);
    even[7] = addc(even[7], 0);
    mad_row<4>(even, high, m1);
    mul_row<3>(odd, low + 1, m0);
    mad_row<3>(odd, high + 1, m1);
    odd[6] = addc(0, 0);
    to[0] = even[0];
    to[1] = add_cc(even[1], odd[0]);
#pragma unroll
    for (int i = 2; i < 7; i++) to[i] = addc_cc(even[i], odd[i - 1]);
    to[7] = addc(even[7], odd[6]);
}

// to = a + r where `flag` is not zero, else a. The device does it under a predicate, without a selection.
FN void add_r_if(uint32_t *a, uint32_t flag) {
#ifdef __CUDACC__
    asm("{\n.reg .pred p;\nsetp.ne.u32 p, %8, 0;\n"
        "@p add.cc.u32 %0, %0, %9;\n@p addc.cc.u32 %1, %1, %10;\n@p addc.cc.u32 %2, %2, %11;\n"
        "@p addc.cc.u32 %3, %3, %12;\n@p addc.cc.u32 %4, %4, %13;\n@p addc.cc.u32 %5, %5, %14;\n"
        "@p addc.cc.u32 %6, %6, %15;\n@p addc.u32 %7, %7, %16;\n}"
        : "+r"(a[0]), "+r"(a[1]), "+r"(a[2]), "+r"(a[3]), "+r"(a[4]), "+r"(a[5]), "+r"(a[6]), "+r"(a[7])
        : "r"(flag), "n"(FR_R0), "n"(FR_R1), "n"(FR_R2), "n"(FR_R3), "n"(FR_R4), "n"(FR_R5), "n"(FR_R6),
          "n"(FR_R7));
#else
    const uint32_t r[8] = {FR_R0, FR_R1, FR_R2, FR_R3, FR_R4, FR_R5, FR_R6, FR_R7};
    if (flag) word::add<8>(a, r);
#endif
}

// Sums of multiples of (r >> 64) + 1, words 0.. and 1..; the flags of the three chains that make a word of
// what is left, saved between words: carry of what is added, borrows of what is subtracted.
struct Reduction {
    uint32_t even[16], odd[16], carry, even_borrow, odd_borrow;
};

// Word i of t + below - even - odd, where `below` is the word before it.
FN uint32_t remainder(Reduction &s, const uint32_t *t, int i, uint32_t below) {
    add_cc(s.carry, 0xffffffffu);
    uint32_t x = addc_cc(t[i], below);
    s.carry = addc(0, 0);
    sub_cc(0, s.even_borrow);
    x = subc_cc(x, s.even[i]);
    s.even_borrow = subc(0, 0);
    sub_cc(0, s.odd_borrow);
    x = subc_cc(x, i ? s.odd[i - 1] : 0);
    s.odd_borrow = subc(0, 0);
    return x;
}

// Sixteen words to eight: to = t / 2^256 mod r, at most (t >> 256) or below r.
FN void reduce16(uint32_t *to, const uint32_t *t) {
    const uint32_t c[6] = {FR_R2 + 1, FR_R3, FR_R4, FR_R5, FR_R6, FR_R7};
    Reduction s;
#pragma unroll
    for (int i = 0; i < 16; i++) s.even[i] = s.odd[i] = 0;
    s.carry = s.even_borrow = s.odd_borrow = 0;
    uint32_t m0, m1 = 0;
#pragma unroll
    for (int i = 0; i < 8; i += 2) {
        m0 = remainder(s, t, i, m1);
        m1 = remainder(s, t, i + 1, m0);
        // A row whose uppermost product meets nothing but an earlier carry carries nothing out.
        uint32_t *even = s.even + i + 2, *odd = s.odd + i + 2;
        if (i == 0) {
            mul_row<3>(even, c, m0);
            mul_row<3>(odd, c + 1, m0);
        } else {
            mad_row<3>(even, c, m0);
            even[6] = addc(0, 0);
            mad_row<3>(odd, c + 1, m0);
        }
        mad_row<3>(odd, c, m1);
        odd[6] = addc(0, 0);
        mad_row<3>(even + 2, c + 1, m1);
    }
    add_cc(s.carry, 0xffffffffu);
    to[0] = addc_cc(t[8], m1);
#pragma unroll
    for (int i = 1; i < 8; i++) to[i] = addc_cc(t[i + 8], 0);
    uint32_t sign = addc(0, 0);
    sub_cc(0, s.even_borrow);
#pragma unroll
    for (int i = 0; i < 8; i++) to[i] = subc_cc(to[i], s.even[i + 8]);
    sign = subc(sign, 0);
    sub_cc(0, s.odd_borrow);
#pragma unroll
    for (int i = 0; i < 8; i++) to[i] = subc_cc(to[i], s.odd[i + 7]);
    sign = subc(sign, 0);
    add_r_if(to, sign);
}

// t[0..16) = even + odd at one word further up.
FN void join16(uint32_t *t, const uint32_t *even, const uint32_t *odd) {
    t[0] = even[0];
    t[1] = add_cc(even[1], odd[0]);
#pragma unroll
    for (int i = 2; i < 15; i++) t[i] = addc_cc(even[i], odd[i - 1]);
    t[15] = addc(even[15], odd[14]);
}

// to = a b / R mod r, canonical for a b below 2^256 r, else at most a b / R; `to` may be a or b.
//
// A row whose uppermost product meets nothing but an earlier carry carries nothing out. To add that carry to a
// word of the other array instead saves registers and loses 4 %: the compiler gives it to the products' pipe.
FN void mul(uint32_t *to, const uint32_t *a, const uint32_t *b) {
    uint32_t even[16], odd[16], t[16];
#pragma unroll
    for (int i = 0; i < 16; i++) even[i] = odd[i] = 0;
#pragma unroll
    for (int i = 0; i < 8; i += 2) {
        if (i == 0) {
            mul_row<4>(even, a, b[0]);
            mul_row<4>(odd, a + 1, b[0]);
        } else {
            mad_row<4>(even + i, a, b[i]);
            even[i + 8] = addc(0, 0);
            mad_row<4>(odd + i, a + 1, b[i]);
        }
        mad_row<4>(odd + i, a, b[i + 1]);
        odd[i + 8] = addc(0, 0);
        mad_row<4>(even + i + 2, a + 1, b[i + 1]);
    }
    join16(t, even, odd);
    reduce16(to, t);
}

// to = a a / R mod r, canonical for a a below 2^256 r, else at most a a / R.
FN void square(uint32_t *to, const uint32_t *a) {
    uint32_t even[16], odd[16], t[16];
#pragma unroll
    for (int i = 0; i < 16; i++) even[i] = odd[i] = 0;
    // a[i] a[j] for i < j: at word i + j, which is odd for j = i + 1, i + 3, … and even for the others.
#define FR_SQUARE_ROW(i, n_odd, n_even)                                                           \
    mad_row<n_odd>(odd + 2 * i, a + i + 1, a[i]);                                                 \
    odd[2 * i + 2 * n_odd] = addc(odd[2 * i + 2 * n_odd], 0);                                     \
    mad_row<n_even>(even + 2 * i + 2, a + i + 2, a[i]);                                           \
    even[2 * i + 2 + 2 * n_even] = addc(even[2 * i + 2 + 2 * n_even], 0);
    mul_row<4>(odd, a + 1, a[0]);
    mul_row<3>(even + 2, a + 2, a[0]);
    FR_SQUARE_ROW(1, 3, 3)
    FR_SQUARE_ROW(2, 3, 2)
    FR_SQUARE_ROW(3, 2, 2)
    FR_SQUARE_ROW(4, 2, 1)
    FR_SQUARE_ROW(5, 1, 1)
#undef FR_SQUARE_ROW
    mad_row<1>(odd + 12, a + 7, a[6]);
    odd[14] = addc(odd[14], 0);
    join16(t, even, odd);
    t[1] = add_cc(t[1], t[1]);
#pragma unroll
    for (int i = 2; i < 15; i++) t[i] = addc_cc(t[i], t[i]);
    t[15] = addc(t[15], t[15]);
    t[0] = mad_lo_cc(a[0], a[0], t[0]);
    t[1] = madc_hi_cc(a[0], a[0], t[1]);
#pragma unroll
    for (int i = 1; i < 8; i++) {
        t[2 * i] = madc_lo_cc(a[i], a[i], t[2 * i]);
        t[2 * i + 1] = i < 7 ? madc_hi_cc(a[i], a[i], t[2 * i + 1]) : madc_hi(a[i], a[i], t[2 * i + 1]);
    }
    reduce16(to, t);
}

// to = a^5 / R^4, below 0.81. For a < 1: a^2 < 1.41, a^4 < 1.90, a^5 < 1.86, once r is taken off < 0.95.
FN void fifth_power(uint32_t *to, const uint32_t *a) {
    uint32_t b[8];
    square(b, a);
    square(b, b);
    mul(b, b, a);
    subtract_r(to, b);
}

// to = a + b mod r, canonical for canonical a and b.
FN void add_mod(uint32_t *to, const uint32_t *a, const uint32_t *b) {
    uint32_t s[8];
#pragma unroll
    for (int i = 0; i < 8; i++) s[i] = a[i];
    word::add<8>(s, b);
    subtract_r(to, s);
}

// to = a - b mod r, canonical for canonical a and b.
FN void sub_mod(uint32_t *to, const uint32_t *a, const uint32_t *b) {
    to[0] = sub_cc(a[0], b[0]);
#pragma unroll
    for (int i = 1; i < 8; i++) to[i] = subc_cc(a[i], b[i]);
    add_r_if(to, subc(0, 0));
}

// to = a + b, not reduced: below 2r for canonical a and b.
FN void add_wide(uint32_t *to, const uint32_t *a, const uint32_t *b) {
    to[0] = add_cc(a[0], b[0]);
#pragma unroll
    for (int i = 1; i < 7; i++) to[i] = addc_cc(a[i], b[i]);
    to[7] = addc(a[7], b[7]);
}

// to = a - b + r, not reduced: below 2r for canonical a and b.
FN void sub_wide(uint32_t *to, const uint32_t *a, const uint32_t *b) {
    const uint32_t r[8] = {FR_R0, FR_R1, FR_R2, FR_R3, FR_R4, FR_R5, FR_R6, FR_R7};
    word::sub<8>(to, a, b);
    word::add<8>(to, r);
}

} // namespace fr
