// SPDX-License-Identifier: MIT OR Apache-2.0

//! The reasons for a plan, in words.

use sealpipe_protocol::Stage;

use super::{Bounds, Candidate, Gpus, Objective, Wishes, draft::GIB, sector_gib};
use crate::{
    hardware::Hardware,
    simulate::{Profile, list},
};

/// Paragraphs for the beginning of the file.
pub fn heading(
    hardware: &Hardware,
    profile: &Profile,
    wishes: &Wishes,
    best: &Candidate,
    runner_up: Option<&Candidate>,
    bounds: &Bounds,
) -> Vec<String> {
    let mut paragraphs = vec![
        format!("For {}. Made by `sealpipe plan`.", machine(hardware)),
        String::new(),
        format!("Objective: {}{}.", wishes.objective, constraints(wishes)),
        format!("Durations: {}.", profile.name),
        String::new(),
        format!("{}: {}", kind(best), result(best, profile)),
        format!("What holds more back: {}.", best.report.bottleneck),
    ];
    if let Some(other) = runner_up {
        paragraphs.push(format!("Next best, {}: {}", lower(&kind(other)), result(other, profile)));
        paragraphs.push(why(best, other, wishes));
    }
    paragraphs.push(String::new());
    paragraphs.push(pc1(best, wishes, bounds));
    paragraphs.push(memory(best, hardware, profile));
    paragraphs.extend(unused_gpus(best, hardware));
    paragraphs.push(format!(
        "Cores that no entry needs: cpus {}. add_pieces, tree_d, c1 and verify have no entry: one \
         reference processor each, on whatever is idle. pc1, pc2 and c2 are sealpipe-pc1, \
         sealpipe-pc2 and sealpipe-c2 beside the worker where they are there; `bin` names others.",
        none_if_empty(best.draft.left.to_string())
    ));
    paragraphs
}

fn none_if_empty(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text }
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn machine(hardware: &Hardware) -> String {
    let nodes = hardware.nodes().filter(|node| node.cores().next().is_some()).count();
    let groups = hardware.l3_groups().count();
    let mut parts = vec![
        counted(hardware.cores().count(), "core"),
        counted(groups, "L3 group"),
        counted(nodes, "node"),
    ];
    match hardware.memory.total_bytes {
        0 => parts.push("memory that is not known".to_owned()),
        bytes => parts.push(format!("{:.0} GiB of memory", bytes as f64 / GIB)),
    }
    match &hardware.gpus {
        None => parts.push("GPUs that are not known and count as none".to_owned()),
        Some(gpus) => parts.push(counted(gpus.len(), "GPU")),
    }
    list(&parts)
}

fn constraints(wishes: &Wishes) -> String {
    let given = [
        wishes.pc1.map(|n| format!("{n} pc1")),
        wishes.cores_per_pc1.map(|n| format!("{n} cores for each")),
        wishes.reserve_l3_groups.map(|n| format!("the last {n} L3 groups of each node reserved")),
        wishes.gpus.map(|gpus| match gpus {
            Gpus::Separate => "each GPU for one stage".to_owned(),
            Gpus::Shared => "GPUs for both stages".to_owned(),
        }),
    ];
    let given: Vec<String> = given.into_iter().flatten().collect();
    if given.is_empty() { String::new() } else { format!("; given: {}", list(&given)) }
}

/// What kind of plan it is.
pub fn kind(candidate: &Candidate) -> String {
    let draft = &candidate.draft;
    let (pc2, c2) = (draft.of_stage(Stage::Pc2).count(), draft.of_stage(Stage::C2).count());
    let on_cpu = draft.entries.iter().all(|entry| entry.gpu.is_none());
    let gpus = match (on_cpu, draft.gpus) {
        (true, _) => "pc2 and c2 on the CPU, by turns on each node".to_owned(),
        (false, Gpus::Shared) if pc2 == 1 => "one GPU that pc2 and c2 have by turns".to_owned(),
        (false, Gpus::Shared) => format!("{pc2} GPUs that pc2 and c2 have by turns"),
        (false, Gpus::Separate) => {
            format!("{} for pc2 and {} for c2", counted(pc2, "GPU"), counted(c2, "GPU"))
        }
    };
    format!("{} pc1, {gpus}", draft.n_pc1())
}

/// What it does, in numbers.
pub fn result(candidate: &Candidate, profile: &Profile) -> String {
    let report = &candidate.report;
    let flight = report.in_flight.most;
    let tib = flight as f64 * sector_gib(profile) / 1024.0;
    format!(
        "{:.1} sectors a day, each {:.1} h on its way, {flight} at once at most ({tib:.1} TiB of \
         disk), {} left.",
        report.sealed_per_day,
        report.latency.mean_s / 3_600.0,
        counted(candidate.draft.left.len(), "cpu"),
    )
}

fn why(best: &Candidate, other: &Candidate, wishes: &Wishes) -> String {
    let (ours, theirs) = (&best.report, &other.report);
    let more = 100.0 * (ours.sealed_per_day / theirs.sealed_per_day.max(1e-9) - 1.0);
    let sectors = if more.abs() < 0.5 {
        "as many sectors a day".to_owned()
    } else if more > 0.0 {
        format!("{more:.0}% more sectors a day")
    } else {
        format!("{:.0}% fewer sectors a day", -more)
    };
    let hours = (theirs.latency.mean_s - ours.latency.mean_s) / 3_600.0;
    let sooner = if hours >= 0.0 {
        format!("each done {hours:.1} h sooner")
    } else {
        format!("each done {:.1} h later", -hours)
    };
    let objective = match wishes.objective {
        Objective::SectorsPerDay => "sectors a day come first",
        Objective::Latency => "latency comes first",
        Objective::CoresLeft => "cores that are left come first",
    };
    format!("Between them: {sectors}, {sooner}; {objective}.")
}

fn pc1(best: &Candidate, wishes: &Wishes, bounds: &Bounds) -> String {
    let n = best.draft.n_pc1();
    let mut room = vec![format!("{} by cores", bounds.by_cores)];
    room.extend(bounds.by_memory.map(|tasks| format!("{tasks} by memory")));
    let room = room.join(", ");
    let most = bounds.by_memory.map_or(bounds.by_cores, |tasks| tasks.min(bounds.by_cores));
    let reason = if wishes.pc1.is_some() {
        "as was asked for"
    } else if n < most {
        "more would only wait for pc2 and c2, and fill the disk"
    } else {
        "as many as there is room for"
    };
    format!("{n} pc1 at once, {reason}; there is room for {room}.")
}

/// GPUs that memory or cores are not enough for.
fn unused_gpus(best: &Candidate, hardware: &Hardware) -> Option<String> {
    let used = |index| best.draft.entries.iter().any(|entry| entry.gpu == Some(index));
    let gpus = hardware.gpus.iter().flatten().map(|gpu| gpu.index);
    let unused: Vec<String> = gpus.filter(|index| !used(*index)).map(|i| i.to_string()).collect();
    (!unused.is_empty()).then(|| {
        format!("Not used: GPU {}, for whose tasks memory or cores are not enough.", list(&unused))
    })
}

/// Memory when most of it is taken.
fn memory(best: &Candidate, hardware: &Hardware, profile: &Profile) -> String {
    let gib = |stage| profile.stage(stage).memory_gib;
    let of = |entry: &super::DraftEntry| match entry.lock {
        Some(_) => gib(Stage::Pc2).max(gib(Stage::C2)) / 2.0,
        None => gib(entry.stage),
    };
    let others: f64 = best.draft.entries.iter().map(of).sum();
    let needed = best.draft.n_pc1() as f64 * gib(Stage::Pc1) + others;
    let tree_d = gib(Stage::TreeD);
    match hardware.memory.total_bytes {
        0 => format!("Memory at most: {needed:.0} GiB, and {tree_d:.0} for a tree_d."),
        bytes => {
            let total = bytes as f64 / GIB;
            let tight = if needed + tree_d > total { ": tight, for there is no more" } else { "" };
            format!(
                "Memory at most: {needed:.0} GiB and {tree_d:.0} for a tree_d, of {total:.0}{tight}."
            )
        }
    }
}
