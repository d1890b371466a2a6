// SPDX-License-Identifier: MIT OR Apache-2.0
//
// What kernels use of CUDA's language, for the host's compiler. See driver.h.
#pragma once
#include <cstdint>

#ifndef __x86_64__
#error "fibers change places in the x86-64 way here"
#endif

struct Dimension {
    uint32_t x;
};
static Dimension threadIdx, blockIdx, blockDim, gridDim;

struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};

// One block runs at a time.
#define __shared__ static
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)

enum State { RUNNING, AT_WARP_BARRIER, AT_BARRIER, DONE };
static void wait(State at);
static inline void __syncthreads() { wait(AT_BARRIER); }
static inline void __syncwarp() { wait(AT_WARP_BARRIER); }

static inline uint32_t atomicAdd(uint32_t *counter, uint32_t more) {
    uint32_t before = *counter;
    *counter += more;
    return before;
}
