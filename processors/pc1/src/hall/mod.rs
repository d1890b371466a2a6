// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where sectors are labelled: cores with lanes, and groups of sectors that go in lockstep on them.
//!
//! Sectors of one graph that arrive together at the same layer form a group; one that comes later is
//! a group of its own, beside others on a core. Sectors leave whenever they like.

mod core;
mod group;
mod sector;

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use sealpipe_protocol::{Code, TaskError, error::RetryWhere};

use self::{core::Core, group::Group};
pub use self::{group::SharedPool, sector::Sector};
use crate::{
    label::{Kernel, MAX_LANES},
    memory::{pool::Pool, supply::Supply},
    parents::Parents,
};

/// How long a sector waits for others to go in lockstep with.
const GATHER: Duration = Duration::from_millis(1500);

/// Graphs below this size are labelled before anybody else comes.
const GATHER_MIN_NODES: usize = 1 << 20;

/// How long a worker should wait when memory is short, in milliseconds.
const MEMORY_RETRY_MS: u64 = 60_000;

/// A hashing thread to be: the cpu that it is bound to, and how many lanes it carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seat {
    /// The cpu; `None` leaves the thread where the process may be.
    pub cpu: Option<u32>,
    /// At most [`MAX_LANES`].
    pub lanes: usize,
}

/// The cores of a processor and the groups on them.
#[derive(Debug)]
pub struct Hall {
    seats: Vec<Seat>,
    kernel: fn() -> Kernel,
    files: Option<Arc<Supply>>,
    node: Option<u32>,
    pool: SharedPool,
    gather: Option<Duration>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    cores: Vec<(Arc<Core>, usize)>,
    forming: Vec<Forming>,
    next_forming: u64,
}

/// A group that still takes sectors.
#[derive(Debug)]
struct Forming {
    number: u64,
    parents: Arc<Parents>,
    first_layer: u32,
    sectors: Vec<Arc<Sector>>,
    most: usize,
}

impl Hall {
    /// A hall of these seats, whose labels take at most `memory_bytes`, from huge files if there are
    /// some, or else on `node` if possible. Sectors wait `gather` for others to go in lockstep with,
    /// or as long as is worth it for their graph. Threads start when they are needed.
    pub fn new(
        seats: Vec<Seat>,
        kernel: fn() -> Kernel,
        memory_bytes: u64,
        files: Option<Supply>,
        node: Option<u32>,
        gather: Option<Duration>,
    ) -> Arc<Self> {
        assert!(seats.iter().all(|seat| (1..=MAX_LANES).contains(&seat.lanes)));
        let pool = Arc::new(Mutex::new(Pool::new(memory_bytes)));
        let (state, changed, files) = (Mutex::default(), Condvar::new(), files.map(Arc::new));
        Arc::new(Self { seats, kernel, files, node, pool, gather, state, changed })
    }

    /// Lanes in all.
    pub fn n_lanes(&self) -> usize {
        self.seats.iter().map(|seat| seat.lanes).sum()
    }

    /// The ledger of the memory.
    pub fn pool(&self) -> &SharedPool {
        &self.pool
    }

    /// The source of memory for groups whose layers take `layer_bytes`.
    pub fn supply(&self, layer_bytes: u64) -> Arc<Supply> {
        let system = || Arc::new(Supply::system(2 * layer_bytes, self.node));
        self.files.clone().unwrap_or_else(system)
    }

    /// Begins to label a sector; it hears of its end itself.
    ///
    /// # Errors
    /// What the system says when it has no more threads.
    pub fn enter(self: &Arc<Self>, sector: Arc<Sector>, parents: Arc<Parents>) -> io::Result<()> {
        let most = self.seats.iter().map(|seat| seat.lanes).max().unwrap_or(1);
        let first_layer = sector.first_layer();
        let mut state = self.state();
        let fits = |group: &&mut Forming| {
            Arc::ptr_eq(&group.parents, &parents)
                && group.first_layer == first_layer
                && group.sectors.len() < group.most
        };
        if let Some(group) = state.forming.iter_mut().find(fits) {
            group.sectors.push(sector);
            self.changed.notify_all();
            return Ok(());
        }
        let number = state.next_forming;
        state.next_forming += 1;
        let sectors = vec![sector];
        state.forming.push(Forming { number, parents, first_layer, sectors, most });
        drop(state);
        let hall = self.clone();
        let name = format!("pc1-group-{number}");
        thread::Builder::new().name(name).spawn(move || hall.lead(number)).map(drop)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a group is full or nobody else comes, and labels its sectors.
    fn lead(self: &Arc<Self>, number: u64) {
        let Some(Forming { parents, sectors, .. }) = self.gather(number) else { return };
        let mut rest = sectors;
        let mut threads = Vec::new();
        while !rest.is_empty() {
            let some = match self.seat(rest.len()) {
                Ok(Some((core, index, n))) => (core, index, rest.drain(..n).collect::<Vec<_>>()),
                Ok(None) => {
                    let error = TaskError::new(Code::Busy, "no lane is free");
                    end(&rest, &error.retry(RetryWhere::Same, 1000));
                    break;
                }
                Err(error) => {
                    let error =
                        TaskError::io(Code::ResourceExhausted, "cannot start a core", &error);
                    end(&rest, &error);
                    break;
                }
            };
            let (core, index, sectors) = some;
            let (hall, parents) = (self.clone(), parents.clone());
            let run = move || hall.label(core, index, sectors, parents);
            if rest.is_empty() {
                run();
            } else {
                threads.push(thread::spawn(run));
            }
        }
        // A panic in a thread has ended its sectors' tasks already: their state tells.
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }

    fn gather(&self, number: u64) -> Option<Forming> {
        let mut state = self.state();
        let n_nodes = state.forming.iter().find(|g| g.number == number)?.parents.n_nodes();
        let usual = if n_nodes < GATHER_MIN_NODES { Duration::ZERO } else { GATHER };
        let end = Instant::now() + self.gather.unwrap_or(usual);
        loop {
            let at = state.forming.iter().position(|group| group.number == number)?;
            let group = &state.forming[at];
            let left = end.saturating_duration_since(Instant::now());
            if group.sectors.len() >= group.most || left.is_zero() {
                return Some(state.forming.swap_remove(at));
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes up to `wanted` lanes of the core that has the most free ones.
    fn seat(&self, wanted: usize) -> io::Result<Option<(Arc<Core>, usize, usize)>> {
        let mut state = self.state();
        let free = |state: &State, i: usize| {
            state.cores.get(i).map_or(self.seats[i].lanes, |(_, taken)| self.seats[i].lanes - taken)
        };
        // Of equals the first: seats are in the order in which they are to be taken.
        let best = (0..self.seats.len()).rev().max_by_key(|i| free(&state, *i).min(wanted));
        let Some(index) = best.filter(|i| free(&state, *i) > 0) else { return Ok(None) };
        while state.cores.len() <= index {
            let cpu = self.seats[state.cores.len()].cpu;
            let core = Core::start(cpu, self.kernel)?;
            state.cores.push((core, 0));
        }
        let n = free(&state, index).min(wanted);
        let (core, taken) = &mut state.cores[index];
        *taken += n;
        Ok(Some((core.clone(), index, n)))
    }

    /// Labels sectors that have lanes of a core.
    fn label(
        &self,
        core: Arc<Core>,
        index: usize,
        sectors: Vec<Arc<Sector>>,
        parents: Arc<Parents>,
    ) {
        let n_lanes = sectors.len();
        let (supply, bytes) = self.layer_of(parents.n_nodes(), n_lanes);
        let admitted = self.pool.lock().unwrap_or_else(PoisonError::into_inner).admit(bytes);
        match admitted {
            Some(id) => {
                Group { sectors, parents, core, supply, pool: self.pool.clone(), id }.run();
            }
            None => end(&sectors, &self.memory_is_short(bytes)),
        }
        self.state().cores[index].1 -= n_lanes;
    }

    fn layer_of(&self, n_nodes: usize, width: usize) -> (Arc<Supply>, u64) {
        let supply = self.supply(crate::memory::labels::Labels::bytes(n_nodes, width) as u64);
        let bytes = Group::layer_bytes(n_nodes, width, &supply);
        (supply, bytes as u64)
    }

    fn memory_is_short(&self, layer_bytes: u64) -> TaskError {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, capacity) = (pool.in_use(), pool.capacity());
        TaskError::new(
            Code::ResourceExhausted,
            format!(
                "labels need twice {layer_bytes} bytes beside {taken} that are taken, of \
                 {capacity} in all"
            ),
        )
        .hint("lower the entry's `concurrent`, or raise SEALPIPE_PC1_MEMORY")
        .retry(RetryWhere::Same, MEMORY_RETRY_MS)
    }
}

/// Ends sectors with an error.
fn end(sectors: &[Arc<Sector>], error: &TaskError) {
    sectors.iter().for_each(|sector| sector.end(Err(error.clone())));
}
