// SPDX-License-Identifier: MIT OR Apache-2.0

//! What every command that runs stages needs: a configuration, a runtime, processors, and an end
//! that leaves none of them behind.

use std::{future::Future, path::Path, sync::Arc};

use sealpipe_protocol::method::ShutdownMode;

use super::{Failure, worker_dir};
use crate::{
    config::{self, Config, Severity},
    event::{Event, Observer},
    fleet::{Fleet, Patience},
    runtime::{self, Signals},
    supervisor::{self, Groups},
};

/// Reads a configuration and shows what is to be said about it.
pub fn load_config(path: Option<&Path>) -> Result<Config, Failure> {
    let Some(path) = path else { return Ok(Config::default()) };
    let loaded = config::load(path);
    eprint!("{}", loaded.parsed.diagnostics().render(&loaded.source, Severity::Warning));
    loaded.parsed.config().cloned().ok_or_else(|| {
        Failure::new(format!("{} cannot be used", path.display()))
            .hint(format!("`sealpipe check {}` shows all that is to be said", path.display()))
    })
}

/// Runs `work` with the processors of a configuration and stops them afterwards, whatever happens.
/// A first signal stops the tasks so that they can go on later; a second one kills everything.
pub fn run<T, W, F>(config: &Config, observer: &Observer, work: W) -> Result<T, Failure>
where
    W: FnOnce(Arc<Fleet>) -> F,
    F: Future<Output = Result<T, Failure>>,
{
    let worker_dir = worker_dir()?;
    let cannot = |error| Failure::new(format!("cannot start the runtime: {error}"));
    let ended = runtime::run(async {
        let mut signals = Signals::new().map_err(cannot)?;
        supervisor::prepare(Groups::of(&config.processors.entries), observer);
        let patience = Patience::UntilGivenUp;
        let fleet = Fleet::new(&config.processors, &worker_dir, observer, patience);
        let working = async {
            fleet.start_configured().await?;
            work(fleet.clone()).await
        };
        tokio::pin!(working);
        let (outcome, mode) = tokio::select! {
            outcome = &mut working => (outcome, ShutdownMode::Drain),
            reason = signals.next() => {
                observer.tell(&Event::Stopping { reason: reason.to_owned() });
                (Err(Failure::interrupted()), ShutdownMode::Interrupt)
            }
        };
        tokio::select! {
            () = fleet.clone().stop(mode) => {}
            _ = signals.next() => {}
        }
        outcome
    });
    ended.map_err(cannot)?
}
