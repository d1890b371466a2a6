// SPDX-License-Identifier: MIT OR Apache-2.0

//! Groth16 parameters: looked for before anything else is done, since a proof without them would
//! fail after hours; made once where anybody may make them.
//!
//! The reference program beside the worker knows them; the worker links no proofs library.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::process::getpid;
use sealpipe_protocol::{Stage, stage::proof::SealProof};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::Command,
};

use crate::{
    check::Ours,
    config::{
        Entry, Processors,
        placement::Device,
        program::{self, Program, REFERENCE},
    },
    event::{Event, Observer},
    supervisor::spawn::before_exec,
};

/// Longest piece of the program's stderr that is shown, in bytes.
const MAX_SHOWN_BYTES: u64 = 16 * 1024;

/// The variable that has our c2 keep its files elsewhere.
const C2_CACHE: &str = "SEALPIPE_C2_CACHE";

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
    let entry = processors.of_stage(Stage::C2).next();
    let envs = entry.map(|entry| entry.envs.clone()).unwrap_or_default();
    let size = proof.size_name();
    let status: Status =
        ask(&program, &["params", "status", "--size", size, "--json"], &envs).await?;
    match status.state.as_str() {
        "present" => Ok(()),
        "missing" if entry.is_some_and(|entry| proves_without(entry, worker_dir, &status)) => {
            Ok(())
        }
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

/// Whether an entry's program has parameters of its own in the place of those that are missing: our c2 on
/// a GPU takes what `sealpipe-c2 params make` has made, which has no other form.
fn proves_without(entry: &Entry, worker_dir: &Path, status: &Status) -> bool {
    let program = Program::of_entry(entry, worker_dir, Path::exists);
    Ours::of(&program) == Some(Ours::C2)
        && program::device(entry) != Some(Device::Cpu)
        && is_made_for_tests(&converted(entry, Path::new(&status.path)))
}

/// Where our c2 has parameters in its own form (processors/c2/src/params/kept.rs).
fn converted(entry: &Entry, params: &Path) -> PathBuf {
    let beside = params.with_extension("keys");
    match (entry.envs.get(C2_CACHE), beside.file_name()) {
        (Some(dir), Some(name)) => Path::new(dir).join(name),
        _ => beside,
    }
}

/// Whether a file in c2's form says that it needs no other (processors/c2/src/params/file.rs).
fn is_made_for_tests(path: &Path) -> bool {
    let mut head = [0; 72];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head[..16] == *b"sealpipe-c2-keys" && head[56..] == *b"made for tests.."
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::test::check_processors;

    #[test]
    fn our_c2_on_a_gpu_proves_with_parameters_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (keys, program) = (dir.path().join("p.keys"), dir.path().join("sealpipe-c2"));
        let path = dir.path().join("p.params").display().to_string();
        let status = Status { state: "missing".to_owned(), path };
        let proves = |keys: &str| {
            let text = format!("[[processors.c2]]\n{keys}");
            proves_without(&check_processors(&text, &[]).entries[0], dir.path(), &status)
        };
        let head = [b"sealpipe-c2-keys".as_slice(), &[1; 40], b"made for tests.."].concat();
        fs::write(&keys, &head).unwrap();
        assert!(!proves(""), "the reference program serves it");
        fs::write(&program, "").unwrap();
        assert!(proves(""));
        assert!(!proves("envs = { SEALPIPE_C2_CACHE = \"/nowhere\" }"));
        assert!(proves("bin = \"/opt/sealpipe-c2\""));
        assert!(!proves("device = \"cpu\""), "bellperson reads its own form alone");
        assert!(!proves("bin = \"/opt/prover\""));
        fs::write(&keys, &head[..71]).unwrap();
        assert!(!proves(""), "a file that was cut short");
        fs::write(&keys, [&head[..56], &[7; 16]].concat()).unwrap();
        assert!(!proves(""), "converted from a file that is gone");
        fs::remove_file(&keys).unwrap();
        assert!(!proves(""));
    }
}
