// SPDX-License-Identifier: MIT OR Apache-2.0

//! The values of a circuit's variables, computed natively in the circuit's order: what the circuit's
//! own synthesis allocates, without the constraints.
//!
//! Reading order: [`vanilla`] (what c1 hands over), [`generate`], `sector` (one partition), `label`,
//! `path`, `poseidon`, `sha256`, `node`, `word` (32 booleans), `bits` (where it is written).
//!
//! Nothing here decides whether a vanilla proof is true: the witness of a false one violates the
//! constraints exactly as the circuit's own would.

mod bits;
mod label;
mod node;
mod path;
mod poseidon;
mod sector;
mod sha256;
pub mod vanilla;
mod word;

use sealpipe_protocol::TaskError;

use crate::{
    assignment::{Assignment, Variables},
    shape::Shape,
};
use vanilla::{Node, Proof};

/// What is public of a sector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Public {
    /// What every label is bound to.
    pub replica_id: Node,
    /// The root over the data.
    pub comm_d: Node,
    /// The root over the columns and the replica.
    pub comm_r: Node,
}

/// The values of all variables of a partition's circuit, on the rayon pool that the caller is in.
///
/// `variables` are those of [`Circuit`](crate::circuit::Circuit) of the same shape, `proofs` are the
/// vanilla proofs of one partition. The inputs are the first
/// [`n_inputs`](Variables::n_inputs) of the assignment's values; for true vanilla proofs they are the
/// constant one and `StackedCompound::generate_public_inputs`.
///
/// # Errors
/// [`Code::InvalidInput`](sealpipe_protocol::Code::InvalidInput) for vanilla proofs of another shape or
/// with nodes that are no field elements; a defect where the witness would not fit the circuit.
pub fn generate(
    shape: &Shape,
    variables: &Variables,
    public: &Public,
    proofs: &[Proof],
) -> Result<Assignment, TaskError> {
    sector::generate(shape, variables, public, proofs)
}
