// SPDX-License-Identifier: MIT OR Apache-2.0

//! A worker that keeps every rule, or breaks exactly one on demand: so that it is known that each
//! check of a worker can fail.
//!
//! It has a few tasks of `add_pieces` or `echo` done by one processor, one process at a time, and
//! knows nothing else. Like the processor beside it it is written by hand over JSON values.
//!
//! Reading order: [`faults`] (the table), [`process`], [`session`] (one process' life), [`task`].

pub mod faults;
pub mod process;
pub mod session;
pub mod task;

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use clap::Args;
use sealpipe_protocol::placement::CpuList;

use self::{
    faults::{Fault, has},
    session::{End, Session},
    task::{Status, Task},
};

/// Processes that may die before it gives up.
const MAX_DEATHS: u32 = 4;

/// Before a process is started again.
const RESTART_DELAY: Duration = Duration::from_millis(100);

/// Set by SIGTERM.
static TOLD_TO_END: AtomicBool = AtomicBool::new(false);

/// Whether it was told to end.
pub fn told_to_end() -> bool {
    TOLD_TO_END.load(Ordering::SeqCst)
}

/// What the command line says; an empty text says nothing.
#[derive(Args)]
pub struct Words {
    /// The rule to break; none without it
    #[arg(long, value_parser = fault)]
    pub fault: Option<Fault>,
    /// Show all faults
    #[arg(long)]
    pub list: bool,
    /// The program to start
    #[arg(long, default_value = "")]
    processor: PathBuf,
    /// The stage: add_pieces or echo
    #[arg(long, default_value = "add_pieces")]
    stage: String,
    /// Where the sectors go
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// How many tasks there are
    #[arg(long, default_value_t = 1)]
    tasks: usize,
    /// How many of them at a time
    #[arg(long, default_value = "")]
    concurrent: String,
    /// How long `initialize` may take
    #[arg(long, default_value = "")]
    stable_wait_ms: String,
    /// How much silence means stalled
    #[arg(long, default_value = "")]
    stalled_ms: String,
    /// How long progress may stand still
    #[arg(long, default_value = "")]
    stuck_ms: String,
    /// The cpus to grant
    #[arg(long, default_value = "")]
    cpus: String,
    /// The memory node to grant
    #[arg(long, default_value = "")]
    memory_node: String,
    /// Who pins
    #[arg(long, default_value = "")]
    pinning: String,
}

fn fault(name: &str) -> Result<Fault, String> {
    let found = Fault::ALL.iter().copied().find(|fault| fault.name() == name);
    found.ok_or_else(|| "no such fault; `worker --list` shows them".to_owned())
}

/// What it is to do.
pub struct Settings {
    /// The program to start.
    pub processor: PathBuf,
    /// The stage.
    pub stage: String,
    /// How many tasks at a time.
    pub concurrent: usize,
    /// How long `initialize` may take.
    pub stable_wait: Duration,
    /// How much silence means stalled.
    pub stalled: Duration,
    /// How long progress may stand still.
    pub stuck: Duration,
    /// The cpus of the processor.
    pub cpus: Option<CpuList>,
    /// Its memory node.
    pub memory_node: Option<u32>,
    /// Who pins: `processor`, `worker` or `off`.
    pub pinning: String,
}

impl Settings {
    fn read(words: &Words) -> Result<Self, String> {
        let ms = |text: &str, otherwise: u64| {
            let ms = if text.is_empty() { Ok(otherwise) } else { text.parse() };
            ms.map(Duration::from_millis).map_err(|e| format!("{text}: {e}"))
        };
        let concurrent = match words.concurrent.as_str() {
            "" => usize::MAX,
            text => text.parse().map_err(|e| format!("{text}: {e}"))?,
        };
        let pinning = match words.pinning.as_str() {
            "" => "processor".to_owned(),
            text => text.to_owned(),
        };
        Ok(Self {
            processor: words.processor.clone(),
            stage: words.stage.clone(),
            concurrent,
            stable_wait: ms(&words.stable_wait_ms, 5_000)?,
            stalled: ms(&words.stalled_ms, 180_000)?,
            stuck: ms(&words.stuck_ms, 7_200_000)?,
            cpus: words.cpus.parse().ok(),
            memory_node: words.memory_node.parse().ok(),
            pinning,
        })
    }
}

/// Says something to whoever runs it.
pub fn say(text: &str) {
    if !has(Fault::FailsInSilence) {
        // With stderr gone there is nobody to tell.
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// Has the tasks done; the exit code.
pub fn run(words: &Words) -> u8 {
    let done = work(words);
    if let Err(why) = &done {
        say(why);
    }
    u8::from(done.is_err() && !has(Fault::AlwaysSucceeds))
}

fn work(words: &Words) -> Result<(), String> {
    let settings = Settings::read(words)?;
    watch_for_sigterm();
    // Paths are absolute but for the fault that they are not.
    std::env::set_current_dir(&words.dir).map_err(|e| format!("{}: {e}", words.dir.display()))?;
    let mut tasks = task::prepare(&words.dir, &words.stage, words.tasks)?;
    let mut deaths = 0;
    loop {
        let end = Session::live(&settings, &mut tasks)?;
        let why = match end {
            End::Over => break,
            End::Refused(why) if !has(Fault::StartsRefusedAgain) => return Err(why),
            End::Refused(why) | End::Died(why) => why,
        };
        say(&format!("a processor has died: {why}"));
        deaths += 1;
        if deaths >= MAX_DEATHS && !has(Fault::StartsForEver) {
            return Err(format!("{deaths} processors have died"));
        }
        if tasks.iter().all(Task::is_over) {
            break;
        }
        thread::sleep(RESTART_DELAY);
    }
    let failed = tasks.iter().find_map(|task| match &task.status {
        Status::Failed(why) => Some(why.clone()),
        Status::Done => None,
        Status::Waiting(_) | Status::Open => Some("it was told to end".to_owned()),
    });
    failed.map_or(Ok(()), Err)
}

fn watch_for_sigterm() {
    use tokio::signal::unix::{SignalKind, signal};
    if has(Fault::DiesOfSigterm) {
        return;
    }
    let (ready_tx, ready) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
            let _ = ready_tx.send(());
            while terminate.recv().await.is_some() {
                TOLD_TO_END.store(true, Ordering::SeqCst);
            }
        });
    });
    // Ends at once when the thread does.
    let _ = ready.recv();
}
