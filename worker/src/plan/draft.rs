// SPDX-License-Identifier: MIT OR Apache-2.0

//! One way to share a machine: entries with their cpus, nodes, GPUs and locks.

use sealpipe_protocol::{Stage, placement::CpuList};

use super::{
    cores::{self, Labelling, Share, Unit},
    wishes::Gpus,
};
use crate::{
    hardware::{Hardware, Node},
    simulate::Profile,
};

/// A configuration before it is text.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// How pc2 and c2 have GPUs.
    pub gpus: Gpus,
    /// Cores of one pc1 task, and tasks that share them.
    pub unit: Unit,
    /// What labels.
    pub pc1: Vec<Labelling>,
    /// pc2, then c2.
    pub entries: Vec<DraftEntry>,
    /// The cpus of cores that nobody has.
    pub left: CpuList,
    /// Bound on sectors in flight; `None` for the default.
    pub in_flight: Option<usize>,
}

/// An entry of pc2 or c2.
#[derive(Clone, Debug, PartialEq)]
pub struct DraftEntry {
    /// The stage.
    pub stage: Stage,
    /// Its cpus.
    pub cpus: CpuList,
    /// The lock that it shares with another stage.
    pub lock: Option<String>,
    /// Its GPU; `None` for the CPU.
    pub gpu: Option<u32>,
}

/// What computes pc2 and c2: a GPU, or the spare cores of a node without one.
#[derive(Clone, Debug, PartialEq)]
struct Device {
    name: String,
    gpu: Option<u32>,
    /// Index of its node among those with cpus.
    home: usize,
}

/// How a machine is to be shared.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// How pc2 and c2 have GPUs.
    pub gpus: Gpus,
    /// GPUs of pc2 where each serves one stage.
    pub n_pc2: usize,
    /// Tasks of pc1 at once.
    pub pc1: usize,
    /// Cores of one pc1 task, and tasks that share them.
    pub unit: Unit,
    /// The last L3 groups of each node, if somebody said which pc1 does not get.
    pub reserved: Option<usize>,
    /// Bound on sectors in flight; `None` for the default.
    pub in_flight: Option<usize>,
    /// Whether pc2 and c2 get no more cores than they want.
    pub is_lean: bool,
}

/// The devices of a machine: its GPUs, or each node with cpus where there are none.
fn devices(hardware: &Hardware, nodes: &[&Node]) -> Vec<Device> {
    let gpus = hardware.gpus.as_deref().unwrap_or_default();
    if gpus.is_empty() {
        let device = |(home, node): (usize, &&Node)| Device {
            name: format!("cpus{}", node.index),
            gpu: None,
            home,
        };
        return nodes.iter().enumerate().map(device).collect();
    }
    let home = |index: usize, node: Option<u32>| {
        let known = nodes.iter().position(|other| Some(other.index) == node);
        known.unwrap_or(index * nodes.len() / gpus.len())
    };
    let device = |(index, gpu): (usize, &crate::hardware::Gpu)| Device {
        name: format!("gpu{}", gpu.index),
        gpu: Some(gpu.index),
        home: home(index, gpu.node),
    };
    gpus.iter().enumerate().map(device).collect()
}

/// How many devices there are: GPUs, or nodes where there are none.
pub fn n_devices(hardware: &Hardware) -> usize {
    devices(hardware, &cores::nodes(hardware)).len()
}

/// An entry that needs cores: its stage, which devices serve it, and how many cores it wants.
struct Want {
    stage: Stage,
    device: Device,
    cores: usize,
    /// Whether it takes its cores from all nodes, being the only one of its stage.
    spread: bool,
}

fn wants(choice: &Choice, profile: &Profile, devices: &[Device]) -> Vec<Want> {
    let want = |stage, device: &Device, n_of_stage: usize| Want {
        stage,
        device: device.clone(),
        cores: profile.stage(stage).cores,
        spread: n_of_stage == 1 && devices.len() > 1,
    };
    match choice.gpus {
        Gpus::Shared => {
            let both = [Stage::Pc2, Stage::C2].into_iter();
            both.flat_map(|stage| devices.iter().map(move |device| want(stage, device, 0)))
                .collect()
        }
        Gpus::Separate => {
            let (pc2, c2) = devices.split_at(choice.n_pc2.min(devices.len()));
            let pc2 = pc2.iter().map(|device| want(Stage::Pc2, device, choice.n_pc2));
            let c2 = c2.iter().map(|device| want(Stage::C2, device, devices.len() - choice.n_pc2));
            pc2.chain(c2).collect()
        }
    }
}

/// Cores that pc2 and c2 want of each node, at most half of it.
fn wanted(wants: &[Want], nodes: &[&Node], is_shared: bool) -> Vec<usize> {
    let of_node = |(home, node): (usize, &&Node)| {
        let here = |want: &&Want| want.spread || want.device.home == home;
        let own = |want: &Want| {
            if want.spread { want.cores.div_ceil(nodes.len()) } else { want.cores }
        };
        let sum = |stage| wants.iter().filter(|w| w.stage == stage).filter(here).map(own).sum();
        let (pc2, c2): (usize, usize) = (sum(Stage::Pc2), sum(Stage::C2));
        let n_cores = node.cores().count();
        if is_shared { pc2.max(c2) } else { pc2 + c2 }.min(n_cores / 2)
    };
    nodes.iter().enumerate().map(of_node).collect()
}

/// Most tasks of pc1 by cores: of each node so many that pc2 and c2 have the cores that they want,
/// unless somebody said how many groups are reserved for them.
pub fn most_pc1(hardware: &Hardware, profile: &Profile, choice: &Choice) -> usize {
    rooms(hardware, profile, choice).into_iter().sum()
}

fn rooms(hardware: &Hardware, profile: &Profile, choice: &Choice) -> Vec<usize> {
    let nodes = cores::nodes(hardware);
    let wants = wants(choice, profile, &devices(hardware, &nodes));
    let wanted = wanted(&wants, &nodes, choice.gpus == Gpus::Shared);
    let memory = profile.stage(Stage::Pc1).memory_gib * GIB;
    let of_node = |(node, wanted): (&&Node, &usize)| {
        let room = cores::room(node, choice.unit, choice.reserved.unwrap_or(0));
        if choice.reserved.is_some() {
            return room;
        }
        let fits = |tasks: &usize| {
            let bytes = *tasks as f64 * memory;
            cores::share(node, *tasks, choice.unit).spare.len() >= *wanted
                && (node.memory_bytes == 0 || bytes <= node.memory_bytes as f64)
        };
        (0..=room).rev().find(fits).unwrap_or(0)
    };
    nodes.iter().zip(&wanted).map(of_node).collect()
}

/// One GiB, in bytes.
pub const GIB: f64 = (1_u64 << 30) as f64;

impl Draft {
    /// Shares a machine. Nothing where some entry would have no core.
    pub fn new(hardware: &Hardware, profile: &Profile, choice: &Choice) -> Option<Self> {
        let nodes = cores::nodes(hardware);
        let devices = devices(hardware, &nodes);
        let tasks = spread(choice.pc1, &rooms(hardware, profile, choice))?;
        let mut shares: Vec<Share> =
            nodes.iter().zip(tasks).map(|(node, n)| cores::share(node, n, choice.unit)).collect();
        let wants = wants(choice, profile, &devices);
        let entries = match choice.gpus {
            Gpus::Shared => shared(&wants, &devices, &mut shares, choice.is_lean),
            Gpus::Separate => separate(&wants, &mut shares, choice.is_lean),
        };
        if entries.iter().any(|entry| entry.cpus.is_empty()) {
            return None;
        }
        let left = shares.iter().flat_map(|share| share.kept.iter().chain(&share.spare));
        Some(Self {
            gpus: choice.gpus,
            unit: choice.unit,
            left: left.flat_map(CpuList::iter).collect(),
            pc1: shares.into_iter().flat_map(|share| share.pc1).collect(),
            entries,
            in_flight: choice.in_flight,
        })
    }

    /// Tasks of pc1 at once.
    pub fn n_pc1(&self) -> usize {
        self.pc1.iter().map(|labelling| labelling.tasks).sum()
    }

    /// Entries of a stage.
    pub fn of_stage(&self, stage: Stage) -> impl Iterator<Item = &DraftEntry> {
        self.entries.iter().filter(move |entry| entry.stage == stage)
    }
}

/// Spreads tasks over nodes, in proportion to what they take. Nothing when they take fewer.
fn spread(tasks: usize, rooms: &[usize]) -> Option<Vec<usize>> {
    let total: usize = rooms.iter().sum();
    if tasks > total {
        return None;
    }
    let mut spread: Vec<usize> = rooms.iter().map(|room| tasks * room / total.max(1)).collect();
    let mut left = tasks - spread.iter().sum::<usize>();
    while left > 0 {
        // The node with most room left, the first of equals.
        let free = |index: &usize| (rooms[*index] - spread[*index], usize::MAX - *index);
        let most = (0..rooms.len()).max_by_key(free)?;
        spread[most] += 1;
        left -= 1;
    }
    Some(spread)
}

fn cpus<'a>(cores: impl Iterator<Item = &'a CpuList>) -> CpuList {
    cores.flat_map(CpuList::iter).collect()
}

/// pc2 and c2 of a device take turns, so that they have the same cores: pc2 the first of c2's.
fn shared(wants: &[Want], devices: &[Device], shares: &mut [Share], lean: bool) -> Vec<DraftEntry> {
    let mut slices = Vec::new();
    for device in devices {
        let here = devices.iter().filter(|other| other.home == device.home);
        let (count, index) = (here.clone().count(), here.take_while(|d| *d != device).count());
        let spare = &shares[device.home].spare;
        let mut slice: Vec<CpuList> = spare.iter().skip(index).step_by(count).cloned().collect();
        let of_device = wants.iter().filter(|want| want.device == *device);
        let most = of_device.map(|want| want.cores).max().unwrap_or(0);
        slice.truncate(if lean { most } else { usize::MAX });
        slices.push(slice);
    }
    for (device, slice) in devices.iter().zip(&slices) {
        shares[device.home].spare.retain(|core| !slice.contains(core));
    }
    let entry = |want: &Want| {
        let device = devices.iter().position(|device| *device == want.device)?;
        let n = if want.stage == Stage::Pc2 && want.device.gpu.is_some() {
            want.cores
        } else {
            usize::MAX
        };
        Some(DraftEntry {
            stage: want.stage,
            cpus: cpus(slices[device].iter().take(n)),
            lock: Some(want.device.name.clone()),
            gpu: want.device.gpu,
        })
    };
    wants.iter().filter_map(entry).collect()
}

/// Each device serves one stage. pc2 has its cores first, c2 what is left.
fn separate(wants: &[Want], shares: &mut [Share], lean: bool) -> Vec<DraftEntry> {
    let mut entries = Vec::new();
    let cores_of = |stage| wants.iter().find(|w| w.stage == stage).map_or(1, |want| want.cores);
    let both = cores_of(Stage::Pc2) + cores_of(Stage::C2);
    for (index, want) in wants.iter().enumerate() {
        let greedy = want.stage == Stage::C2 && !lean;
        let mut taken = Vec::new();
        let n_nodes = if want.spread { shares.len() } else { 1 };
        let homes =
            if want.spread { 0..shares.len() } else { want.device.home..want.device.home + 1 };
        for home in homes {
            // Those behind it that want cores of this node as well.
            let rivals = wants[index + 1..].iter().filter(|w| w.stage == want.stage);
            let rivals = rivals.filter(|rival| rival.device.home == home).count();
            let spare = &mut shares[home].spare;
            let share = spare.len() / (rivals + 1);
            let n = if greedy { share } else { want.cores.div_ceil(n_nodes).min(share) };
            // Where there are too few for both, each stage has its part.
            let part =
                if want.stage == Stage::Pc2 { (share * want.cores / both).max(1) } else { n };
            taken.extend(spare.drain(..n.min(part).min(spare.len())));
        }
        entries.push(DraftEntry {
            stage: want.stage,
            cpus: cpus(taken.iter()),
            lock: None,
            gpu: want.device.gpu,
        });
    }
    entries
}
