// SPDX-License-Identifier: MIT OR Apache-2.0

//! c2: Groth16 proofs of the output of c1, over BLS12-381.
//!
//! Reading order: [`assignment`] (the values of a circuit's variables), [`gpu`] (everything on a device).

pub mod assignment;
pub mod gpu;
