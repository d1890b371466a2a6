// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A multi-scalar multiplication's scalars by digits, and its points by buckets (Pippenger).
//
// A scalar is sum d_w 2^(e_w) with digits |d_w| <= 2^(e_(w+1) - e_w - 1), so that a window of `width` bits has
// 2^(width - 1) buckets: digit d puts the point, or its negative, into bucket |d| - 1 of window w; zeros into
// none. The first n_wide windows have `width` bits and the others one less (and leave half of their buckets
// empty), so that all 256 bits are used: a last window of few bits would have few and long lists.
// Buckets of a pass's windows are numbered one window after another. Sorting counts: a digit's rank is how many came
// before it into its bucket, and its place is the bucket's offset plus the rank.
#pragma once
#include "fr.cuh"
#include "msm_lists.cuh"

namespace msm {

constexpr uint32_t KEY_NEGATIVE = 1u << 31;

// counter++; lanes of a warp that count the same are counted together, since all digits may be equal.
FN uint32_t ranked(uint32_t *counter) {
#ifdef __CUDA_ARCH__
    uint32_t peers = __match_any_sync(__activemask(), (uint64_t)counter);
    uint32_t lane = threadIdx.x % 32, first = __ffs((int)peers) - 1, before = 0;
    if (lane == first) before = atomicAdd(counter, (uint32_t)__popc(peers));
    return __shfl_sync(peers, before, (int)first) + __popc(peers & ((1u << lane) - 1));
#else
    return atomicAdd(counter, 1);
#endif
}

// A scalar as a number, from Montgomery form.
FN void number_of(uint32_t *to, const uint4 *scalar) {
    uint32_t t[16] = {};
    uint4 low = scalar[0], high = scalar[1];
    t[0] = low.x, t[1] = low.y, t[2] = low.z, t[3] = low.w;
    t[4] = high.x, t[5] = high.y, t[6] = high.z, t[7] = high.w;
    fr::reduce16(to, t);
    fr::subtract_r(to, to);
}

} // namespace msm

// Digits of n scalars (Montgomery form) in `n_windows` windows from window `from` on.
// keys[w n + i] is the bucket and the sign, or NONE for a zero; ranks[w n + i] its rank; counts must be zero
// and are then the sizes of the buckets. A thread a scalar.
extern "C" __global__ void __launch_bounds__(256)
    msm_digits(uint32_t *keys, uint32_t *ranks, uint32_t *counts, const uint4 *scalars, uint64_t n, uint64_t width,
               uint64_t n_wide, uint64_t from, uint64_t n_windows) {
    uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    uint32_t s[9];
    msm::number_of(s, scalars + 2 * i);
    s[8] = 0;
    uint32_t carry = 0;
#pragma unroll 1
    for (uint64_t w = 0; w < from + n_windows; w++) {
        uint32_t bits = (uint32_t)(w < n_wide ? width : width - 1), mask = (1u << bits) - 1, half = 1u << (bits - 1);
        uint32_t digit = (s[0] & mask) + carry;
#pragma unroll
        for (int k = 0; k < 8; k++) s[k] = (uint32_t)(((uint64_t)s[k + 1] << 32 | s[k]) >> bits);
        bool is_negative = digit > half;
        carry = is_negative;
        if (w < from) continue;
        uint64_t at = (w - from) * n + i;
        uint32_t size = is_negative ? 2 * half - digit : digit, key = msm::NONE;
        if (size) {
            uint64_t bucket = ((w - from) << (width - 1)) + size - 1;
            ranks[at] = msm::ranked(counts + bucket);
            key = (uint32_t)bucket | (is_negative ? msm::KEY_NEGATIVE : 0);
        }
        keys[at] = key;
    }
}

// entries[offset of the key's bucket + rank] = the base, for all n_windows n keys. A thread a key and part: a
// window's buckets are filled in 2^lg_parts parts, one after another, each of which fits the L2 cache.
extern "C" __global__ void __launch_bounds__(256)
    msm_scatter(uint32_t *entries, const uint32_t *keys, const uint32_t *ranks, const uint32_t *offsets, uint64_t n,
                uint64_t n_windows, uint64_t width, uint64_t lg_parts) {
    uint64_t thread = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x, turn = thread / n, i = thread % n;
    uint64_t window = turn >> lg_parts, part = turn & (((uint64_t)1 << lg_parts) - 1), at = window * n + i;
    if (window >= n_windows) return;
    uint32_t key = keys[at];
    if (key == msm::NONE) return;
    uint32_t bucket = key & ~msm::KEY_NEGATIVE, sign = key & msm::KEY_NEGATIVE ? msm::OF_NEGATIVE : 0;
    uint32_t in_window = bucket & ((1u << (width - 1)) - 1);
    if (in_window >> (width - 1 - lg_parts) != part) return;
    entries[offsets[bucket] + ranks[at]] = (uint32_t)i | sign;
}
