// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe check FILE`: what is to be said about a configuration, and what it would start.
//!
//! Diagnostics go to stderr and the summary to stdout; with `--json` everything is one JSON object
//! on stdout. Nothing is started.

mod explain;
mod summary;

use std::{
    cmp::Reverse,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use sealpipe_protocol::stage::proof::SealProof;

use super::{exit, machine::MachineArgs};
use crate::{
    check::{self, Files, Ours},
    config::{self, Code, Diagnostic, Diagnostics, Entry, Loaded, Severity},
    hardware::{Hardware, HardwareError},
};

/// Check a configuration and show what it would start
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Exit codes:
  0  no error was found; there may be warnings and notes
  1  at least one error: nothing is started with this configuration
  2  the command line is wrong

Examples:
  sealpipe check worker.toml                              against this machine
  sealpipe check worker.toml --no-machine                 the file alone
  sealpipe check worker.toml --topology machine.xml --gpus 2x10GiB --disk 20TiB
  sealpipe check --explain SP401                          what a code means")]
pub struct CheckArgs {
    /// The configuration: a damocles worker.toml, or one written for sealpipe
    #[arg(required_unless_present = "explain")]
    pub file: Option<PathBuf>,

    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,

    /// Explain a code such as SP101, and check nothing
    #[arg(long, value_name = "CODE", value_parser = code, conflicts_with = "file")]
    pub explain: Option<Code>,

    /// Size of the sectors for which memory, disk and parameters are counted
    #[arg(long, value_name = "SIZE", default_value = "32GiB")]
    pub sector_size: SealProof,

    /// Also check against this machine: cpus, nodes, GPUs, memory, disks, programs, files (the
    /// default).
    ///
    /// Of a machine that is described, programs and files are not looked at.
    #[arg(long, overrides_with = "no_machine")]
    pub machine: bool,

    /// Do not look at this machine; for configurations of another one
    #[arg(long, overrides_with = "machine", conflicts_with_all = ["topology", "gpus", "memory", "disk"])]
    pub no_machine: bool,

    /// The machine that is meant.
    #[command(flatten)]
    pub other: MachineArgs,
}

/// The machine that a configuration is checked against.
pub struct Host<'a> {
    /// What it has, or why that is not known; `None` when it does not matter.
    pub hardware: Option<Result<Hardware, HardwareError>>,
    /// Whether programs and files are expected to exist.
    pub is_here: bool,
    /// Where they are looked for.
    pub files: Files<'a>,
    /// The size of the sectors that are sealed.
    pub proof: SealProof,
}

/// Runs the command on this machine. `worker_dir` is the directory of the worker's program.
///
/// Gives the exit code: [`exit::OK`], or [`exit::FAILED`] for a configuration with errors.
///
/// # Errors
/// What is found cannot be written.
pub fn run(
    args: &CheckArgs,
    worker_dir: &Path,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    if let Some(code) = args.explain {
        explain::write(code, args.json, out)?;
        return Ok(exit::OK);
    }
    let path = std::env::var_os("PATH");
    let search = path.as_deref().map(std::env::split_paths).into_iter().flatten().collect();
    let host = Host {
        hardware: (!args.no_machine).then(|| args.other.hardware()),
        is_here: !args.no_machine && !args.other.is_elsewhere(),
        files: Files {
            worker_dir,
            exists: &|path| path.exists(),
            search,
            variable: &|name| std::env::var(name).ok(),
        },
        proof: args.sector_size,
    };
    let file = args.file.clone().unwrap_or_default();
    report(config::load(&file), args.json, &host, out, err)
}

/// Checks a configuration against a host and writes what is found. Gives the exit code.
///
/// # Errors
/// What is found cannot be written.
pub fn report(
    mut loaded: Loaded,
    json: bool,
    host: &Host<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let found = host.check(&loaded);
    loaded.parsed.add(found);
    let diagnostics = loaded.parsed.diagnostics();
    let config = loaded.parsed.config();
    if json {
        let value = summary::json(&loaded, host);
        writeln!(out, "{value:#}")?;
    } else {
        let rendered = diagnostics.render(&loaded.source, Severity::Note);
        let separator = if rendered.is_empty() { "" } else { "\n" };
        write!(err, "{rendered}{separator}")?;
        writeln!(err, "{}: {}", loaded.source.name(), counts(diagnostics))?;
        let worst = diagnostics.iter().max_by_key(|d| (d.severity(), Reverse(d.code)));
        if let Some(first) = worst.filter(|worst| worst.severity() > Severity::Note) {
            writeln!(err, "`sealpipe check --explain {}` tells more about a code", first.code)?;
        }
        if let Some(config) = config {
            write!(out, "{}", summary::text(config, host))?;
        }
    }
    Ok(if config.is_some() { exit::OK } else { exit::FAILED })
}

impl Host<'_> {
    /// What is to be said about a configuration on this host, beside what its text says.
    fn check(&self, loaded: &Loaded) -> Vec<Diagnostic> {
        let processors = &loaded.parsed.draft().processors;
        let is_whole = loaded.parsed.config().is_some();
        let ours = |entry: &Entry| self.ours(entry);
        let mut found = check::variables(processors, &ours);
        match &self.hardware {
            None => {}
            Some(Ok(hardware)) => {
                found.extend(check::on_machine(processors, hardware, self.proof, is_whole, &ours))
            }
            Some(Err(error)) => found.push(
                Diagnostic::whole_file(Code::NoTopology, error.to_string())
                    .hint("`--no-machine` checks the configuration alone"),
            ),
        }
        if self.is_here {
            found.extend(check::files(processors, &self.files, is_whole.then_some(self.proof)));
        }
        found
    }

    /// Which of sealpipe's programs serves an entry.
    fn ours(&self, entry: &Entry) -> Option<Ours> {
        Ours::of(&self.files.program(entry))
    }

    /// The machine, if it is known.
    fn known(&self) -> Option<&Hardware> {
        self.hardware.as_ref()?.as_ref().ok()
    }
}

/// Reads the code of `--explain`.
fn code(text: &str) -> Result<Code, String> {
    Code::of_id(text).ok_or_else(|| {
        let (first, last) = (Code::ALL.first(), Code::ALL.last());
        let ids = first.zip(last).map(|(first, last)| format!("{first} to {last}"));
        format!("there is no such code; they are from {}", ids.unwrap_or_default())
    })
}

/// `1 error, 2 warnings, 3 notes`; errors also when there are none.
fn counts(diagnostics: &Diagnostics) -> String {
    let counted = |severity: Severity| {
        let count = diagnostics.count(severity);
        let plural = if count == 1 { "" } else { "s" };
        (count, format!("{count} {severity}{plural}"))
    };
    let [errors, warnings, notes] =
        [Severity::Error, Severity::Warning, Severity::Note].map(counted);
    let others = [warnings, notes].into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<_> = std::iter::once(errors).chain(others).map(|(_, text)| text).collect();
    parts.join(", ")
}
