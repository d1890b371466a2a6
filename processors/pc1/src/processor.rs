// SPDX-License-Identifier: MIT OR Apache-2.0

//! The processor: offers `pc1` and `tree_d`, and runs their tasks.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::thread::{CpuSet, sched_setaffinity};
use sealpipe_protocol::{
    Bytes32, Code, Stage, TaskError, durable, failure,
    method::{Identity, InitializeParams, LogLevel, StageOffer},
    placement::{self, CpuList},
    serve::{self, Done, Processor, Progress, TaskContext},
    stage::{
        Job, files,
        pc1::{self, Params},
        proof::SealProof,
        tree_d,
    },
};
use sha2::{Digest, Sha256};

use crate::{
    graph::Graph,
    hall::{Hall, Sector},
    label::Kernel,
    layers::{Layers, Shape},
    memory::supply::{self, FilePool, Supply},
    parents::{self, Parents, Watch},
    placement::{self as seats, Plan, Wish},
    settings::{self, Settings},
    tree,
};

/// How often a task looks whether it is to stop, and tells how far it is.
const TICK: Duration = Duration::from_millis(200);

/// Pieces of huge files are of this size, which every kind of huge page divides.
const FILE_PIECE_BYTES: usize = 1 << 30;

/// Of the memory that is free, labels may take so many sixteenths unless told otherwise.
const MEMORY_SIXTEENTHS: u64 = 15;

/// The pc1 processor.
#[derive(Debug, Default)]
pub struct Pc1 {
    stand: OnceLock<Stand>,
    graphs: Mutex<HashMap<SealProof, Weak<Parents>>>,
}

/// What follows from what was granted.
#[derive(Debug)]
struct Stand {
    hall: Arc<Hall>,
    helpers: CpuList,
    notes: Vec<String>,
}

impl Processor for Pc1 {
    fn identity(&self) -> Identity {
        Identity {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn offers(&self, granted: &InitializeParams) -> Result<Vec<StageOffer>, TaskError> {
        let settings = Settings::read(variable)?;
        let cpus = placement::current_cpus()
            .map_err(|error| TaskError::io(Code::PlacementMismatch, "cpus", &error))?;
        let wish = Wish {
            concurrent: granted.limits.concurrent,
            lanes_per_core: settings.lanes_per_core,
            hyperthreads: settings.hyperthreads,
        };
        let plan = Plan::new(&seats::machine(&cpus), &cpus, wish);
        let node = placement::observe().memory_node.or(granted.placement.memory_node);
        let files = huge_files(node)?;
        let kernel = if settings.portable { Kernel::portable } else { Kernel::detect };
        let memory = settings.memory_bytes.unwrap_or_else(|| memory_bytes(files.as_ref(), node));
        let offer = |stage, n: usize| StageOffer {
            implementation: Some(implementation(&plan, kernel, files.as_ref())),
            ..serve::offer(stage, n as u32)
        };
        let offers =
            vec![offer(Stage::Pc1, plan.n_lanes()), offer(Stage::TreeD, tree_d_tasks(granted))];
        let hall = Hall::new(plan.seats, kernel, memory, files, node, None);
        let notes = settings::notes(variable);
        notes.iter().for_each(|note| eprintln!("note: {note}"));
        self.stand
            .set(Stand { hall, helpers: plan.helpers, notes })
            .map_err(|_| TaskError::new(Code::InvalidRequest, "initialized twice"))?;
        Ok(offers)
    }

    fn run(&self, job: Job, task: &TaskContext) -> Result<Done, TaskError> {
        match job {
            Job::Pc1(params) => self.pc1(&params, task),
            Job::TreeD(params) => run_tree_d(&params, task),
            other => Err(TaskError::new(
                Code::UnsupportedStage,
                format!("`{}` is not served here, but pc1 and tree_d", other.stage()),
            )),
        }
    }
}

impl Pc1 {
    fn stand(&self) -> Result<&Stand, TaskError> {
        self.stand
            .get()
            .ok_or_else(|| TaskError::new(Code::NotInitialized, "nothing is granted yet"))
    }

    fn pc1(&self, params: &Params, task: &TaskContext) -> Result<Done, TaskError> {
        let stand = self.stand()?;
        bind(&stand.helpers);
        stand.notes.iter().for_each(|note| task.log(LogLevel::Info, note.clone()));
        for dir in [&params.cache_dir, &params.work_dir] {
            fs::create_dir_all(dir).map_err(|error| failure::output("in", dir, &error))?;
        }
        check_pieces(params)?;
        let graph = Graph::of_proof(params.proof);
        let report = Report::new(params, &graph, task);
        report.tree_d(params)?;
        let parents = self.parents(params.proof, &graph, &report)?;
        let layers = report.recover(params)?;
        let replica_id = replica_id(params);
        let missing = u64::from(layers.n_layers() - layers.n_finished());
        durable::require_space(&params.cache_dir, missing * params.proof.sector_bytes())?;
        let resumed = (layers.n_finished() > 0).then(|| format!("layer {}", layers.n_finished()));
        if missing > 0 {
            let supply = stand.hall.supply(params.proof.sector_bytes());
            task.log(LogLevel::Info, format!("labels are in {supply}"));
            let sector = Arc::new(Sector::new(replica_id, layers));
            stand
                .hall
                .enter(sector.clone(), parents)
                .map_err(|error| TaskError::io(Code::ResourceExhausted, "a thread", &error))?;
            report.follow(params, &sector)?;
        }
        Ok(Done::new(&pc1::Output { replica_id, comm_d: params.comm_d }).resumed_from(resumed))
    }

    /// The graph's parents: mapped once, shared by all sectors that are there.
    fn parents(
        &self,
        proof: SealProof,
        graph: &Graph,
        report: &Report<'_>,
    ) -> Result<Arc<Parents>, TaskError> {
        let known = || {
            let graphs = self.graphs.lock().unwrap_or_else(PoisonError::into_inner);
            graphs.get(&proof).and_then(Weak::upgrade)
        };
        if let Some(parents) = known() {
            return Ok(parents);
        }
        let dir = parents::directory(variable);
        let on_nodes = |nodes| report.say("parents", report.before_parents() + nodes, None);
        let check = || report.task.check_stop();
        let watch = Watch { on_nodes: &on_nodes, check: &check };
        let opened = Arc::new(Parents::open(&dir, graph, &watch)?);
        // Another task may have been faster: sectors go in lockstep only on the same one.
        let mut graphs = self.graphs.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = graphs.get(&proof).and_then(Weak::upgrade).unwrap_or(opened);
        graphs.insert(proof, Arc::downgrade(&shared));
        Ok(shared)
    }
}

/// Progress over the parts of a task, in nodes of work, so that `done` is comparable over the whole.
struct Report<'t> {
    task: &'t TaskContext,
    n_nodes: u64,
    n_layers: u64,
    builds_tree_d: bool,
    makes_parents: bool,
    done: AtomicU64,
}

impl<'t> Report<'t> {
    fn new(params: &Params, graph: &Graph, task: &'t TaskContext) -> Self {
        Self {
            task,
            n_nodes: params.proof.n_nodes(),
            n_layers: u64::from(params.proof.n_layers()),
            builds_tree_d: !params.cache_dir.join(files::TREE_D).exists(),
            makes_parents: !parents::is_ready(&parents::directory(variable), graph),
            done: AtomicU64::new(0),
        }
    }

    fn before_parents(&self) -> u64 {
        u64::from(self.builds_tree_d) * self.n_nodes
    }

    fn before_layers(&self) -> u64 {
        self.before_parents() + u64::from(self.makes_parents) * self.n_nodes
    }

    /// Reports; what is done never falls.
    fn say(&self, phase: impl Into<String>, done: u64, checkpoint: Option<String>) {
        let total = self.before_layers() + self.n_layers * self.n_nodes;
        let before = self.done.fetch_max(done.min(total), Ordering::Relaxed);
        let done = done.min(total).max(before);
        let (phase, unit) = (phase.into(), "nodes".to_owned());
        self.task.progress(Progress { phase, done, total, unit, checkpoint });
    }

    /// Builds tree-d when it is absent, and checks it.
    fn tree_d(&self, params: &Params) -> Result<(), TaskError> {
        if self.builds_tree_d {
            tree::build(
                params.proof,
                &params.unsealed_path,
                &params.cache_dir,
                &|leaves| self.say("tree_d", leaves, None),
                &|| self.task.check_stop(),
            )?;
        }
        let verified = tree::verify(params.proof, &params.cache_dir, params.comm_d);
        if self.builds_tree_d && verified.is_err() {
            // A tree over other data must not stand in the way of the next attempt.
            durable::remove_file(&params.cache_dir.join(files::TREE_D))?;
        }
        verified
    }

    fn recover(&self, params: &Params) -> Result<Layers, TaskError> {
        let n_layers = params.proof.n_layers();
        Layers::recover(params, Shape::of_proof(params.proof), |layer, bytes| {
            let before = self.before_layers() + u64::from(layer - 1) * self.n_nodes;
            self.say(format!("checking layer {layer}/{n_layers}"), before + bytes / 32, None);
            self.task.check_stop()
        })
    }

    /// Follows a sector to its end, or takes it out of its group.
    fn follow(&self, params: &Params, sector: &Sector) -> Result<(), TaskError> {
        let before = self.before_layers() + u64::from(sector.first_layer() - 1) * self.n_nodes;
        loop {
            if let Some(outcome) = sector.wait(TICK) {
                return outcome;
            }
            if let Err(stopped) = self.task.check_stop() {
                sector.leave();
                return Err(stopped);
            }
            let n_finished = sector.n_finished();
            let layer = (n_finished + 1).min(params.proof.n_layers());
            let checkpoint = (n_finished > 0).then(|| format!("layer {n_finished}"));
            let phase = format!("layer {layer}/{}", params.proof.n_layers());
            self.say(phase, before + sector.nodes_done(), checkpoint);
        }
    }
}

fn run_tree_d(params: &tree_d::Params, task: &TaskContext) -> Result<Done, TaskError> {
    let total = params.proof.n_nodes();
    let say = |done| {
        let (phase, unit) = ("hashing".to_owned(), "nodes".to_owned());
        task.progress(Progress { phase, done, total, unit, checkpoint: None });
    };
    fs::create_dir_all(&params.cache_dir)
        .map_err(|error| failure::output("in", &params.cache_dir, &error))?;
    let check = || task.check_stop();
    let comm_d = tree::build(params.proof, &params.unsealed_path, &params.cache_dir, &say, &check)?;
    Ok(Done::new(&tree_d::Output { comm_d }))
}

fn check_pieces(params: &Params) -> Result<(), TaskError> {
    let root = tree::root_of_pieces(&params.pieces)?;
    if root == params.comm_d {
        return Ok(());
    }
    Err(TaskError::new(
        Code::InvalidInput,
        format!("`commD` {} is not the root over `pieces`, {root}", params.comm_d),
    )
    .hint("pieces are given in the order in which they were added"))
}

/// What every label is bound to (storage-proofs-porep, `params.rs`, `generate_replica_id`).
pub fn replica_id(params: &Params) -> Bytes32 {
    let mut id: [u8; 32] = Sha256::new()
        .chain_update(params.prover_id.0)
        .chain_update(params.sector_number.to_be_bytes())
        .chain_update(params.ticket.0)
        .chain_update(params.comm_d.0)
        .chain_update(params.proof.porep_id())
        .finalize()
        .into();
    id[31] &= 0b0011_1111;
    Bytes32(id)
}

/// The environment.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// tree_d uses every cpu by itself: one at a time, unless the worker asks for more.
fn tree_d_tasks(granted: &InitializeParams) -> usize {
    granted.limits.concurrent.unwrap_or(1).max(1) as usize
}

/// The kernel, the lanes and the cores, for people.
fn implementation(plan: &Plan, kernel: fn() -> Kernel, files: Option<&Supply>) -> String {
    let cpus: CpuList = plan.seats.iter().filter_map(|seat| seat.cpu).collect();
    let most = plan.seats.iter().map(|seat| seat.lanes).max().unwrap_or(1);
    let memory = files.map(|files| format!(", {files}")).unwrap_or_default();
    format!("{}, up to {most} a thread on cpus {cpus}{memory}", kernel())
}

/// Keeps this thread, and those that it starts, off the cpus that hash.
fn bind(cpus: &CpuList) {
    let mut set = CpuSet::new();
    cpus.iter()
        .filter(|cpu| (*cpu as usize) < CpuSet::MAX_CPU)
        .for_each(|cpu| set.set(cpu as usize));
    // Refused when they have gone offline: then the thread stays where it may be.
    let _ = sched_setaffinity(None, &set);
}

/// The files that damocles' variables name.
fn huge_files(node: Option<u32>) -> Result<Option<Supply>, TaskError> {
    let Some(dir) = supply::files_directory(variable, node) else { return Ok(None) };
    let what = "the huge files";
    let pool =
        |bytes| FilePool::open(&dir, bytes).map_err(|error| failure::input(what, &dir, &error));
    Ok(Some(Supply::Files(pool(FILE_PIECE_BYTES)?)))
}

/// Bytes that labels may take unless the operator says: the huge files, or most of what is free.
fn memory_bytes(files: Option<&Supply>, node: Option<u32>) -> u64 {
    if let Some(bytes) = files.and_then(Supply::capacity) {
        return bytes;
    }
    let set_aside =
        crate::memory::pages::Pages::ALL.iter().filter_map(|pages| pages.set_aside(node));
    let available = meminfo(Path::new("/proc/meminfo"), "MemAvailable:");
    let on_node = node.and_then(|node| {
        let path = format!("/sys/devices/system/node/node{node}/meminfo");
        let (free, cached) =
            (meminfo(Path::new(&path), "MemFree:"), meminfo(Path::new(&path), "FilePages:"));
        Some(free? + cached.unwrap_or(0))
    });
    let free = available.into_iter().chain(on_node).min().unwrap_or(u64::MAX / 32);
    set_aside.sum::<u64>() + free / 16 * MEMORY_SIXTEENTHS
}

/// A line of a `meminfo`, in bytes.
fn meminfo(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.contains(name))?;
    let kib: u64 = line.split_whitespace().rev().nth(1)?.parse().ok()?;
    kib.checked_mul(1024)
}
