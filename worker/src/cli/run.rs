// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe run`: the daemon, in the foreground.

use std::path::PathBuf;

use clap::Args;

use super::{
    Failure,
    daemon::{SocketArgs, default_state},
    exit,
    session::load_config,
    show::{self, Detail},
    worker_dir,
};
use crate::daemon::{self, Settings, store::StoreError};

/// Work on what is submitted, until told to stop
///
/// Sectors come in by `sealpipe submit`. What is known of them survives the daemon, however it ends.
/// SIGTERM and Ctrl-C interrupt what can resume and end the daemon; a second one kills at once. SIGHUP
/// reads the configuration again, as `sealpipe reload` does.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealpipe run --config worker.toml
  sealpipe run --config worker.toml --state /data/sealpipe
  sealpipe submit --size 32GiB --miner f01000 --sector 7 --ticket HEX --out /mnt/t01000-7
  sealpipe status --watch")]
pub struct RunArgs {
    /// Configuration with the processors: a damocles worker.toml will do
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where the daemon keeps what it knows; by default /var/lib/sealpipe for root, else
    /// $XDG_STATE_HOME/sealpipe or ~/.local/state/sealpipe
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    #[command(flatten)]
    socket: SocketArgs,

    /// Also show what the processors say
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the command.
pub fn run(args: RunArgs) -> Result<u8, Failure> {
    let config = load_config(args.config.as_deref())?;
    let state_dir = args.state.map_or_else(default_state, Ok)?;
    let absolute = |path: PathBuf| {
        std::path::absolute(&path)
            .map_err(|error| Failure::new(format!("cannot use {}: {error}", path.display())))
    };
    let state_dir = absolute(state_dir)?;
    let socket = absolute(args.socket.path(Some(&state_dir))?)?;
    let config_path = args.config.map(absolute).transpose()?;
    let worker_dir = worker_dir()?;
    show::say(&format!("state in {}, control socket {}", state_dir.display(), socket.display()));
    let settings = Settings { config_path, state_dir, socket, worker_dir };
    let shown = show::on_stderr(Detail::Service { verbose: args.verbose });
    daemon::run(settings, config, shown)?;
    Ok(exit::OK)
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let failure = Self::new(error.message);
        match error.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
