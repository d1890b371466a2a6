// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Sums of pairs of points, many at once: what a multi-scalar multiplication spends its time with.
//
// A pair names its two points by entries: a base (an index, and whether its negative is meant) or an earlier
// sum. Sums are kept one after another, numbered through all levels of a pass; totals[i] is the number of pairs
// of level i, so a level's first sum has the number totals[0] + … + totals[level - 1].
//
// A block takes a tile of n_turns x BLOCK pairs, thread t those at t, t + BLOCK, …: forward it multiplies the
// denominators, keeping each product so far where the sum's x will be; the products of the threads are
// multiplied in a tree in shared memory, its root is inverted by one thread, and the inverses go down the tree;
// backward each pair takes its own. Five products and a square for a pair, and 19 / (4 n_turns) more for the tree.
// Traffic for a G1 pair: 96 + 192 bytes of points, 96 for products, 96 for the sum.
#pragma once
#include "curve.cuh"
#include "msm_lists.cuh"

namespace msm {

using curve::Affine;

constexpr int BLOCK = 128;
constexpr uint32_t MAX_TURNS = 32;

template <class Field> FN Field load(const Field *from) {
    constexpr int PARTS = sizeof(Field) / sizeof(uint4);
    union {
        Field field;
        uint4 parts[PARTS];
    } value;
    const uint4 *at = (const uint4 *)from;
#pragma unroll
    for (int i = 0; i < PARTS; i++) value.parts[i] = at[i];
    return value.field;
}

template <class Field> FN void store(Field *to, const Field &field) {
    constexpr int PARTS = sizeof(Field) / sizeof(uint4);
    union {
        Field field;
        uint4 parts[PARTS];
    } value;
    value.field = field;
    uint4 *at = (uint4 *)to;
#pragma unroll
    for (int i = 0; i < PARTS; i++) at[i] = value.parts[i];
}

// Elements of a warp, each lane's in parts of 16 bytes beside those of the others: so that they are written and
// read whole lines at a time. They take half of the place of the warp's points at `warp`.
constexpr int WARP = 32;

template <class Field> FN void store_apart(Affine<Field> *warp, int lane, const Field &field) {
    constexpr int PARTS = sizeof(Field) / sizeof(uint4);
    union {
        Field field;
        uint4 parts[PARTS];
    } value;
    value.field = field;
#pragma unroll
    for (int i = 0; i < PARTS; i++) ((uint4 *)warp)[i * WARP + lane] = value.parts[i];
}

template <class Field> FN Field load_apart(const Affine<Field> *warp, int lane) {
    constexpr int PARTS = sizeof(Field) / sizeof(uint4);
    union {
        Field field;
        uint4 parts[PARTS];
    } value;
#pragma unroll
    for (int i = 0; i < PARTS; i++) value.parts[i] = ((const uint4 *)warp)[i * WARP + lane];
    return value.field;
}

template <class Field> struct Points {
    const Affine<Field> *bases;
    Affine<Field> *sums;

    FN const Affine<Field> *at(uint32_t entry) const {
        return entry & OF_SUM ? sums + (entry & ~OF_SUM) : bases + (entry & INDEX);
    }
    FN Field x(uint32_t entry) const { return load(&at(entry)->x); }
    FN Field y(uint32_t entry) const {
        Field y = load(&at(entry)->y);
        return (entry & (OF_SUM | OF_NEGATIVE)) == OF_NEGATIVE ? negative(y) : y;
    }
    FN Affine<Field> point(uint32_t entry) const { return {x(entry), y(entry)}; }
};

// Whether the first coordinates alone tell that a sum is that of two different, finite points.
template <class Field> FN bool is_plain(const Field &x1, const Field &x2) {
    return !same(x1, x2) && !is_zero(x1) && !is_zero(x2);
}

// The denominator of a pair that is not plain.
template <class Field> FN_CALL void rare_denominator(Field *to, const Points<Field> &points, Pair pair) {
    Affine<Field> p = points.point(pair.first), q = points.point(pair.second);
    *to = denominator(curve::way_of(p, q), p, q);
}

// The sum of such a pair; divides `inverse` by its denominator's inverse.
template <class Field>
FN_CALL void rare_sum(Affine<Field> *to, Field *inverse, const Field &own, const Points<Field> &points, Pair pair) {
    Affine<Field> p = points.point(pair.first), q = points.point(pair.second);
    curve::Way way = curve::way_of(p, q);
    *inverse = mul(*inverse, denominator(way, p, q));
    Affine<Field> s = sum_of(way, p, q, own);
    store(&to->x, s.x);
    store(&to->y, s.y);
}

// Inverts BLOCK elements, one a thread, none of them zero: tree[BLOCK + t] is thread t's.
template <class Field> FN void invert_all(Field *tree) {
    int t = threadIdx.x;
#pragma unroll 1
    for (int width = BLOCK / 2; width > 0; width /= 2) {
        __syncthreads();
        if (t < width) {
            int node = width + t;
            tree[node] = mul(tree[2 * node], tree[2 * node + 1]);
        }
    }
    __syncthreads();
    if (t == 0) tree[1] = inverse(tree[1]);
#pragma unroll 1
    for (int width = 2; width <= BLOCK; width *= 2) {
        __syncthreads();
        int node = width + t;
        Field own;
        if (t < width) own = mul(tree[node / 2], tree[node ^ 1]);
        __syncthreads();
        if (t < width) tree[node] = own;
    }
    __syncthreads();
}

// All pairs of a level; the grid may have any size.
template <class Field>
FN void add_pairs(const Affine<Field> *bases, Affine<Field> *sums, const Pair *pairs, const uint32_t *totals,
                  uint64_t level) {
    __shared__ Field tree[2 * BLOCK];
    uint64_t n = totals[level], start = 0;
    for (uint64_t i = 0; i < level; i++) start += totals[i];
    // As many turns as keep all blocks equally busy.
    uint64_t wave = (uint64_t)gridDim.x * BLOCK, waves = (n + wave * MAX_TURNS - 1) / (wave * MAX_TURNS);
    if (n == 0) return;
    uint64_t n_turns = (n + wave * waves - 1) / (wave * waves), tile = n_turns * BLOCK;
    Points<Field> points = {bases, sums};
    int lane = threadIdx.x % WARP;
#pragma unroll 1
    for (uint64_t from = blockIdx.x * tile; from < n; from += gridDim.x * tile) {
        uint64_t end = from + tile < n ? from + tile : n, own_from = from + threadIdx.x;
        Field product = fp::one_of<Field>();
#pragma unroll 1
        for (uint64_t turn = 0; turn < n_turns; turn++) {
            uint64_t i = own_from + turn * BLOCK;
            if (i >= end) break;
            store_apart(sums + start + i - lane, lane, product);
            Pair pair = pairs[i];
            Field x1 = points.x(pair.first), x2 = points.x(pair.second), own = sub(x2, x1);
            if (!is_plain(x1, x2)) {
                Field rare; // apart, so that `own` stays in registers
                rare_denominator(&rare, points, pair);
                own = rare;
            }
            product = mul(product, own);
        }
        tree[BLOCK + threadIdx.x] = product;
        invert_all(tree);
        Field inverse = tree[BLOCK + threadIdx.x];
#pragma unroll 1
        for (uint64_t turn = n_turns; turn-- > 0;) {
            uint64_t i = own_from + turn * BLOCK;
            if (i - lane >= end) continue;
            Affine<Field> *to = sums + start + i;
            Field own;
            if (i < end) own = load_apart(to - lane, lane);
            // The sums go where the warp's products were.
            __syncwarp();
            if (i >= end) continue;
            own = mul(inverse, own);
            Pair pair = pairs[i];
            Field x1 = points.x(pair.first), x2 = points.x(pair.second);
            if (!is_plain(x1, x2)) {
                Field rare = inverse, rare_own = own;
                rare_sum(to, &rare, rare_own, points, pair);
                inverse = rare;
                continue;
            }
            inverse = mul(inverse, sub(x2, x1));
            Field y1 = points.y(pair.first);
            Field slope = mul(sub(points.y(pair.second), y1), own);
            Affine<Field> s = curve::on_line(slope, x1, y1, x2);
            store(&to->x, s.x);
            store(&to->y, s.y);
        }
        __syncthreads();
    }
}

constexpr int SUM_BLOCK = 64;

// out[group] = the sum of all entries of a group's list: see msm_lists.cuh. A block a group.
template <class Field>
FN void sum_group(curve::Jacobian<Field> *out, const Affine<Field> *bases, Affine<Field> *sums,
                  const uint32_t *counts, const uint32_t *offsets, const uint32_t *list) {
    __shared__ curve::Extended<Field> tree[SUM_BLOCK];
    int t = threadIdx.x;
    uint64_t group = blockIdx.x, offset = offsets[group], count = counts[group];
    Points<Field> points = {bases, sums};
    curve::Extended<Field> sum = curve::extended_infinity<Field>();
    for (uint64_t i = t; i < count; i += SUM_BLOCK) {
        curve::Extended<Field> one = curve::extended(points.point(list[offset + i]));
        curve::add_extended(&sum, &one);
    }
    tree[t] = sum;
    for (int width = SUM_BLOCK / 2; width > 0; width /= 2) {
        __syncthreads();
        if (t < width) curve::add_extended(&tree[t], &tree[t + width]);
    }
    if (t != 0) return;
    curve::Jacobian<Field> result = curve::jacobian(tree[0]);
    store(&out[group].x, result.x);
    store(&out[group].y, result.y);
    store(&out[group].z, result.z);
}

} // namespace msm

extern "C" __global__ void __launch_bounds__(msm::BLOCK, 4)
    msm_add_g1(const msm::Affine<fp::Fp> *bases, msm::Affine<fp::Fp> *sums, const msm::Pair *pairs,
               const uint32_t *totals, uint64_t level) {
    msm::add_pairs(bases, sums, pairs, totals, level);
}

extern "C" __global__ void __launch_bounds__(msm::BLOCK, 2)
    msm_add_g2(const msm::Affine<fp::Fp2> *bases, msm::Affine<fp::Fp2> *sums, const msm::Pair *pairs,
               const uint32_t *totals, uint64_t level) {
    msm::add_pairs(bases, sums, pairs, totals, level);
}

extern "C" __global__ void __launch_bounds__(msm::SUM_BLOCK)
    msm_sum_g1(curve::Jacobian<fp::Fp> *out, const msm::Affine<fp::Fp> *bases, msm::Affine<fp::Fp> *sums,
               const uint32_t *counts, const uint32_t *offsets, const uint32_t *list) {
    msm::sum_group(out, bases, sums, counts, offsets, list);
}

extern "C" __global__ void __launch_bounds__(msm::SUM_BLOCK)
    msm_sum_g2(curve::Jacobian<fp::Fp2> *out, const msm::Affine<fp::Fp2> *bases, msm::Affine<fp::Fp2> *sums,
               const uint32_t *counts, const uint32_t *offsets, const uint32_t *list) {
    msm::sum_group(out, bases, sums, counts, offsets, list);
}
