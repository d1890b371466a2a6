// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Multiples of one point: which entries of a table are added. A scalar has 16 digits of 16 bits, and the table
// 2^16 multiples of the point for each of them, so a multiple is the sum of 16 entries: four levels of pairs
// for msm_add.cuh, of 8, 4, 2 and 1 pairs a scalar.
#pragma once
#include "msm_lists.cuh"

namespace fixed_base {

constexpr int LG_WINDOW = 16, WORDS = 8;

} // namespace fixed_base

// The first level: a word of a scalar, canonical and least significant first, names two entries.
extern "C" __global__ void fixed_base_entries(msm::Pair *pairs, const uint32_t *words, uint64_t n_words) {
    uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n_words) return;
    uint32_t window = 2 * (uint32_t)(i % fixed_base::WORDS), word = words[i];
    pairs[i] = {window << fixed_base::LG_WINDOW | (word & 0xffffu),
                (window + 1) << fixed_base::LG_WINDOW | word >> 16};
}

// The others: pair i is of the sums 2 i and 2 i + 1 of the level before, whose first sum is number `first`.
extern "C" __global__ void fixed_base_sums(msm::Pair *pairs, uint64_t first, uint64_t n) {
    uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    uint32_t sum = msm::OF_SUM | (uint32_t)(first + 2 * i);
    pairs[i] = {sum, sum + 1};
}
