// SPDX-License-Identifier: MIT OR Apache-2.0

//! The values of a circuit's variables, computed natively in the circuit's order: what the circuit's
//! own synthesis allocates, without the constraints.
//!
//! Reading order: [`vanilla`] (what c1 hands over), [`generate`], `sector` (one partition), `label`,
//! `path`, `poseidon`, `sha256`, `node`, `word` (32 booleans), `bits` (where it is written).
//!
//! The witness of a false vanilla proof violates the constraints exactly as the circuit's own would; that
//! it does is seen on the way, since it can do so at few places only: [`generate_true`].

mod bits;
mod label;
mod node;
mod path;
mod poseidon;
mod sector;
mod sha256;
pub mod vanilla;
mod word;

use blstrs::Scalar;
use sealpipe_protocol::TaskError;

use crate::{
    assignment::{Assignment, Variables},
    shape::Shape,
};
use vanilla::{Node, Proof, invalid};

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
    sector::generate(shape, variables, public, proofs).map(|(assignment, _)| assignment)
}

/// The same for vanilla proofs that have to be true: with the inputs that a verifier has, what this gives
/// satisfies the circuit.
///
/// All values are computed as the constraints have them, but for the roots: a path that does not lead to the
/// root, and roots that are not those of the commitment, are all that can be wrong.
///
/// # Errors
/// [`Code::InvalidInput`](sealpipe_protocol::Code::InvalidInput) for false ones, and those of [`generate`].
pub fn generate_true(
    shape: &Shape,
    variables: &Variables,
    public: &Public,
    proofs: &[Proof],
    inputs: &[Scalar],
) -> Result<Assignment, TaskError> {
    let (assignment, holds) = sector::generate(shape, variables, public, proofs)?;
    let known = assignment.values.get(1..).and_then(|rest| rest.get(..inputs.len()));
    if !holds || known != Some(inputs) {
        return Err(invalid("a path or a challenge that is not the sector's".to_owned()));
    }
    Ok(assignment)
}
