// SPDX-License-Identifier: MIT OR Apache-2.0

//! c2: Groth16 proofs of the output of c1, over BLS12-381.
//!
//! Reading order: [`shape`] (what decides a circuit), [`assignment`] (the values of a circuit's
//! variables), [`circuit`] (its constraints), [`witness`] (the values, of a vanilla proof),
//! [`sparse`] (vanilla proofs of sectors that nobody sealed, for tests and measurements).

pub mod assignment;
pub mod circuit;
pub mod shape;
pub mod sparse;
pub mod witness;
