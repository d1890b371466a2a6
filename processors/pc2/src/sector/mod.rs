// SPDX-License-Identifier: MIT OR Apache-2.0

//! The files of a sector: what pc2 reads, what it writes, and what may be trusted.

mod aux;
mod inputs;
mod io;
mod outputs;

pub use self::{
    aux::{p_aux, t_aux},
    inputs::Inputs,
    outputs::Outputs,
};
