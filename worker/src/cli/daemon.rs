// SPDX-License-Identifier: MIT OR Apache-2.0

//! What every command that speaks to a daemon needs.

use std::{
    future::Future,
    path::{Path, PathBuf},
};

use clap::Args;
use rustix::process::geteuid;
use sealpipe_protocol::{TaskError, method::Request};

use super::Failure;
use crate::{
    control::{
        MAX_CLIENTS, SOCKET_ENV, SectorState, SectorsResult,
        client::{Client, ClientError},
    },
    runtime,
};

/// Where a daemon run by root keeps what it knows.
const SYSTEM_DIR: &str = "/var/lib/sealpipe";

/// The name of the socket in a daemon's directory.
const SOCKET: &str = "control.sock";

/// Which daemon is meant.
#[derive(Debug, Args)]
pub struct SocketArgs {
    /// The daemon's control socket; else SEALPIPE_SOCKET, or the one in the default directory
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

impl SocketArgs {
    /// The socket, for a daemon whose directory is `state`, if it is known.
    pub fn path(&self, state: Option<&Path>) -> Result<PathBuf, Failure> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        if let Some(socket) = std::env::var_os(SOCKET_ENV).filter(|socket| !socket.is_empty()) {
            return Ok(socket.into());
        }
        let state = state.map_or_else(default_state, |state| Ok(state.to_owned()))?;
        Ok(state.join(SOCKET))
    }
}

/// The directory of a daemon that was given none.
pub fn default_state() -> Result<PathBuf, Failure> {
    if geteuid().is_root() {
        return Ok(SYSTEM_DIR.into());
    }
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let state = variable("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| Some(Path::new(&variable("HOME")?).join(".local/state")));
    state.map(|state| state.join("sealpipe")).ok_or_else(|| {
        Failure::new("no directory for the daemon: neither XDG_STATE_HOME nor HOME is set")
            .hint("name one with --state, and its socket with --socket")
    })
}

/// Speaks to the daemon.
pub fn with_daemon<T, W, F>(args: &SocketArgs, work: W) -> Result<T, Failure>
where
    W: FnOnce(Client) -> F,
    F: Future<Output = Result<T, Failure>>,
{
    let socket = args.path(None)?;
    let answered = runtime::run(async {
        let client = Client::connect(&socket).await?;
        work(client).await
    });
    answered.map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?
}

/// Asks the daemon one thing.
pub fn ask<R: Request>(args: &SocketArgs, params: &R::Params) -> Result<R::Result, Failure> {
    with_daemon(args, async |client| Ok(client.ask::<R>(params).await?))
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let failure = Self::new(error.to_string());
        match error {
            ClientError::Nobody { .. } => failure.hint(format!(
                "start one with `sealpipe run --config worker.toml`, or name its socket with \
                 --socket or {SOCKET_ENV}"
            )),
            ClientError::Silent { .. } => failure.hint("its stderr says what it does"),
            ClientError::Broken { .. } => failure.hint(format!(
                "its stderr says why, unless {MAX_CLIENTS} clients are connected already: it takes no more"
            )),
            ClientError::Refused(TaskError { data, .. }) => failure.caused(data),
        }
    }
}

/// JSON for machines, with a line end.
pub fn json(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("plain data with string keys");
    text.push('\n');
    text
}

/// Sectors and their states, a line each.
pub fn states(result: &SectorsResult) -> String {
    let line = |sector: &SectorState| {
        let held = if sector.held && sector.state == "running" { ", then held" } else { "" };
        format!("{} {}{held}\n", sector.name, sector.state)
    };
    result.sectors.iter().map(line).collect()
}
