// SPDX-License-Identifier: MIT OR Apache-2.0

//! From storage-proofs-porep's circuit without values to matrices of ours.

use std::sync::atomic::AtomicBool;

use bellperson::Index;
use blstrs::Scalar;
use ff::Field as _;
use filecoin_proofs::with_shape;
use sealpipe_params::{Assembly, Rows};
use sealpipe_protocol::{Class, Code, TaskError, stage::proof::SealProof};
use storage_proofs_core::merkle::MerkleTreeTrait;
use storage_proofs_porep::stacked::{Challenges, PublicParams};

use super::{Circuit, Densities, Matrix, bits, file, repeat};
use crate::{assignment::Variables, shape};

impl Circuit {
    /// The circuit of a proof's partitions, from the beginning.
    ///
    /// # Errors
    /// [`Code::Cancelled`], and a defect where the circuit is not as this crate takes it to be.
    pub fn extract(proof: SealProof, cancel: &AtomicBool) -> Result<Self, TaskError> {
        fn shaped<Tree: 'static + MerkleTreeTrait>(
            proof: SealProof,
            cancel: &AtomicBool,
        ) -> Result<Circuit, TaskError> {
            Circuit::of_params(&shape::setup::<Tree>(proof)?, cancel)
        }
        with_shape!(proof.sector_bytes(), shaped, proof, cancel)
    }

    /// The circuit of filecoin-proofs' parameters.
    ///
    /// # Errors
    /// As [`extract`](Self::extract).
    pub fn of_params<Tree: 'static + MerkleTreeTrait>(
        params: &PublicParams<Tree>,
        cancel: &AtomicBool,
    ) -> Result<Self, TaskError> {
        let n = params.challenges.num_challenges_per_partition();
        if n <= 2 {
            return Self::from_blank(shape::blank(params), cancel);
        }
        let of = |n: usize| {
            let challenges = Challenges::new_interactive(n);
            let params = PublicParams::new(params.graph.clone(), challenges, params.num_layers);
            Self::from_blank(shape::blank::<Tree>(&params), cancel)
        };
        repeat::repeat(&of(1)?, &of(2)?, n as u32).ok_or_else(|| {
            let message = format!("the circuit of {n} challenges is not {n} times that of one");
            TaskError::new(Code::InternalError, message).class(Class::Permanent)
        })
    }

    /// The matrices of any circuit, whose values are not asked for.
    ///
    /// # Errors
    /// As [`extract`](Self::extract), and the circuit's own.
    pub fn from_blank(
        circuit: impl bellperson::Circuit<Scalar>,
        cancel: &AtomicBool,
    ) -> Result<Self, TaskError> {
        let assembly = Assembly::of(circuit, &|_| {}, cancel).map_err(|error| {
            let code = if error.is_cancelled() { Code::Cancelled } else { Code::InternalError };
            TaskError::new(code, "the circuit cannot be collected").caused_by(&error)
        })?;
        let full = bits::full(&assembly);
        let n_inputs = assembly.n_inputs as u32;
        let variables = Variables { n_inputs, n_aux: assembly.n_aux as u32, full };
        let densities = Densities {
            a_aux: present(&assembly.a, assembly.n_aux, aux_index, &assembly.coefficients),
            b_inputs: present(&assembly.b, assembly.n_inputs, input_index, &assembly.coefficients),
            b_aux: present(&assembly.b, assembly.n_aux, aux_index, &assembly.coefficients),
        };
        let Assembly { a, b, c, coefficients, .. } = assembly;
        if coefficients.len() > usize::from(u16::MAX) + 1 {
            let n = coefficients.len();
            let message = format!("the circuit has {n} different coefficients, not up to 65,536");
            return Err(TaskError::new(Code::InternalError, message).class(Class::Permanent));
        }
        let aux_columns = variables.columns();
        // One after the other, each freeing what it is made from: 32GiB's have 722 million terms.
        let [a, b, c] = [a, b, c].map(|rows| matrix(rows, &aux_columns, &coefficients));
        let mut circuit = Circuit { variables, a, b, c, coefficients, densities, digest: [0; 32] };
        circuit.digest = file::digest(&circuit);
        Ok(circuit)
    }
}

fn aux_index(index: Index) -> Option<usize> {
    match index {
        Index::Aux(aux) => Some(aux),
        Index::Input(_) => None,
    }
}

fn input_index(index: Index) -> Option<usize> {
    match index {
        Index::Input(input) => Some(input),
        Index::Aux(_) => None,
    }
}

/// Marks the variables of one kind that stand in a matrix with something other than zero.
fn present(
    rows: &Rows,
    n_variables: usize,
    kind: fn(Index) -> Option<usize>,
    coefficients: &[Scalar],
) -> Vec<u64> {
    let mut marks = vec![0u64; n_variables.div_ceil(64)];
    for term in (0..rows.len()).flat_map(|row| rows.row(row)) {
        if coefficients[term.coefficient as usize].is_zero_vartime() {
            continue;
        }
        if let Some(variable) = kind(term.variable()) {
            marks[variable / 64] |= 1 << (variable % 64);
        }
    }
    marks
}

fn matrix(rows: Rows, aux_columns: &[u32], coefficients: &[Scalar]) -> Matrix {
    let mut matrix = Matrix {
        ends: Vec::with_capacity(rows.len()),
        columns: Vec::with_capacity(rows.n_terms()),
        coefficients: Vec::with_capacity(rows.n_terms()),
    };
    for row in 0..rows.len() {
        for term in rows.row(row) {
            if coefficients[term.coefficient as usize].is_zero_vartime() {
                continue;
            }
            matrix.columns.push(match term.variable() {
                Index::Input(input) => input as u32,
                Index::Aux(aux) => aux_columns[aux],
            });
            matrix.coefficients.push(term.coefficient as u16);
        }
        matrix.ends.push(matrix.columns.len() as u32);
    }
    matrix
}
