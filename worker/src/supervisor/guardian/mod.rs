// SPDX-License-Identifier: MIT OR Apache-2.0

//! No process outlives the worker, whatever ends it.
//!
//! A small process of this program, in a session of its own, holds the other end of a pipe. The
//! worker tells it of every process group that it starts and of every one that is gone. When the
//! pipe ends the worker is gone; then the [`watch`] gives what is left the grace of an ordered
//! stop, kills it, and ends. When the guardian ends, the worker starts another one and tells it
//! everything.
//!
//! What both of them are killed at once leaves behind is found by the next worker's guardian.

mod group;
mod mark;
mod told;
mod watch;

use std::{
    io,
    path::PathBuf,
    process::Stdio,
    sync::OnceLock,
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin, Command},
    sync::mpsc,
    time::sleep,
};

use self::told::{Known, Told};
pub use self::{
    group::Group,
    mark::{Mark, Worker},
    watch::watch,
};

/// A guardian that lives shorter is not replaced at once: one that cannot live must not keep the
/// worker busy.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// The hidden subcommand that is the guardian.
const SUBCOMMAND: &str = "guardian";

/// The guardian of this process: process groups are the whole process', whoever starts them in it.
static GUARDIAN: OnceLock<mpsc::UnboundedSender<Told>> = OnceLock::new();

/// Starts the guardian, unless that has been done. From now on it is told of every group.
///
/// This program has to have the guardian's subcommand; one that links this library and has not does
/// without.
pub fn start() {
    // As many lines are under way as processors are started and stopped in a moment.
    let (tell, told) = mpsc::unbounded_channel();
    if GUARDIAN.set(tell).is_ok() {
        tokio::spawn(keep(told));
    }
}

/// Tells the guardian of a group that was started.
pub fn began(group: &Group) {
    tell(Told::Began(group.clone()));
}

/// Tells the guardian that a group is gone, with all that belongs to it.
pub fn ended(group: &Group) {
    tell(Told::Ended(group.id));
}

/// Tells the guardian of the control group that the worker divides.
pub fn divides(dir: PathBuf) {
    tell(Told::Divides(dir));
}

fn tell(told: Told) {
    if let Some(guardian) = GUARDIAN.get() {
        let _ = guardian.send(told);
    }
}

/// Has a guardian as long as the worker lives. Its pipe is closed when this is dropped.
async fn keep(mut news: mpsc::UnboundedReceiver<Told>) {
    let mut known = Known::default();
    loop {
        let began = Instant::now();
        let ended = match spawn() {
            Ok((guardian, pipe)) => inform(guardian, pipe, &mut known, &mut news).await,
            Err(error) => format!("cannot be started: {error}"),
        };
        tracing::warn!("the guardian {ended}; another one is started");
        sleep(SHORT_LIFE.saturating_sub(began.elapsed())).await;
    }
}

fn spawn() -> io::Result<(Child, ChildStdin)> {
    // This program, even when the file is replaced by a newer one meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("sealpipe").arg(SUBCOMMAND).arg("--worker").arg(Worker::own().to_string());
    command.env_remove(super::process_table::MARK);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut guardian = command.spawn()?;
    let pipe = guardian.stdin.take().ok_or_else(|| io::Error::other("it has no stdin"))?;
    Ok((guardian, pipe))
}

/// Tells a guardian everything, and all that is new, until it is gone; says how it ended.
async fn inform(
    mut guardian: Child,
    mut pipe: ChildStdin,
    known: &mut Known,
    news: &mut mpsc::UnboundedReceiver<Told>,
) -> String {
    let telling = async {
        pipe.write_all(known.lines().as_bytes()).await?;
        // The sender is never dropped.
        while let Some(told) = news.recv().await {
            let line = told.line();
            known.note(told);
            pipe.write_all(line.as_bytes()).await?;
        }
        io::Result::Ok(())
    };
    tokio::select! {
        status = guardian.wait() => super::child::describe_exit(status.ok()),
        told = telling => match told {
            Err(error) => format!("does not listen: {error}"),
            Ok(()) => "is not needed".to_owned(),
        },
    }
}
