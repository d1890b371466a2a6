// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pairs of nodes on the SHA extensions, four at a time, so that the unit is never waited for.
//!
//! A pair is two blocks: 64 `sha256rnds2`, of which the unit starts one a cycle, and one schedule to
//! expand, since that of the padding is known. Floor: 64 cycles a pair.

#![expect(unsafe_code, reason = "intrinsics of the SHA extensions")]

use std::{
    arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi8,
        _mm_setr_epi32, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
        _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_storeu_si128,
    },
    sync::LazyLock,
};

use super::pairs::{Node, PADDING};
use crate::label::{
    constants::{IV, K, LAST_WORD_MASK},
    portable::{Schedule, expand},
    sha_ni::ShaNi,
};

/// Pairs that are hashed side by side: the unit's latency in cycles.
const LANES: usize = 4;

/// The schedule of the padding.
static PADDING_SCHEDULE: LazyLock<Schedule> = LazyLock::new(|| expand(PADDING[0], PADDING[1]));

/// The row above `nodes`, which is half as long.
pub fn row(_unit: ShaNi, nodes: &[Node], above: &mut [Node]) {
    let padding: &Schedule = &PADDING_SCHEDULE;
    let (pairs, _) = nodes.as_chunks::<2>();
    let (full, rest) = above.as_chunks_mut::<LANES>();
    let (pairs, last) = pairs.split_at(full.len() * LANES);
    for (pairs, above) in pairs.as_chunks::<LANES>().0.iter().zip(full) {
        // SAFETY: a `ShaNi` exists only where the instructions do.
        *above = unsafe { four(pairs, padding) };
    }
    if !rest.is_empty() {
        let mut pairs = [[[0; 32]; 2]; LANES];
        pairs[..last.len()].copy_from_slice(last);
        // SAFETY: as above.
        let nodes = unsafe { four(&pairs, padding) };
        rest.copy_from_slice(&nodes[..rest.len()]);
    }
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
fn four(pairs: &[[Node; 2]; LANES], padding: &Schedule) -> [Node; LANES] {
    let mut schedules = [[0; 64]; LANES];
    for (pair, schedule) in pairs.iter().zip(&mut schedules) {
        expand_pair(pair, schedule);
    }
    let [a, b, c, d, e, f, g, h] = IV.map(|word| word as i32);
    let initial = [_mm_setr_epi32(f, e, b, a), _mm_setr_epi32(h, g, d, c)];
    let states = rounds([initial; LANES], schedules.each_ref());
    let states = add(states, [initial; LANES]);
    let after = rounds(states, [padding; LANES]);
    let states = add(after, states);
    states.map(|state| label(state))
}

/// The schedule of a pair, round constants added.
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn expand_pair(pair: &[Node; 2], schedule: &mut Schedule) {
    let swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    let (bytes, _) = pair.as_flattened().as_chunks::<16>();
    let [mut a, mut b, mut c, mut d] =
        [0, 1, 2, 3].map(|i: usize| _mm_shuffle_epi8(load(&bytes[i]), swap));
    let (groups, _) = schedule.as_chunks_mut::<16>();
    for (i, (group, k)) in groups.iter_mut().zip(K.as_chunks::<16>().0).enumerate() {
        if i > 0 {
            a = next(a, b, c, d);
            b = next(b, c, d, a);
            c = next(c, d, a, b);
            d = next(d, a, b, c);
        }
        let (quads, k) = (group.as_chunks_mut::<4>().0, k.as_chunks::<4>().0);
        store(_mm_add_epi32(a, load(&k[0])), &mut quads[0]);
        store(_mm_add_epi32(b, load(&k[1])), &mut quads[1]);
        store(_mm_add_epi32(c, load(&k[2])), &mut quads[2]);
        store(_mm_add_epi32(d, load(&k[3])), &mut quads[3]);
    }
}

/// The four words of a schedule after the sixteen in `a` to `d`.
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn next(a: __m128i, b: __m128i, c: __m128i, d: __m128i) -> __m128i {
    let sum = _mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8::<4>(d, c));
    _mm_sha256msg2_epu32(sum, d)
}

/// 64 rounds of all lanes, in turn.
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn rounds(
    mut states: [[__m128i; 2]; LANES],
    schedules: [&Schedule; LANES],
) -> [[__m128i; 2]; LANES] {
    for t in 0..16 {
        let mut words = [states[0][0]; LANES];
        for lane in 0..LANES {
            let quad = &schedules[lane].as_chunks::<4>().0[t];
            words[lane] = load(quad);
            let [abef, cdgh] = states[lane];
            states[lane][1] = _mm_sha256rnds2_epu32(cdgh, abef, words[lane]);
        }
        for lane in 0..LANES {
            let [abef, cdgh] = states[lane];
            let upper = _mm_shuffle_epi32::<0x0e>(words[lane]);
            states[lane][0] = _mm_sha256rnds2_epu32(abef, cdgh, upper);
        }
    }
    states
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
fn add(a: [[__m128i; 2]; LANES], b: [[__m128i; 2]; LANES]) -> [[__m128i; 2]; LANES] {
    let mut sums = a;
    for (sum, b) in sums.iter_mut().zip(b) {
        *sum = [_mm_add_epi32(sum[0], b[0]), _mm_add_epi32(sum[1], b[1])];
    }
    sums
}

/// From ABEF, CDGH to the node's bytes with two bits off.
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn label([abef, cdgh]: [__m128i; 2]) -> Node {
    let feba = _mm_shuffle_epi32::<0x1b>(abef);
    let dchg = _mm_shuffle_epi32::<0xb1>(cdgh);
    let mut words = [0; 8];
    let (quads, _) = words.as_chunks_mut::<4>();
    store(_mm_blend_epi16::<0xf0>(feba, dchg), &mut quads[0]);
    store(_mm_alignr_epi8::<8>(dchg, feba), &mut quads[1]);
    words[7] &= LAST_WORD_MASK;
    crate::memory::labels::to_bytes(words)
}

/// Loads sixteen bytes: of a node, or four words.
#[inline(always)]
fn load<T, const N: usize>(from: &[T; N]) -> __m128i {
    const { assert!(size_of::<[T; N]>() == 16) };
    // SAFETY: sixteen bytes, of plain integers.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}

#[inline(always)]
fn store(value: __m128i, quad: &mut [u32; 4]) {
    // SAFETY: sixteen bytes of an exclusive borrow.
    unsafe { _mm_storeu_si128(quad.as_mut_ptr().cast(), value) };
}
