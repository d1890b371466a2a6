// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The quadratic extension of the base field, u^2 = -1: c0 + c1 u. A loose element has loose parts.
//
// Wide products: mul 3 x 108 + 2 x 144 (Karatsuba, reduced once a part), square 2 x (108 + 144).
#pragma once
#include "fp.cuh"
#include "inverse.cuh"

namespace fp {

struct Fp2 {
    Fp c0, c1;
};

FN bool same(const Fp2 &a, const Fp2 &b) { return same(a.c0, b.c0) && same(a.c1, b.c1); }
FN bool is_zero(const Fp2 &a) { return is_zero(a.c0) && is_zero(a.c1); }
FN Fp2 canonical(const Fp2 &a) { return {canonical(a.c0), canonical(a.c1)}; }
FN Fp2 add(const Fp2 &a, const Fp2 &b) { return {add(a.c0, b.c0), add(a.c1, b.c1)}; }
FN Fp2 twice(const Fp2 &a) { return {twice(a.c0), twice(a.c1)}; }
FN Fp2 sub(const Fp2 &a, const Fp2 &b) { return {sub(a.c0, b.c0), sub(a.c1, b.c1)}; }
FN Fp2 negative(const Fp2 &a) { return {negative(a.c0), negative(a.c1)}; }

// t[11..24) += 2^383 p, which is a multiple of p above 0.41 p R.
FN void add_half_p_r(uint32_t *t) {
    const uint32_t half[13] = {0x80000000u, 0xffffd555u, 0xdcff7fffu, 0x58a9ffffu, 0x0f55ffffu,
                               0x7b587b12u, 0xb3986950u, 0x79c2895fu, 0xb23ba5c2u, 0x21a5d66bu,
                               0x258dd3dbu, 0x1cbff34du, 0x0d0088f5u};
    word::add<13>(t + 11, half);
}

// With all parts below 2p: c0 = a0 b0 - a1 b1 + 0.5 p R < 0.91 p R, c1 = a0 b1 + a1 b0 < 0.82 p R.
FN_CALL Fp2 mul(Fp2 a, Fp2 b) {
    uint32_t t0[2 * N], t1[2 * N], t2[2 * N];
    wide_mul(t2, sum(a.c0, a.c1), sum(b.c0, b.c1));
    wide_mul(t0, a.c0, b.c0);
    word::sub<2 * N>(t2, t2, t0);
    wide_mul(t1, a.c1, b.c1);
    word::sub<2 * N>(t2, t2, t1);
    add_half_p_r(t0);
    word::sub<2 * N>(t0, t0, t1);
    return {reduce(t0), reduce(t2)};
}

// (a0 + a1) (a0 - a1) + 2 a0 a1 u.
FN Fp2 square(const Fp2 &a) {
    return {mul(sum(a.c0, a.c1), sub(a.c0, a.c1)), mul(sum(a.c0, a.c0), a.c1)};
}

// (a0 - a1 u) / (a0^2 + a1^2).
FN Fp2 inverse(const Fp2 &a) {
    Fp norm = inverse(add(square(a.c0), square(a.c1)));
    return {mul(a.c0, norm), mul(sub(zero(), a.c1), norm)};
}

template <class Field> FN Field zero_of();
template <> FN Fp zero_of<Fp>() { return zero(); }
template <> FN Fp2 zero_of<Fp2>() { return {zero(), zero()}; }
template <class Field> FN Field one_of();
template <> FN Fp one_of<Fp>() { return one(); }
template <> FN Fp2 one_of<Fp2>() { return {one(), zero()}; }

} // namespace fp
