// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the processors that compute on a GPU share: devices, memory, streams and launches through the
//! driver API, loaded at run time, so that one program runs with and without a GPU.
//!
//! Reading order: [`error`] (what can go wrong, and what a worker does about it), [`device`] (which GPUs
//! there are), [`driver`] (the only module that calls CUDA), [`image`] (which compiled kernels fit a GPU).
//! `cuda/` has the arithmetic: `word.cuh`, `fr.cuh`, `hankel.cuh`, `poseidon.cuh`.
//!
//! What this crate refuses to do: anything that knows of sectors, files or tasks.

pub mod device;
#[expect(unsafe_code, reason = "wraps the driver's foreign functions in safe ones")]
pub mod driver;
pub mod error;
pub mod image;

pub use error::{GpuError, Kind};
