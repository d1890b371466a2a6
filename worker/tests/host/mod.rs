// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine for tests of `sealpipe check`: described, and its files told.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use sealpipe_protocol::stage::proof::SealProof;
use sealpipe_worker::{
    check::Files,
    cli::check::{self, Host},
    config::Loaded,
    hardware::{Amounts, Description, Hardware, HardwareError},
};

/// The machine that both schemes are written for.
pub const SEED: &str = "pack:2 [numa(memory=1TiB)] l3:16(size=16MiB) core:3 pu:1";

/// What a command wrote, and its exit code.
pub struct Output {
    pub code: u8,
    pub out: String,
    pub err: String,
}

/// A machine, and what is on it. Everything is there but for what is said to be missing.
pub struct Setting {
    pub hardware: Option<Result<Hardware, HardwareError>>,
    pub is_here: bool,
    pub missing: BTreeSet<PathBuf>,
    pub variables: BTreeMap<String, String>,
    pub proof: SealProof,
}

impl Setting {
    /// A described machine, with two GPUs unless `amounts` says otherwise.
    pub fn new(topology: &str, amounts: Amounts) -> Self {
        let gpus = amounts.gpus.or(Some((2, Some(10 << 30))));
        let amounts = Amounts { gpus, ..amounts };
        let hardware = Description::of_text(topology).read().map(|mut hardware| {
            amounts.apply(&mut hardware);
            hardware
        });
        Self { hardware: Some(hardware), ..Self::without_machine(true) }
    }

    /// No machine at all.
    pub fn without_machine(is_here: bool) -> Self {
        Self {
            hardware: None,
            is_here,
            missing: BTreeSet::new(),
            variables: BTreeMap::new(),
            proof: SealProof::StackedDrg32GiBV1_1,
        }
    }

    /// Checks a configuration there.
    pub fn check(&self, loaded: Loaded, json: bool) -> Output {
        let host = Host {
            hardware: self.hardware.clone(),
            is_here: self.is_here,
            files: Files {
                worker_dir: Path::new("/opt"),
                exists: &|path| !self.missing.contains(path),
                search: vec![PathBuf::from("/usr/bin")],
                variable: &|name| self.variables.get(name).cloned(),
            },
            proof: self.proof,
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = check::report(loaded, json, &host, &mut out, &mut err).unwrap();
        Output { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
    }
}
