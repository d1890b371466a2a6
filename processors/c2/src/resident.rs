// SPDX-License-Identifier: MIT OR Apache-2.0

//! What stays from task to task: the circuit of a sector size, its key, and its parameters on each device.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bellperson::groth16::VerifyingKey;
use blstrs::Bls12;
use sealpipe_gpu::{GpuError, Kind, device::Device};
use sealpipe_protocol::{Code, TaskError, stage::proof::SealProof};
use sealpipe_reference::report::ticking;

use crate::{
    assignment::Variables,
    circuit::Circuit,
    gpu,
    params::{Params, Section, kept},
    prove::{Keys, Prover},
    watch::{Phase, Watch},
};

/// How often it is looked whether a circuit is still wanted.
const TICK: Duration = Duration::from_millis(200);

/// Everything that proves sectors of one size.
pub struct Resident {
    proof: SealProof,
    /// Whether proofs convince the network.
    pub network: bool,
    /// How the circuit's variables are numbered. Its constraints are on the devices alone.
    pub variables: Variables,
    /// The key.
    pub keys: Keys,
    /// One for each device; never none.
    pub provers: Vec<Box<dyn Prover>>,
}

impl std::fmt::Debug for Resident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resident").field("proof", &self.proof).finish_non_exhaustive()
    }
}

impl Resident {
    /// Loads the parameters of a proof onto devices; converts them before, the first time.
    ///
    /// # Errors
    /// [`Code::ParametersMissing`], what the disk and the devices say, and a stop.
    pub fn load(
        proof: SealProof,
        devices: &[Device],
        watch: &Watch<'_>,
    ) -> Result<Self, TaskError> {
        let circuit = circuit(proof, watch)?;
        watch.check()?;
        let (params, network) = kept::ensure(proof, &circuit, gpu::ORDER, watch)?;
        watch.report(Phase::Loading, 0, 1);
        let load = |device| gpu::prover::load(device, &circuit, params.clone(), watch);
        let provers = devices.iter().map(load).collect::<Result<Vec<_>, _>>()?;
        if provers.is_empty() {
            return Err(GpuError::new(Kind::NoDevice, "no GPU was granted").into());
        }
        let keys = Keys::new(key(&params)?);
        Ok(Self { proof, network, variables: circuit.variables, keys, provers })
    }

    /// Of which sectors.
    pub fn proof(&self) -> SealProof {
        self.proof
    }
}

/// The circuit, from its file beside the parameters where there may be one.
fn circuit(proof: SealProof, watch: &Watch<'_>) -> Result<Circuit, TaskError> {
    let dir = kept::directory();
    if let Some(circuit) = Circuit::load(proof, &dir)? {
        return Ok(circuit);
    }
    watch.report(Phase::Circuit, 0, 1);
    let cancel = AtomicBool::new(false);
    let tick = || cancel.store(watch.check().is_err(), Ordering::Relaxed);
    let extracted = ticking(TICK, tick, || Circuit::extract(proof, &cancel));
    watch.check()?;
    let circuit = extracted?;
    if let Err(error) = circuit.save(proof, &dir) {
        eprintln!("warning: the circuit is extracted again next time: {error}");
    }
    Ok(circuit)
}

/// The verifying key of converted parameters.
///
/// # Errors
/// One that cannot be read.
pub fn key(params: &Params) -> Result<VerifyingKey<Bls12>, TaskError> {
    let mut bytes = vec![0; params.len(Section::Key)];
    params.read_bytes(Section::Key, 0, &mut bytes)?;
    VerifyingKey::read(io::Cursor::new(bytes))
        .map_err(|error| TaskError::io(Code::ParametersMissing, "the verifying key", &error))
}
