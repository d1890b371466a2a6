// SPDX-License-Identifier: MIT OR Apache-2.0

//! The single-threaded runtime in which the worker waits, and the signals that it hears there.

use std::{future::Future, io, time::Duration};

use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
};

/// How long what runs beside the runtime may take to end.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Runs `work` in a runtime of its own. What it has left running ends with it: dropping a child kills
/// its process group.
///
/// # Errors
/// The runtime cannot be started.
pub fn run<T>(work: impl Future<Output = T>) -> io::Result<T> {
    run_and_end(work, END_WITHIN)
}

fn run_and_end<T>(work: impl Future<Output = T>, limit: Duration) -> io::Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(work);
    // Not for ever: a disk that hangs would keep it. What is left the guardian ends.
    runtime.shutdown_timeout(limit);
    Ok(outcome)
}

/// Hears signals and does nothing, for as long as this process lives: a listener takes the place of
/// what they do by default, and stays when nobody listens any more.
///
/// # Errors
/// What the system says.
pub fn ignore(kinds: &[SignalKind]) -> io::Result<()> {
    run(async { kinds.iter().try_for_each(|kind| signal(*kind).map(drop)) })?
}

/// The signals by which people speak to a worker.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// What the system says.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one, and gives its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }

    /// Waits for one that means the end also where SIGHUP means something else.
    pub async fn end(&mut self) {
        while self.next().await == "SIGHUP" {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[test]
    fn what_hangs_beside_it_does_not_keep_it() {
        let (release, hangs) = mpsc::channel::<()>();
        let work = async {
            tokio::task::spawn_blocking(move || hangs.recv());
            7
        };
        // It would wait for its own end.
        assert_eq!(run_and_end(work, Duration::from_millis(50)).unwrap(), 7);
        drop(release);
    }

    #[test]
    fn a_signal_that_is_ignored_does_nothing_when_nobody_listens_any_more() {
        ignore(&[SignalKind::user_defined2()]).unwrap();
        // It would end this process.
        kill_process(getpid(), Signal::USR2).unwrap();
    }
}
