// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A block of threads, on the device or in a test on the host, and field elements in memory.
//
// Code between two barriers is given to `each`, which runs it for every thread of the block with that
// thread's State: on the device State is in registers, on the host the threads are a loop.
#pragma once
#include "fr.cuh"

#include <stddef.h>

#ifndef __CUDACC__
#include <vector>
#endif

namespace c2 {

// An element, Montgomery form, canonical: two quads, so that a thread moves it by two instructions.
struct alignas(16) Quad {
    uint32_t x, y, z, w;
};
struct Element {
    Quad low, high;
};

FN void unpack(uint32_t *to, Quad low, Quad high) {
    to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
    to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
}

FN void load(uint32_t *to, const Element *from) { unpack(to, from->low, from->high); }

FN void store(Element *to, const uint32_t *from) {
    to->low = Quad{from[0], from[1], from[2], from[3]};
    to->high = Quad{from[4], from[5], from[6], from[7]};
}

template <class State> struct Block {
#ifdef __CUDACC__
    State state;
    template <class Do> FN void each(Do what) { what(state, threadIdx.x); }
    FN void barrier() { __syncthreads(); }
#else
    std::vector<State> states;
    explicit Block(unsigned threads) : states(threads) {}
    template <class Do> void each(Do what) {
        for (unsigned t = 0; t < states.size(); t++) what(states[t], t);
    }
    void barrier() {}
#endif
};

} // namespace c2
