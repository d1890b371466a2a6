// SPDX-License-Identifier: MIT OR Apache-2.0

//! The measurements of the device's parts.

use std::io::Write as _;

use sealpipe_c2::gpu::{self, bench};

fn main() -> Result<(), sealpipe_gpu::GpuError> {
    let devices = sealpipe_gpu::device::all()?;
    let context = gpu::open(&devices[0])?;
    let mut print = |line: &serde_json::Value| _ = writeln!(std::io::stdout(), "{line}");
    bench::transforms(&context, &mut print)
}
