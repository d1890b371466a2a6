// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Points of y^2 = x^3 + b over a field with a = 0 and no point of order two, as BLS12-381's G1 (over Fp) and
// G2 (over Fp2) are. An affine point has canonical coordinates; infinity is (0, 0), which is on no such curve.
//
// A sum of affine points costs an inverse, 2 products and a square: x3 = l^2 - x1 - x2, y3 = l (x1 - x3) - y1
// with the slope l = (y2 - y1) / (x2 - x1), or 3 x^2 / 2y for a doubling. With the inverses of many sums taken
// together (three products each) that is 5 products and a square, half of what extended (XYZZ) coordinates take;
// these are for the last few sums, which would have to wait for an inverse each time.
#pragma once
#include "fp2.cuh"

namespace curve {

using namespace fp;

template <class Field> struct Affine {
    Field x, y;
};

template <class Field> FN Affine<Field> infinity() { return {zero_of<Field>(), zero_of<Field>()}; }
template <class Field> FN bool is_infinite(const Affine<Field> &p) { return is_zero(p.x) && is_zero(p.y); }

// How two points are added.
enum Way { SECANT, TANGENT, FIRST, SECOND, NEITHER };

template <class Field> FN Way way_of(const Affine<Field> &p, const Affine<Field> &q) {
    if (is_infinite(p)) return SECOND;
    if (is_infinite(q)) return FIRST;
    if (!same(p.x, q.x)) return SECANT;
    return same(p.y, q.y) ? TANGENT : NEITHER;
}

// What is to be inverted for the sum: never zero.
template <class Field> FN Field denominator(Way way, const Affine<Field> &p, const Affine<Field> &q) {
    if (way == SECANT) return sub(q.x, p.x);
    return way == TANGENT ? twice(p.y) : one_of<Field>();
}

// The sum of two points on a line of this slope, neither of them infinite.
template <class Field> FN Affine<Field> on_line(const Field &slope, const Field &x1, const Field &y1, const Field &x2) {
    Affine<Field> s;
    s.x = canonical(sub(sub(square(slope), x1), x2));
    s.y = canonical(sub(mul(slope, sub(x1, s.x)), y1));
    return s;
}

// p + q, given the inverse of the denominator.
template <class Field>
FN Affine<Field> sum_of(Way way, const Affine<Field> &p, const Affine<Field> &q, const Field &inverse) {
    if (way == FIRST) return p;
    if (way == SECOND) return q;
    if (way == NEITHER) return infinity<Field>();
    Field rise = sub(q.y, p.y);
    if (way == TANGENT) {
        rise = square(p.x);
        rise = add(twice(rise), rise);
    }
    return on_line(mul(rise, inverse), p.x, p.y, q.x);
}

// x = x / zz and y = y / zzz with zz^3 = zzz^2, loose; zz = 0 for infinity. A sum is 12 products and 2 squares
// and needs no inverse.
template <class Field> struct Extended {
    Field x, y, zz, zzz;
};

template <class Field> FN Extended<Field> extended_infinity() {
    Field zero = zero_of<Field>();
    return {zero, zero, zero, zero};
}

template <class Field> FN Extended<Field> extended(const Affine<Field> &p) {
    Field zz = is_infinite(p) ? zero_of<Field>() : one_of<Field>();
    return {p.x, p.y, zz, zz};
}

// 2 p for a finite p (formula dbl-2008-s-1 of the Explicit-Formulas Database).
template <class Field> FN_CALL void twice_extended(Extended<Field> *to, const Extended<Field> *p) {
    Field u = twice(p->y), v = square(u), w = mul(u, v), s = mul(p->x, v), m = square(p->x);
    m = add(twice(m), m);
    Field x = sub(square(m), twice(s));
    Field y = sub(mul(m, sub(s, x)), mul(w, p->y));
    *to = {x, y, mul(v, p->zz), mul(w, p->zzz)};
}

// *to += *p (formula add-2008-s of the same).
template <class Field> FN_CALL void add_extended(Extended<Field> *to, const Extended<Field> *p) {
    if (is_zero(p->zz)) return;
    if (is_zero(to->zz)) {
        *to = *p;
        return;
    }
    Field u1 = mul(to->x, p->zz), s1 = mul(to->y, p->zzz);
    Field run = sub(mul(p->x, to->zz), u1), rise = sub(mul(p->y, to->zzz), s1);
    if (is_zero(canonical(run))) {
        if (is_zero(canonical(rise))) twice_extended(to, p);
        else *to = extended_infinity<Field>();
        return;
    }
    Field pp = square(run), ppp = mul(run, pp), q = mul(u1, pp);
    to->x = sub(sub(square(rise), ppp), twice(q));
    to->y = sub(mul(rise, sub(q, to->x)), mul(s1, ppp));
    to->zz = mul(mul(to->zz, p->zz), pp);
    to->zzz = mul(mul(to->zzz, p->zzz), ppp);
}

// x = X / Z^2, y = Y / Z^3, canonical; Z = 0 for infinity.
template <class Field> struct Jacobian {
    Field x, y, z;
};

// X = x zz and Y = y zzz with Z = zz, since zz^3 = zzz^2.
template <class Field> FN Jacobian<Field> jacobian(const Extended<Field> &p) {
    return {canonical(mul(p.x, p.zz)), canonical(mul(p.y, p.zzz)), canonical(p.zz)};
}

} // namespace curve
