// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The kernels of pc2. Nodes are canonical little-endian field elements of 32 bytes, 32-byte aligned. A thread
// makes one hash; blocks are of BLOCK threads, the grid covers n. What a hash costs stands in poseidon.cuh.
#include "poseidon.cuh"

namespace {

constexpr int BLOCK = 128;

struct Node {
    uint4 lo, hi;
};

__device__ __forceinline__ void load(uint32_t *to, const Node *from) {
    uint4 lo = from->lo, hi = from->hi;
    to[0] = lo.x, to[1] = lo.y, to[2] = lo.z, to[3] = lo.w;
    to[4] = hi.x, to[5] = hi.y, to[6] = hi.z, to[7] = hi.w;
}

__device__ __forceinline__ void store(Node *to, const uint32_t *from) {
    to->lo = make_uint4(from[0], from[1], from[2], from[3]);
    to->hi = make_uint4(from[4], from[5], from[6], from[7]);
}

__device__ __forceinline__ size_t index() { return (size_t)blockIdx.x * BLOCK + threadIdx.x; }

template <int LAYERS> __device__ __forceinline__ void column(Node *out, const Node *layers, size_t stride, size_t n) {
    extern __shared__ uint32_t memory[];
    size_t at = index();
    if (at >= n) return;
    uint32_t s[LAYERS + 1][8];
#pragma unroll
    for (int i = 0; i < LAYERS; i++) load(s[i + 1], layers + i * stride + at);
    uint32_t hash[8];
    poseidon::hash<LAYERS + 1>(hash, s, poseidon::Scratch{memory + threadIdx.x, BLOCK});
    store(out + at, hash);
}

} // namespace

// out[i] = Poseidon of the labels of node i in all layers; layer l begins at layers + l * stride.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
    column_hash_11(Node *out, const Node *layers, size_t stride, size_t n) {
    column<11>(out, layers, stride, n);
}

extern "C" __global__ void __launch_bounds__(BLOCK, 2)
    column_hash_2(Node *out, const Node *layers, size_t stride, size_t n) {
    column<2>(out, layers, stride, n);
}

// A row of an octree from the one below it: out[i] = Poseidon(in[8 i .. 8 i + 8)).
extern "C" __global__ void __launch_bounds__(BLOCK, 2) tree_row_8(Node *out, const Node *in, size_t n) {
    size_t at = index();
    if (at >= n) return;
    uint32_t s[9][8];
#pragma unroll
    for (int i = 0; i < 8; i++) load(s[i + 1], in + 8 * at + i);
    uint32_t hash[8];
    poseidon::hash<9>(hash, s, poseidon::Scratch{nullptr, 0});
    store(out + at, hash);
}

// The replica: out[i] = data[i] + label[i] mod r, for both below r. out may be data.
extern "C" __global__ void __launch_bounds__(256) encode(Node *out, const Node *data, const Node *label, size_t n) {
    size_t at = (size_t)blockIdx.x * 256 + threadIdx.x;
    if (at >= n) return;
    uint32_t a[8], b[8];
    load(a, data + at);
    load(b, label + at);
    fr::add_mod(a, a, b);
    store(out + at, a);
}
