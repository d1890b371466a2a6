// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Transforms over the scalar field, in place, in passes through shared memory.
//
// inverse: x[n] at n  ->  sum over n of x[n] w^(-nk) at the place of k with its bits reversed, w^N = 1.
// forward: y[k] at the place of k with its bits reversed  ->  sum over k of y[k] w^(nk) at n.
// Tables can carry any factor of the form c s^k, so that 1 / N and a coset cost at most one product more.
//
// A pass transforms one digit of the index, of `lg_radix` bits, which stands `lg_stride` bits above the
// lowest; inverse takes the digits from the highest down, forward from the lowest up. In between, the element
// with position r of the digit and the index l below it is multiplied by w_M^(k l), M = radix * stride,
// k = r reversed: a table of the pass, [r][l], or of two factors [r][l mod 2^lg_low] and [r][l >> lg_low].
//
// A block has 2^lg_tile elements: 2^lg_columns neighbours of each of the radix positions; when that is all
// that is below the digit, neighbours only. Number u in the tile has the digit from bit lg_columns on. A
// thread has 8 elements, which differ in three bits of u, and transforms these; then the block exchanges
// elements through shared memory, and the next three bits are those of the thread. Twiddles in between:
// `rounds`, which has at 2^m the table [slot][l] of w_(2^m)^(rev(slot) l), l < 2^(m - 3).
//
// Products for 8 elements: 4 for a transform of 8, 7 between rounds, 8 or 16 between passes. At 2^27, in
// three passes of 9 bits, 102 for 27 bits of 8 elements: 12.75 each, where radix 2 has 13.5. All factors but
// those that an inverse reads are known beforehand, so their ratios to r are in the tables: fr_fixed.cuh.
//
// Measured on an H200: inverse 27.9 ms, forward 28.2 ms at 2^27, 0.80 and 0.81 ms at 2^22. The pipe of products
// is busy for three quarters of that; memory is at a sixth of its rate.
#pragma once
#include "block.cuh"
#include "fr_fixed.cuh"

namespace c2 {

// Elements of a thread.
constexpr unsigned PER_THREAD = 8;

struct Eight {
    uint32_t x[PER_THREAD][8];
};

// A factor of a table: what fr::Fixed is, b and its ratio to r.
struct Twiddle {
    Element b, ratio;
};

// How a pass is laid out: a word of bytes, see `Shape` in ntt/plan.rs.
struct Layout {
    unsigned lg_tile, lg_radix, lg_columns, lg_stride, lg_low, lg_high, lg_n;
    FN explicit Layout(uint64_t packed)
        : lg_tile(packed & 255), lg_radix(packed >> 8 & 255), lg_columns(packed >> 16 & 255),
          lg_stride(packed >> 24 & 255), lg_low(packed >> 32 & 255), lg_high(packed >> 40 & 255),
          lg_n(packed >> 48 & 255) {}
    // Slots of a thread that have an element: all but in transforms of less than eight.
    FN unsigned slots() const { return lg_n < 3 ? 1u << lg_n : PER_THREAD; }
    // Rounds of three bits; the one at the lowest bits has what is left.
    FN unsigned rounds() const { return (lg_radix + 2) / 3; }
    // Bits of the digit that are not yet transformed before round i, counted from the highest bits down.
    FN unsigned left(unsigned round) const { return lg_radix - 3 * round; }
    // The lowest of the three bits of u in which a thread's elements differ.
    FN unsigned window(unsigned round) const { return lg_columns + (left(round) < 3 ? 0 : left(round) - 3); }
};

FN uint64_t below(unsigned bits) { return ((uint64_t)1 << bits) - 1; }

// The number in the tile of a thread's slot 0; slot j is j << window further.
FN unsigned place(unsigned thread, unsigned window) {
    return (thread >> window) << (window + 3) | (thread & below(window));
}

// Where element u is in shared memory: so that eight threads in a row are never in the same bank.
FN unsigned bank(unsigned u) { return u ^ (u >> 3 & 7); }

FN void copy8(uint32_t *to, const uint32_t *from) {
#pragma unroll
    for (int i = 0; i < 8; i++) to[i] = from[i];
}

// (a, b) = (a + b, a - b), canonical.
FN void cross(uint32_t *a, uint32_t *b) {
    uint32_t sum[8];
    fr::add_mod(sum, a, b);
    fr::sub_mod(b, a, b);
    copy8(a, sum);
}

// The same below 2r: for what is multiplied next, or made canonical.
FN void cross_wide(uint32_t *a, uint32_t *b) {
    uint32_t sum[8];
    fr::add_wide(sum, a, b);
    fr::sub_wide(b, a, b);
    copy8(a, sum);
}

// w_4, (w_8 + w_8^3) / 2 and (w_8 - w_8^3) / 2, w_8 = 7^((r - 1) / 8), each with its ratio to r.
#define NTT_W4                                                                                    \
    {{0x00000000, 0x00010000, 0x76030000, 0xec030002, 0x760304d0, 0x8d51ccce, 0x00000000, 0x00000000}, \
     {0x5576304f, 0x61c5d9da, 0x3e76ec2a, 0x33cfcc0d, 0x56cd56b5, 0x381204ca, 0x00000001, 0x00000000}}
#define NTT_HALF_SUM                                                                              \
    {{0xa306c7d4, 0x69307dda, 0x8de2036c, 0x20ffd8fc, 0x9daf1e24, 0x23614066, 0x306dbb96, 0x23c58c92}, \
     {0xca853396, 0x8a8dc2a9, 0x7f68e2f3, 0x93bdc41b, 0xf62d255c, 0x00ad26bb, 0x0956072d, 0x4efe41ca}}
#define NTT_HALF_DIFFERENCE                                                                       \
    {{0xf46d77a6, 0x08f87f58, 0xf931b394, 0x928b48c5, 0xd3285ebe, 0x68a4e566, 0xd38cab51, 0x1091da63}, \
     {0x0937dc72, 0xda6003c9, 0x9a31192f, 0x8e381741, 0x4c1e8070, 0x305e3aa4, 0x4adf8f8a, 0x24971e36}}

// x0 … x3 -> y0, y1, y2, y3 with w_4, from canonical elements to ones below 2r.
FN void transform4(uint32_t *x0, uint32_t *x1, uint32_t *x2, uint32_t *x3) {
    const fr::Fixed w4 = NTT_W4;
    cross(x0, x2); // x0 + x2, x0 - x2
    cross(x1, x3);
    fr::mul_fixed(x3, w4);
    cross_wide(x0, x1); // y0, y2
    cross_wide(x2, x3); // y1, y3
    uint32_t y2[8];
    copy8(y2, x1);
    copy8(x1, x2);
    copy8(x2, y2);
}

// x0 … x7 -> y0 … y7 with w = w_8, from canonical elements to ones below 2r. With a_j = x_j - x_(j + 4), y_1 and
// y_3 are a_0 + w^2 a_2 and a_0 - w^2 a_2 plus (a_1 + a_3) (w + w^3) / 2 and plus or minus
// (a_1 - a_3) (w - w^3) / 2; y_5 and y_7 are with minus.
FN void transform8(uint32_t (*x)[8]) {
    const fr::Fixed w4 = NTT_W4, half_sum = NTT_HALF_SUM, half_difference = NTT_HALF_DIFFERENCE;
#pragma unroll
    for (int i = 0; i < 4; i++) cross(x[i], x[i + 4]);
    transform4(x[0], x[1], x[2], x[3]); // y0, y2, y4, y6
    fr::mul_fixed(x[6], w4);
    cross(x[4], x[6]);
    cross_wide(x[5], x[7]);
    fr::mul_fixed(x[5], half_sum);
    fr::mul_fixed(x[7], half_difference);
    cross(x[5], x[7]);
    cross_wide(x[4], x[5]); // y1, y5
    cross_wide(x[6], x[7]); // y3, y7
    uint32_t y[8][8];
    const int from[8] = {0, 4, 1, 6, 2, 5, 3, 7};
#pragma unroll
    for (int i = 0; i < 8; i++) copy8(y[i], x[from[i]]);
#pragma unroll
    for (int i = 0; i < 8; i++) copy8(x[i], y[i]);
}

FN constexpr unsigned reverse(unsigned i, unsigned bits) {
    return bits == 3 ? (i & 1) << 2 | (i & 2) | i >> 2 : bits == 2 ? (i & 1) << 1 | i >> 1 : i;
}

// The transforms of 2^BITS slots each. FORWARD: from reversed order with w; else to reversed order with 1 / w.
template <bool FORWARD, unsigned BITS> FN void transform(uint32_t (*x)[8]) {
    constexpr unsigned SIZE = 1 << BITS;
#pragma unroll
    for (unsigned from = 0; from < PER_THREAD; from += SIZE) {
        uint32_t y[SIZE][8];
#pragma unroll
        for (unsigned i = 0; i < SIZE; i++) copy8(y[i], x[from + (FORWARD ? reverse(i, BITS) : i)]);
        if (BITS == 3) transform8(y);
        else if (BITS == 2) transform4(y[0], y[1 % SIZE], y[2 % SIZE], y[3 % SIZE]);
        else cross_wide(y[0], y[1]);
#pragma unroll
        for (unsigned i = 0; i < SIZE; i++)
            copy8(x[from + i], y[FORWARD ? i : (SIZE - reverse(i, BITS)) % SIZE]);
    }
}

// What one launch works with. `from` may be `to`; `factor`, `addend`, `low` and `high` may be null.
struct Pass {
    Element *to;
    const Element *from;
    const Element *factor; // of the elements that inverse reads
    const Element *addend; // to the elements that are written
    const Twiddle *rounds, *low, *high;
    Layout layout;
};

// The element of slot 0 of a thread in a window; slot j is j << (window - lg_columns + lg_stride) further.
FN size_t address(const Layout &l, size_t block, unsigned u) {
    if (l.lg_stride == l.lg_columns) return (block << l.lg_tile) + u;
    size_t first = block << l.lg_columns;
    size_t base = (first >> l.lg_stride) << (l.lg_radix + l.lg_stride) | (first & below(l.lg_stride));
    return base + ((size_t)(u >> l.lg_columns) << l.lg_stride) + (u & below(l.lg_columns));
}

// A table's part for a thread: slot j's factor is at[j << lg_step].
struct Factors {
    const Twiddle *at;
    unsigned lg_step;
};

// How many products each slot gets before round `turn`, or after all.
template <bool FORWARD> FN unsigned n_products(const Pass &pass, unsigned turn) {
    const unsigned rounds = pass.layout.rounds();
    if (turn == (FORWARD ? 0 : rounds)) return pass.low ? pass.high ? 2 : 1 : 0;
    return turn > 0 && turn < rounds;
}

// Whether these are the products between two rounds, which leave slot 0 as it is.
FN bool is_between_rounds(const Pass &pass, unsigned turn) {
    return turn > 0 && turn < pass.layout.rounds();
}

// The factors of the n-th product for a thread.
template <bool FORWARD>
FN Factors factors(const Pass &pass, unsigned turn, unsigned n, unsigned thread, size_t block) {
    const Layout &l = pass.layout;
    const unsigned rounds = l.rounds();
    // The round, counted from the highest bits down, whose window the thread has.
    const unsigned round = FORWARD ? (turn < rounds ? rounds - 1 - turn : 0) : (turn ? turn - 1 : 0);
    const unsigned window = l.window(round), u = place(thread, window);
    if (turn == (FORWARD ? 0 : rounds)) { // between passes
        size_t r = (u >> l.lg_columns) & below(l.lg_radix);
        size_t column = ((block << l.lg_columns) & below(l.lg_stride)) + (u & below(l.lg_columns));
        size_t index = n == 0 ? r << l.lg_low | (column & below(l.lg_low)) : r << l.lg_high | column >> l.lg_low;
        return Factors{(n == 0 ? pass.low : pass.high) + index,
                       window - l.lg_columns + (n == 0 ? l.lg_low : l.lg_high)};
    }
    unsigned left = l.left(round);
    size_t index = (u >> l.lg_columns) & below(left - 3);
    return Factors{pass.rounds + ((size_t)1 << left) + index, left - 3};
}

// Hands elements from window to window; `shared` has the low quads of the tile, then the high ones. A thread
// writes where it has read before, so one barrier is enough.
template <class B> FN void exchange(B &block, const Layout &l, Quad *shared, unsigned from, unsigned to) {
    Quad *high = shared + ((size_t)1 << l.lg_tile);
    block.each([&](Eight &mine, unsigned thread) {
#pragma unroll
        for (unsigned j = 0; j < PER_THREAD; j++) {
            const uint32_t *x = mine.x[j];
            unsigned at = bank(place(thread, from) | j << from);
            shared[at] = Quad{x[0], x[1], x[2], x[3]};
            high[at] = Quad{x[4], x[5], x[6], x[7]};
        }
    });
    block.barrier();
    block.each([&](Eight &mine, unsigned thread) {
#pragma unroll
        for (unsigned j = 0; j < PER_THREAD; j++) {
            unsigned at = bank(place(thread, to) | j << to);
            unpack(mine.x[j], shared[at], high[at]);
        }
    });
}

template <bool FORWARD, class B> FN void run(B &block, const Pass &pass, Quad *shared, size_t number) {
    const Layout &l = pass.layout;
    const unsigned rounds = l.rounds();
    const size_t n = (size_t)1 << l.lg_n;
    // Rounds are counted from the highest bits down; forward goes up.
    auto window = [&](unsigned turn) { return l.window(FORWARD ? rounds - 1 - turn : turn); };
    block.each([&](Eight &mine, unsigned thread) {
        unsigned w = window(0), lg_step = w - l.lg_columns + l.lg_stride;
        size_t first = address(l, number, place(thread, w));
#pragma unroll
        for (unsigned j = 0; j < PER_THREAD; j++) {
            size_t at = first + ((size_t)j << lg_step);
            load(mine.x[j], pass.from + (at < n ? at : 0));
            if (!FORWARD && pass.factor) {
                uint32_t factor[8];
                load(factor, pass.factor + (at < n ? at : 0));
                fr::mul(mine.x[j], mine.x[j], factor);
            }
        }
    });
#pragma unroll 1
    for (unsigned turn = 0;; turn++) {
        if (FORWARD && turn > 0 && turn < rounds) exchange(block, l, shared, window(turn - 1), window(turn));
        const unsigned products = n_products<FORWARD>(pass, turn);
#pragma unroll 1
        for (unsigned which = 0; which < products; which++) {
            block.each([&](Eight &mine, unsigned thread) {
                Factors f = factors<FORWARD>(pass, turn, which, thread, number);
#pragma unroll
                for (unsigned j = 0; j < PER_THREAD; j++) {
                    if (j == 0 && is_between_rounds(pass, turn)) {
                        fr::reduce_once(mine.x[j]);
                        continue;
                    }
                    const Twiddle *at = f.at + ((size_t)(j & (l.slots() - 1)) << f.lg_step);
                    fr::Fixed factor;
                    load(factor.b, &at->b);
                    load(factor.ratio, &at->ratio);
                    fr::mul_fixed(mine.x[j], factor);
                }
            });
        }
        if (turn == rounds) break;
        if (!FORWARD && turn > 0) exchange(block, l, shared, window(turn - 1), window(turn));
        unsigned left = l.left(FORWARD ? rounds - 1 - turn : turn);
        block.each([&](Eight &mine, unsigned) {
            if (left >= 3) transform<FORWARD, 3>(mine.x);
            else if (left == 2) transform<FORWARD, 2>(mine.x);
            else transform<FORWARD, 1>(mine.x);
        });
    }
    // Only the last pass makes its results canonical.
    const unsigned last = FORWARD ? l.lg_n - l.lg_radix : 0;
    block.each([&](Eight &mine, unsigned thread) {
        unsigned w = window(rounds - 1), lg_step = w - l.lg_columns + l.lg_stride;
        size_t first = address(l, number, place(thread, w));
#pragma unroll
        for (unsigned j = 0; j < PER_THREAD; j++) {
            size_t at = first + ((size_t)j << lg_step);
            if (at >= n) continue;
            if (l.lg_stride == last) {
                fr::reduce_once(mine.x[j]);
                if (pass.addend) {
                    uint32_t other[8];
                    load(other, pass.addend + at);
                    fr::add_mod(mine.x[j], mine.x[j], other);
                }
            }
            store(pass.to + at, mine.x[j]);
        }
    });
}

} // namespace c2

#ifdef __CUDACC__

// 2^(lg_tile - 3) threads a block, N / 2^lg_tile blocks, 32 bytes of shared memory an element of the tile.
#define NTT_KERNEL(name, forward)                                                                 \
    extern "C" __global__ void __launch_bounds__(256, 2)                                          \
        name(c2::Element *to, const c2::Element *from, const c2::Element *factor,                 \
             const c2::Element *addend, const c2::Twiddle *rounds, const c2::Twiddle *low,        \
             const c2::Twiddle *high, uint64_t layout) {                                          \
        extern __shared__ c2::Quad shared[];                                                      \
        c2::Block<c2::Eight> block;                                                               \
        c2::Pass pass{to, from, factor, addend, rounds, low, high, c2::Layout(layout)};           \
        c2::run<forward>(block, pass, shared, blockIdx.x);                                        \
    }
NTT_KERNEL(ntt_inverse, false)
NTT_KERNEL(ntt_forward, true)
#undef NTT_KERNEL

#endif
