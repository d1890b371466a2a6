// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe run`: works on what is submitted, for months.
//!
//! [`job`] is what was submitted and [`state`] what becomes of it, both plain and pure; [`store`] keeps
//! them on disk and [`book`] in memory. [`way`] is one job's way through the fleet, with what
//! [`randomness`] prints and [`room`] finds on the disks. [`server`] listens to clients; [`intake`],
//! [`requests`], [`view`] and [`reload`] answer them. [`desk`] is what they all share.
//!
//! Whatever happens to the process, the next one goes on: what is about to happen stands in the store,
//! what was done in each sector's own record.

mod book;
mod desk;
mod disk;
mod home;
mod intake;
pub mod job;
mod notify;
mod randomness;
mod reload;
mod requests;
mod room;
mod server;
pub mod state;
pub mod store;
mod view;
mod way;

use std::{
    io::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sealpipe_protocol::method::ShutdownMode;
use tokio::{net::UnixListener, time::sleep};

pub use self::desk::Settings;
use self::{book::Book, desk::Desk, home::Home, notify::notify, store::StoreError};
use crate::{
    config::Config,
    control::Nothing,
    event::{Event, Observer},
    fleet::{Fleet, Patience},
    journal::{Journals, Rotating},
    runtime::{self, Signals},
    supervisor::{self, Groups},
};

/// How often a daemon that drains looks whether anything runs.
const LOOK: Duration = Duration::from_millis(100);

/// Runs the daemon until it is told to stop. `shown` is told of what happens.
///
/// # Errors
/// It cannot start: its directory, its store or its socket cannot be used.
pub fn run(settings: Settings, config: Config, shown: Observer) -> Result<(), StoreError> {
    let cannot = |what: &str, error: std::io::Error| StoreError {
        message: format!("cannot {what}: {error}"),
        hint: None,
    };
    let home = Home::open(&settings.state_dir)?;
    let book = Book::open(home.store())?;
    for job in book.unreadable() {
        // Nobody to tell is no reason to stop.
        let _ = writeln!(std::io::stderr(), "warning: left aside, it cannot be read: {job}");
    }
    let journal = Rotating::open(&home.journal()).map_err(|e| cannot("open the journal", e))?;
    let (listener, bound) = home.bind(&settings.socket)?;
    raise_open_files();
    let observer = Observer::new(move |event| {
        journal.write(event);
        shown.tell(event);
    });
    let ended = runtime::run(async {
        let signals = Signals::new().map_err(|e| cannot("listen to signals", e))?;
        let listener = UnixListener::from_std(listener).map_err(|e| cannot("listen", e))?;
        let live = Arc::default();
        let groups = match Groups::of(&config.processors.entries) {
            // When a reload wants them it is too late.
            Groups::Unwanted => Groups::WantedLater,
            wanted => wanted,
        };
        supervisor::prepare(groups, &observer);
        let desk = desk(settings, config, book, &observer, &live);
        work(desk, listener, signals).await;
        Ok(())
    });
    drop(bound);
    drop(home);
    ended.map_err(|e| cannot("start the runtime", e))?
}

fn desk(
    settings: Settings,
    config: Config,
    book: Book,
    observer: &Observer,
    live: &Arc<Mutex<desk::LiveJobs>>,
) -> Arc<Desk> {
    let journals = Arc::new(Journals::default());
    let observer = journals.observer(desk::watching(live.clone(), observer.clone()));
    let fleet = Fleet::new(&config.processors, &settings.worker_dir, &observer, Patience::Endless);
    let told = (observer, journals);
    Arc::new(Desk::new(settings, config, book, fleet, told, live.clone()))
}

/// Works until the end.
async fn work(desk: Arc<Desk>, listener: UnixListener, mut signals: Signals) {
    if desk.book.is_paused() {
        desk.fleet.pause();
    }
    desk.fleet.start();
    let sectors = begin(&desk);
    let serving = tokio::spawn(server::serve(desk.clone(), listener));
    let looking = tokio::spawn(room::look(desk.clone()));
    let (pid, program) = (std::process::id(), env!("CARGO_PKG_VERSION").to_owned());
    desk.tell(&Event::DaemonStarted { pid, program, sectors });
    notify("READY=1");
    let (reason, mode) = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                "SIGHUP" => {
                    let desk = desk.clone();
                    tokio::spawn(async move { reload::reload(&desk, Nothing {}).await });
                }
                signal => break (signal, ShutdownMode::Interrupt),
            },
            () = drained(&desk) => break ("drained", ShutdownMode::Drain),
        }
    };
    notify("STOPPING=1");
    desk.tell(&Event::Stopping { reason: reason.to_owned() });
    serving.abort();
    looking.abort();
    tokio::select! {
        () = desk.fleet.clone().stop(mode) => {}
        () = signals.end() => {}
    }
    desk.stop_all().await;
    desk.book.close();
    desk.tell(&Event::DaemonStopped { reason: reason.to_owned() });
}

/// Sends all jobs on their way that are not over: first those that have begun.
fn begin(desk: &Arc<Desk>) -> usize {
    let mut jobs: Vec<(bool, String)> = desk.book.read(|entries| {
        let unfinished = entries.filter(|entry| !entry.life.state.is_over());
        unfinished.map(|entry| (!entry.life.has_begun(), entry.job.name.clone())).collect()
    });
    jobs.sort_by_key(|(is_queued, _)| *is_queued);
    for (_, name) in &jobs {
        desk.send(name);
    }
    jobs.len()
}

/// Waits until somebody wants the daemon to drain, and then until nothing runs.
async fn drained(desk: &Desk) {
    if !desk.is_draining() {
        desk.drained.notified().await;
    }
    desk.fleet.pause();
    while desk.fleet.status().stages.iter().any(|stage| stage.running > 0) {
        sleep(LOOK).await;
    }
}

/// Each sector in flight holds a few files, and each processor; the soft limit is often 1,024.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where it stays as it is, sectors wait for files as they do for room.
    let _ = setrlimit(Resource::Nofile, raised);
}
