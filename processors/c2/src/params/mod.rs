// SPDX-License-Identifier: MIT OR Apache-2.0

//! Groth16 parameters in the form in which a device takes them.
//!
//! bellperson's file has points in big-endian numbers, in the order of the circuit's variables. A device
//! wants them as it computes with them, and apart: those of the columns that are full-size values, and those
//! of the columns that are bits. So the file is converted once, into one beside it, and every point is
//! checked on the way. [`queries`] says which point goes where, [`points`] reads and checks points, [`file`]
//! is the format, [`convert`] makes the file and [`kept`] remembers what was found right. [`make`] has the points
//! of a test set-up computed instead.

pub mod convert;
pub mod file;
pub mod kept;
pub mod make;
pub mod points;
pub mod queries;

pub use file::{Params, Section};
pub use kept::ensure;
