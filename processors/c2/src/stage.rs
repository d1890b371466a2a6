// SPDX-License-Identifier: MIT OR Apache-2.0

//! `c2`: parameters in, a proof out. No file is written.
//!
//! While the devices prove, the output of c1 is checked on the CPU. It being true, a proof that does not
//! verify is the device's fault.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use bellperson::groth16::Proof;
use blstrs::{Bls12, Scalar};
use filecoin_proofs::{DefaultPieceHasher, MerkleTreeTrait, SealCommitPhase1Output};
use sealpipe_protocol::{
    Base64, Code, TaskError,
    stage::c2::{Output, Params},
};
use sealpipe_reference::{
    shape::bytes32,
    stage::{
        c2,
        groth16::PROOF_BYTES,
        vanilla::{self, Statement},
    },
    with_tree,
};
use storage_proofs_core::compound_proof::CompoundProof;
use storage_proofs_porep::stacked::{PublicParams, StackedCompound};

use crate::{
    assignment::{Assignment, Variables},
    prove::{Keys, Prover},
    resident::Resident,
    shape::{self, Shape},
    share::{share, unless_panicked},
    watch::{Phase, Watch},
    witness::{self, Public},
};

/// Runs the stage.
///
/// # Errors
/// Inputs that are missing or wrong, what the devices say, a proof that does not verify, and a stop.
pub fn run(
    params: &Params,
    resident: &mut Resident,
    watch: &Watch<'_>,
) -> Result<Output, TaskError> {
    let network = resident.network;
    let proof = with_tree!(params.proof, prove(params, resident, watch))?;
    Ok(Output { proof: Base64(proof), network_parameters: Some(network) })
}

fn prove<Tree: 'static + MerkleTreeTrait>(
    params: &Params,
    resident: &mut Resident,
    watch: &Watch<'_>,
) -> Result<Vec<u8>, TaskError> {
    watch.report(Phase::Reading, 0, 1);
    let phase1 = watch.timed("reading", || c2::read_phase1::<Tree>(params))?;
    let Resident { variables, keys, provers, .. } = resident;
    let public = watch.timed("set-up", || shape::setup::<Tree>(params.proof))?;
    let is_over = AtomicBool::new(false);
    let partitions = Partitions {
        statement: vanilla::statement(&phase1)?,
        shape: Shape::of(&public),
        public,
        phase1: &phase1,
        variables,
        watch: watch.until(&is_over),
        steps: AtomicUsize::new(0),
    };
    let n = phase1.vanilla_proofs.len();
    let checked = OnceLock::new();
    let check = || {
        let result = unless_panicked("the check of the output of c1", || {
            watch.timed("check", || vanilla::check(params, &phase1))
        });
        is_over.fetch_or(result.is_err(), Ordering::Relaxed);
        let _ = checked.set(result);
    };
    let proved = thread::scope(|scope| {
        let assign = |k| {
            let assignment = partitions.assign(k);
            // Not before: it takes all cpus, and the devices wait for the first witness.
            if k == 0 {
                scope.spawn(check);
            }
            assignment
        };
        let prove = |prover: &mut Box<dyn Prover>, k, assignment| {
            partitions.prove(k, &assignment, keys, prover.as_mut())
        };
        share(n, provers, &is_over, assign, prove)
    });
    // What is wrong with the input explains what went wrong later.
    watch.check()?;
    checked.into_inner().unwrap_or(Ok(()))?;
    written(&proved?)
}

/// The proofs as they go to the chain: 192 bytes each, in order.
fn written(proofs: &[Proof<Bls12>]) -> Result<Vec<u8>, TaskError> {
    let mut bytes = Vec::with_capacity(proofs.len() * PROOF_BYTES);
    for proof in proofs {
        proof
            .write(&mut bytes)
            .map_err(|error| TaskError::io(Code::InternalError, "writing the proof", &error))?;
    }
    Ok(bytes)
}

/// The partitions of a sector that is proved.
struct Partitions<'p, Tree: 'static + MerkleTreeTrait> {
    phase1: &'p SealCommitPhase1Output<Tree>,
    statement: Statement<Tree>,
    public: PublicParams<Tree>,
    shape: Shape,
    variables: &'p Variables,
    /// Ends with the task, or when a proof is of no use any more.
    watch: Watch<'p>,
    /// Done so far.
    steps: AtomicUsize,
}

type Compound<Tree> = StackedCompound<Tree, DefaultPieceHasher>;

impl<Tree: 'static + MerkleTreeTrait> Partitions<'_, Tree> {
    /// The values of the circuit's variables for a partition.
    fn assign(&self, k: usize) -> Result<Assignment, TaskError> {
        self.watch.check()?;
        let proofs = witness::vanilla::Proof::of(&self.phase1.vanilla_proofs[k])?;
        let public = Public {
            replica_id: bytes32(&self.statement.replica_id).0,
            comm_d: self.phase1.comm_d,
            comm_r: self.phase1.comm_r,
        };
        let inputs = self.inputs(k)?;
        let generate =
            || witness::generate_true(&self.shape, self.variables, &public, &proofs, &inputs);
        let assignment = self.watch.timed("witness", generate)?;
        self.step("witness");
        Ok(assignment)
    }

    /// The proof of a partition.
    fn prove(
        &self,
        k: usize,
        assignment: &Assignment,
        keys: &Keys,
        prover: &mut dyn Prover,
    ) -> Result<Proof<Bls12>, TaskError> {
        let proof = keys.prove(prover, assignment, &self.inputs(k)?, &self.watch)?;
        self.step("proof");
        Ok(proof)
    }

    /// The inputs that a verifier has, from the statement alone.
    fn inputs(&self, k: usize) -> Result<Vec<Scalar>, TaskError> {
        Compound::<Tree>::generate_public_inputs(&self.statement, &self.public, Some(k))
            .map_err(|error| no_witness(&error.to_string()))
    }

    fn step(&self, phase: &str) {
        let done = self.steps.fetch_add(1, Ordering::Relaxed) as u64 + 1;
        self.watch.report_steps(phase, done);
    }
}

fn no_witness(why: &str) -> TaskError {
    TaskError::new(Code::InvalidInput, format!("there is no witness for the output of c1: {why}"))
}
