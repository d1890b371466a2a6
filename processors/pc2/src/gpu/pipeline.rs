// SPDX-License-Identifier: MIT OR Apache-2.0

//! One device's loop: lanes are read into, uploaded, hashed and written back, all at once.
//!
//! A lane is idle, being read into, ready, or busy on the device. A span collects row 1 of its batches; when
//! its last batch is given to the device, the rows above are hashed, both trees' in one launch each. Results
//! are written by the threads of [`super::files`]; their memory comes back by ticket.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    time::{Duration, Instant},
};

use sealpipe_gpu::{GpuError, Kind, driver::HostMemory};
use sealpipe_protocol::{Code, TaskError};

use super::{
    Gpu,
    arena::{Arena, Needs, Results, SpanRows},
    files::{Job, Jobs, Reply, Target},
    kernels::Nodes,
};
use crate::{
    NODE_BYTES,
    plan::{Shape, Span, Tree},
    stage::Watch,
    top::{Tops, rows_of_batch},
};

/// How long a batch may be on the device before the device counts as hung. Four lanes of 2^18 columns take
/// 30 ms on an H200; the slowest card that the kernels run on is a hundred times slower.
const HUNG_AFTER: Duration = Duration::from_secs(60);

/// How often the device is asked while there is nothing else to do.
const POLL: Duration = Duration::from_micros(100);

/// Bytes that are written at a time, so that several threads share a batch.
const WRITE_BYTES: usize = 2 << 20;

/// What the devices of a task share.
pub struct Shared<'s> {
    shape: Shape,
    batch: u64,
    spans: Mutex<VecDeque<Span>>,
    tops: Mutex<Tops>,
    done: AtomicU64,
    failed: AtomicBool,
    watch: Watch<'s>,
}

impl<'s> Shared<'s> {
    /// Nothing is done yet.
    pub fn new(
        shape: Shape,
        batch: u64,
        spans: VecDeque<Span>,
        tops: Tops,
        watch: Watch<'s>,
    ) -> Self {
        Self {
            shape,
            batch,
            spans: Mutex::new(spans),
            tops: Mutex::new(tops),
            done: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            watch,
        }
    }

    /// The tops of all batches.
    pub fn into_tops(self) -> Tops {
        self.tops.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn longest_span(&self) -> u64 {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.iter().map(|span| span.columns).max().unwrap_or(self.batch)
    }
}

/// Where a lane is.
#[derive(Clone, Copy, Debug)]
enum LaneState {
    Idle,
    Reading { batch: Batch, missing: usize },
    Ready { batch: Batch },
    Busy { batch: Batch, since: Instant },
}

/// A batch of an open span.
#[derive(Clone, Copy, Debug)]
struct Batch {
    slot: usize,
    index: u64,
}

/// Where a span's rows are.
#[derive(Clone, Copy, Debug)]
enum SpanState {
    Free,
    Open { span: Span, given_out: u64, submitted: u64 },
    Closing { span: Span, since: Instant },
    Writing,
}

/// Memory that is being written to files.
#[derive(Debug)]
struct Pending {
    memories: Vec<Arc<HostMemory>>,
    left: usize,
    of: Of,
}

#[derive(Clone, Copy, Debug)]
enum Of {
    Batch,
    Span(usize),
}

/// The loop's state.
pub struct Pipeline<'p> {
    kernels: &'p super::Kernels,
    shared: &'p Shared<'p>,
    arena: Arena,
    lanes: Vec<LaneState>,
    spans: Vec<SpanState>,
    pending: Vec<Option<Pending>>,
    jobs: Jobs,
    reply: Sender<Reply>,
    replies: Receiver<Reply>,
}

impl<'p> Pipeline<'p> {
    /// Computes spans until none is left.
    ///
    /// # Errors
    /// What the files and the device say, and a stop; the other devices then stop too.
    pub fn run(gpu: &mut Gpu, shared: &'p Shared<'p>, jobs: Jobs) -> Result<(), TaskError> {
        let ended = Self::try_run(gpu, shared, jobs);
        if ended.is_err() {
            shared.failed.store(true, Ordering::Relaxed);
        }
        ended
    }

    fn try_run(gpu: &mut Gpu, shared: &Shared<'_>, jobs: Jobs) -> Result<(), TaskError> {
        let needs = Needs {
            n_inputs: shared.shape.n_layers as usize + 1,
            batch: shared.batch,
            span: shared.longest_span(),
        };
        let arena = match gpu.arena.take() {
            Some(arena) if arena.needs == needs => arena,
            other => {
                // Before the new one is made: both may not fit.
                drop(other);
                Arena::new(&gpu.context, needs)?
            }
        };
        let (reply, replies) = mpsc::channel();
        let mut pipeline = Pipeline {
            kernels: &gpu.kernels,
            shared,
            lanes: vec![LaneState::Idle; arena.lanes.len()],
            spans: vec![SpanState::Free; arena.spans.len()],
            arena,
            pending: Vec::new(),
            jobs,
            reply,
            replies,
        };
        pipeline.work()?;
        gpu.arena = Some(pipeline.arena);
        Ok(())
    }

    fn work(&mut self) -> Result<(), TaskError> {
        loop {
            self.shared.watch.check()?;
            if self.shared.failed.load(Ordering::Relaxed) {
                return Err(TaskError::new(Code::InternalError, "another device failed"));
            }
            self.begin_reads()?;
            self.submit_ready()?;
            let collected = self.collect_batches()? | self.collect_spans()?;
            if self.is_finished() {
                return Ok(());
            }
            let patience = if collected { Duration::ZERO } else { POLL };
            if let Ok(reply) = self.replies.recv_timeout(patience) {
                self.take(reply)?;
                while let Ok(reply) = self.replies.try_recv() {
                    self.take(reply)?;
                }
            }
        }
    }

    fn is_finished(&self) -> bool {
        self.lanes.iter().all(|lane| matches!(lane, LaneState::Idle))
            && self.spans.iter().all(|span| matches!(span, SpanState::Free))
            && self.pending.iter().all(Option::is_none)
            && self.shared.spans.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The next batch, of the span that is open or of a new one.
    fn next_batch(&mut self) -> Option<Batch> {
        for (slot, state) in self.spans.iter_mut().enumerate() {
            if let SpanState::Open { span, given_out, .. } = state
                && *given_out < span.columns / self.shared.batch
            {
                *given_out += 1;
                return Some(Batch { slot, index: *given_out - 1 });
            }
        }
        let slot = self.spans.iter().position(|state| matches!(state, SpanState::Free))?;
        let span = self.shared.spans.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?;
        self.spans[slot] = SpanState::Open { span, given_out: 1, submitted: 0 };
        Some(Batch { slot, index: 0 })
    }

    fn begin_reads(&mut self) -> Result<(), TaskError> {
        for lane in 0..self.lanes.len() {
            if !matches!(self.lanes[lane], LaneState::Idle) {
                continue;
            }
            let Some(batch) = self.next_batch() else { return Ok(()) };
            let first = self.first_node(batch)?;
            let chunks = &mut self.arena.lanes[lane].chunks;
            let missing = chunks.len();
            for (which, memory) in chunks.iter_mut().enumerate() {
                let memory = memory.take().ok_or_else(|| defect("a chunk that is read twice"))?;
                let reply = self.reply.clone();
                self.jobs
                    .reads
                    .send(Job::Read { lane, which, first, memory, reply })
                    .map_err(|_| defect("nobody reads"))?;
            }
            self.lanes[lane] = LaneState::Reading { batch, missing };
        }
        Ok(())
    }

    fn span(&self, slot: usize) -> Result<Span, TaskError> {
        match self.spans[slot] {
            SpanState::Open { span, .. } | SpanState::Closing { span, .. } => Ok(span),
            _ => Err(defect("a batch of no span")),
        }
    }

    /// The first node of a batch, within the sector.
    fn first_node(&self, batch: Batch) -> Result<u64, TaskError> {
        let span = self.span(batch.slot)?;
        let tree = u64::from(span.tree) * self.shared.shape.leaves;
        Ok(tree + span.first + batch.index * self.shared.batch)
    }

    fn submit_ready(&mut self) -> Result<(), TaskError> {
        for lane in 0..self.lanes.len() {
            let LaneState::Ready { batch } = self.lanes[lane] else { continue };
            let Some(results) = self.arena.results.pop() else { return Ok(()) };
            self.submit(lane, batch, results)?;
            self.lanes[lane] = LaneState::Busy { batch, since: Instant::now() };
            if let SpanState::Open { span, submitted, .. } = &mut self.spans[batch.slot] {
                *submitted += 1;
                if *submitted == span.columns / self.shared.batch {
                    self.close_span(batch.slot)?;
                }
            }
        }
        Ok(())
    }

    /// Gives a batch to the device: up, hashed, encoded, row 1 of both trees, down.
    fn submit(&mut self, lane: usize, batch: Batch, results: Results) -> Result<(), TaskError> {
        let (n, span) = (self.shared.batch, self.span(batch.slot)?);
        let n_layers = self.shared.shape.n_layers;
        let bytes = n as usize * NODE_BYTES;
        let kernels = self.kernels;
        let row_1 = self.arena.spans[batch.slot].rows.first();
        let row_1 = row_1.ok_or_else(|| defect("a batch without a row above it"))?;
        let (lane, compute) = (&mut self.arena.lanes[lane], &mut self.arena.compute);
        let (stream, leaves, layers) = (&mut lane.stream, &lane.leaves, &lane.layers);
        for (which, chunk) in lane.chunks.iter_mut().enumerate() {
            let chunk = chunk.take().ok_or_else(|| defect("a chunk that was not read"))?;
            let lent = stream.lend(chunk);
            match which == n_layers as usize {
                true => stream.upload((leaves, bytes), (lent, 0), bytes)?,
                false => stream.upload((layers, which * bytes), (lent, 0), bytes)?,
            }
        }
        stream.mark()?;
        compute.wait_for(stream)?;
        let at = |memory, at| Nodes { memory, at };
        kernels.columns(compute, at(leaves, 0), at(layers, 0), (n_layers, n))?;
        let labels = at(layers, u64::from(n_layers - 1) * n);
        kernels.encode(compute, at(leaves, n), labels, n)?;
        for (tree, offset) in [(0, 0), (span.columns / 8, n)] {
            let above = at(row_1, tree + batch.index * n / 8);
            kernels.tree_row(compute, above, at(leaves, offset), n / 8)?;
        }
        compute.mark()?;
        stream.wait_for(compute)?;
        let Results { leaves_c, replica, row_c } = results;
        let [leaves_c, replica, row_c] =
            [leaves_c, replica, row_c].map(|memory| stream.lend(memory));
        stream.download((leaves_c, 0), (leaves, 0), bytes)?;
        stream.download((replica, 0), (leaves, bytes), bytes)?;
        stream.download((row_c, 0), (row_1, batch.index as usize * bytes / 8), bytes / 8)?;
        stream.mark()?;
        Ok(())
    }

    /// Hashes the rows above row 1 of a span and fetches them all.
    fn close_span(&mut self, slot: usize) -> Result<(), TaskError> {
        let span = self.span(slot)?;
        let Arena { spans, compute, .. } = &mut self.arena;
        let SpanRows { rows, stream, host } = &mut spans[slot];
        let host = host.take().ok_or_else(|| defect("a span that is closed twice"))?;
        for (above, pair) in (2..).zip(rows.windows(2)) {
            let [below, row] = pair else { continue };
            let n = 2 * (span.columns >> (3 * above));
            let at = |memory| Nodes { memory, at: 0 };
            self.kernels.tree_row(compute, at(row), at(below), n)?;
        }
        compute.mark()?;
        stream.wait_for(compute)?;
        let host = stream.lend(host);
        for piece in pieces(self.shared.shape, span, rows_of_batch(self.shared.batch)) {
            let memory = &rows[piece.row as usize - 1];
            stream.download((host, piece.host), (memory, piece.device), piece.bytes)?;
        }
        stream.mark()?;
        self.spans[slot] = SpanState::Closing { span, since: Instant::now() };
        Ok(())
    }

    /// Takes batches that the device has finished; whether there was one.
    fn collect_batches(&mut self) -> Result<bool, TaskError> {
        let mut any = false;
        for lane in 0..self.lanes.len() {
            let LaneState::Busy { batch, since } = self.lanes[lane] else { continue };
            if !self.arena.lanes[lane].stream.is_done()? {
                check_hung(since)?;
                continue;
            }
            any = true;
            let mut memories = self.arena.lanes[lane].stream.take_back()?;
            let results = memories.split_off(self.shared.shape.n_layers as usize + 1);
            self.arena.lanes[lane].chunks = memories.into_iter().map(Some).collect();
            self.lanes[lane] = LaneState::Idle;
            let first = self.first_node(batch)?;
            let (which, at) = self.place(first);
            let row = |row| Target::Row { tree: Tree::C, which, row, first: at >> (3 * row) };
            let bytes = self.shared.batch as usize * NODE_BYTES;
            let wholes = [(row(0), bytes), (Target::Replica(first), bytes), (row(1), bytes / 8)];
            let mut writes = Vec::new();
            for (memory, (target, bytes)) in wholes.into_iter().enumerate() {
                for begin in (0..bytes).step_by(WRITE_BYTES) {
                    let end = bytes.min(begin + WRITE_BYTES);
                    writes.push((memory, begin..end, moved(target, begin)));
                }
            }
            self.write(results, writes, Of::Batch)?;
            let done = self.shared.done.fetch_add(self.shared.batch, Ordering::Relaxed);
            self.shared.watch.done(done + self.shared.batch);
        }
        Ok(any)
    }

    /// The tree of a node, and its place there.
    fn place(&self, node: u64) -> (u32, u64) {
        ((node / self.shared.shape.leaves) as u32, node % self.shared.shape.leaves)
    }

    /// Takes spans whose rows are complete; whether there was one.
    fn collect_spans(&mut self) -> Result<bool, TaskError> {
        let mut any = false;
        for slot in 0..self.spans.len() {
            let SpanState::Closing { span, since } = self.spans[slot] else { continue };
            // Its batches are collected first: they look up the span.
            let has_batches = self
                .lanes
                .iter()
                .any(|lane| matches!(lane, LaneState::Busy { batch, .. } if batch.slot == slot));
            if has_batches || !self.arena.spans[slot].stream.is_done()? {
                check_hung(since)?;
                continue;
            }
            any = true;
            let memory = self.arena.spans[slot].stream.take_back()?.pop();
            let memory = memory.ok_or_else(|| defect("a span without rows"))?;
            let top = rows_of_batch(self.shared.batch);
            let pieces = pieces(self.shared.shape, span, top);
            let mut tops = self.shared.tops.lock().unwrap_or_else(PoisonError::into_inner);
            for piece in pieces.iter().filter(|piece| piece.row == top) {
                let bytes = &memory.as_slice()[piece.host..][..piece.bytes];
                let (nodes, _) = bytes.as_chunks::<NODE_BYTES>();
                tops.set(piece.tree, span.tree, (span.first / self.shared.batch) as usize, nodes);
            }
            drop(tops);
            let mut writes = Vec::new();
            for piece in pieces {
                let (tree, row) = (piece.tree, piece.row);
                let target =
                    Target::Row { tree, which: span.tree, row, first: span.first >> (3 * row) };
                for begin in (0..piece.bytes).step_by(WRITE_BYTES) {
                    let end = piece.bytes.min(begin + WRITE_BYTES);
                    writes.push((0, piece.host + begin..piece.host + end, moved(target, begin)));
                }
            }
            self.spans[slot] = SpanState::Writing;
            self.write(vec![memory], writes, Of::Span(slot))?;
        }
        Ok(any)
    }

    /// Has ranges of memories written.
    fn write(
        &mut self,
        memories: Vec<HostMemory>,
        ranges: Vec<(usize, std::ops::Range<usize>, Target)>,
        of: Of,
    ) -> Result<(), TaskError> {
        let memories: Vec<_> = memories.into_iter().map(Arc::new).collect();
        let free = self.pending.iter().position(Option::is_none);
        let ticket = free.unwrap_or_else(|| {
            self.pending.push(None);
            self.pending.len() - 1
        });
        let left = ranges.len();
        for (memory, range, target) in ranges {
            let (memory, reply) = (Arc::clone(&memories[memory]), self.reply.clone());
            self.jobs
                .writes
                .send(Job::Write { memory, range, target, ticket, reply })
                .map_err(|_| defect("nobody writes"))?;
        }
        self.pending[ticket] = Some(Pending { memories, left, of });
        Ok(())
    }

    fn take(&mut self, reply: Reply) -> Result<(), TaskError> {
        match reply {
            Reply::Read { lane, which, memory, ended } => {
                self.arena.lanes[lane].chunks[which] = Some(memory);
                ended?;
                let LaneState::Reading { batch, missing } = &mut self.lanes[lane] else {
                    return Err(defect("something was read for nobody"));
                };
                *missing -= 1;
                if *missing == 0 {
                    self.lanes[lane] = LaneState::Ready { batch: *batch };
                }
            }
            Reply::Written { ticket, ended } => {
                ended?;
                let pending = self.pending[ticket].as_mut();
                let pending = pending.ok_or_else(|| defect("something was written for nobody"))?;
                pending.left -= 1;
                if pending.left == 0
                    && let Some(done) = self.pending[ticket].take()
                {
                    self.give_back(done)?;
                }
            }
        }
        Ok(())
    }

    fn give_back(&mut self, done: Pending) -> Result<(), TaskError> {
        let unshared =
            |memory| Arc::try_unwrap(memory).map_err(|_| defect("written memory is shared"));
        let memories: Vec<_> = done.memories.into_iter().map(unshared).collect::<Result<_, _>>()?;
        match (done.of, <[HostMemory; 3]>::try_from(memories)) {
            (Of::Batch, Ok([leaves_c, replica, row_c])) => {
                self.arena.results.push(Results { leaves_c, replica, row_c });
            }
            (Of::Span(slot), Err(mut one)) => {
                self.arena.spans[slot].host = one.pop();
                self.spans[slot] = SpanState::Free;
            }
            _ => return Err(defect("memory of another kind came back")),
        }
        Ok(())
    }
}

/// A part of a span's rows that is fetched: because its file has it, or because it is the top.
#[derive(Clone, Copy, Debug)]
struct Piece {
    tree: Tree,
    row: u32,
    device: usize,
    host: usize,
    bytes: usize,
}

/// The pieces of a span with `top` rows.
fn pieces(shape: Shape, span: Span, top: u32) -> Vec<Piece> {
    let mut host = 0;
    let mut found = Vec::new();
    for row in 1..=top {
        let bytes = (span.columns >> (3 * row)) as usize * NODE_BYTES;
        for (tree, device) in [(Tree::C, 0), (Tree::RLast, bytes)] {
            // Row 1 of tree-c went batch by batch.
            let is_kept = row >= shape.first_row(tree) && (tree, row) != (Tree::C, 1);
            if row == top || is_kept {
                found.push(Piece { tree, row, device, host, bytes });
                host += bytes;
            }
        }
    }
    found
}

/// A target so many bytes further on.
fn moved(target: Target, bytes: usize) -> Target {
    let nodes = (bytes / NODE_BYTES) as u64;
    match target {
        Target::Replica(first) => Target::Replica(first + nodes),
        Target::Row { tree, which, row, first } => {
            Target::Row { tree, which, row, first: first + nodes }
        }
    }
}

fn check_hung(since: Instant) -> Result<(), TaskError> {
    if since.elapsed() < HUNG_AFTER {
        return Ok(());
    }
    let text = format!("the GPU has not finished a batch within {} s", HUNG_AFTER.as_secs());
    Err(GpuError::new(Kind::Lost, text).into())
}

fn defect(text: &str) -> TaskError {
    TaskError::new(Code::InternalError, text)
}
