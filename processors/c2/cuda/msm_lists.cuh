// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Which points are added to which. Groups (a bucket, a row of buckets, …) hold lists of entries; each level
// halves all lists: entries 2 i and 2 i + 1 make a pair, whose sum is entry i of the next level, and an odd
// one stays. So a group of `count` entries has ceil(count / 2^level) at a level, and is done when it has one,
// after ceil(lg count) levels. The lists of a level are in one array and the next level's in another, in turns;
// a group's final entry stays in that which its last level has written.
//
// These kernels move 8 to 30 bytes a point and compute little; blocks are of LIST_BLOCK threads.
#pragma once
#include "word.cuh"

namespace msm {

constexpr int LIST_BLOCK = 256;

// An entry names a point: bit 31 for a sum, bit 30 for the negative of a base, an index below.
constexpr uint32_t OF_SUM = 1u << 31, OF_NEGATIVE = 1u << 30, INDEX = OF_NEGATIVE - 1;
constexpr uint32_t NONE = 0xffffffffu;

struct Pair {
    uint32_t first, second;
};

// Lists of a stage: `lists[l % 2]` is read by level l.
struct Groups {
    const uint32_t *counts, *offsets;
    const uint32_t *lists[2];

    FN uint32_t final_entry(uint64_t group) const {
        uint32_t count = counts[group];
        if (count == 0) return NONE;
        int level = 0;
        while (((uint64_t)1 << level) < count) level++;
        return lists[level % 2][offsets[group]];
    }
};

// Sums of a block's values up to and with each thread's own, in shared memory: sums[t].
FN void scan(uint32_t *sums, uint32_t own) {
    int t = threadIdx.x;
    sums[t] = own;
    for (int step = 1; step < LIST_BLOCK; step *= 2) {
        __syncthreads();
        uint32_t below = t >= step ? sums[t - step] : 0;
        __syncthreads();
        sums[t] += below;
    }
    __syncthreads();
}

// Which elements of the groups before make up a new group.
enum Kind { ROWS_AND_COLUMNS, BITS, RUNS };
constexpr int RUN = 256;

// The shape of a window: 2^(lg_rows + lg_columns) buckets, bucket = row 2^lg_columns + column.
struct Shape {
    int lg_rows, lg_columns;

    FN uint64_t n_lines() const { return ((uint64_t)1 << lg_rows) + ((uint64_t)1 << lg_columns); }
    FN uint64_t n_weights() const { return lg_rows + lg_columns + 1; }
};

// i with a one put in at bit k.
FN uint64_t with_bit(uint64_t i, int k) { return (i >> k << (k + 1)) | (uint64_t)1 << k | (i & (((uint64_t)1 << k) - 1)); }

// The elements first(), …, of a new group, as numbers of groups before.
struct Elements {
    uint64_t n, first, stride;
    int bit; // where not below 0, element i is first + with_bit(i, bit)

    FN uint64_t operator[](uint64_t i) const { return first + (bit < 0 ? i * stride : with_bit(i, bit)); }
};

// Rows and columns: a window's rows, then its columns, of its buckets. Bits: the rows whose number has bit k,
// for each k; the same for columns; then all rows; of the lines before. Runs: RUN neighbours of n_before.
FN Elements elements_of(Kind kind, Shape shape, uint64_t group, uint64_t n_before) {
    uint64_t rows = (uint64_t)1 << shape.lg_rows, columns = (uint64_t)1 << shape.lg_columns;
    if (kind == RUNS) {
        uint64_t first = group * RUN, left = n_before - first;
        return {left < RUN ? left : RUN, first, 1, -1};
    }
    if (kind == ROWS_AND_COLUMNS) {
        uint64_t window = group / shape.n_lines(), line = group % shape.n_lines(), first = window * rows * columns;
        if (line < rows) return {columns, first + line * columns, 1, -1};
        return {rows, first + line - rows, columns, -1};
    }
    uint64_t window = group / shape.n_weights(), weight = group % shape.n_weights();
    uint64_t first = window * shape.n_lines();
    if (weight < (uint64_t)shape.lg_rows) return {rows / 2, first, 1, (int)weight};
    weight -= shape.lg_rows;
    if (weight < (uint64_t)shape.lg_columns) return {columns / 2, first + rows, 1, (int)weight};
    return {rows, first, 1, -1};
}

} // namespace msm

// offsets[i] = where a list of counts[i] entries can be, in a space from 0 on of which *used is taken (zero at
// first). The lists of a block's groups are neighbours; blocks come in any order.
extern "C" __global__ void __launch_bounds__(msm::LIST_BLOCK)
    msm_place(uint32_t *offsets, uint32_t *used, const uint32_t *counts, uint64_t n) {
    __shared__ uint32_t sums[msm::LIST_BLOCK], base;
    uint64_t group = (uint64_t)blockIdx.x * msm::LIST_BLOCK + threadIdx.x;
    uint32_t count = group < n ? counts[group] : 0;
    msm::scan(sums, count);
    if (threadIdx.x == 0) base = atomicAdd(used, sums[msm::LIST_BLOCK - 1]);
    __syncthreads();
    if (group < n) offsets[group] = base + sums[threadIdx.x] - count;
}

// Level `level` of a stage that began at `began`, both counted through the pass: makes the pairs and the lists
// of the next level, and counts the pairs in totals[level].
extern "C" __global__ void __launch_bounds__(msm::LIST_BLOCK)
    msm_pair(msm::Pair *pairs, uint32_t *next, const uint32_t *lists, uint32_t *totals, const uint32_t *counts,
             const uint32_t *offsets, uint64_t n, uint64_t level, uint64_t began) {
    __shared__ uint32_t sums[msm::LIST_BLOCK], places[msm::LIST_BLOCK], base, slot;
    int t = threadIdx.x;
    uint64_t group = (uint64_t)blockIdx.x * msm::LIST_BLOCK + t;
    uint32_t length = 0, place = 0;
    if (group < n) {
        uint64_t halved = level - began;
        length = (uint32_t)((counts[group] + ((uint64_t)1 << halved) - 1) >> halved);
        place = offsets[group];
    }
    if (length > 1 && length % 2) next[place + length / 2] = lists[place + length - 1];
    places[t] = place;
    msm::scan(sums, length / 2);
    uint32_t total = sums[msm::LIST_BLOCK - 1];
    if (total == 0) return;
    if (t == 0) {
        base = atomicAdd(&totals[level], total);
        slot = base;
        for (uint64_t l = 0; l < level; l++) slot += totals[l];
    }
    __syncthreads();
    // Several at a time, so that their loads overlap: a long list is one block's.
    constexpr int AT_ONCE = 4;
    for (uint32_t from = t; from < total; from += AT_ONCE * msm::LIST_BLOCK) {
        uint32_t at[AT_ONCE], own[AT_ONCE];
        msm::Pair found[AT_ONCE];
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++) {
            uint32_t i = from + k * msm::LIST_BLOCK;
            if (i >= total) continue;
            int owner = 0; // how many groups end at or before pair i
            for (int step = msm::LIST_BLOCK / 2; step > 0; step /= 2)
                if (sums[owner + step - 1] <= i) owner += step;
            own[k] = i - (owner ? sums[owner - 1] : 0), at[k] = places[owner];
            found[k] = {lists[at[k] + 2 * own[k]], lists[at[k] + 2 * own[k] + 1]};
        }
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++) {
            uint32_t i = from + k * msm::LIST_BLOCK;
            if (i >= total) continue;
            pairs[base + i] = found[k];
            next[at[k] + own[k]] = msm::OF_SUM | (slot + i);
        }
    }
}

// New groups from what the groups before have come to: a block a group. A group's list is at group * max_length.
extern "C" __global__ void __launch_bounds__(msm::LIST_BLOCK)
    msm_regroup(uint32_t *list, uint32_t *counts, uint32_t *offsets, const uint32_t *before_counts,
                const uint32_t *before_offsets, const uint32_t *before_even, const uint32_t *before_odd,
                uint64_t n_before, uint64_t kind, uint64_t lg_rows, uint64_t lg_columns, uint64_t max_length) {
    __shared__ uint32_t sums[msm::LIST_BLOCK];
    uint64_t group = blockIdx.x, place = group * max_length;
    msm::Groups before = {before_counts, before_offsets, {before_even, before_odd}};
    msm::Elements elements =
        msm::elements_of((msm::Kind)kind, msm::Shape{(int)lg_rows, (int)lg_columns}, group, n_before);
    uint32_t count = 0;
    for (uint64_t from = 0; from < elements.n; from += msm::LIST_BLOCK) {
        uint64_t i = from + threadIdx.x;
        uint32_t entry = i < elements.n ? before.final_entry(elements[i]) : msm::NONE;
        msm::scan(sums, entry != msm::NONE);
        if (entry != msm::NONE) list[place + count + sums[threadIdx.x] - 1] = entry;
        count += sums[msm::LIST_BLOCK - 1];
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        counts[group] = count;
        offsets[group] = (uint32_t)place;
    }
}

// Appends the numbers from + i, for i below n, whose bit indices[i] is set to a list of *used entries (zero at
// first), in any order.
extern "C" __global__ void __launch_bounds__(msm::LIST_BLOCK)
    msm_select(uint32_t *list, uint32_t *used, const uint32_t *indices, const uint64_t *bits, uint64_t n,
               uint64_t from) {
    __shared__ uint32_t sums[msm::LIST_BLOCK], base;
    uint64_t i = (uint64_t)blockIdx.x * msm::LIST_BLOCK + threadIdx.x;
    uint32_t index = i < n ? indices[i] : 0;
    bool is_set = i < n && (bits[index / 64] >> (index % 64) & 1);
    msm::scan(sums, is_set);
    if (threadIdx.x == 0) base = atomicAdd(used, sums[msm::LIST_BLOCK - 1]);
    __syncthreads();
    if (is_set) list[base + sums[threadIdx.x] - 1] = (uint32_t)(from + i);
}

// Cuts a list of *used entries into n groups of RUN, the last ones shorter or empty.
extern "C" __global__ void __launch_bounds__(msm::LIST_BLOCK)
    msm_cut(uint32_t *counts, uint32_t *offsets, const uint32_t *used, uint64_t n) {
    uint64_t i = (uint64_t)blockIdx.x * msm::LIST_BLOCK + threadIdx.x;
    if (i >= n) return;
    uint64_t first = i * msm::RUN, left = first < *used ? *used - first : 0;
    counts[i] = (uint32_t)(left < msm::RUN ? left : msm::RUN);
    offsets[i] = (uint32_t)first;
}
