// SPDX-License-Identifier: MIT OR Apache-2.0

//! `c2`: parameters in, a proof out. No file is written.
//!
//! While the devices prove, the output of c1 is checked on the CPU. It being true, a proof that does not
//! verify is the device's fault.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, Receiver},
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
    resident::Resident,
    shape::{self, Shape},
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
    let partitions = Partitions {
        statement: vanilla::statement(&phase1)?,
        shape: Shape::of(&public),
        public,
        phase1: &phase1,
        variables,
        watch,
        steps: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    };
    let n_partitions = phase1.vanilla_proofs.len();
    let proofs = Mutex::new(vec![None; n_partitions]);
    let (proved, checked) = thread::scope(|scope| {
        let checking = scope.spawn(|| {
            let checked = watch.timed("check", || vanilla::check(params, &phase1));
            partitions.is_over.fetch_or(checked.is_err(), Ordering::Relaxed);
            checked
        });
        // One witness waits for each device.
        let (to_prove, witnesses) = mpsc::sync_channel(provers.len());
        let assigning = scope.spawn(|| {
            let to_prove = to_prove;
            for k in 0..n_partitions {
                // Nobody receives only when all have ended.
                if to_prove.send((k, partitions.assign(k))).is_err() {
                    return;
                }
            }
        });
        // Gone with the last device, so that nobody waits for one that has ended.
        let witnesses = Arc::new(Mutex::new(witnesses));
        let proving: Vec<_> = provers
            .iter_mut()
            .map(|prover| {
                let (partitions, proofs) = (&partitions, &proofs);
                let witnesses = Arc::clone(&witnesses);
                let keys = &*keys;
                scope.spawn(move || {
                    while let Some((k, assignment)) = next(&witnesses) {
                        let assignment = assignment?;
                        partitions.go_on()?;
                        let inputs = partitions.inputs(k)?;
                        let proof = keys.prove(prover.as_mut(), &assignment, &inputs, watch)?;
                        partitions.step("proof");
                        let mut proofs = proofs.lock().unwrap_or_else(PoisonError::into_inner);
                        proofs[k] = Some(proof);
                    }
                    Ok(())
                })
            })
            .collect();
        drop(witnesses);
        let proved = proving.into_iter().map(joined).fold(Ok(()), Result::and);
        let checked = joined(checking);
        let _ = assigning.join();
        (proved, checked)
    });
    // What is wrong with the input explains what went wrong later.
    watch.check()?;
    checked.and(proved)?;
    let proofs = proofs.into_inner().unwrap_or_else(PoisonError::into_inner);
    written(proofs)
}

/// The next witness, whoever of the devices is free.
fn next<T>(witnesses: &Mutex<Receiver<T>>) -> Option<T> {
    witnesses.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn joined(thread: thread::ScopedJoinHandle<'_, Result<(), TaskError>>) -> Result<(), TaskError> {
    thread
        .join()
        .unwrap_or_else(|_| Err(TaskError::new(Code::InternalError, "a thread of c2 panicked")))
}

/// The proofs as they go to the chain: 192 bytes each, in order.
fn written(proofs: Vec<Option<Proof<Bls12>>>) -> Result<Vec<u8>, TaskError> {
    let mut bytes = Vec::with_capacity(proofs.len() * PROOF_BYTES);
    for proof in proofs {
        let proof = proof
            .ok_or_else(|| TaskError::new(Code::InternalError, "a partition was not proved"))?;
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
    watch: &'p Watch<'p>,
    /// Done so far.
    steps: AtomicUsize,
    /// Whether nothing has to be proved any more, since it is false.
    is_over: AtomicBool,
}

type Compound<Tree> = StackedCompound<Tree, DefaultPieceHasher>;

impl<Tree: 'static + MerkleTreeTrait> Partitions<'_, Tree> {
    /// The values of the circuit's variables for a partition.
    fn assign(&self, k: usize) -> Result<Assignment, TaskError> {
        self.go_on()?;
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

    /// The inputs that a verifier has, from the statement alone.
    fn inputs(&self, k: usize) -> Result<Vec<Scalar>, TaskError> {
        Compound::<Tree>::generate_public_inputs(&self.statement, &self.public, Some(k))
            .map_err(|error| no_witness(&error.to_string()))
    }

    fn go_on(&self) -> Result<(), TaskError> {
        self.watch.check()?;
        match self.is_over.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(no_witness("it is false")),
        }
    }

    fn step(&self, phase: &str) {
        let done = self.steps.fetch_add(1, Ordering::Relaxed) as u64 + 1;
        self.watch.report_steps(phase, done);
    }
}

fn no_witness(why: &str) -> TaskError {
    TaskError::new(Code::InvalidInput, format!("there is no witness for the output of c1: {why}"))
}
