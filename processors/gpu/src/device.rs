// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which GPUs there are. `CUDA_VISIBLE_DEVICES` is the driver's to obey.

use crate::{GpuError, driver};

/// The oldest driver that runs the committed kernels, as CUDA numbers its versions: 13.0, driver 580.
pub const OLDEST_DRIVER: i32 = 13_000;

/// A GPU, seen and not used yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// The driver's number for it, among those visible.
    pub ordinal: i32,
    /// Such as `NVIDIA H200`.
    pub name: String,
    /// Compute capability, times ten.
    pub capability: u32,
    /// Bytes of memory.
    pub memory_bytes: usize,
}

/// The GPUs that this process may use, in the driver's order; never none.
///
/// # Errors
/// [`NoDriver`](crate::Kind::NoDriver), [`NoDevice`](crate::Kind::NoDevice).
pub fn all() -> Result<Vec<Device>, GpuError> {
    driver::devices()
}
