// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a client asks for, but for what it is told.

use std::{path::Path, sync::Arc, time::Duration};

use sealpipe_protocol::{Code, TaskError};
use tokio::time::timeout;

use super::{
    desk::Desk,
    job::{Job, Source, Work},
    state::{Refusal, State, Step},
    store::StoreError,
};
use crate::{
    config::spelling::nearest,
    control::{Nothing, SectorState, SectorsParams, SectorsResult, SeedParams, WaitResult},
    event::Event,
    pipeline::store,
};

/// How long a client is kept waiting before it is told how things stand.
const ANSWER_AFTER: Duration = Duration::from_secs(20);

/// An answer, or why there is none.
pub type Answer<T> = Result<T, TaskError>;

/// Refuses what cannot be done now.
pub fn refused(error: &Refusal) -> TaskError {
    TaskError::new(Code::InvalidParams, error.to_string())
}

/// What the store says.
pub fn stored(error: StoreError) -> TaskError {
    let made = TaskError::new(Code::ResourceExhausted, error.message);
    match error.hint {
        Some(hint) => made.hint(hint),
        None => made,
    }
}

/// Whether all sectors are known; a name that is not gets the nearest one.
pub fn check_names(desk: &Desk, names: &[String]) -> Answer<()> {
    let Some(unknown) = names.iter().find(|name| desk.book.get(name).is_none()) else {
        return Ok(());
    };
    let refused = refused(&Refusal::Unknown(unknown.clone()));
    let near = desk.book.read(|entries| {
        let known: Vec<&str> = entries.map(|entry| entry.job.name.as_str()).collect();
        let numbered = format!("-{unknown}");
        let by_number = known.iter().find(|name| name.ends_with(&numbered)).copied();
        by_number.or_else(|| nearest(unknown, known)).map(str::to_owned)
    });
    Err(match near {
        Some(near) => refused.hint(format!("did you mean {near}?")),
        None => refused.hint("`sealpipe status --all` lists them"),
    })
}

/// The states of sectors.
fn states(desk: &Desk, names: &[String]) -> Vec<SectorState> {
    let state = |name: &String| {
        let entry = desk.book.get(name)?;
        let (state, held) = (entry.life.word().to_owned(), entry.life.held);
        Some(SectorState { name: name.clone(), state, held })
    };
    names.iter().filter_map(state).collect()
}

fn result(desk: &Desk, names: &[String]) -> Answer<SectorsResult> {
    Ok(SectorsResult { sectors: states(desk, names) })
}

/// The named sectors, and those that failed if they are asked for.
fn named(desk: &Desk, params: SectorsParams) -> Answer<Vec<String>> {
    check_names(desk, &params.sectors)?;
    let mut names = params.sectors;
    if params.failed {
        desk.book.read(|entries| {
            let failed = entries.filter(|e| matches!(e.life.state, State::Failed { .. }));
            let failed = failed.map(|e| e.job.name.clone()).filter(|name| !names.contains(name));
            let failed: Vec<_> = failed.collect();
            names.extend(failed);
        });
    }
    Ok(names)
}

/// Gives sectors up. Their directories stay.
pub async fn cancel(desk: &Arc<Desk>, params: SectorsParams) -> Answer<SectorsResult> {
    let names = named(desk, params)?;
    for name in &names {
        desk.cancel(name).await.map_err(|error| refused(&error))?;
    }
    result(desk, &names)
}

/// Sends sectors on their way once more.
pub async fn retry(desk: &Arc<Desk>, params: SectorsParams) -> Answer<SectorsResult> {
    let names = named(desk, params)?;
    for name in &names {
        desk.book.step(name, &Step::Retry).await.map_err(|error| refused(&error))?;
        desk.gone(name).await;
        desk.send(name);
        desk.moved(name, None);
    }
    result(desk, &names)
}

/// Holds sectors, or everything.
pub async fn pause(desk: &Arc<Desk>, params: SectorsParams) -> Answer<SectorsResult> {
    if params.sectors.is_empty() {
        desk.book.pause(true).await.map_err(stored)?;
        desk.fleet.pause();
        desk.tell(&Event::Paused);
    }
    hold(desk, params, true).await
}

/// Lets sectors go on, or everything.
pub async fn resume(desk: &Arc<Desk>, params: SectorsParams) -> Answer<SectorsResult> {
    if params.sectors.is_empty() {
        if desk.is_draining() {
            return Err(TaskError::new(Code::InvalidParams, "the daemon is draining")
                .hint("start it again once it has ended"));
        }
        desk.book.pause(false).await.map_err(stored)?;
        desk.fleet.resume();
        desk.tell(&Event::Resumed);
    }
    hold(desk, params, false).await
}

async fn hold(desk: &Desk, params: SectorsParams, held: bool) -> Answer<SectorsResult> {
    let names = named(desk, params)?;
    let step = if held { Step::Hold } else { Step::Release };
    for name in &names {
        desk.book.step(name, &step).await.map_err(|error| refused(&error))?;
        if let Some(live) = desk.live().get(name) {
            match held {
                true => live.journey.hold(),
                false => live.journey.unhold(),
            }
        }
        desk.moved(name, Some(if held { "paused" } else { "resumed" }.to_owned()));
    }
    result(desk, &names)
}

/// Takes a seed down, for whenever the sector needs it.
pub async fn seed(desk: &Arc<Desk>, params: SeedParams) -> Answer<SectorsResult> {
    let name = params.sector;
    check_names(desk, std::slice::from_ref(&name))?;
    let wrong = |message: String| TaskError::new(Code::InvalidParams, message);
    let entry = desk.book.get(&name);
    let Some(Work::Sector(job)) = entry.map(|entry| entry.job.work) else {
        return Err(wrong(format!("{name} is no sector and takes no seed")));
    };
    let used = store::peek(&job.dir).and_then(|record| record.sector.seed);
    let known = used.or(match &job.seed {
        Source::Given(seed) => Some(*seed),
        Source::Command(_) | Source::Awaited => None,
    });
    match known {
        Some(known) if known != params.seed => {
            return Err(wrong(format!("{name} has its seed: {known}"))
                .hint("a sector is proven for one seed; cancel and submit it anew for another"));
        }
        Some(_) => {}
        None => {
            let step = Step::Seed { seed: params.seed };
            desk.book.step(&name, &step).await.map_err(|error| refused(&error))?;
            if let Some(wake) = desk.wake(&name) {
                wake.notify_one();
            }
        }
    }
    result(desk, &[name])
}

/// Waits until sectors are over.
pub async fn wait(desk: &Arc<Desk>, params: SectorsParams) -> Answer<WaitResult> {
    let names = named(desk, params)?;
    let is_over =
        |name: &String| desk.book.get(name).is_none_or(|entry| entry.life.state.is_over());
    let mut changes = desk.book.changes();
    let over = async {
        while !names.iter().all(is_over) {
            // It cannot close while the desk is there.
            let _ = changes.changed().await;
        }
    };
    let over = timeout(ANSWER_AFTER, over).await.is_ok();
    Ok(WaitResult { over, sectors: states(desk, &names) })
}

/// Ends the daemon after what runs.
pub async fn drain(desk: &Arc<Desk>, _: Nothing) -> Answer<Nothing> {
    desk.drain();
    Ok(Nothing {})
}

/// The directory in which a job writes, if it does.
pub fn dir(job: &Job) -> Option<&Path> {
    match &job.work {
        Work::Sector(sector) => Some(&sector.dir),
        Work::Echo(_) => None,
    }
}
