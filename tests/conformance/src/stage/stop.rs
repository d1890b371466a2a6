// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sector's lock, and tasks that are killed or cancelled in the middle.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    process::Signal,
};
use sealpipe_protocol::Code;

use super::{layout::SECTOR, right::usual, snapshot::Snapshot, trial::Trial, wrong::refused};
use crate::{
    bench::Bench,
    check::{Check, Failure, Verdict, ensure},
    session::Session,
};

/// The checks of all stages with files.
pub const CHECKS: &[Check] = &[
    Check::must("S-040", "gives-the-lock-back-before-it-answers", &[111], gives_back),
    Check::must("S-041", "refuses-a-sector-that-is-locked", &[110], locked),
    Check::must("S-042", "holds-the-lock-while-it-works", &[110], holds),
    Check::must("S-043", "ends-right-after-a-kill", &[56, 112, 113, 114], killed),
    Check::must("S-044", "leaves-no-half-file-when-cancelled", &[72, 74, 112, 113], cancelled),
    Check::should("S-045", "leaves-nothing-when-cancelled", &[116], cancelled_clean),
];

/// At which shares of its usual time a task is stopped, in percent.
const STOPPED_AT: [u32; 6] = [0, 10, 30, 50, 70, 90];

/// Runs of which the shortest is the usual time: the first one of a process is often slower.
const TIMED_RUNS: usize = 3;

/// Runs in which the lock has to be seen held once: each lasts for milliseconds only.
const LOOKS: usize = 50;

/// How often `/proc/locks` is looked at.
const LOOK_EVERY: Duration = Duration::from_micros(200);

fn usual_trial(bench: &Bench) -> Verdict<Trial<'_>> {
    let model = bench.models().first(bench)?;
    Trial::new(bench, &model, usual(bench.known_stage()?, &model))
}

fn open(trial: &Trial<'_>) -> Verdict<File> {
    File::open(trial.path(SECTOR)).map_err(|e| Failure::harness("the sector's directory", e))
}

fn gives_back(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let mut trial = usual_trial(bench)?;
    let dir = open(&trial)?;
    let mut is_free = |trial: &mut Trial<'_>, after: &str| -> Verdict {
        let heard = trial.run(&mut session)?;
        let free = flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok();
        ensure!(free, "after {after} the lock is still held: {}", heard.excerpt());
        flock(&dir, FlockOperation::Unlock).map_err(|e| Failure::harness("unlock", e))
    };
    is_free(&mut trial, "a result")?;
    for path in super::layout::needed(trial.stage, trial.variant, &trial.facts) {
        fs::remove_file(trial.path(&path)).map_err(|e| Failure::harness("an input", e))?;
    }
    is_free(&mut trial, "an error")
}

fn locked(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let mut trial = usual_trial(bench)?;
    let before = trial.look()?;
    let dir = open(&trial)?;
    flock(&dir, FlockOperation::NonBlockingLockExclusive)
        .map_err(|e| Failure::harness("cannot lock", e))?;
    let heard = trial.run(&mut session)?;
    refused(&heard, &[Code::OutputConflict])?;
    trial.wrote_no_output(&before)?;
    // Closing would not do: a process that another check forks right now has the descriptor as well.
    flock(&dir, FlockOperation::Unlock).map_err(|e| Failure::harness("unlock", e))?;
    let heard = trial.run(&mut session)?;
    trial.ended_well(&heard).map_err(|failure| failure.within("once the lock is given back"))
}

/// Whether anybody holds a lock on a file, by its inode: taking it to see would disturb.
fn is_locked(inode: u64) -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let ends_so = format!(":{inode}");
    let is_of = |line: &str| line.split_whitespace().any(|word| word.ends_with(&ends_so));
    // `->` marks one that waits.
    locks.lines().any(|line| line.contains("FLOCK") && !line.contains("->") && is_of(line))
}

fn holds(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for _ in 0..LOOKS {
        let mut trial = usual_trial(bench)?;
        let dir = fs::metadata(trial.path(SECTOR));
        let inode = dir.map_err(|e| Failure::harness("the sector's directory", e))?.ino();
        let id = trial.begin(&mut session)?;
        loop {
            if is_locked(inode) {
                return trial.end(&mut session, &id).map(drop);
            }
            if session.take(LOOK_EVERY, |heard| heard.answers(&id))?.is_some() {
                break;
            }
        }
    }
    Err(Failure::Broken(format!("in {LOOKS} tasks no lock was seen on the sector's directory")))
}

/// How long the task takes from its sending to its answer.
fn usual_time(bench: &Bench) -> Verdict<Duration> {
    let mut session = bench.session()?;
    let mut shortest = Duration::MAX;
    for _ in 0..TIMED_RUNS {
        let mut trial = usual_trial(bench)?;
        let began = Instant::now();
        let heard = trial.run(&mut session)?;
        let ended = heard.message.get("result").is_some();
        ensure!(ended, "expected a result, got {}", heard.excerpt());
        shortest = shortest.min(began.elapsed());
    }
    Ok(shortest)
}

fn killed(bench: &Bench) -> Verdict {
    let usual_time = usual_time(bench)?;
    for percent in STOPPED_AT {
        let mut trial = usual_trial(bench)?;
        let before = trial.look()?;
        let mut session = bench.session()?;
        trial.begin(&mut session)?;
        std::thread::sleep(usual_time * percent / 100);
        // Complete at every moment: while it works, and when what it has started is gone as well.
        let place = format!("after {percent} % of its time");
        trial.no_file_is_half_there(&before).map_err(|failure| failure.within(&place))?;
        session.subject.signal(Signal::KILL)?;
        wait_for_the_dead(bench, &mut session)?;
        let place = format!("killed {place}");
        let seen = trial.no_file_is_half_there(&before);
        seen.and_then(|()| trial.inputs_are_unchanged(&before)).map_err(|f| f.within(&place))?;
        let mut session = bench.session()?;
        let heard = trial.run_after_death(&mut session)?;
        let seen = trial.ended_well(&heard);
        seen.and_then(|()| trial.inputs_are_unchanged(&before))
            .map_err(|failure| failure.within(&format!("{place}, then run again")))?;
    }
    Ok(())
}

/// Waits until nothing of a killed processor is left; that something is left is the protocol's check.
fn wait_for_the_dead(bench: &Bench, session: &mut Session) -> Verdict {
    let gone = session.subject.wait_exit(bench.limits.exit())?;
    ensure!(gone.is_some(), "SIGKILL has not ended it");
    let deadline = Instant::now() + bench.limits.grace_is_over();
    while !session.subject.processes().is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Cancels the task at several moments, and looks at what is left.
fn each_cancelled(
    bench: &Bench,
    mut look: impl FnMut(&mut Trial<'_>, &mut Session, &Snapshot) -> Verdict,
) -> Verdict {
    let usual_time = usual_time(bench)?;
    let mut session = bench.session()?;
    for percent in STOPPED_AT {
        let mut trial = usual_trial(bench)?;
        let before = trial.look()?;
        let id = trial.begin(&mut session)?;
        std::thread::sleep(usual_time * percent / 100);
        trial.cancel(&mut session)?;
        let heard = trial.end(&mut session, &id)?;
        // Its own outcome may have come first.
        if heard.code().is_some() {
            refused(&heard, &[Code::Cancelled])?;
        }
        look(&mut trial, &mut session, &before).map_err(|failure| {
            failure.within(&format!("cancelled after {percent} % of its time"))
        })?;
    }
    Ok(())
}

fn cancelled(bench: &Bench) -> Verdict {
    each_cancelled(bench, |trial, session, before| {
        trial.no_file_is_half_there(before)?;
        trial.inputs_are_unchanged(before)?;
        let heard = trial.run(session)?;
        trial.ended_well(&heard).map_err(|failure| failure.within("run again"))
    })
}

fn cancelled_clean(bench: &Bench) -> Verdict {
    each_cancelled(bench, |trial, _, before| trial.nothing_is_left(before))
}
