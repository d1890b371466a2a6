// SPDX-License-Identifier: MIT OR Apache-2.0
//
// 32-bit words with a carry that passes from one call to the next, as PTX has it.
//
// On the device each function is one instruction of PTX; ptxas joins a mad.lo and the madc.hi after it
// into one IMAD.WIDE.X. The statements are volatile because the carry is an operand that C++ does not
// see: nothing may come in between. On the host the carry is a variable of the thread.
#pragma once
#include <cstdint>

#ifdef __CUDACC__
#define FN __device__ __forceinline__
#else
#define FN inline
#endif

namespace word {

#ifdef __CUDACC__

#define WORD_FN2(name, op)                                                                        \
    FN uint32_t name(uint32_t a, uint32_t b) {                                                    \
        uint32_t d;                                                                               \
        asm volatile(op " %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));                               \
        return d;                                                                                 \
    }
#define WORD_FN3(name, op)                                                                        \
    FN uint32_t name(uint32_t a, uint32_t b, uint32_t c) {                                        \
        uint32_t d;                                                                               \
        asm volatile(op " %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));                   \
        return d;                                                                                 \
    }
WORD_FN2(add_cc, "add.cc.u32")
WORD_FN2(addc_cc, "addc.cc.u32")
WORD_FN2(addc, "addc.u32")
WORD_FN2(sub_cc, "sub.cc.u32")
WORD_FN2(subc_cc, "subc.cc.u32")
WORD_FN2(subc, "subc.u32")
WORD_FN3(mad_lo_cc, "mad.lo.cc.u32")
WORD_FN3(madc_lo_cc, "madc.lo.cc.u32")
WORD_FN3(madc_lo, "madc.lo.u32")
WORD_FN3(madc_hi_cc, "madc.hi.cc.u32")
WORD_FN3(madc_hi, "madc.hi.u32")
#undef WORD_FN2
#undef WORD_FN3

#else

// Of addition: 0 or 1. Of subtraction: 1 when it borrows, as PTX leaves it for subc.
static thread_local uint32_t carry = 0;

FN uint32_t sum(uint64_t total) {
    carry = (uint32_t)(total >> 32);
    return (uint32_t)total;
}
FN uint32_t difference(uint32_t a, uint64_t b) {
    carry = a < b;
    return (uint32_t)(a - b);
}
FN uint32_t hi(uint32_t a, uint32_t b) { return (uint32_t)((uint64_t)a * b >> 32); }
FN uint32_t add_cc(uint32_t a, uint32_t b) { return sum((uint64_t)a + b); }
FN uint32_t addc_cc(uint32_t a, uint32_t b) { return sum((uint64_t)a + b + carry); }
FN uint32_t addc(uint32_t a, uint32_t b) { return a + b + carry; }
FN uint32_t sub_cc(uint32_t a, uint32_t b) { return difference(a, b); }
FN uint32_t subc_cc(uint32_t a, uint32_t b) { return difference(a, (uint64_t)b + carry); }
FN uint32_t subc(uint32_t a, uint32_t b) { return a - b - carry; }
FN uint32_t mad_lo_cc(uint32_t a, uint32_t b, uint32_t c) { return add_cc(a * b, c); }
FN uint32_t madc_lo_cc(uint32_t a, uint32_t b, uint32_t c) { return addc_cc(a * b, c); }
FN uint32_t madc_lo(uint32_t a, uint32_t b, uint32_t c) { return addc(a * b, c); }
FN uint32_t madc_hi_cc(uint32_t a, uint32_t b, uint32_t c) { return addc_cc(hi(a, b), c); }
FN uint32_t madc_hi(uint32_t a, uint32_t b, uint32_t c) { return addc(hi(a, b), c); }

#endif

// acc += a[0], a[2], … a[2N-2] times c at words 0, 2, … of acc: N wide products. The first takes the
// carry in when `CARRY_IN`; the carry out is left for the caller.
template <int N, bool CARRY_IN = false>
FN void mad_row(uint32_t *acc, const uint32_t *a, uint32_t c) {
    acc[0] = CARRY_IN ? madc_lo_cc(a[0], c, acc[0]) : mad_lo_cc(a[0], c, acc[0]);
    acc[1] = madc_hi_cc(a[0], c, acc[1]);
#pragma unroll
    for (int i = 2; i < 2 * N; i += 2) {
        acc[i] = madc_lo_cc(a[i], c, acc[i]);
        acc[i + 1] = madc_hi_cc(a[i], c, acc[i + 1]);
    }
}

// acc = the same products, without a sum: no carry is used or left.
template <int N> FN void mul_row(uint32_t *acc, const uint32_t *a, uint32_t c) {
#pragma unroll
    for (int i = 0; i < 2 * N; i += 2) {
        uint64_t p = (uint64_t)a[i] * c;
        acc[i] = (uint32_t)p;
        acc[i + 1] = (uint32_t)(p >> 32);
    }
}

// to[0..N) += from[0..N), carry out of the top dropped.
template <int N> FN void add(uint32_t *to, const uint32_t *from) {
    to[0] = add_cc(to[0], from[0]);
#pragma unroll
    for (int i = 1; i + 1 < N; i++) to[i] = addc_cc(to[i], from[i]);
    to[N - 1] = addc(to[N - 1], from[N - 1]);
}

// to[0..N) = a - b, borrow out of the top dropped.
template <int N> FN void sub(uint32_t *to, const uint32_t *a, const uint32_t *b) {
    to[0] = sub_cc(a[0], b[0]);
#pragma unroll
    for (int i = 1; i + 1 < N; i++) to[i] = subc_cc(a[i], b[i]);
    to[N - 1] = subc(a[N - 1], b[N - 1]);
}

} // namespace word
