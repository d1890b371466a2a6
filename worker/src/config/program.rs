// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which program serves an entry, or a stage without one.

use std::path::{Path, PathBuf};

use sealpipe_protocol::Stage;

use super::{entry::Entry, placement::Device};

/// The program that serves every stage, beside the worker.
pub const REFERENCE: &str = "sealpipe-reference";

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What to execute: a path, or a name that is looked up in `PATH`.
    pub bin: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

impl Program {
    /// The program of an entry: `bin` as it is written, else `sealpipe-<stage>` beside the worker if
    /// `exists` says so, else the reference program beside the worker.
    pub fn of_entry(entry: &Entry, worker_dir: &Path, exists: impl Fn(&Path) -> bool) -> Self {
        let own = worker_dir.join(own_name(entry.stage));
        let is_own = entry.bin.is_none() && exists(&own);
        let bin = match &entry.bin {
            Some(bin) => PathBuf::from(bin),
            None if is_own => own,
            None => worker_dir.join(REFERENCE),
        };
        let mut args = default_args(entry.stage);
        if is_own && has_devices(entry.stage) && entry.device == Some(Device::Cpu) {
            // There is no silent fall-back from GPU to CPU: it has to be told.
            args.extend(["--device", "cpu"].map(str::to_owned));
        }
        Self { bin, args: entry.args.clone().unwrap_or(args) }
    }

    /// The program of a stage without an entry: the reference program beside the worker.
    pub fn implied(stage: Stage, worker_dir: &Path) -> Self {
        Self { bin: worker_dir.join(REFERENCE), args: default_args(stage) }
    }
}

/// What an entry has to compute on. There is no silent fall-back from GPU to CPU: an entry of pc2 or
/// c2 whose program we choose means a GPU unless it says otherwise. Whoever names a program has
/// chosen its device.
pub fn device(entry: &Entry) -> Option<Device> {
    let ours = entry.bin.is_none() && has_devices(entry.stage);
    entry.device.or(ours.then_some(Device::Cuda))
}

/// The name of the program of ours that serves one stage.
fn own_name(stage: Stage) -> String {
    format!("sealpipe-{}", stage.name())
}

/// Whether our program of a stage computes on a GPU unless it is told otherwise.
pub(crate) fn has_devices(stage: Stage) -> bool {
    matches!(stage, Stage::Pc2 | Stage::C2)
}

fn default_args(stage: Stage) -> Vec<String> {
    vec!["processor".to_owned(), stage.name().to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::test::check_processors;

    fn check(keys: &str, own_exists: bool, expected: &str) {
        let entry = check_processors(&format!("[[processors.pc2]]\n{keys}"), &[]).entries.remove(0);
        let exists = |path: &Path| own_exists && path == Path::new("/opt/sealpipe-pc2");
        let program = Program::of_entry(&entry, Path::new("/opt"), exists);
        let line = format!("{} {}", program.bin.display(), program.args.join(" "));
        assert_eq!(line, expected, "{keys}");
    }

    #[test]
    fn the_program_is_the_given_one_or_ours_or_the_reference() {
        check("", true, "/opt/sealpipe-pc2 processor pc2");
        check("", false, "/opt/sealpipe-reference processor pc2");
        check("bin = \"fast\"", true, "fast processor pc2");
        check("bin = \"./fast\"\nargs = []", true, "./fast ");
        check("device = \"cpu\"", true, "/opt/sealpipe-pc2 processor pc2 --device cpu");
        check("device = \"cpu\"", false, "/opt/sealpipe-reference processor pc2");
        check("device = \"cpu\"\nargs = [\"x\"]", true, "/opt/sealpipe-pc2 x");
        check("args = [\"x\"]", true, "/opt/sealpipe-pc2 x");
    }

    #[test]
    fn a_stage_without_an_entry_has_the_reference() {
        let program = Program::implied(Stage::AddPieces, Path::new("/opt"));
        assert_eq!(program.bin, Path::new("/opt/sealpipe-reference"));
        assert_eq!(program.args, ["processor", "add_pieces"]);
    }
}
