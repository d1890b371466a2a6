// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is chosen for the checks of a stage: size of the sectors, seed, the reference processor.

use std::path::PathBuf;

use sealpipe_protocol::stage::{Stage, proof::SealProof};

use super::random::Random;
use crate::check::{Failure, Verdict};

/// The reference processor's program.
const REFERENCE: &str = "sealpipe-reference";

/// What is chosen.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Size of the sectors.
    pub size: SealProof,
    /// What the random sectors are made from.
    pub seed: u64,
    /// The reference processor.
    pub reference: Option<PathBuf>,
}

impl Default for Setting {
    /// 2KiB sectors, a seed that nobody could know before, and the reference processor where it is.
    fn default() -> Self {
        Self {
            size: SealProof::StackedDrg2KiBV1_1,
            seed: Random::fresh(),
            reference: find_reference(),
        }
    }
}

impl Setting {
    /// How to start the reference processor for a stage.
    ///
    /// # Errors
    /// [`Failure::Skipped`] where there is none.
    pub fn oracle(&self, stage: Stage) -> Verdict<Vec<std::ffi::OsString>> {
        let Some(program) = &self.reference else {
            return Err(Failure::Skipped(format!(
                "needs `{REFERENCE}`, which answers what is random: `cargo build --release -p \
                 {REFERENCE}`, then name it with `--reference`, or put it on the PATH or beside \
                 this program"
            )));
        };
        Ok(vec![program.into(), "processor".into(), stage.name().into()])
    }
}

/// The reference processor beside this program or on the `PATH`.
fn find_reference() -> Option<PathBuf> {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(|own| own.parent()).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = beside.into_iter().chain(std::env::split_paths(&path));
    places.find_map(|dir| Some(dir.join(REFERENCE)).filter(|program| program.is_file()))
}
