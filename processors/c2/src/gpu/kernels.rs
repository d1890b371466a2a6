// SPDX-License-Identifier: MIT OR Apache-2.0

//! The compiled kernels of `cuda/c2.cu`. Each part of this folder finds its own in a [`Context`] and has one
//! typed launch for each.
//!
//! [`Context`]: sealpipe_gpu::driver::Context

use sealpipe_gpu::image::Images;

/// Made by `make kernels`, checked against their sources by a test.
pub const IMAGES: Images = Images {
    cubins: &[(90, include_bytes!("../../kernels/c2.sm_90.cubin"))],
    ptx: (90, include_bytes!("../../kernels/c2.compute_90.ptx")),
};
