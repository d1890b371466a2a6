// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether a configuration fits a machine: its cpus, nodes, GPUs, memory, disks, programs and files.
//!
//! Pure but for what its caller looks up. What is wrong with the text alone is `config`'s.

mod budget;
mod cpus;
mod gpus;
mod needs;
mod parameters;
mod pc1;
mod programs;
mod variables;

use sealpipe_protocol::stage::proof::SealProof;

use crate::{
    config::{Diagnostic, Diagnostics, Entry, Processors},
    hardware::Hardware,
};

pub use self::{
    budget::{Demand, demand},
    needs::memory_bytes,
    pc1::free_cores,
    programs::{Files, Ours},
};

/// What is to be said about a configuration on a machine, in the order of the file.
///
/// Budgets are counted for sectors of one size, and only where they matter: `budgets` is false for a
/// file that has errors.
pub fn on_machine(
    processors: &Processors,
    hardware: &Hardware,
    proof: SealProof,
    budgets: bool,
    ours: &dyn Fn(&Entry) -> Option<Ours>,
) -> Vec<Diagnostic> {
    let mut found = Diagnostics::default();
    for entry in &processors.entries {
        cpus::check(entry, hardware, &mut found);
        gpus::check(entry, hardware, &mut found);
    }
    pc1::check(processors, hardware, ours, &mut found);
    if budgets {
        budget::check(processors, hardware, proof, &mut found);
    }
    found.into_iter().collect()
}

/// What is to be said about programs and files. `proof` is the size of sectors whose parameters are
/// looked for, and `None` when they are not.
pub fn files(
    processors: &Processors,
    files: &Files<'_>,
    proof: Option<SealProof>,
) -> Vec<Diagnostic> {
    let mut found = Diagnostics::default();
    programs::check(processors, files, &mut found);
    if let Some(proof) = proof {
        parameters::check(processors, files, proof, &mut found);
    }
    found.into_iter().collect()
}

/// What is to be said about the variables of entries, by the programs that serve them.
pub fn variables(
    processors: &Processors,
    ours: &dyn Fn(&Entry) -> Option<Ours>,
) -> Vec<Diagnostic> {
    let mut found = Diagnostics::default();
    for entry in &processors.entries {
        variables::check(entry, ours(entry), &mut found);
    }
    found.into_iter().collect()
}
