// SPDX-License-Identifier: MIT OR Apache-2.0

//! Converted parameters, found or made, and what is remembered of a check.
//!
//! Beside `<name>.params` stands `<name>.keys`, and beside that `<name>.keys.checked` with the stamps of both
//! files from when the digest of the first was last taken. While both stamps stay the same nothing is read.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use blake2b_simd::Params as Blake2b;
use rustix::fs::{FlockOperation, flock};
use sealpipe_params::{Layout, ParameterSet};
use sealpipe_protocol::{Code, TaskError, durable, failure, stage::proof::SealProof};
use sealpipe_reference::stage::groth16;
use storage_proofs_core::parameter_cache::parameter_cache_dir;

use super::{
    convert::{self, Order, Source},
    file::{Params, Section, TEST_SOURCE},
};
use crate::{
    circuit::Circuit,
    watch::{Phase, Watch},
};

/// Bytes of a file that are digested at a time.
const READ_BYTES: usize = 1 << 20;

/// How often files that another process makes are looked at.
const POLL: Duration = Duration::from_millis(200);

/// How [`durable::beside`] calls a converted file that is not complete: written by whoever has the turn.
const HALF_WRITTEN: &[u8] = b".keys.part";

/// The converted parameters of a proof and its circuit: opened, or made first; and whether they are the
/// network's.
///
/// # Errors
/// [`Code::ParametersMissing`] when there are none or they are damaged; what the disk says; a stop.
pub fn ensure(
    proof: SealProof,
    circuit: &Circuit,
    order: Order,
    watch: &Watch<'_>,
) -> Result<(Params, bool), TaskError> {
    let set = groth16::parameters(proof)?;
    if let Some(params) = Kept::of(&set, false).made_for_tests(circuit, order)? {
        check_key(&set, &params)?;
        return Ok((params, false));
    }
    let network = groth16::check_parameters(proof)?;
    let params = Kept::of(&set, network).ensure(circuit, order, watch)?;
    Ok((params, network))
}

/// Refuses parameters whose proofs the key that others verify with does not take: made for tests, and the key is
/// the network's, say.
fn check_key(set: &ParameterSet, params: &Params) -> Result<(), TaskError> {
    let path = set.verifying_key_path();
    let mut key = vec![0; params.len(Section::Key)];
    params.read_bytes(Section::Key, 0, &mut key)?;
    let theirs = fs::read(&path).map_err(|e| failure::input("the verifying key", &path, &e))?;
    if theirs == key {
        return Ok(());
    }
    let text = format!("{} is not the key of the parameters made for tests", path.display());
    Err(TaskError::new(Code::ParametersMissing, text)
        .hint("keep parameters for tests in a directory of their own"))
}

/// Whether converted parameters of a proof are there, so that taking them into use is a matter of reading.
pub fn is_ready(proof: SealProof) -> bool {
    groth16::parameters(proof).is_ok_and(|set| Kept::of(&set, false).is_ready())
}

/// A directory for what is made of the parameters, instead of theirs: where that cannot be written.
const CACHE_VARIABLE: &str = "SEALPIPE_C2_CACHE";

/// Where converted parameters and circuits are kept.
pub fn directory() -> PathBuf {
    std::env::var_os(CACHE_VARIABLE).map_or_else(parameter_cache_dir, PathBuf::from)
}

/// The files of a parameter set.
#[derive(Debug)]
pub struct Kept {
    source: PathBuf,
    converted: PathBuf,
    marker: PathBuf,
    /// What the digest has to be, where the key is the network's.
    digest: Option<[u8; 16]>,
}

impl Kept {
    /// Of a set whose key is the network's or not.
    pub fn of(set: &ParameterSet, network: bool) -> Self {
        let digest = set.network_digest().filter(|_| network);
        Self::within(&directory(), &set.params_path(), digest)
    }

    /// Of bellperson's file at a path.
    pub fn beside(source: &Path, digest: Option<[u8; 16]>) -> Self {
        Self::within(source.parent().unwrap_or(Path::new(".")), source, digest)
    }

    fn within(dir: &Path, source: &Path, digest: Option<[u8; 16]>) -> Self {
        let kept = dir.join(source.file_name().unwrap_or_default());
        let (converted, marker) =
            (kept.with_extension("keys"), kept.with_extension("keys.checked"));
        Self { source: source.to_owned(), converted, marker, digest }
    }

    /// Opens the converted file, making it where there is none for this circuit and source.
    ///
    /// # Errors
    /// As [`ensure`].
    pub fn ensure(
        &self,
        circuit: &Circuit,
        order: Order,
        watch: &Watch<'_>,
    ) -> Result<Params, TaskError> {
        if let Some(params) = self.marked(circuit, order)? {
            return Ok(params);
        }
        let turn = self.take_turn(|| {
            watch.report(Phase::Waiting, 0, 1);
            watch.check()
        })?;
        if let Some(params) = self.marked(circuit, order)? {
            return Ok(params);
        }
        let read_from = durable::stamp(&self.source);
        let digest = self.check_digest(watch)?;
        let is_current = |params: &Params| params.header().source == digest;
        if self.open(circuit, order)?.filter(is_current).is_none() {
            let layout = Layout::read(&self.source)
                .map_err(|error| TaskError::new(Code::ParametersMissing, error.to_string()))?;
            let is_network = self.digest.is_some();
            let source = Source { path: &self.source, digest, is_network, layout };
            convert::convert(&source, &self.converted, circuit, order, watch)?;
        }
        // Without the marker the digest is taken again next time, and nothing else: as it is when the source
        // was replaced meanwhile.
        if let (Ok(read_from), Ok(stamps)) = (read_from, self.stamps())
            && stamps.starts_with(&read_from)
        {
            let _ = durable::write_bytes(&self.marker, stamps.as_bytes());
        }
        drop(turn);
        self.open(circuit, order)?.ok_or_else(|| {
            let text = format!("{} is not what was just written", self.converted.display());
            TaskError::new(Code::InternalError, text)
        })
    }

    /// As [`is_ready`] says.
    fn is_ready(&self) -> bool {
        let is_current = self.stamps().is_ok_and(|stamps| self.is_marked(&stamps));
        let is_for_tests = |params: Params| params.header().source == TEST_SOURCE;
        let converted = || Params::open(&self.converted).ok().flatten();
        is_current || (!self.source.exists() && converted().is_some_and(is_for_tests))
    }

    /// The converted file of a test set-up, which has no source.
    fn made_for_tests(&self, circuit: &Circuit, order: Order) -> Result<Option<Params>, TaskError> {
        let has_source = self
            .source
            .try_exists()
            .map_err(|error| failure::input("the parameters", &self.source, &error))?;
        if has_source {
            return Ok(None);
        }
        Ok(self.open(circuit, order)?.filter(|params| params.header().source == TEST_SOURCE))
    }

    /// Where the converted file is.
    pub fn converted(&self) -> &Path {
        &self.converted
    }

    /// The converted file, if it and its source are as they were when they were checked.
    fn marked(&self, circuit: &Circuit, order: Order) -> Result<Option<Params>, TaskError> {
        match self.stamps() {
            Ok(stamps) if self.is_marked(&stamps) => self.open(circuit, order),
            _ => Ok(None),
        }
    }

    fn is_marked(&self, stamps: &str) -> bool {
        fs::read_to_string(&self.marker).is_ok_and(|marked| marked == stamps)
    }

    /// The converted file, if it is for this circuit.
    fn open(&self, circuit: &Circuit, order: Order) -> Result<Option<Params>, TaskError> {
        let opened = Params::open(&self.converted)
            .map_err(|e| failure::input("the converted parameters", &self.converted, &e))?;
        let n_rows = circuit.n_constraints().next_power_of_two();
        let fits = |params: &Params| {
            params.header().circuit == circuit.digest
                && params.header().order == order.id
                && params.len(Section::H) == n_rows
        };
        Ok(opened.filter(fits))
    }

    /// Waits until no other process writes converted parameters in the directory, and keeps them out while the
    /// turn lives. What a process that was killed left half written is removed.
    ///
    /// # Errors
    /// What the disk says, and what `waiting` says, which is asked while it waits.
    pub fn take_turn(
        &self,
        waiting: impl Fn() -> Result<(), TaskError>,
    ) -> Result<File, TaskError> {
        let dir = self.converted.parent().unwrap_or(Path::new("."));
        let failed = |error: io::Error| failure::output("the converted parameters", dir, &error);
        fs::create_dir_all(dir).map_err(failed)?;
        let turn = File::open(dir).map_err(failed)?;
        loop {
            match flock(&turn, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(error) => return Err(failed(error.into())),
            }
            waiting()?;
            thread::sleep(POLL);
        }
        for entry in fs::read_dir(dir).map_err(failed)?.flatten() {
            if entry.file_name().as_encoded_bytes().ends_with(HALF_WRITTEN) {
                durable::sweep(&entry.path());
            }
        }
        Ok(turn)
    }

    /// The digest of bellperson's file, which has to be the network's where its key is.
    fn check_digest(&self, watch: &Watch<'_>) -> Result<[u8; 16], TaskError> {
        let failed = |error: io::Error| failure::input("the parameters", &self.source, &error);
        let mut file = File::open(&self.source).map_err(failed)?;
        let total = file.metadata().map_err(failed)?.len();
        let mut state = Blake2b::new().to_state();
        let mut buffer = vec![0; READ_BYTES];
        let mut done = 0;
        loop {
            watch.check()?;
            let n = file.read(&mut buffer).map_err(failed)?;
            if n == 0 {
                break;
            }
            state.update(&buffer[..n]);
            done += n as u64;
            watch.report(Phase::Checking, done, total);
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&state.finalize().as_bytes()[..16]);
        match self.digest {
            Some(expected) if expected != digest => Err(TaskError::new(
                Code::ParametersMissing,
                format!("{} is corrupt: its digest is not the network's", self.source.display()),
            )
            .hint("remove that file, then fetch it again")),
            _ => Ok(digest),
        }
    }

    /// What changes when either file does.
    fn stamps(&self) -> io::Result<String> {
        Ok(format!("{}\n{}\n", durable::stamp(&self.source)?, durable::stamp(&self.converted)?))
    }
}

#[cfg(test)]
mod tests;
