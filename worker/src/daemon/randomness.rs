// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tickets and seeds that a command prints.
//!
//! A command is run by `sh -c`, in a process group of its own and for a limited time. It prints 64 hex
//! digits; a command that ends without them has nothing yet, and is asked again later.

use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, getpid, kill_process_group};
use sealpipe_protocol::Bytes32;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    time::timeout,
};

use crate::{
    commitment::{data_cid, replica_cid},
    pipeline::{record::Record, sector::Prover, sector::Randomness},
    supervisor::spawn::before_exec,
};

/// How long a command may run.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(120);

/// The wait after the first time that a command had nothing; it doubles.
const FIRST_DELAY: Duration = Duration::from_secs(1);

/// The longest: a seed comes 75 minutes after pc2, and nobody is to be asked too often.
const LONGEST_DELAY: Duration = Duration::from_secs(120);

/// Bytes of what it prints that are read, of either stream.
const MAX_OUTPUT_BYTES: u64 = 4096;

/// How long to wait before a command is asked again that had nothing so often in a row.
pub fn delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST_DELAY * (1 << doublings)).min(LONGEST_DELAY)
}

/// What a command is told of the sector, as variables of its environment.
pub fn variables(what: Randomness, record: &Record) -> Vec<(&'static str, String)> {
    let sector = &record.sector;
    let mut variables = vec![
        ("SEALPIPE_RANDOMNESS", what.to_string()),
        ("SEALPIPE_SECTOR", sector.name()),
        ("SEALPIPE_SECTOR_NUMBER", sector.number.to_string()),
        ("SEALPIPE_PROOF_TYPE", sector.proof.to_string()),
        ("SEALPIPE_PROVER_ID", sector.prover.id().to_string()),
    ];
    if let Prover::Miner(number) = sector.prover {
        variables.push(("SEALPIPE_MINER", format!("f0{number}")));
    }
    if let Some(comm_d) = &record.results.comm_d {
        variables.push(("SEALPIPE_COMM_D", comm_d.to_string()));
        variables.push(("SEALPIPE_COMM_D_CID", data_cid(comm_d)));
    }
    if let Some(comm_r) = &record.results.comm_r {
        variables.push(("SEALPIPE_COMM_R", comm_r.to_string()));
        variables.push(("SEALPIPE_COMM_R_CID", replica_cid(comm_r)));
    }
    variables
}

/// Runs a command once.
///
/// # Errors
/// Why it printed no randomness, for people.
pub async fn ask(
    command: &str,
    variables: &[(&'static str, String)],
    limit: Duration,
) -> Result<Bytes32, String> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).envs(variables.iter().cloned());
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell.process_group(0).kill_on_drop(true);
    before_exec(&mut shell, getpid(), None, None);
    let mut child = shell.spawn().map_err(|error| format!("cannot run sh: {error}"))?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).map(Group);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let running = async { tokio::join!(read(out), read(err), child.wait()) };
    let ended = timeout(limit, running).await;
    drop(group);
    let Ok((out, err, status)) = ended else {
        return Err(format!("it did not end in {} s", limit.as_secs()));
    };
    let status = status.map_err(|error| error.to_string())?;
    let said = || match err.trim().lines().next_back() {
        Some(line) if !line.is_empty() => format!(": {line}"),
        _ => String::new(),
    };
    if !status.success() {
        return Err(format!("it ended with {status}{}", said()));
    }
    match out.trim() {
        "" => Err(format!("it printed nothing{}", said())),
        text => text.parse().map_err(|error| format!("it printed {text:?}: {error}")),
    }
}

/// A command's process group, which is gone when this is: whatever it has started too.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}

/// Reads what is shown; the rest is read too, so that the command does not wait for a reader.
async fn read(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let mut text = Vec::new();
    let _ = (&mut stream).take(MAX_OUTPUT_BYTES).read_to_end(&mut text).await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::daemon::job::tests::sector;

    const LIMIT: Duration = Duration::from_secs(60);

    async fn asked(command: &str, limit: Duration) -> String {
        let mut record = Record::new(sector(7).sector());
        record.results.comm_r = Some(Bytes32([9; 32]));
        let variables = variables(Randomness::Seed, &record);
        match ask(command, &variables, limit).await {
            Ok(value) => value.to_string(),
            Err(why) => why,
        }
    }

    #[tokio::test]
    async fn a_command_prints_hex_or_says_why_not() {
        let hex = "0b".repeat(32);
        assert_eq!(asked(&format!("echo {hex}"), LIMIT).await, hex);
        assert_eq!(asked("echo $SEALPIPE_COMM_R", LIMIT).await, "09".repeat(32));
        let check = async |command: &str, expected: &str| {
            let said = asked(command, LIMIT).await;
            assert!(said.contains(expected), "{command}: {said}");
        };
        check("true", "it printed nothing").await;
        check("echo not yet >&2; exit 75", "exit status: 75: not yet").await;
        check("echo 0b", "it printed \"0b\": ").await;
        check("no-such-program-anywhere", "exit status: 127").await;
        check("echo $SEALPIPE_SECTOR $SEALPIPE_MINER", "\"t01000-7 f01000\"").await;
        check("head -c 1000000 /dev/zero | tr '\\0' a", "it printed \"aaaa").await;
    }

    #[tokio::test]
    async fn a_command_that_hangs_ends_with_all_that_it_started() {
        let since = Instant::now();
        let said = asked("sleep 600 & sleep 600", Duration::from_millis(300)).await;
        assert_eq!(said, "it did not end in 0 s");
        assert!(since.elapsed() < LIMIT);
        // One that ends by itself and leaves something that holds its stdout open.
        let said = asked("sleep 600 & echo", Duration::from_millis(300)).await;
        assert_eq!(said, "it did not end in 0 s");
    }

    #[test]
    fn it_is_asked_less_and_less_often() {
        let delays: Vec<_> = (1..=9).map(|n| delay(n).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
        assert_eq!(delay(u32::MAX), LONGEST_DELAY);
    }
}
