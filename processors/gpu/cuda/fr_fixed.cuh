// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Products with a factor of the scalar field that is known beforehand, so that its ratio to r is known too:
// Shoup's trick (D. Harvey, Faster arithmetic for number-theoretic transforms, 2014, algorithm 2). With
// b' = floor(b 2^256 / r) and q = floor(a b' / 2^256), a b - q r is between 0 and 2r; so the upper half of one
// product and the lower halves of two are all that is computed.
//
// Wide products: 43 + 28 + 15, and 14 of which only the lower half is needed; fr::mul has 112. It has a third
// of mul's additions, and needs no Montgomery form: b is plain, and a's form is that of the result.
#pragma once
#include "fr.cuh"

namespace fr {

// A factor: b below r, and b'. Two times two quads in memory.
struct Fixed {
    uint32_t b[8], ratio[8];
};

// acc += a[0], a[2], … a[2N-2] times c at words 0, 2, … and the lower half of a[2N] c at word 2N.
template <int N> FN void mad_row_low(uint32_t *acc, const uint32_t *a, uint32_t c) {
    if constexpr (N == 0) {
        acc[0] += a[0] * c;
    } else {
        mad_row<N>(acc, a, c);
        acc[2 * N] = madc_lo(a[2 * N], c, acc[2 * N]);
    }
}

// even + odd at one word further up += a b mod 2^(32 N), a and b of N words, N even: from row I of b on.
template <int N, int I = 0>
FN void add_low_product(uint32_t *even, uint32_t *odd, const uint32_t *a, const uint32_t *b) {
    if constexpr (I < N) {
        if constexpr (I % 2 == 0) {
            mad_row<(N - I) / 2>(even + I, a, b[I]);
            mad_row_low<(N - 2 - I) / 2>(odd + I, a + 1, b[I]);
        } else {
            if constexpr (I + 1 < N) mad_row<(N - 1 - I) / 2>(even + I + 1, a + 1, b[I]);
            mad_row_low<(N - 1 - I) / 2>(odd + I - 1, a, b[I]);
        }
        add_low_product<N, I + 1>(even, odd, a, b);
    }
}

// floor(a b / 2^256), or one less: products that lie below word 6 are left out, less than 2^-29 of the result's
// last place.
FN void high_product(uint32_t *to, const uint32_t *a, const uint32_t *b) {
    // Words 6 to 15, and 7 to 15. A row whose uppermost product meets nothing but an earlier carry carries
    // nothing out.
    uint32_t even[10], odd[9];
#pragma unroll
    for (int i = 0; i < 10; i++) even[i] = 0;
#pragma unroll
    for (int i = 0; i < 9; i++) odd[i] = 0;
    mul_row<1>(even, a + 6, b[0]);
    mul_row<1>(odd, a + 7, b[0]);
    mad_row<2>(even, a + 5, b[1]);
    mad_row<1>(odd, a + 6, b[1]);
    odd[2] = addc(0, 0);
    mad_row<2>(even, a + 4, b[2]);
    even[4] = addc(0, 0);
    mad_row<2>(odd, a + 5, b[2]);
    mad_row<3>(even, a + 3, b[3]);
    mad_row<2>(odd, a + 4, b[3]);
    odd[4] = addc(0, 0);
    mad_row<3>(even, a + 2, b[4]);
    even[6] = addc(0, 0);
    mad_row<3>(odd, a + 3, b[4]);
    mad_row<4>(even, a + 1, b[5]);
    mad_row<3>(odd, a + 2, b[5]);
    odd[6] = addc(0, 0);
    mad_row<4>(even, a, b[6]);
    even[8] = addc(0, 0);
    mad_row<4>(odd, a + 1, b[6]);
    mad_row<4>(even + 2, a + 1, b[7]);
    mad_row<4>(odd, a, b[7]);
    odd[8] = addc(0, 0);
    add_cc(even[1], odd[0]);
#pragma unroll
    for (int i = 0; i < 7; i++) to[i] = addc_cc(even[i + 2], odd[i + 1]);
    to[7] = addc(even[9], odd[8]);
}

// a - r if that is not negative, else a; canonical for a below 2r.
FN void reduce_once(uint32_t *a) {
    const uint32_t r[8] = {FR_R0, FR_R1, FR_R2, FR_R3, FR_R4, FR_R5, FR_R6, FR_R7};
    a[0] = sub_cc(a[0], r[0]);
#pragma unroll
    for (int i = 1; i < 8; i++) a[i] = subc_cc(a[i], r[i]);
    add_r_if(a, subc(0, 0));
}

// a = a b mod r, for any a below 2^256: at most r (1 + a / 2^256 + 2^-29), which is less than 2.01 r.
FN void mul_fixed_wide(uint32_t *a, const Fixed &factor) {
    // 2^192 - (r >> 64) - 1: -r is that times 2^64, and 2^32 - 1.
    const uint32_t minus_r[6] = {~FR_R2, ~FR_R3, ~FR_R4, ~FR_R5, ~FR_R6, ~FR_R7};
    uint32_t q[8], even[8], odd[7];
    high_product(q, a, factor.ratio);
#pragma unroll
    for (int i = 0; i < 8; i++) even[i] = 0;
#pragma unroll
    for (int i = 0; i < 7; i++) odd[i] = 0;
    add_low_product<8>(even, odd, a, factor.b);
    add_low_product<6>(even + 2, odd + 2, minus_r, q);
    a[0] = even[0];
    a[1] = add_cc(even[1], odd[0]);
#pragma unroll
    for (int i = 2; i < 7; i++) a[i] = addc_cc(even[i], odd[i - 1]);
    a[7] = addc(even[7], odd[6]);
    word::sub<8>(a, a, q);
    word::add<7>(a + 1, q);
}

// The same, canonical; for a at most 2r.
FN void mul_fixed(uint32_t *a, const Fixed &factor) {
    mul_fixed_wide(a, factor);
    reduce_once(a);
}

} // namespace fr
