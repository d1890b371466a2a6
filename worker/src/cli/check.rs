// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe check FILE`: what is to be said about a configuration, and what it would start.
//!
//! Diagnostics go to stderr and the summary to stdout; with `--json` everything is one JSON object
//! on stdout. Nothing is started.

mod summary;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    config::{self, Config, Diagnostic, Diagnostics, Loaded, Program, Severity},
    topology::{self, Machine},
};

/// No error was found; there may be warnings.
pub const EXIT_OK: u8 = 0;
/// At least one error was found, or the file cannot be read.
pub const EXIT_ERRORS: u8 = 1;

/// Check a configuration and show what it would start.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// The configuration: a damocles worker.toml, or one written for sealpipe
    pub file: PathBuf,

    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,

    /// Also check against this machine: cpus, memory nodes, programs, files (the default).
    ///
    /// With HWLOC_SYNTHETIC or HWLOC_XMLFILE set, cpus and nodes are those of the machine that they
    /// describe, and programs and files are not looked at.
    #[arg(long, overrides_with = "no_machine")]
    pub machine: bool,

    /// Do not look at this machine; for configurations of another one
    #[arg(long, overrides_with = "machine")]
    pub no_machine: bool,
}

/// The machine that a configuration is checked against.
pub struct Host<'a> {
    /// The directory of the worker's program.
    pub worker_dir: &'a Path,
    /// Its topology, or why there is none; `None` when it does not matter.
    pub machine: Option<Result<Machine, topology::DetectError>>,
    /// Whether programs and files are expected to exist.
    pub files: bool,
    /// Whether a file exists.
    pub exists: &'a dyn Fn(&Path) -> bool,
    /// The directories in which programs are found by name.
    pub search: Vec<PathBuf>,
}

/// Runs the command on this machine. `worker_dir` is the directory of the worker's program.
///
/// Gives the exit code: [`EXIT_OK`] or [`EXIT_ERRORS`].
///
/// # Errors
/// What is found cannot be written.
pub fn run(
    args: &CheckArgs,
    worker_dir: &Path,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let path = std::env::var_os("PATH");
    let search = path.as_deref().map(std::env::split_paths).into_iter().flatten().collect();
    let host = Host {
        worker_dir,
        machine: (!args.no_machine).then(topology::detect),
        files: !args.no_machine && topology::described_by().is_none(),
        exists: &|path| path.exists(),
        search,
    };
    report(config::load(&args.file), args.json, &host, out, err)
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
    let mut found = check_machine(loaded.parsed.draft(), host);
    if host.files {
        found.extend(check_files(loaded.parsed.draft(), host));
    }
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
        if let Some(config) = config {
            write!(out, "{}", summary::text(config, host))?;
        }
    }
    Ok(if config.is_some() { EXIT_OK } else { EXIT_ERRORS })
}

/// Cpus and nodes that the configuration names and the machine lacks.
fn check_machine(config: &Config, host: &Host<'_>) -> Vec<Diagnostic> {
    match &host.machine {
        None => Vec::new(),
        Some(Ok(machine)) => {
            config.processors.entries.iter().flat_map(|entry| machine.check(entry)).collect()
        }
        Some(Err(error)) => vec![
            Diagnostic::whole_file(Severity::Error, error.to_string())
                .hint("`--no-machine` checks the configuration alone"),
        ],
    }
}

/// Programs and files that the configuration names and that are not there.
fn check_files(config: &Config, host: &Host<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let processors = &config.processors;
    for entry in &processors.entries {
        let program = host.program(entry);
        if host.finds(&program.bin) {
            continue;
        }
        let message = format!("there is no program `{}`", program.bin.display());
        let hint = match entry.bin {
            Some(_) => "a name without `/` is looked up in `PATH`; nothing is expanded",
            None => "install it beside the worker, or name another with `bin`",
        };
        let span = entry.positions.value("bin");
        found.push(Diagnostic::new(Severity::Error, span, message).hint(hint));
    }
    for file in processors.static_tree_d.values().filter(|file| !(host.exists)(&file.path)) {
        let message = format!("there is no file `{}`", file.path.display());
        let hint = "a relative path is relative to the worker's current directory";
        found.push(Diagnostic::new(Severity::Error, file.span, message).hint(hint));
    }
    found
}

impl Host<'_> {
    fn program(&self, entry: &config::Entry) -> Program {
        Program::of_entry(entry, self.worker_dir, self.exists)
    }

    /// Whether a program exists, found as `execvp` finds it.
    fn finds(&self, bin: &Path) -> bool {
        let plain_name = bin.file_name().is_some_and(|name| name == bin.as_os_str());
        if plain_name {
            self.search.iter().any(|dir| (self.exists)(&dir.join(bin)))
        } else {
            (self.exists)(bin)
        }
    }
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
