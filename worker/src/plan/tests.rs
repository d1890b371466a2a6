// SPDX-License-Identifier: MIT OR Apache-2.0

use sealpipe_protocol::{placement::CpuList, stage::proof::SealProof};

use super::*;
use crate::{
    check,
    config::{Processors, Severity},
    hardware::{Core, Disk, Gpu, L3Group, Memory, Node, Socket},
    simulate::Random,
};

/// Random machines.
const MACHINES: u64 = 25;

/// A machine of nodes, each with L3 groups of so many cores of so many threads.
fn machine(nodes: &[Vec<usize>], threads: usize, gib: u64, gpus: Option<u32>) -> Hardware {
    let mut next_cpu = 0;
    let mut core = |_| {
        let cpus = next_cpu..next_cpu + threads as u32;
        next_cpu += threads as u32;
        Core { cpus: cpus.collect() }
    };
    let mut sockets = Vec::new();
    for (index, groups) in nodes.iter().enumerate() {
        let group =
            |n: &usize| L3Group { cache_bytes: None, cores: (0..*n).map(&mut core).collect() };
        let index = index as u32;
        let l3_groups = groups.iter().map(group).collect();
        let memory_bytes = (gib << 30) / nodes.len() as u64;
        let node = Node { index, memory_bytes, l3_groups, ..Node::default() };
        sockets.push(Socket { packages: vec![index], nodes: vec![node] });
    }
    Hardware {
        sockets,
        memory: Memory { total_bytes: gib << 30, ..Memory::default() },
        gpus: gpus.map(|n| (0..n).map(|index| Gpu { index, ..Gpu::default() }).collect()),
        ..Hardware::default()
    }
}

/// The machine of the configuration guide that users come from: two EPYC 7642, 2 TiB, two GPUs.
fn guide() -> Hardware {
    machine(&[vec![3; 16], vec![3; 16]], 1, 2048, Some(2))
}

fn guide_wishes(gpus: Option<Gpus>) -> Wishes {
    Wishes {
        pc1: Some(28),
        cores_per_pc1: Some(2),
        reserve_l3_groups: Some(2),
        gpus,
        ..Wishes::default()
    }
}

fn read(plan: &Plan) -> Processors {
    let source = Source::new("plan", plan.text.as_str());
    let parsed = config::parse(&source);
    let said = parsed.diagnostics().render(&source, Severity::Warning);
    assert!(said.is_empty(), "{said}\n{}", plan.text);
    parsed.config().expect("it has no errors").processors.clone()
}

/// The entries as stage, cpus, node, tasks, locks and GPU.
fn shape(processors: &Processors) -> Vec<String> {
    let entries = processors.entries.iter();
    let shape = |entry: &config::Entry| {
        let node = entry.numa_preferred.map_or("-".to_owned(), |node| node.to_string());
        let cpus = entry.cpus.as_ref().map(CpuList::to_string).unwrap_or_default();
        // The guide gives pc2 and c2 no `concurrent`: their limits say the same.
        let tasks = if entry.stage == Stage::Pc1 { entry.concurrent.unwrap_or(0) } else { 1 };
        let gpus = entry.gpus().unwrap_or_default().join(",");
        let n_locks = entry.locks.len();
        format!("{} {cpus} node {node}, {tasks} tasks, {n_locks} locks, gpu {gpus}", entry.stage)
    };
    entries.map(shape).collect()
}

#[test]
fn the_guides_schemes_come_out_of_its_constraints() {
    let schemes = [
        (Gpus::Separate, include_str!("../../tests/data/scheme-a.toml")),
        (Gpus::Shared, include_str!("../../tests/data/scheme-b.toml")),
    ];
    for (gpus, text) in schemes {
        let plan = plan(&guide(), &Profile::default(), &guide_wishes(Some(gpus))).unwrap();
        let planned = read(&plan);
        let scheme =
            config::parse(&Source::new("scheme", text)).config().unwrap().processors.clone();
        assert_eq!(shape(&planned), shape(&scheme));
        assert_eq!(planned.limitation, scheme.limitation);
        assert_eq!(planned.ext_locks.len(), scheme.ext_locks.len());
        assert_eq!(plan.best.draft.left.to_string(), "38,41,86,89");
    }
}

#[test]
fn without_constraints_a_plan_is_as_good_as_the_better_scheme() {
    let profile = Profile::default();
    let free = plan(&guide(), &profile, &Wishes::default()).unwrap();
    let rate = |plan: &Plan| plan.best.report.sealed_per_day;
    for gpus in [Gpus::Separate, Gpus::Shared] {
        let given = plan(&guide(), &profile, &guide_wishes(Some(gpus))).unwrap();
        assert!(rate(&free) >= 0.995 * rate(&given), "{} {}", rate(&free), rate(&given));
    }
    assert_eq!(free.best.draft.gpus, Gpus::Shared);
    let other = free.runner_up.expect("there is another way to share two GPUs");
    assert_eq!(other.draft.gpus, Gpus::Separate);
    assert!(free.text.contains("# Next best, "), "{}", free.text);
}

#[test]
fn objectives_have_what_they_ask_for() {
    let of = |objective| {
        let wishes = Wishes { objective, ..Wishes::default() };
        plan(&guide(), &Profile::default(), &wishes).unwrap().best
    };
    let [most, soonest, left] =
        [Objective::SectorsPerDay, Objective::Latency, Objective::CoresLeft].map(of);
    assert!(soonest.report.latency.mean_s <= most.report.latency.mean_s);
    assert!(soonest.report.sealed_per_day >= FOR_LATENCY * most.report.sealed_per_day);
    assert!(left.draft.left.len() > most.draft.left.len());
    assert!(left.report.sealed_per_day >= FOR_CORES * most.report.sealed_per_day);
}

#[test]
fn a_plan_is_made_twice_alike() {
    let made = || plan(&guide(), &Profile::default(), &Wishes::default()).unwrap().text;
    assert_eq!(made(), made());
}

fn random_machine(random: &mut Random) -> Hardware {
    let n_nodes = 1 + random.below(4);
    let sizes = [2, 3, 4, 6, 8, 16, 24];
    let nodes: Vec<Vec<usize>> = (0..n_nodes)
        .map(|_| {
            let size = sizes[random.below(sizes.len())];
            let mut groups = vec![size; 1 + random.below(64 / size)];
            if random.below(4) == 0 {
                // Some machines have groups of several sizes.
                groups.push(1 + random.below(size));
            }
            groups
        })
        .collect();
    let gpus = match random.below(5) {
        0 => None,
        n => Some(n as u32 * (1 + random.below(2) as u32)),
    };
    let gib = [0, 512, 1024, 2048, 4096][random.below(5)];
    let mut hardware = machine(&nodes, 1 + random.below(2), gib, gpus);
    if random.below(3) == 0 {
        let disk = Disk { size_bytes: (1 + random.below(60) as u64) << 40, ..Disk::default() };
        hardware.disks = Some(vec![disk]);
    }
    hardware
}

/// Cpus of two entries are apart, unless they take turns.
fn check_apart(plan: &Plan, hardware: &Hardware) {
    let draft = &plan.best.draft;
    let all = hardware.cpus();
    let labelling = draft.pc1.iter().map(|labelling| (&labelling.bound, None));
    let others = draft.entries.iter().map(|entry| (&entry.cpus, entry.lock.as_ref()));
    let users: Vec<(&CpuList, Option<&String>)> = labelling.chain(others).collect();
    for (index, (cpus, lock)) in users.iter().enumerate() {
        assert!(!cpus.is_empty() && cpus.is_subset(&all), "{cpus}\n{}", plan.text);
        assert!(cpus.intersection(&draft.left).is_empty(), "{cpus} is left\n{}", plan.text);
        for (other, other_lock) in &users[..index] {
            let by_turns = lock.is_some() && lock == other_lock;
            assert!(
                by_turns || cpus.intersection(other).is_empty(),
                "{cpus} {other}\n{}",
                plan.text
            );
        }
    }
    let free = check::free_cores(&read(plan), hardware);
    assert_eq!(free, draft.left, "{}", plan.text);
}

fn check_passes(plan: &Plan, hardware: &Hardware) {
    let processors = read(plan);
    let found =
        check::on_machine(&processors, hardware, SealProof::StackedDrg32GiBV1_1, true, &|_| None);
    let worse: Vec<_> = found.iter().filter(|d| d.severity() != Severity::Note).collect();
    assert!(worse.is_empty(), "{worse:?}\n{}", plan.text);
}

/// Every GPU has an entry or is said to have none, and none is idle while a task waits that it could
/// take.
fn check_gpus(plan: &Plan, hardware: &Hardware) {
    let draft = &plan.best.draft;
    let used = |gpu: &&Gpu| draft.entries.iter().any(|entry| entry.gpu == Some(gpu.index));
    let n_used = hardware.gpus.iter().flatten().take_while(used).count();
    let n_gpus = hardware.gpus.iter().flatten().count();
    assert_eq!(n_used < n_gpus, plan.text.contains("# Not used: GPU "), "{}", plan.text);
    let idle = plan.best.report.places.iter().map(|place| place.idle_beside_waiter);
    assert!(idle.fold(0.0, f64::max) < 0.01, "{}", plan.text);
}

#[test]
fn a_plan_for_any_machine_passes_and_wastes_nothing() {
    let mut made = 0;
    for seed in 0..MACHINES {
        let mut random = Random::new(seed, &[]);
        let hardware = random_machine(&mut random);
        let objectives = [Objective::SectorsPerDay, Objective::Latency, Objective::CoresLeft];
        let wishes = Wishes { objective: objectives[random.below(3)], ..Wishes::default() };
        let plan = match plan(&hardware, &Profile::default(), &wishes) {
            Ok(plan) => plan,
            Err(error) => {
                assert!(!error.hint.is_empty(), "{error}");
                continue;
            }
        };
        made += 1;
        check_passes(&plan, &hardware);
        check_apart(&plan, &hardware);
        check_gpus(&plan, &hardware);
    }
    assert!(made > MACHINES * 3 / 4, "only {made} machines have a plan");
}

#[test]
fn what_does_not_fit_is_said() {
    let check = |hardware: &Hardware, wishes: &Wishes, expected: &str| {
        let error = plan(hardware, &Profile::default(), wishes).unwrap_err();
        assert!(error.message.contains(expected), "{error}");
    };
    let free = Wishes::default();
    check(&machine(&[], 1, 64, None), &free, "no cpus");
    check(&machine(&[vec![8]], 1, 64, None), &free, "pc1 takes 64 GiB of memory");
    check(&machine(&[vec![1; 8]], 1, 2048, Some(1)), &free, "no L3 group has the cores");
    let poor = machine(&[vec![3; 16]], 1, 384, Some(8));
    let text = plan(&poor, &Profile::default(), &free).unwrap().text;
    assert!(text.contains("# Not used: GPU 2, 3, 4, 5, 6 and 7, for whose tasks"), "{text}");
    let many = Wishes { pc1: Some(99), ..Wishes::default() };
    check(&guide(), &many, "99 pc1 do not fit: the L3 groups take 28 at most");
    let separate = Wishes { gpus: Some(Gpus::Separate), ..Wishes::default() };
    check(&machine(&[vec![8; 4]], 1, 2048, Some(1)), &separate, "takes two GPUs");
    let full = Hardware { disks: Some(vec![Disk { size_bytes: 9, ..Disk::default() }]), ..guide() };
    check(&full, &free, "a sector takes 485 GiB of disk");
}
