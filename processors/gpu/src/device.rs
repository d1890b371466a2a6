// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which GPUs there are. `CUDA_VISIBLE_DEVICES` is the driver's to obey.

use std::{thread, time::Duration};

use crate::{GpuError, driver};

/// The oldest driver that runs the committed kernels, as CUDA numbers its versions: 13.0, driver 580.
pub const OLDEST_DRIVER: i32 = 13_000;

/// How long a process whose device is lost lives on, so that its answer gets out.
const LAST_WORDS: Duration = Duration::from_secs(2);

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
    /// Multiprocessors.
    pub n_processors: u32,
}

/// The GPUs that this process may use, in the driver's order; never none.
///
/// # Errors
/// [`NoDriver`](crate::Kind::NoDriver), [`NoDevice`](crate::Kind::NoDevice).
pub fn all() -> Result<Vec<Device>, GpuError> {
    driver::devices()
}

/// Ends this process a little later, once the device is lost: CUDA has no way back within a process, and a
/// worker starts a new one.
pub fn end_process_soon() {
    eprintln!("error: the GPU is lost; this process ends, so that the next one starts afresh");
    thread::spawn(|| {
        thread::sleep(LAST_WORDS);
        std::process::exit(i32::from(sealpipe_protocol::serve::exit::ABANDONED));
    });
}
