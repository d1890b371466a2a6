// SPDX-License-Identifier: MIT OR Apache-2.0

//! A configuration for a machine: how many pc1 at once, on which cores, and who has which GPU.
//!
//! Ways to share the machine are drafted, written down as text, read again as the worker reads it, and
//! simulated; the best one by the objective is proposed, with the reasons and with the next best of
//! another kind beside it. Pure. It measures nothing: durations are a [`Profile`]'s.

mod cores;
mod draft;
mod heading;
mod text;
mod wishes;

use std::time::Duration;

use sealpipe_protocol::Stage;

use self::draft::{Choice, GIB};
pub use self::{
    cores::{Labelling, Unit},
    draft::{Draft, DraftEntry},
    wishes::{Gpus, Objective, Wishes},
};
use crate::{
    config::{self, Source},
    hardware::Hardware,
    simulate::{
        self, Decider, Experiment, Jitter, MAX_TASKS, Profile, Report, Site, Supply, Written,
    },
};

/// What is simulated of each draft: long enough for queues to show, short enough to try dozens.
const DAYS: u32 = 10;

/// Durations vary so much, so that no draft is best by the luck of a rhythm.
const JITTER: Jitter = Jitter { part: 0.05, seed: 1 };

/// pc1 tasks beyond what the other stages can take on average, so that these never wait for pc1.
const PC1_MARGIN: f64 = 1.1;

/// Sectors in flight beyond what is in the stages on average: less and more of a margin.
const FLIGHT_MARGINS: [f64; 2] = [1.15, 1.5];

/// Drafts within this part of the best are as good by sectors a day.
const AS_GOOD: f64 = 0.995;

/// What a plan for latency may cost of the sectors a day.
const FOR_LATENCY: f64 = 0.9;

/// What a plan for cores that are left may cost of the sectors a day.
const FOR_CORES: f64 = 0.95;

/// Ways of a sector that differ by less take as long.
const SAME_LATENCY_SECONDS: f64 = 600.0;

const MINUTES_A_DAY: f64 = 24.0 * 60.0;

/// A draft and how it does.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The draft.
    pub draft: Draft,
    /// The configuration without a heading.
    pub body: String,
    /// What the simulation says.
    pub report: Report,
}

/// A proposal.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The best.
    pub best: Candidate,
    /// The best with another way to share GPUs, or where there is only one, another number of pc1.
    pub runner_up: Option<Candidate>,
    /// The whole configuration, with reasons.
    pub text: String,
    /// What bounds pc1 on this machine.
    pub bounds: Bounds,
}

/// Most tasks of pc1 at once, by what they need; `None` where that is not known or not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// By cores, beside what pc2 and c2 want.
    pub by_cores: usize,
    /// By memory, beside one task of each of the others.
    pub by_memory: Option<usize>,
    /// Sectors in flight by the disk.
    pub sectors_by_disk: Option<usize>,
}

/// Why there is no plan.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct PlanError {
    /// What is in the way.
    pub message: String,
    /// What to do next.
    pub hint: String,
}

fn cannot<T>(message: impl Into<String>, hint: &str) -> Result<T, PlanError> {
    Err(PlanError { message: message.into(), hint: hint.to_owned() })
}

/// Proposes a configuration. Where memory or cores are not enough for the tasks of all GPUs, the last
/// ones are left out.
///
/// # Errors
/// The machine is too small, or the wishes contradict it or each other.
pub fn plan(hardware: &Hardware, profile: &Profile, wishes: &Wishes) -> Result<Plan, PlanError> {
    let mut first_error = None;
    let mut fewer = hardware.clone();
    loop {
        let gpus = fewer.gpus.as_ref().map_or(0, Vec::len);
        match with_all_gpus(&fewer, hardware, profile, wishes) {
            Ok(plan) => return Ok(plan),
            Err(error) if gpus <= 1 => return Err(first_error.unwrap_or(error)),
            Err(error) => _ = first_error.get_or_insert(error),
        }
        fewer.gpus.iter_mut().for_each(|gpus| gpus.truncate(gpus.len() - 1));
    }
}

/// Proposes a configuration for a machine that is `whole`, or has GPUs more.
fn with_all_gpus(
    hardware: &Hardware,
    whole: &Hardware,
    profile: &Profile,
    wishes: &Wishes,
) -> Result<Plan, PlanError> {
    let mut candidates = Vec::new();
    let mut bounds = None;
    for (gpus, n_pc2) in kinds(hardware, profile, wishes)? {
        let choice = Choice {
            gpus,
            n_pc2,
            pc1: 0,
            unit: unit(profile, wishes),
            reserved: wishes.reserve_l3_groups,
            in_flight: None,
            is_lean: wishes.objective == Objective::CoresLeft,
        };
        let found = self::bounds(hardware, profile, &choice);
        candidates.extend(of_kind(hardware, profile, wishes, choice, found)?);
        bounds.get_or_insert(found);
    }
    let best_rate = candidates.iter().map(|c| c.report.sealed_per_day).fold(0.0, f64::max);
    candidates.sort_by(|a, b| merit(a, wishes, best_rate).total_cmp(&merit(b, wishes, best_rate)));
    let mut candidates = candidates.into_iter();
    let (Some(best), Some(bounds)) = (candidates.next(), bounds) else {
        return cannot(
            "no way to share this machine leaves every stage a core",
            "pc1 needs whole units of an L3 group, and pc2 and c2 at least a core each",
        );
    };
    let others: Vec<Candidate> = candidates.collect();
    let shares_otherwise = others.iter().find(|other| other.draft.gpus != best.draft.gpus);
    let runner_up = shares_otherwise
        .or_else(|| others.iter().find(|other| other.draft.n_pc1() != best.draft.n_pc1()))
        .cloned();
    let heading = heading::heading(whole, profile, wishes, &best, runner_up.as_ref(), &bounds);
    let text = format!("{}\n{}", text::comment(&heading), best.body);
    Ok(Plan { best, runner_up, text, bounds })
}

fn unit(profile: &Profile, wishes: &Wishes) -> Unit {
    let pc1 = profile.stage(Stage::Pc1);
    Unit { cores: wishes.cores_per_pc1.unwrap_or(pc1.cores).max(1), lanes: pc1.lanes.max(1) }
}

/// Ways to share GPUs, and how many of them pc2 has alone.
fn kinds(
    hardware: &Hardware,
    profile: &Profile,
    wishes: &Wishes,
) -> Result<Vec<(Gpus, usize)>, PlanError> {
    let n_gpus = hardware.gpus.as_ref().map_or(0, Vec::len);
    let minutes = |stage| profile.stage(stage).takes.as_secs_f64().max(1e-3);
    let rate = |n_pc2: &usize| {
        let (pc2, c2) = (*n_pc2 as f64, (n_gpus - n_pc2) as f64);
        (pc2 / minutes(Stage::Pc2)).min(c2 / minutes(Stage::C2))
    };
    let separate = (1..n_gpus).max_by(|a, b| rate(a).total_cmp(&rate(b)));
    if draft::n_devices(hardware) == 0 {
        return cannot("the machine has no cpus", "`sealpipe hwinfo` shows what is known of it");
    }
    let shared = (Gpus::Shared, 0);
    match (wishes.gpus, separate) {
        (Some(Gpus::Shared), _) | (None, None) => Ok(vec![shared]),
        (Some(Gpus::Separate), Some(n_pc2)) => Ok(vec![(Gpus::Separate, n_pc2)]),
        (Some(Gpus::Separate), None) => cannot(
            format!("a GPU for each stage takes two GPUs, and the machine has {n_gpus}"),
            "leave `--share-gpus` to the plan",
        ),
        (None, Some(n_pc2)) => Ok(vec![shared, (Gpus::Separate, n_pc2)]),
    }
}

fn bounds(hardware: &Hardware, profile: &Profile, choice: &Choice) -> Bounds {
    let gib = |stage| profile.stage(stage).memory_gib;
    let n = draft::n_devices(hardware) as f64;
    let (n_pc2, n_c2) = (choice.n_pc2 as f64, n - choice.n_pc2 as f64);
    let others = match choice.gpus {
        Gpus::Shared => n * gib(Stage::Pc2).max(gib(Stage::C2)),
        Gpus::Separate => n_pc2 * gib(Stage::Pc2) + n_c2 * gib(Stage::C2),
    };
    let total = hardware.memory.total_bytes as f64 / GIB;
    let tasks = ((total - others - gib(Stage::TreeD)) / gib(Stage::Pc1)).floor().max(0.0);
    let disks = hardware.disks.as_ref();
    let free = disks.map(|disks| {
        let free = disks.iter().map(|disk| disk.free_bytes.unwrap_or(disk.size_bytes) as f64);
        free.sum::<f64>() / GIB
    });
    let is_known = total > 0.0 && gib(Stage::Pc1) > 0.0;
    Bounds {
        by_cores: draft::most_pc1(hardware, profile, choice),
        by_memory: is_known.then_some(tasks as usize),
        sectors_by_disk: free.map(|free| (free / sector_gib(profile)).floor() as usize),
    }
}

/// What a sector takes of the disk when it takes most, in GiB.
fn sector_gib(profile: &Profile) -> f64 {
    profile.stages.values().map(|stage| stage.disk_gib).sum::<f64>().max(1e-9)
}

/// Candidates of one way to share GPUs: several numbers of pc1 and bounds on sectors in flight.
fn of_kind(
    hardware: &Hardware,
    profile: &Profile,
    wishes: &Wishes,
    choice: Choice,
    bounds: Bounds,
) -> Result<Vec<Candidate>, PlanError> {
    let most = bounds.by_memory.map_or(bounds.by_cores, |n| n.min(bounds.by_cores));
    let most = wishes.pc1.unwrap_or(most);
    if most > bounds.by_cores {
        return cannot(
            format!("{most} pc1 do not fit: the L3 groups take {} at most", bounds.by_cores),
            "lower `--pc1`, `--cores-per-pc1` or `--reserve-l3-groups`",
        );
    }
    if most == 0 {
        return too_small(profile, bounds);
    }
    if bounds.sectors_by_disk == Some(0) {
        let gib = sector_gib(profile);
        return cannot(
            format!("a sector takes {gib:.0} GiB of disk, and less is free"),
            "give it a larger disk, or tell of one with `--disk`",
        );
    }
    let with_most = Choice { pc1: most, ..choice.clone() };
    let Some(draft) = Draft::new(hardware, profile, &with_most) else { return Ok(Vec::new()) };
    let others_take = at_most_beside_pc1(&draft, profile);
    let mut numbers = vec![most];
    if wishes.pc1.is_none() {
        let enough = enough_pc1(profile, others_take).min(most).max(1);
        numbers.insert(0, enough);
        numbers.dedup();
    }
    let mut candidates = Vec::new();
    for pc1 in numbers {
        for in_flight in flights(profile, others_take, pc1, bounds.sectors_by_disk) {
            let choice = Choice { pc1, in_flight, ..choice.clone() };
            if let Some(draft) = Draft::new(hardware, profile, &choice) {
                candidates.extend(candidate(draft, profile));
            }
        }
    }
    Ok(candidates)
}

fn too_small(profile: &Profile, bounds: Bounds) -> Result<Vec<Candidate>, PlanError> {
    let gib = profile.stage(Stage::Pc1).memory_gib;
    match bounds.by_memory {
        Some(0) => cannot(
            format!(
                "pc1 takes {gib:.0} GiB of memory beside what pc2 and c2 take, and that is not there"
            ),
            "a profile of smaller sectors takes less: `--profile`",
        ),
        _ => cannot(
            "no L3 group has the cores of a pc1 task, or none that a node's memory is enough for",
            "`--cores-per-pc1 1` takes fewer",
        ),
    }
}

/// Sectors a day that pc2 and c2 can do.
fn at_most_beside_pc1(draft: &Draft, profile: &Profile) -> f64 {
    let parsed = config::parse(&Source::new("plan", text::body(draft)));
    let site = Site::new(&parsed.draft().processors, profile);
    let way = simulate::sector(profile, &[]);
    simulate::at_most(&site, &way, Some(Stage::Pc1)).unwrap_or(f64::INFINITY)
}

/// pc1 tasks that supply so many sectors a day, with a margin.
fn enough_pc1(profile: &Profile, per_day: f64) -> usize {
    let minutes = profile.stage(Stage::Pc1).takes.as_secs_f64() / 60.0;
    let tasks = (PC1_MARGIN * per_day * minutes / MINUTES_A_DAY).ceil();
    // Below 2^53, and beyond any machine.
    tasks.min(1e6) as usize
}

/// Bounds on sectors in flight to try; `None` for the default.
fn flights(
    profile: &Profile,
    others_take: f64,
    pc1: usize,
    by_disk: Option<usize>,
) -> Vec<Option<usize>> {
    let way = simulate::sector(profile, &[]);
    let minutes: f64 = way.iter().map(|step| (step.takes + step.pause).as_secs_f64() / 60.0).sum();
    let pc1_minutes = profile.stage(Stage::Pc1).takes.as_secs_f64() / 60.0;
    let per_day = others_take.min(pc1 as f64 * MINUTES_A_DAY / pc1_minutes);
    // What is under way on average is what comes in a day times how long it stays (Little).
    let on_average = per_day * minutes / MINUTES_A_DAY;
    let bounds = FLIGHT_MARGINS.map(|margin| (on_average * margin).ceil().min(1e6) as usize + 1);
    let mut flights: Vec<Option<usize>> = bounds
        .into_iter()
        .map(|bound| Some(by_disk.map_or(bound, |by_disk| bound.min(by_disk))))
        .collect();
    if by_disk.is_none() {
        flights.push(None);
    }
    flights.dedup();
    flights
}

/// A draft as the worker would read it, simulated.
fn candidate(draft: Draft, profile: &Profile) -> Option<Candidate> {
    let body = text::body(&draft);
    let parsed = config::parse(&Source::new("plan", body.as_str()));
    let config = parsed.config()?;
    let experiment = Experiment {
        site: Site::new(&config.processors, profile),
        written: Written::default(),
        supply: Supply::Unlimited,
        way: simulate::sector(profile, &[]),
        jitter: JITTER,
        until: Duration::from_secs(24 * 3_600) * DAYS,
        max_tasks: MAX_TASKS,
    };
    let (_, report) = Decider::Sealpipe.run(&experiment).ok()?;
    Some(Candidate { draft, body, report })
}

/// The less the better. What falls short of the sectors a day that the objective asks for comes last,
/// the most sectors first.
fn merit(candidate: &Candidate, wishes: &Wishes, best_rate: f64) -> f64 {
    let report = &candidate.report;
    let share = if best_rate > 0.0 { report.sealed_per_day / best_rate } else { 0.0 };
    // The least waiting, and of those that are as good in that the fewest pc1.
    let waiting = (report.latency.mean_s / SAME_LATENCY_SECONDS).round()
        + 1e-3 * candidate.draft.n_pc1() as f64;
    let (enough, value) = match wishes.objective {
        Objective::SectorsPerDay => (AS_GOOD, waiting),
        Objective::Latency => (FOR_LATENCY, waiting),
        Objective::CoresLeft => (FOR_CORES, 1e-6 * waiting - candidate.draft.left.len() as f64),
    };
    if share >= enough { value } else { 1e12 * (2.0 - share) }
}

#[cfg(test)]
mod tests;
