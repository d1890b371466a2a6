// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which cpus hash, and how many lanes each of them carries. Pure, but for reading the machine.
//!
//! One hashing thread a core, spread over the L3 groups, since each fetches parents all the time.
//! Two lanes a core while cores last: a sector is done soonest with few lanes beside it, and two
//! still hide most of the unit's latency. Four when they don't: that is what the unit can do.

use std::{collections::BTreeMap, fs};

use sealpipe_protocol::placement::CpuList;

use crate::{hall::Seat, label::MAX_LANES};

/// Lanes a core unless more are needed.
const USUAL_LANES: usize = 2;

/// A cpu of the machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cpu {
    /// The kernel's number.
    pub id: u32,
    /// Its core, by the lowest cpu of it.
    pub core: u32,
    /// Its L3 group, by the lowest cpu of it.
    pub l3: u32,
}

/// What an operator may have said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wish {
    /// Sectors at a time.
    pub concurrent: Option<u32>,
    /// Lanes a core, 1 to 4.
    pub lanes_per_core: Option<usize>,
    /// Whether a core's lanes are shared out to its hyper-threads.
    pub hyperthreads: bool,
}

/// Who hashes where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The hashing threads, in the order in which they get sectors.
    pub seats: Vec<Seat>,
    /// Cpus for everything else: memory, digests, disks. All that were granted if none is left.
    pub helpers: CpuList,
}

impl Plan {
    /// Sectors at a time.
    pub fn n_lanes(&self) -> usize {
        self.seats.iter().map(|seat| seat.lanes).sum()
    }

    /// The plan on the cpus `granted` of a machine.
    pub fn new(machine: &[Cpu], granted: &CpuList, wish: Wish) -> Self {
        let cores = cores(machine, granted);
        let most = wish.lanes_per_core.map(|lanes| lanes.clamp(1, MAX_LANES));
        let wanted = wish.concurrent.map_or(usize::MAX, |n| n.max(1) as usize);
        let lanes = most.unwrap_or(match wanted {
            usize::MAX => USUAL_LANES,
            _ if wanted <= USUAL_LANES * cores.len() => USUAL_LANES,
            _ => MAX_LANES,
        });
        let n_cores = wanted.div_ceil(lanes).min(cores.len());
        let mut seats = Vec::new();
        let mut left = wanted.min(n_cores * lanes);
        for core in spread(&cores, n_cores) {
            let here = left.min(lanes);
            left -= here;
            match core.cpus.as_slice() {
                [first, second, ..] if wish.hyperthreads && here > 1 => {
                    seats.push(Seat { cpu: Some(*first), lanes: here.div_ceil(2) });
                    seats.push(Seat { cpu: Some(*second), lanes: here / 2 });
                }
                cpus => seats.push(Seat { cpu: cpus.first().copied(), lanes: here }),
            }
        }
        let helpers = helpers(machine, granted, &seats);
        Self { seats, helpers }
    }
}

/// A core by those of its cpus that are granted.
#[derive(Clone, Debug)]
struct Core {
    l3: u32,
    cpus: Vec<u32>,
}

/// The granted cores. A cpu that the machine does not know is a core of its own.
fn cores(machine: &[Cpu], granted: &CpuList) -> Vec<Core> {
    let mut cores: BTreeMap<u32, Core> = BTreeMap::new();
    for id in granted.iter() {
        let unknown = Cpu { id, core: id, l3: 0 };
        let cpu = machine.iter().find(|cpu| cpu.id == id).copied().unwrap_or(unknown);
        let core = cores.entry(cpu.core).or_insert(Core { l3: cpu.l3, cpus: Vec::new() });
        core.cpus.push(id);
    }
    cores.into_values().collect()
}

/// `n` of the cores: each L3 group's first, then each one's second, and so on; of a round that is
/// not needed whole, groups at equal distances.
fn spread(cores: &[Core], n: usize) -> Vec<Core> {
    let mut groups: BTreeMap<u32, Vec<Core>> = BTreeMap::new();
    for core in cores {
        groups.entry(core.l3).or_default().push(core.clone());
    }
    let mut chosen = Vec::new();
    for round in 0.. {
        let row: Vec<_> = groups.values().filter_map(|group| group.get(round)).collect();
        let wanted = (n - chosen.len()).min(row.len());
        chosen.extend((0..wanted).map(|i| row[i * row.len() / wanted].clone()));
        if chosen.len() == n || row.is_empty() {
            break;
        }
    }
    chosen
}

/// The granted cpus that share no core with a hashing thread, or all.
fn helpers(machine: &[Cpu], granted: &CpuList, seats: &[Seat]) -> CpuList {
    let core = |id: u32| machine.iter().find(|cpu| cpu.id == id).map_or(id, |cpu| cpu.core);
    let taken: Vec<_> = seats.iter().filter_map(|seat| seat.cpu).map(core).collect();
    let free: CpuList = granted.iter().filter(|id| !taken.contains(&core(*id))).collect();
    if free.is_empty() { granted.clone() } else { free }
}

/// The cpus of this machine, as the kernel shows them in `/sys`.
pub fn machine(cpus: &CpuList) -> Vec<Cpu> {
    let lowest = |id: u32, file: &str| {
        let text = fs::read_to_string(format!("/sys/devices/system/cpu/cpu{id}/{file}")).ok()?;
        let list: CpuList = text.trim().parse().ok()?;
        list.iter().next()
    };
    let cpu = |id: u32| Cpu {
        id,
        core: lowest(id, "topology/thread_siblings_list").unwrap_or(id),
        l3: lowest(id, "cache/index3/shared_cpu_list").unwrap_or(0),
    };
    cpus.iter().map(cpu).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two sockets of 48 cores in L3 groups of 3, hyper-threads from 96 on: two EPYC 7642.
    fn epyc() -> Vec<Cpu> {
        (0..192).map(|id| Cpu { id, core: id % 96, l3: id % 96 / 3 * 3 }).collect()
    }

    fn check(granted: &str, wish: Wish, seats: &str, helpers: &str) {
        let plan = Plan::new(&epyc(), &granted.parse().unwrap(), wish);
        let show = |seat: &Seat| format!("{}:{}", seat.cpu.unwrap(), seat.lanes);
        let shown: Vec<_> = plan.seats.iter().map(show).collect();
        assert_eq!((shown.join(" ").as_str(), plan.helpers.to_string().as_str()), (seats, helpers));
    }

    fn at_a_time(concurrent: u32) -> Wish {
        Wish { concurrent: Some(concurrent), ..Wish::default() }
    }

    #[test]
    fn scheme_a_has_seven_hashing_cores_a_socket_in_l3_groups_of_their_own() {
        check(
            "0-41",
            at_a_time(14),
            "0:2 6:2 12:2 18:2 24:2 30:2 36:2",
            "1-5,7-11,13-17,19-23,25-29,31-35,37-41",
        );
        check(
            "48-89",
            at_a_time(14),
            "48:2 54:2 60:2 66:2 72:2 78:2 84:2",
            "49-53,55-59,61-65,67-71,73-77,79-83,85-89",
        );
    }

    #[test]
    fn twenty_eight_sectors_fit_seven_cores() {
        let wish = Wish { lanes_per_core: Some(4), ..at_a_time(28) };
        check(
            "0-41",
            wish,
            "0:4 6:4 12:4 18:4 24:4 30:4 36:4",
            "1-5,7-11,13-17,19-23,25-29,31-35,37-41",
        );
        // Four lanes a core by themselves when there are no more cores.
        check(
            "0,3,6,9,12,15,18",
            at_a_time(28),
            "0:4 3:4 6:4 9:4 12:4 15:4 18:4",
            "0,3,6,9,12,15,18",
        );
    }

    #[test]
    fn every_l3_group_gets_its_first_core_before_any_gets_its_second() {
        check("0-8", at_a_time(8), "0:2 3:2 6:2 1:2", "2,4,5,7,8");
        check("0-8", at_a_time(3), "0:2 3:1", "1,2,4-8");
        check("0-8", at_a_time(1), "0:1", "1-8");
        check("4,5", Wish::default(), "4:2 5:2", "4,5");
        check("0-2", at_a_time(1000), "0:4 1:4 2:4", "0-2");
    }

    #[test]
    fn hyper_threads_share_the_lanes_of_a_core() {
        let wish = Wish { lanes_per_core: Some(4), hyperthreads: true, ..at_a_time(7) };
        check("0-5,96-101", wish, "0:2 96:2 3:2 99:1", "1,2,4,5,97,98,100,101");
        let wish = Wish { hyperthreads: false, ..wish };
        check("0-5,96-101", wish, "0:4 3:3", "1,2,4,5,97,98,100,101");
    }

    #[test]
    fn this_machine_has_cores() {
        let cpus = sealpipe_protocol::placement::current_cpus().unwrap();
        let plan = Plan::new(&machine(&cpus), &cpus, at_a_time(1));
        assert_eq!(plan.n_lanes(), 1);
        assert!(cpus.contains(plan.seats[0].cpu.unwrap()));
    }
}
