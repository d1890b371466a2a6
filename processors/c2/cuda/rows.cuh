// SPDX-License-Identifier: MIT OR Apache-2.0
//
// y = M z for a matrix by rows, where most of z is bits and most entries are small: an entry is a column's
// number, four bytes, and its coefficient's number in a table of scalars, two.
//
// Rows come sorted by length (src/gpu/rows/order.rs). Short ones, one a thread, stand in slices of 32 rows of the same
// length, entry j of the row of lane i at 32 j + i, so that a warp reads whole lines and no thread waits for
// another. Long ones have a warp each and stand one after the other.
//
// Cost: 6 bytes and one addition (25 instructions) an entry whose column is a set bit, nothing but the bytes
// for one that is not; a product (112 wide ones) for a value times a coefficient other than one.
#pragma once
#include "block.cuh"

namespace c2 {

constexpr unsigned ROWS_BLOCK = 256, WARP = 32;

// No row: a lane that fills up a slice.
constexpr uint32_t NO_ROW = 0xffffffff;

// The assignment: columns below n_values have a value, the others are bits.
struct Assignment {
    const Element *values;
    const uint32_t *bits;
    size_t n_values;
};

struct Entries {
    const uint32_t *columns;
    const uint16_t *coefficients;
    const Element *table; // number 0 is one
};

struct Sum {
    uint32_t words[8];
};

FN void add_entry(uint32_t *sum, const Assignment &z, const Entries &entries, size_t at) {
    size_t column = entries.columns[at];
    unsigned number = entries.coefficients[at];
    uint32_t term[8];
    if (column < z.n_values) {
        load(term, z.values + column);
        if (number != 0) {
            uint32_t coefficient[8];
            load(coefficient, entries.table + number);
            fr::mul(term, term, coefficient);
        }
    } else {
        size_t bit = column - z.n_values;
        if (!(z.bits[bit / 32] >> (bit % 32) & 1)) return;
        load(term, entries.table + number);
    }
    fr::add_mod(sum, sum, term);
}

FN void clear(uint32_t *words) {
#pragma unroll
    for (int i = 0; i < 8; i++) words[i] = 0;
}

// slices[s] = the place of the slice's first entry << 8 | the length of its rows; rows[32 s + i] is the row of
// lane i or NO_ROW.
template <class B>
FN void short_rows(B &block, Element *out, const uint32_t *rows, const uint64_t *slices, size_t n_slices,
                   const Entries &entries, const Assignment &z, size_t number) {
    block.each([&](Sum &, unsigned thread) {
        size_t lane = number * ROWS_BLOCK + thread, slice = lane / WARP;
        if (slice >= n_slices || rows[lane] == NO_ROW) return;
        unsigned length = slices[slice] & 255;
        size_t at = (slices[slice] >> 8) + lane % WARP;
        uint32_t sum[8];
        clear(sum);
        for (unsigned j = 0; j < length; j++, at += WARP) add_entry(sum, z, entries, at);
        store(out + rows[lane], sum);
    });
}

// Row i of the long ones, rows[i] of the matrix, has the entries from begins[i] to begins[i + 1]. `shared` has
// an element a thread.
template <class B>
FN void long_rows(B &block, Element *out, const uint32_t *rows, const uint64_t *begins, size_t n,
                  const Entries &entries, const Assignment &z, Element *shared, size_t number) {
    const size_t first = number * (ROWS_BLOCK / WARP);
    block.each([&](Sum &mine, unsigned thread) {
        size_t row = first + thread / WARP;
        clear(mine.words);
        if (row < n)
            for (size_t at = begins[row] + thread % WARP; at < begins[row + 1]; at += WARP)
                add_entry(mine.words, z, entries, at);
    });
    for (unsigned half = WARP / 2; half > 0; half /= 2) {
        block.each([&](Sum &mine, unsigned thread) { store(shared + thread, mine.words); });
        block.barrier();
        block.each([&](Sum &mine, unsigned thread) {
            if (thread % WARP >= half) return;
            uint32_t other[8];
            load(other, shared + thread + half);
            fr::add_mod(mine.words, mine.words, other);
        });
        block.barrier();
    }
    block.each([&](Sum &mine, unsigned thread) {
        size_t row = first + thread / WARP;
        if (row < n && thread % WARP == 0) store(out + rows[row], mine.words);
    });
}

struct Nothing {};

// out[i] = from[indices[i]].
template <class B>
FN void gather(B &block, Element *out, const Element *from, const uint32_t *indices, size_t n, size_t number) {
    block.each([&](Nothing &, unsigned thread) {
        size_t i = number * ROWS_BLOCK + thread;
        if (i < n) out[i] = from[indices[i]];
    });
}

} // namespace c2

#ifdef __CUDACC__

// Blocks of ROWS_BLOCK threads, which cover 32 n_slices lanes.
extern "C" __global__ void __launch_bounds__(c2::ROWS_BLOCK)
    rows_short(c2::Element *out, const uint32_t *rows, const uint64_t *slices, size_t n_slices,
               const uint32_t *columns, const uint16_t *coefficients, const c2::Element *table,
               const c2::Element *values, const uint32_t *bits, size_t n_values) {
    c2::Block<c2::Sum> block;
    c2::short_rows(block, out, rows, slices, n_slices, c2::Entries{columns, coefficients, table},
                   c2::Assignment{values, bits, n_values}, blockIdx.x);
}

// Blocks of ROWS_BLOCK threads, which cover 32 n; 32 bytes of shared memory a thread.
extern "C" __global__ void __launch_bounds__(c2::ROWS_BLOCK)
    rows_long(c2::Element *out, const uint32_t *rows, const uint64_t *begins, size_t n, const uint32_t *columns,
              const uint16_t *coefficients, const c2::Element *table, const c2::Element *values,
              const uint32_t *bits, size_t n_values) {
    __shared__ c2::Element shared[c2::ROWS_BLOCK];
    c2::Block<c2::Sum> block;
    c2::long_rows(block, out, rows, begins, n, c2::Entries{columns, coefficients, table},
                  c2::Assignment{values, bits, n_values}, shared, blockIdx.x);
}

// Blocks of ROWS_BLOCK threads, which cover n.
extern "C" __global__ void __launch_bounds__(c2::ROWS_BLOCK)
    gather_scalars(c2::Element *out, const c2::Element *from, const uint32_t *indices, size_t n) {
    c2::Block<c2::Nothing> block;
    c2::gather(block, out, from, indices, n, blockIdx.x);
}

#endif
