// SPDX-License-Identifier: MIT OR Apache-2.0

//! Groth16 parameters: looked for before anything else is done, since a proof without them would
//! fail after hours; made once where anybody may make them.
//!
//! The reference program beside the worker knows them; the worker links no proofs library.

use std::{collections::BTreeMap, path::Path, process::Stdio};

use rustix::process::getpid;
use sealpipe_protocol::{Stage, stage::proof::SealProof};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::Command,
};

use crate::{
    config::{Processors, program::REFERENCE},
    event::{Event, Observer},
    supervisor::spawn::before_exec,
};

/// Longest piece of the program's stderr that is shown, in bytes.
const MAX_SHOWN_BYTES: u64 = 16 * 1024;

/// Where the network's parameters come from.
const FETCH: &str = "fetch them with `lotus fetch-params 32GiB`, `curio fetch-params 32GiB` or filecoin-proofs' \
     `paramfetch`, and point FIL_PROOFS_PARAMETER_CACHE at their directory";

/// Why a proof's parameters are not there, for people.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ParametersError {
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl ParametersError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }
}

/// What `sealpipe-reference params status --json` says.
#[derive(Deserialize)]
struct Status {
    state: String,
    path: String,
}

/// A line of `sealpipe-reference params make --json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    phase: String,
    done: u64,
    total: u64,
    eta_seconds: Option<u64>,
}

/// Sees to it that the parameters of a size are there.
pub async fn ensure(
    proof: SealProof,
    processors: &Processors,
    worker_dir: &Path,
    observer: &Observer,
) -> Result<(), ParametersError> {
    let program = worker_dir.join(REFERENCE);
    if !program.exists() {
        // Another program proves; it knows where its parameters are.
        return Ok(());
    }
    // Where c2 reads them is where they have to be.
    let envs = processors.of_stage(Stage::C2).next().map(|entry| entry.envs.clone());
    let envs = envs.unwrap_or_default();
    let size = proof.size_name();
    let status: Status =
        ask(&program, &["params", "status", "--size", size, "--json"], &envs).await?;
    match status.state.as_str() {
        "present" => Ok(()),
        _ if !proof.is_test_size() => Err(ParametersError {
            message: format!(
                "the Groth16 parameters of {size} sectors are {} in {}",
                status.state, status.path
            ),
            hint: Some(FETCH.to_owned()),
        }),
        _ => make(&program, size, &envs, observer).await,
    }
}

fn command(program: &Path, args: &[&str], envs: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new(program);
    command.args(args).envs(envs).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // What a terminal sends to the worker's group means the worker, which ends it in good order.
    command.process_group(0);
    // Making parameters takes minutes: nobody waits for them once this process is killed.
    before_exec(&mut command, getpid(), None, None);
    command
}

async fn ask<T: DeserializeOwned>(
    program: &Path,
    args: &[&str],
    envs: &BTreeMap<String, String>,
) -> Result<T, ParametersError> {
    let shown = format!("{} {}", program.display(), args.join(" "));
    let failed = |what: String| ParametersError::new(format!("`{shown}` failed: {what}"));
    let output = command(program, args, envs).output().await.map_err(|e| failed(e.to_string()))?;
    // The exit code only repeats what the answer says.
    serde_json::from_slice(&output.stdout).map_err(|error| {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        failed(if said.is_empty() { error.to_string() } else { said })
    })
}

async fn make(
    program: &Path,
    size: &str,
    envs: &BTreeMap<String, String>,
    observer: &Observer,
) -> Result<(), ParametersError> {
    let args = ["params", "make", "--size", size, "--json"];
    let failed = |what: String| {
        ParametersError::new(format!("the parameters of {size} sectors cannot be made: {what}"))
    };
    let mut child = command(program, &args, envs).spawn().map_err(|e| failed(e.to_string()))?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(failed("the program has no pipes".to_owned()));
    };
    let errors = tokio::spawn(async move {
        let mut text = Vec::new();
        let _ = stderr.take(MAX_SHOWN_BYTES).read_to_end(&mut text).await;
        String::from_utf8_lossy(&text).trim().to_owned()
    });
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(Line { phase, done, total, eta_seconds }) = serde_json::from_str(&line) {
            let size = size.to_owned();
            observer.tell(&Event::ParametersProgress { size, phase, done, total, eta_seconds });
        }
    }
    let status = child.wait().await.map_err(|e| failed(e.to_string()))?;
    if !status.success() {
        return Err(failed(errors.await.unwrap_or_default()));
    }
    observer.tell(&Event::ParametersMade { size: size.to_owned() });
    Ok(())
}
