// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Scalars of a query: of the columns that it has, in its order.
#pragma once

#include <cstdint>

/// to[i] = from[columns[i]], elements of 32 bytes, as two loads of 16.
extern "C" __global__ void gather_scalars(uint4 *to, const uint4 *from, const uint32_t *columns,
                                          uint64_t n)
{
    // Two neighbouring threads an element.
    uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i / 2 < n)
        to[i] = from[2 * (uint64_t)columns[i / 2] + i % 2];
}
