// SPDX-License-Identifier: MIT OR Apache-2.0

//! Labelling up to four lanes on one core with the SHA extensions: the safe side of `sha_ni.s`,
//! which says how it works.
//!
//! Labels are found by the numbers in the parent cache, whatever it holds: they are masked so that
//! they stay within a layer, whose number of nodes is a power of two and all of whose addresses can
//! be read.

#![expect(unsafe_code, reason = "calls the assembly kernel")]

use std::{
    arch::{
        global_asm,
        x86_64::{_MM_HINT_T1, _mm_prefetch},
    },
    fmt,
    mem::{offset_of, size_of},
    ptr,
};

use super::{
    Batch,
    constants::{IV, K, LAST_WORD_MASK, N_DISTINCT, PADDING, last_parent, order},
    portable,
};
use crate::{
    memory::labels::{LABEL_BYTES, Words},
    parents::N_PARENTS,
};

global_asm!(include_str!("sha_ni.s"), options(raw));

/// The parent whose label stands before the padding above layer 1; in layer 1 it is the first.
const LAST_PARENT: usize = last_parent(2);

const _: () = assert!(last_parent(1) == 0);

/// How many nodes ahead the labels of parents are fetched to the L2 cache. A node of four lanes
/// takes 0.8 us, so that memory that answers in 0.4 us while busy is hidden with much to spare, and
/// 14 parents of as many nodes are 56 KiB of an L2 cache of 512 KiB.
const PREFETCH_NODES: usize = 8;

/// That this processor has the instructions. Made by [`ShaNi::detect`] alone.
#[derive(Clone, Copy, Debug)]
pub struct ShaNi(());

impl ShaNi {
    /// Looks whether this processor has them.
    pub fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("sse4.1")
            && is_x86_feature_detected!("ssse3");
        all.then_some(Self(()))
    }
}

unsafe extern "sysv64" {
    fn sealpipe_pc1_half_of_four(begin: *mut Frame, finish: *mut Frame, constants: *const u32);
    fn sealpipe_pc1_half_of_four_in_lockstep(
        begin: *mut Frame,
        finish: *mut Frame,
        constants: *const u32,
    );
    fn sealpipe_pc1_half_of_two(begin: *mut Frame, finish: *mut Frame, constants: *const u32);
}

/// What the kernel keeps of a lane while a node is labelled.
#[repr(C, align(64))]
struct Frame {
    schedules: [[u32; 64]; N_DISTINCT],
    scratch: [u32; 64],
    state: [u32; 8],
    halves: [[*const Words; 2]; N_DISTINCT],
    begin: [u32; 10],
    finish: [u32; 10],
    out: *mut Words,
    padding: u64,
    node: Words,
    replica_id: Words,
    stride: usize,
    row: *const [u32; N_PARENTS],
    bases: [*const u8; 6],
    masks: [u32; 6],
}

const _: () = {
    assert!(offset_of!(Frame, scratch) == 2304);
    assert!(offset_of!(Frame, state) == 2560);
    assert!(offset_of!(Frame, halves) == 2592);
    assert!(offset_of!(Frame, begin) == 2736);
    assert!(offset_of!(Frame, finish) == 2776);
    assert!(offset_of!(Frame, out) == 2816);
    assert!(offset_of!(Frame, node).is_multiple_of(16));
    assert!(offset_of!(Frame, replica_id).is_multiple_of(16));
    assert!(offset_of!(Frame, stride) == 2896);
    assert!(offset_of!(Frame, row) == 2904);
    assert!(offset_of!(Frame, bases) == 2912);
    assert!(offset_of!(Frame, masks) == 2960);
    assert!(size_of::<Frame>() == 3008);
};

/// Constants in the kernel's order; it gets the address of the middle of `k`.
#[repr(C, align(64))]
struct Constants {
    k: [u32; 64],
    iv: [u32; 8],
    mask: [u32; 4],
    expanded: [u32; 9],
}

static CONSTANTS: Constants = Constants {
    k: K,
    iv: [IV[5], IV[4], IV[1], IV[0], IV[7], IV[6], IV[3], IV[2]],
    mask: [!0, !0, !0, LAST_WORD_MASK],
    expanded: [256, 512, 768, 1024, 1280, 1536, 1792, 2048, 0],
};

#[repr(C, align(64))]
struct Aligned(Words);

static PADDING_HALF: Aligned = Aligned(PADDING);

/// Parents for a place without a lane.
static NO_PARENTS: [u32; N_PARENTS] = [0; N_PARENTS];

impl Frame {
    fn new() -> Self {
        Self {
            schedules: [[0; 64]; N_DISTINCT],
            scratch: [0; 64],
            state: [0; 8],
            halves: [[&raw const PADDING_HALF.0; 2]; N_DISTINCT],
            begin: [0; 10],
            finish: [0; 10],
            out: ptr::null_mut(),
            padding: 0,
            node: [0; 8],
            replica_id: [0; 8],
            stride: 0,
            row: &raw const NO_PARENTS,
            bases: [ptr::null(); 6],
            masks: [0; 6],
        }
    }
}

/// Where the labels of a lane are, for the nodes of one call.
#[derive(Clone, Copy)]
struct Strand<'b> {
    parents: &'b [[u32; N_PARENTS]],
    current: *mut u8,
    previous: Option<*const u8>,
    stride: usize,
    first: usize,
}

impl Strand<'_> {
    /// Points the frame to what the `i`th node is made of. The kernel locates the parents of blocks
    /// 2 to 7 itself.
    #[inline(always)]
    fn prepare(&self, frame: &mut Frame, i: usize) {
        let node = self.first + i;
        let last = self.parents.len() - 1;
        let parents = &self.parents[node];
        let label = |base: *const u8, parent: u32| -> *const Words {
            base.wrapping_add((parent as usize & last) * self.stride).cast()
        };
        frame.halves[0] = [label(self.current, parents[0]), label(self.current, parents[1])];
        frame.halves[7][0] = match self.previous {
            None => frame.halves[0][0],
            Some(previous) => label(previous, parents[LAST_PARENT]),
        };
        frame.row = parents;
        // The schedule of block 0 is expanded for the node after this one.
        frame.node[2] = (node + 1) as u32;
        frame.out = self.current.wrapping_add(node * self.stride).cast();
        self.prefetch(node + PREFETCH_NODES);
    }

    /// Fetches the labels of a node's parents to the L2 cache.
    #[inline(always)]
    fn prefetch(&self, node: usize) {
        let Some(parents) = self.parents.get(node) else { return };
        let fetch = |base: *const u8, parent: u32| {
            let label = base.wrapping_add(parent as usize * self.stride);
            // SAFETY: a prefetch of any address has no effect that could be seen.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(label.cast()) };
        };
        for parent in &parents[1..6] {
            fetch(self.current, *parent);
        }
        if let Some(previous) = self.previous {
            for parent in &parents[6..] {
                fetch(previous, *parent);
            }
        }
    }

    /// The same for the lane beside a frame's in lockstep: all is one label further on, and most of
    /// it in the same cache lines.
    #[inline(always)]
    fn prepare_beside(&self, frame: &mut Frame, first: &Frame) {
        let beside = |label: *const Words| label.wrapping_add(1);
        frame.halves[0] = first.halves[0].map(beside);
        frame.halves[7][0] = beside(first.halves[7][0]);
        frame.node[2] = first.node[2];
        frame.out = first.out.wrapping_add(1);
    }

    /// Whether `other` is the lane beside this one, in lockstep.
    fn is_beside(&self, other: &Self) -> bool {
        let next = |base: *const u8| base.wrapping_add(LABEL_BYTES);
        next(self.current) == other.current.cast_const()
            && self.previous.map(next) == other.previous
    }
}

/// Prepares the lanes of a side for their `i`th nodes. With `LOCKSTEP` the second is beside the
/// first.
#[inline(always)]
fn prepare<const LOCKSTEP: bool>(side: &mut [Frame; 2], strands: &[Strand<'_>], i: usize) {
    let [first, second] = side;
    match strands {
        [] => {}
        [only] => only.prepare(first, i),
        [a, b, ..] => {
            a.prepare(first, i);
            match LOCKSTEP {
                true => b.prepare_beside(second, first),
                false => b.prepare(second, i),
            }
        }
    }
}

/// Two sides of one or two lanes, and one that stands in where there is nothing to do.
pub struct Engine {
    _unit: ShaNi,
    sides: Box<[[Frame; 2]; 2]>,
    idle: Box<[Frame; 2]>,
    scratch: Box<[Aligned; 2]>,
}

// SAFETY: the pointers within frames lead nowhere between calls: each call sets those it uses.
unsafe impl Send for Engine {}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine for the calling thread.
    pub fn new(unit: ShaNi) -> Self {
        let sides = Box::new([[Frame::new(), Frame::new()], [Frame::new(), Frame::new()]]);
        let idle = Box::new([Frame::new(), Frame::new()]);
        Self { _unit: unit, sides, idle, scratch: Box::new([Aligned([0; 8]), Aligned([0; 8])]) }
    }

    pub(super) fn advance(&mut self, batches: &mut [&mut Batch], n_nodes: usize) {
        if n_nodes == 0 {
            return;
        }
        let (mut strands, mut dresses) = (Vec::new(), Vec::new());
        for batch in batches.iter() {
            for lane in &batch.lanes {
                strands.push(strand(batch, lane.index));
                dresses.push((batch.layer, lane.replica_id));
            }
        }
        let width = if strands.len() > 2 { 2 } else { 1 };
        for (i, (strand, (layer, replica_id))) in strands.iter().zip(dresses).enumerate() {
            dress(&mut self.sides[i / width][i % width], strand, layer, replica_id);
        }
        for (frame, scratch) in self.idle.iter_mut().zip(self.scratch.iter_mut()) {
            rest(frame, scratch);
        }
        // A place without a lane hashes padding into scratch.
        for i in strands.len()..2 * width {
            rest(&mut self.sides[i / width][i % width], &mut self.scratch[i % width]);
        }
        let lockstep = match strands.as_slice() {
            [a, b, c, d] => a.is_beside(b) && c.is_beside(d),
            _ => false,
        };
        match (width, strands.len(), lockstep) {
            (_, 0, _) => {}
            (1, ..) => self.run::<1, false>(&strands, n_nodes),
            (_, _, false) => self.run::<2, false>(&strands, n_nodes),
            (_, _, true) => self.run::<2, true>(&strands, n_nodes),
        }
    }

    /// Labels `n_nodes` nodes of up to `2 * W` lanes.
    fn run<const W: usize, const LOCKSTEP: bool>(
        &mut self,
        strands: &[Strand<'_>],
        n_nodes: usize,
    ) {
        let (left, right) = strands.split_at(W.min(strands.len()));
        let [side0, side1] = &mut *self.sides;
        prepare::<LOCKSTEP>(side0, left, 0);
        half::<W, LOCKSTEP>(side0, &mut self.idle);
        for i in 0..n_nodes - 1 {
            prepare::<LOCKSTEP>(side1, right, i);
            half::<W, LOCKSTEP>(side1, side0);
            prepare::<LOCKSTEP>(side0, left, i + 1);
            half::<W, LOCKSTEP>(side0, side1);
        }
        prepare::<LOCKSTEP>(side1, right, n_nodes - 1);
        half::<W, LOCKSTEP>(side1, side0);
        half::<W, LOCKSTEP>(&mut self.idle, side1);
    }
}

/// Begins a node of the lanes of one side, and finishes those of the other.
#[inline(always)]
fn half<const W: usize, const LOCKSTEP: bool>(begin: &mut [Frame; 2], finish: &mut [Frame; 2]) {
    let (begin, finish) = (begin.as_mut_ptr(), finish.as_mut_ptr());
    let constants = (&raw const CONSTANTS).cast::<u32>().wrapping_add(32);
    // SAFETY: an `Engine` exists only where the instructions do (`ShaNi`). The frames are two
    // exclusively borrowed arrays of two. Their offsets are from `order`, below 9 schedules; their
    // pointers are to labels of nodes that have memory (`Batch::check`, and `prepare` keeps to the
    // nodes before this one and to those of the layer before), to constants, or to scratch, all
    // multiples of 32. The label goes to a node that is not published, which only the caller's
    // `Writer` may touch.
    unsafe {
        for lane in 0..W {
            let frame = begin.add(lane);
            (*frame).halves[N_DISTINCT - 1] =
                [&raw const (*frame).replica_id, &raw const (*frame).node];
        }
        match (W, LOCKSTEP) {
            (1, _) => sealpipe_pc1_half_of_two(begin, finish, constants),
            (_, false) => sealpipe_pc1_half_of_four(begin, finish, constants),
            (_, true) => sealpipe_pc1_half_of_four_in_lockstep(begin, finish, constants),
        }
    }
}

fn strand<'b>(batch: &'b Batch, lane: usize) -> Strand<'b> {
    let labels = batch.current.labels();
    Strand {
        parents: batch.parents.all(),
        current: labels.base(lane),
        previous: batch.previous.as_ref().map(|labels| labels.base(lane).cast_const()),
        stride: labels.stride(),
        first: labels.published(),
    }
}

/// Sets what stays the same over the nodes of a layer, and block 0 of the first one.
fn dress(frame: &mut Frame, strand: &Strand<'_>, layer: u32, replica_id: Words) {
    let padding: *const Words = &raw const PADDING_HALF.0;
    frame.node = [layer, 0, strand.first as u32, 0, 0, 0, 0, 0];
    frame.schedules[0] = portable::expand(replica_id, frame.node);
    // In layer 1 there are no blocks 4 to 7: the first label is expanded in their place.
    let last = (strand.parents.len() - 1) as u32;
    let (previous, mask) = strand.previous.map_or((strand.current.cast_const(), 0), |p| (p, last));
    let current = strand.current.cast_const();
    frame.stride = strand.stride;
    frame.bases = [current, current, previous, previous, previous, previous];
    frame.masks = [last, last, mask, mask, mask, mask];
    frame.halves = [[padding; 2]; N_DISTINCT];
    frame.replica_id = replica_id;
    let offsets = order(layer).map(|block| block as u32 * 256);
    frame.begin.copy_from_slice(&offsets[..10]);
    frame.finish.copy_from_slice(&offsets[10..]);
}

/// Points a frame that has no lane to constants and scratch.
fn rest(frame: &mut Frame, scratch: &mut Aligned) {
    let padding: *const Words = &raw const PADDING_HALF.0;
    frame.halves = [[padding; 2]; N_DISTINCT];
    frame.begin = [0; 10];
    frame.finish = [0; 10];
    frame.out = &raw mut scratch.0;
    frame.stride = 0;
    frame.row = &raw const NO_PARENTS;
    frame.bases = [padding.cast(); 6];
    frame.masks = [0; 6];
}

const _: () = assert!(size_of::<Words>() == LABEL_BYTES);
