// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe params`: the network's Groth16 parameters.

use std::{io::Write, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use sealpipe_protocol::stage::proof::SealProof;
use serde::Serialize;

use super::{Failure, exit};
use crate::parameters::{self, Found, State};

/// How often progress is drawn.
const TICK: Duration = Duration::from_millis(200);

/// What to do with parameters.
#[derive(Debug, Subcommand)]
pub enum ParamsCommand {
    Check(CheckArgs),
}

/// Say which of the network's parameter files are here, complete and right
///
/// Digests are those of filecoin-proofs' `parameters.json`. A file is read once: its digest is kept beside it,
/// as long as its length and time of change stay the same.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0  what was asked for is here and right
  1  a file is wrong or unreadable, or one of a size that was named is missing; parameters of a test size that
     are not the network's are wrong where that size was named, and a note otherwise
  2  the command line is wrong

Examples:
  sealpipe params check                    all sizes that are here
  sealpipe params check --size 32GiB       what sealing 32 GiB sectors takes
  sealpipe params check --dir /mnt/params --json")]
pub struct CheckArgs {
    /// The sector size: 2KiB, 8MiB, 512MiB, 32GiB or 64GiB; all unless given. May be repeated
    #[arg(long)]
    size: Vec<SealProof>,

    /// Where the files are, instead of FIL_PROOFS_PARAMETER_CACHE or /var/tmp/filecoin-proof-parameters
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'r> {
    dir: &'r PathBuf,
    files: &'r [Found],
    ok: bool,
    /// The size of the first file that is not as it was asked for.
    #[serde(skip)]
    wrong: Option<&'static str>,
    /// Whether parameters of a test size that nobody named are not the network's.
    #[serde(skip)]
    noted: bool,
}

/// Runs the command.
///
/// # Errors
/// The result cannot be written.
pub fn run(command: &ParamsCommand, out: &mut dyn Write) -> Result<u8, Failure> {
    let ParamsCommand::Check(args) = command;
    let dir = args.dir.clone();
    let dir = dir.unwrap_or_else(|| parameters::directory(|name| std::env::var(name).ok()));
    let named = !args.size.is_empty();
    let sizes = if named { args.size.clone() } else { SealProof::ALL.to_vec() };
    let (mut files, mut wrong, mut noted) = (Vec::new(), None, false);
    for proof in sizes {
        for known in parameters::files(proof) {
            let bar = bar(&known.name);
            let mut progress = |done, total| {
                bar.set_length(total);
                bar.set_position(done);
                true
            };
            let found = parameters::examine(&dir, proof, known, &mut progress);
            bar.finish_and_clear();
            let found = found.map_err(|error| Failure::new(format!("stopped: {error}")))?;
            match found.state {
                State::Right => {}
                State::Missing if !named => {}
                // Anybody may make these.
                State::Wrong { .. } if !named && proof.is_test_size() => noted = true,
                _ => wrong = wrong.or(Some(proof.size_name())),
            }
            files.push(found);
        }
    }
    let ok = wrong.is_none();
    let report = Report { dir: &dir, files: &files, ok, wrong, noted };
    let written = match args.json {
        true => serde_json::to_string(&report)
            .map_err(std::io::Error::from)
            .and_then(|text| writeln!(out, "{text}")),
        false => out.write_all(text(&report).as_bytes()),
    };
    written.map_err(|error| Failure::new(format!("cannot write the result: {error}")))?;
    Ok(if ok { exit::OK } else { exit::FAILED })
}

fn bar(name: &str) -> ProgressBar {
    let style = "{bytes:>11} of {total_bytes}, {bytes_per_sec}, {eta} left  {wide_msg}";
    let bar = ProgressBar::new(0).with_message(name.to_owned());
    bar.enable_steady_tick(TICK);
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn text(report: &Report<'_>) -> String {
    use std::fmt::Write as _;
    let mut text = format!("{}\n", report.dir.display());
    for found in report.files {
        let state = match &found.state {
            State::Right => "right".to_owned(),
            State::Missing => "missing".to_owned(),
            State::Wrong { found: digest } => {
                format!("not the network's: digest {digest}, expected {}", found.digest)
            }
            State::Unreadable { reason } => format!("cannot be read: {reason}"),
        };
        let bytes = found.bytes.map(|bytes| format!("{bytes} bytes")).unwrap_or_default();
        let name = found.path.file_name().unwrap_or_default().to_string_lossy();
        let ending = name.rsplit('.').next().unwrap_or_default();
        let line = format!("{:>6}  {ending:<6}  {bytes:>18}  {state}", found.size);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if report.noted {
        let _ = writeln!(
            text,
            "note: parameters of a test size that are not the network's are of your own making, and only you \
             believe their proofs"
        );
    }
    if let Some(size) = report.wrong {
        let _ = writeln!(
            text,
            "hint: `lotus fetch-params {size}` or `curio fetch-params {size}` fetches what is missing or wrong; \
             parameters of test sizes are made with `sealpipe-reference params make`"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dir: &std::path::Path, size: Vec<SealProof>, json: bool) -> (u8, String) {
        let mut out = Vec::new();
        let args = CheckArgs { size, dir: Some(dir.to_owned()), json };
        let code = run(&ParamsCommand::Check(args), &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    }

    #[test]
    fn missing_files_matter_when_their_size_was_named() {
        let dir = tempfile::tempdir().unwrap();
        let (code, text) = check(dir.path(), Vec::new(), false);
        assert_eq!((code, text.matches("missing").count()), (exit::OK, 10), "{text}");
        let (code, text) = check(dir.path(), vec![SealProof::StackedDrg32GiBV1_1], false);
        assert_eq!(code, exit::FAILED);
        assert!(text.contains("lotus fetch-params 32GiB"), "{text}");
    }

    fn with_file_of_somebody_else(proof: SealProof) -> (tempfile::TempDir, parameters::Known) {
        let dir = tempfile::tempdir().unwrap();
        let known = parameters::files(proof).remove(0);
        std::fs::write(dir.path().join(&known.name), "abc").unwrap();
        (dir, known)
    }

    #[test]
    fn parameters_for_tests_are_a_note_unless_their_size_was_named() {
        for proof in SealProof::ALL {
            let (dir, _) = with_file_of_somebody_else(*proof);
            let (code, text) = check(dir.path(), Vec::new(), false);
            assert!(text.contains("not the network's: digest "), "{text}");
            let is_test = proof.is_test_size();
            assert_eq!(code, if is_test { exit::OK } else { exit::FAILED }, "{text}");
            assert_eq!(text.contains("note: parameters of a test size"), is_test, "{text}");
            let fetch = format!("lotus fetch-params {}`", proof.size_name());
            assert_eq!(text.contains(&fetch), !is_test, "{text}");
            let (code, text) = check(dir.path(), vec![*proof], false);
            assert!(code == exit::FAILED && text.contains(&fetch), "{text}");
            assert!(!text.contains("note: "), "{text}");
        }
    }

    #[test]
    fn a_file_of_somebody_else_is_wrong() {
        let proof = SealProof::StackedDrg2KiBV1_1;
        let (dir, known) = with_file_of_somebody_else(proof);
        let (code, text) = check(dir.path(), vec![proof], true);
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(code, exit::FAILED);
        let file = &report["files"][0];
        assert_eq!((&file["state"], &file["bytes"]), (&"wrong".into(), &3.into()), "{text}");
        assert_eq!(file["digest"], known.digest.as_str(), "{text}");
        assert_eq!(report["files"][1]["state"], "missing", "{text}");
    }
}
