// SPDX-License-Identifier: MIT OR Apache-2.0

//! The circuit of a partition as matrices: the same for every proof of a sector size, so extracted
//! once from storage-proofs-porep's circuit and kept in a file.
//!
//! Reading order: [`Circuit`], `extract` (from the circuit), `bits` (which variables can be nothing
//! but bits), `repeat` (many challenges from one), `file` (the file), [`straight`] (the circuit's own values, the slow way).

mod bits;
mod extract;
mod file;
mod repeat;
pub mod straight;

use std::{path::Path, sync::atomic::AtomicBool};

use blstrs::Scalar;
use ff::Field as _;
use sealpipe_protocol::{TaskError, stage::proof::SealProof};

use crate::assignment::{Assignment, Variables};

pub use file::path;

/// A matrix by constraints: row j has the places `ends[j - 1]..ends[j]` of the other two, and the
/// first row begins at 0.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Matrix {
    /// Where each row ends.
    pub ends: Vec<u32>,
    /// The column of each place, as [`Variables`] numbers them.
    pub columns: Vec<u32>,
    /// What stands there: an index into [`Circuit::coefficients`], never to a zero.
    pub coefficients: Vec<u16>,
}

/// Which variables stand in A and in B: those whose points the parameters have. One bit a variable in
/// the circuit's order, the first in the lowest place of the first word.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Densities {
    /// Auxiliary variables in A. All inputs count as being in A.
    pub a_aux: Vec<u64>,
    /// Inputs in B.
    pub b_inputs: Vec<u64>,
    /// Auxiliary variables in B.
    pub b_aux: Vec<u64>,
}

/// The constraints (A z) * (B z) = C z, rows in bellperson's order: the circuit's, then one with
/// `input * 0 = 0` for each input, as bellperson's prover adds them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Circuit {
    /// How columns are numbered.
    pub variables: Variables,
    /// The matrix A.
    pub a: Matrix,
    /// The matrix B.
    pub b: Matrix,
    /// The matrix C.
    pub c: Matrix,
    /// Every coefficient once; the first is 1.
    pub coefficients: Vec<Scalar>,
    /// Which variables stand where.
    pub densities: Densities,
    /// SHA-256 of all of the above, as the file has it.
    pub digest: [u8; 32],
}

impl Circuit {
    /// The circuit of a proof's partitions: from its file in `dir` (the parameter cache, say), or
    /// extracted and saved there, which takes seconds for test sizes and minutes for 32GiB. A file
    /// that is damaged or of another version is replaced.
    ///
    /// # Errors
    /// What the disk says; [`load`](Self::load), [`extract`](Self::extract) and [`save`](Self::save)
    /// are for who wants to go on without a file.
    pub fn of(proof: SealProof, dir: &Path, cancel: &AtomicBool) -> Result<Self, TaskError> {
        if let Some(circuit) = Self::load(proof, dir)? {
            return Ok(circuit);
        }
        let circuit = Self::extract(proof, cancel)?;
        circuit.save(proof, dir)?;
        Ok(circuit)
    }

    /// The circuit's file in `dir`, if there is one that is complete, undamaged and of this version.
    ///
    /// # Errors
    /// What the disk says, other than that there is no file.
    pub fn load(proof: SealProof, dir: &Path) -> Result<Option<Self>, TaskError> {
        file::read(&path(proof, dir)?)
    }

    /// Writes the circuit's file in `dir`, complete or not at all.
    ///
    /// # Errors
    /// What the disk says.
    pub fn save(&self, proof: SealProof, dir: &Path) -> Result<(), TaskError> {
        file::write(&path(proof, dir)?, self)
    }

    /// Rows of the matrices, those of the inputs included.
    pub fn n_constraints(&self) -> usize {
        self.a.n_rows()
    }
}

impl Matrix {
    /// How many rows there are.
    pub fn n_rows(&self) -> usize {
        self.ends.len()
    }

    /// How many places are not zero.
    pub fn n_terms(&self) -> usize {
        self.columns.len()
    }

    /// The columns and coefficients of a row.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&self, row: usize) -> impl Iterator<Item = (u32, u16)> + '_ {
        let start = row.checked_sub(1).map_or(0, |above| self.ends[above] as usize);
        let places = start..self.ends[row] as usize;
        let coefficients = self.coefficients[places.clone()].iter().copied();
        self.columns[places].iter().copied().zip(coefficients)
    }

    /// The product of a row with an assignment, by definition: for checks.
    ///
    /// # Panics
    /// When there is no such row, or when the assignment is of another circuit.
    pub fn product(&self, row: usize, coefficients: &[Scalar], assignment: &Assignment) -> Scalar {
        let terms = self.row(row).map(|(column, coefficient)| {
            coefficients[usize::from(coefficient)] * assignment.column(column)
        });
        terms.fold(Scalar::ZERO, |sum, term| sum + term)
    }
}
