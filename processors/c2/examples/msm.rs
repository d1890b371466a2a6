// SPDX-License-Identifier: MIT OR Apache-2.0

//! Measures multi-scalar multiplication on the first GPU.

fn main() -> Result<(), sealpipe_gpu::GpuError> {
    let devices = sealpipe_gpu::device::all()?;
    let context = sealpipe_c2::gpu::open(&devices[0])?;
    sealpipe_c2::gpu::msm::bench::bench(&context, &devices[0], (24, 22))
}
