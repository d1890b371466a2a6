// SPDX-License-Identifier: MIT OR Apache-2.0

//! A sector from its piece to its proof, and back.

mod ends;
mod golden;
mod parameters;
mod proof;
mod tour;
