// SPDX-License-Identifier: MIT OR Apache-2.0

//! c2: Groth16 proofs of the output of c1, over BLS12-381.
//!
//! Reading order: [`shape`] (what decides a circuit), [`assignment`] (the values of a circuit's variables),
//! [`circuit`] (its constraints), [`witness`] (the values, of a vanilla proof), [`params`] (the parameters as a
//! device takes them), [`gpu`] (everything on a device), [`prove`] (the proof from sums), [`resident`] (what
//! stays), [`stage`] (a task), `share` (its partitions on several devices), [`front`] and [`cli`] (the
//! program), [`bench`] (it measured).

pub mod assignment;
pub mod bench;
pub mod circuit;
pub mod cli;
pub mod front;
pub mod gpu;
pub mod params;
pub mod prove;
pub mod resident;
pub mod shape;
mod share;
pub mod stage;
pub mod watch;
pub mod witness;
