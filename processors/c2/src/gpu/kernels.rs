// SPDX-License-Identifier: MIT OR Apache-2.0

//! The compiled kernels of `cuda/c2.cu`. Each part of this folder finds its own in a [`Context`] and has one
//! typed launch for each.
//!
//! [`Context`]: sealpipe_gpu::driver::Context

use sealpipe_gpu::image::Images;

/// Made by `make kernels`, checked against their sources by a test.
pub const IMAGES: Images = Images {
    cubins: &[
        (75, include_bytes!("../../kernels/c2.sm_75.cubin")),
        (80, include_bytes!("../../kernels/c2.sm_80.cubin")),
        (86, include_bytes!("../../kernels/c2.sm_86.cubin")),
        (89, include_bytes!("../../kernels/c2.sm_89.cubin")),
        (90, include_bytes!("../../kernels/c2.sm_90.cubin")),
    ],
    ptx: (90, include_bytes!("../../kernels/c2.compute_90.ptx")),
};
