// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs and files that a configuration names.

use std::path::{Path, PathBuf};

use crate::config::{
    Code, Device, Diagnostics, Entry, Processors, Program,
    program::{self, REFERENCE},
};

/// Where programs and files are looked for.
pub struct Files<'a> {
    /// The directory of the worker's program.
    pub worker_dir: &'a Path,
    /// Whether a file exists.
    pub exists: &'a dyn Fn(&Path) -> bool,
    /// The directories in which programs are found by name.
    pub search: Vec<PathBuf>,
    /// A variable of the worker's environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// The programs of sealpipe of which it is known what they read and how they compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ours {
    /// `sealpipe-reference`.
    Reference,
    /// `sealpipe-pc1`.
    Pc1,
    /// `sealpipe-pc2`.
    Pc2,
    /// `sealpipe-c2`.
    C2,
}

impl Ours {
    /// The program of that name, wherever it lies.
    pub fn of(program: &Program) -> Option<Self> {
        match program.bin.file_name()?.to_str()? {
            REFERENCE => Some(Self::Reference),
            "sealpipe-pc1" => Some(Self::Pc1),
            "sealpipe-pc2" => Some(Self::Pc2),
            "sealpipe-c2" => Some(Self::C2),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reference => REFERENCE,
            Self::Pc1 => "sealpipe-pc1",
            Self::Pc2 => "sealpipe-pc2",
            Self::C2 => "sealpipe-c2",
        }
    }
}

impl Files<'_> {
    /// The program that serves an entry.
    pub fn program(&self, entry: &Entry) -> Program {
        Program::of_entry(entry, self.worker_dir, self.exists)
    }

    /// Whether a program exists, found as `execvp` finds it.
    pub fn finds(&self, bin: &Path) -> bool {
        let plain_name = bin.file_name().is_some_and(|name| name == bin.as_os_str());
        if plain_name {
            self.search.iter().any(|dir| (self.exists)(&dir.join(bin)))
        } else {
            (self.exists)(bin)
        }
    }
}

/// Says where the entry means a GPU and its program has none, which the worker refuses.
fn check_device(entry: &Entry, program: &Program, found: &mut Diagnostics) {
    let means_gpu = program::device(entry) == Some(Device::Cuda);
    if !means_gpu || Ours::of(program) != Some(Ours::Reference) {
        return;
    }
    let message =
        format!("{REFERENCE} computes `{}` on the cpu, and the entry means a GPU", entry.stage);
    found.say(Code::CpuProgram, entry.positions.value("device"), message).hint =
        Some("with `device = \"cpu\"` the entry takes the cpu, which is much slower".to_owned());
}

/// Says what is not there.
pub(super) fn check(processors: &Processors, files: &Files<'_>, found: &mut Diagnostics) {
    for entry in &processors.entries {
        let program = files.program(entry);
        if files.finds(&program.bin) {
            check_device(entry, &program, found);
            continue;
        }
        let message = format!("there is no program `{}`", program.bin.display());
        let hint = match entry.bin {
            Some(_) => "a name without `/` is looked up in `PATH`; nothing is expanded",
            None => "install it beside the worker, or name another with `bin`",
        };
        found.say(Code::NoProgram, entry.positions.value("bin"), message).hint =
            Some(hint.to_owned());
    }
    for file in processors.static_tree_d.values().filter(|file| !(files.exists)(&file.path)) {
        let message = format!("there is no file `{}`", file.path.display());
        found.say(Code::NoFile, file.span, message).hint =
            Some("a relative path is relative to the worker's current directory".to_owned());
    }
}
