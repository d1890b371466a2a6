// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The kernels of cuda/ on the host, block after block. Reads, in words of 64 bits: bytes of memory, the
// memory, the number of launches, and for each the kernel's number, blocks, threads and ten arguments;
// addresses are offsets into the memory, and all ones is none. Answers with the memory.
#include "../cuda/ntt.cuh"
#include "../cuda/rows.cuh"

#include <cstdio>
#include <cstdlib>
#include <vector>

static uint64_t next() {
    uint64_t value;
    if (std::fread(&value, 8, 1, stdin) != 1) std::exit(1);
    return value;
}

struct Memory {
    std::vector<c2::Quad> quads;
    template <class T> T *at(uint64_t offset) {
        return offset == ~(uint64_t)0 ? nullptr : (T *)((char *)quads.data() + offset);
    }
};

template <bool FORWARD> static void ntt(Memory &memory, const uint64_t *a, uint64_t blocks, uint64_t threads) {
    using c2::Element;
    c2::Pass pass{memory.at<Element>(a[0]), memory.at<Element>(a[1]), memory.at<Element>(a[2]),
                  memory.at<Element>(a[3]), memory.at<c2::Twiddle>(a[4]), memory.at<c2::Twiddle>(a[5]),
                  memory.at<c2::Twiddle>(a[6]), c2::Layout(a[7])};
    std::vector<c2::Quad> shared(2 << pass.layout.lg_tile);
    for (uint64_t number = 0; number < blocks; number++) {
        c2::Block<c2::Eight> block(threads);
        c2::run<FORWARD>(block, pass, shared.data(), number);
    }
}

static void rows(bool is_long, Memory &memory, const uint64_t *a, uint64_t blocks, uint64_t threads) {
    using c2::Element;
    auto *out = memory.at<Element>(a[0]);
    const auto *rows = memory.at<uint32_t>(a[1]);
    const auto *places = memory.at<uint64_t>(a[2]);
    c2::Entries entries{memory.at<uint32_t>(a[4]), memory.at<uint16_t>(a[5]), memory.at<Element>(a[6])};
    c2::Assignment z{memory.at<Element>(a[7]), memory.at<uint32_t>(a[8]), a[9]};
    std::vector<Element> shared(threads);
    for (uint64_t number = 0; number < blocks; number++) {
        c2::Block<c2::Sum> block(threads);
        if (is_long) c2::long_rows(block, out, rows, places, a[3], entries, z, shared.data(), number);
        else c2::short_rows(block, out, rows, places, a[3], entries, z, number);
    }
}

static void gather(Memory &memory, const uint64_t *a, uint64_t blocks, uint64_t threads) {
    using c2::Element;
    const auto *indices = memory.at<uint32_t>(a[2]);
    for (uint64_t number = 0; number < blocks; number++) {
        c2::Block<c2::Nothing> block(threads);
        c2::gather(block, memory.at<Element>(a[0]), memory.at<Element>(a[1]), indices, a[3], number);
    }
}

int main() {
    uint64_t bytes = next();
    Memory memory{std::vector<c2::Quad>(bytes / sizeof(c2::Quad))};
    if (std::fread(memory.quads.data(), 1, bytes, stdin) != bytes) return 1;
    for (uint64_t launches = next(); launches > 0; launches--) {
        uint64_t kernel = next(), blocks = next(), threads = next(), a[10];
        for (uint64_t &argument : a) argument = next();
        if (kernel == 0) ntt<false>(memory, a, blocks, threads);
        else if (kernel == 1) ntt<true>(memory, a, blocks, threads);
        else if (kernel <= 3) rows(kernel == 3, memory, a, blocks, threads);
        else if (kernel == 4) gather(memory, a, blocks, threads);
        else return 1;
    }
    return std::fwrite(memory.quads.data(), 1, bytes, stdout) != bytes;
}
