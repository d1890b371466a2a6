// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a client is told: how the daemon stands, and why a sector waits.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use super::{
    desk::{Desk, LiveJobs},
    job::{Source, Work},
    requests::{Answer, check_names},
    state::State,
    store::Entry,
};
use crate::{
    control::{
        SectorParams, StatusParams,
        status::{
            DaemonStatus, Explanation, LockStatus, ProcessorStatus, SectorStatus, Status,
            TaskStatus,
        },
    },
    event::now_ms,
    fleet::{self, FleetStatus},
    pipeline::sector::Randomness,
};

/// Characters of a command that are shown.
const SHOWN_COMMAND_CHARS: usize = 80;

/// How the daemon stands.
pub async fn status(desk: &Arc<Desk>, params: StatusParams) -> Answer<Status> {
    check_names(desk, &params.sectors)?;
    let now = now_ms();
    let fleet = desk.fleet.status();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let listed: Vec<Entry> = desk.book.read(|entries| {
        let mut listed = Vec::new();
        for entry in entries {
            *counts.entry(entry.life.word().to_owned()).or_default() += 1;
            let named = params.sectors.contains(&entry.job.name);
            let shown = match params.sectors.is_empty() {
                true => params.all || is_of_interest(&entry.life.state),
                false => named,
            };
            if shown {
                listed.push(entry.clone());
            }
        }
        listed
    });
    let live = desk.live();
    let sectors = listed.iter().map(|entry| sector(desk, &live, entry)).collect();
    drop(live);
    let disks = desk.disks.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let daemon = daemon(desk);
    let (in_flight, cap) = (fleet.sectors_in_flight, fleet.cap);
    let (processors, locks) = machinery(fleet, now);
    Ok(Status { at_ms: now, daemon, counts, in_flight, cap, processors, locks, disks, sectors })
}

/// What is shown unless all is asked for: neither what waits in the queue nor what ended well.
fn is_of_interest(state: &State) -> bool {
    !matches!(state, State::Queued | State::Done | State::Cancelled)
}

fn daemon(desk: &Desk) -> DaemonStatus {
    DaemonStatus {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_ms: desk.started_ms,
        state_dir: desk.settings.state_dir.clone(),
        config: desk.settings.config_path.clone(),
        paused: desk.book.is_paused(),
        draining: desk.is_draining(),
        trouble: desk.book.trouble(),
    }
}

fn machinery(fleet: FleetStatus, now: u64) -> (Vec<ProcessorStatus>, Vec<LockStatus>) {
    let task = |task: fleet::status::TaskStatus| TaskStatus {
        sector: task.sector,
        stage: task.stage,
        since_ms: now.saturating_sub(task.since_ms),
    };
    let processors = fleet.processors.into_iter().map(|processor| ProcessorStatus {
        name: processor.processor,
        stage: processor.stage,
        implied: processor.implied,
        program: processor.program,
        state: processor.state.to_owned(),
        since_ms: now.saturating_sub(processor.state_ms),
        pid: processor.pid,
        device: processor.device,
        placed: processor.placed,
        running: processor.running.into_iter().map(task).collect(),
        slots: processor.slots,
        restarts: processor.restarts,
        stalled: processor.stalled.into_iter().map(|stalled| stalled.task.to_string()).collect(),
        last_error: processor.last_error,
        retired: processor.retired,
    });
    let processors = processors.collect();
    let locks = fleet.locks.into_iter().map(|lock| LockStatus {
        name: lock.name,
        count: lock.count,
        holders: lock.holders.into_iter().map(task).collect(),
    });
    (processors, locks.collect())
}

fn sector(desk: &Desk, live: &LiveJobs, entry: &Entry) -> SectorStatus {
    let Entry { job, life, .. } = entry;
    let live = live.get(&job.name);
    let (processor, attempt) = match &life.state {
        State::Running { processor, attempt, .. } => (Some(processor.clone()), Some(*attempt)),
        _ => (None, None),
    };
    let is_running = processor.is_some();
    // What it waits for now says more than what became of its last try.
    let waits = live.filter(|_| matches!(life.state, State::Waiting { .. }));
    let waits = waits.and_then(|live| desk.fleet.explain(&live.journey).into_iter().next());
    let note = waits.map(|reason| reason.to_string());
    let note = note.or_else(|| live.and_then(|live| live.note.clone()));
    let (size, dir) = match &job.work {
        Work::Sector(job) => (Some(job.proof.size_name().to_owned()), Some(job.dir.clone())),
        Work::Echo(_) => (None, None),
    };
    let trouble = match &life.state {
        State::Failed { trouble } => Some(trouble.shortened()),
        _ => None,
    };
    SectorStatus {
        name: job.name.clone(),
        state: life.word().to_owned(),
        since_ms: life.since_ms,
        submitted_ms: life.submitted_ms,
        stage: life.state.stage(),
        processor,
        attempt,
        progress: live.and_then(|live| live.progress.clone()).filter(|_| is_running),
        size,
        dir,
        trouble,
        note,
        held: life.held,
    }
}

/// Why a sector does not run now.
pub async fn explain(desk: &Arc<Desk>, params: SectorParams) -> Answer<Explanation> {
    let name = params.sector;
    check_names(desk, std::slice::from_ref(&name))?;
    let Some(entry) = desk.book.get(&name) else {
        // Forgotten in this very moment.
        return Err(super::requests::refused(&super::state::Refusal::Unknown(name)));
    };
    let sector = sector(desk, &desk.live(), &entry);
    let (mut reasons, hint) = reasons(desk, &entry, &sector);
    if let Some(trouble) = desk.book.trouble() {
        reasons.push(format!("the daemon cannot write down what it does: {trouble}"));
    }
    if desk.is_draining() && !entry.life.state.is_over() {
        reasons.push("the daemon is draining and starts nothing".to_owned());
    }
    Ok(Explanation { sector, reasons, hint })
}

fn reasons(desk: &Desk, entry: &Entry, sector: &SectorStatus) -> (Vec<String>, Option<String>) {
    let name = &entry.job.name;
    let said = |text: String, hint: Option<String>| (vec![text], hint);
    match &entry.life.state {
        State::Running { .. } => (Vec::new(), None),
        State::Done => said("it is done".to_owned(), None),
        State::Cancelled => {
            let hint = format!("`sealpipe retry {name}` goes on where it was");
            said("it was cancelled".to_owned(), Some(hint))
        }
        State::Failed { trouble } => {
            let retry = format!("`sealpipe retry {name}` goes on once that is mended");
            let hint =
                trouble.hint.as_ref().map_or(retry.clone(), |hint| format!("{hint}; {retry}"));
            let (mut reasons, hint) = said(trouble.to_string(), Some(hint));
            reasons.extend(trouble.causes.iter().map(|cause| format!("caused by: {cause}")));
            (reasons, hint)
        }
        State::Asking { what } => asking(entry, *what, sector),
        State::Queued | State::Waiting { .. } => {
            let live = desk.live();
            let live = live.get(name);
            let fleet = live.map(|live| desk.fleet.explain(&live.journey)).unwrap_or_default();
            let mut reasons: Vec<String> = fleet.iter().map(ToString::to_string).collect();
            let last = live.and_then(|live| live.note.as_ref());
            reasons.extend(last.map(|last| format!("its last try: {last}")));
            if reasons.is_empty() {
                reasons.push("it is about to start".to_owned());
            }
            let hint = fleet.iter().find_map(|reason| hint(name, reason));
            (reasons, hint)
        }
    }
}

fn asking(entry: &Entry, what: Randomness, sector: &SectorStatus) -> (Vec<String>, Option<String>) {
    let Work::Sector(job) = &entry.job.work else { return (Vec::new(), None) };
    let source = if what == Randomness::Ticket { &job.ticket } else { &job.seed };
    let name = &entry.job.name;
    match (source, what) {
        (Source::Command(command), _) => {
            let shown: String = command.chars().take(SHOWN_COMMAND_CHARS).collect();
            let rest = if shown.len() < command.len() { "…" } else { "" };
            let mut reasons =
                vec![format!("it waits for its {what}, which `{shown}{rest}` prints")];
            reasons.extend(sector.note.clone());
            let by_hand = format!("`sealpipe seed {name} HEX` says it by hand");
            (reasons, (what == Randomness::Seed).then_some(by_hand))
        }
        (_, Randomness::Seed) => (
            vec!["it waits for its seed".to_owned()],
            Some(format!("`sealpipe seed {name} HEX` says it")),
        ),
        (_, Randomness::Ticket) => (vec!["it waits for its ticket".to_owned()], None),
    }
}

/// What could be done about a reason.
fn hint(name: &str, reason: &fleet::Reason) -> Option<String> {
    match reason {
        fleet::Reason::Paused => Some("`sealpipe resume` ends the pause".to_owned()),
        fleet::Reason::Held => Some(format!("`sealpipe resume {name}` lets it go on")),
        fleet::Reason::NoProcessor { .. } => Some(
            "`sealpipe status` shows the processors; `sealpipe reload` starts them again once \
                  they are mended"
                .to_owned(),
        ),
        fleet::Reason::Disk { .. } | fleet::Reason::DiskKept { .. } => {
            Some("free some space on its disk, or wait until a sector there is done".to_owned())
        }
        fleet::Reason::InFlight { .. } => Some(
            "`scheduling.sectors_in_flight` bounds them; the stage that is slowest decides"
                .to_owned(),
        ),
        _ => None,
    }
}
