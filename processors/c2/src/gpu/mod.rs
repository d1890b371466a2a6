// SPDX-License-Identifier: MIT OR Apache-2.0

//! c2 on a GPU.
//!
//! [`kernels`] has the compiled images, [`element`] the form of scalars and [`points`] of points, [`ntt`]
//! transforms, [`quotient`] the polynomial h, [`rows`] the matrices, [`msm`] sums of multiples,
//! [`fixed_base`] multiples of one point, [`prover`] all of it together within a [`budget`], [`bench`] measures.

pub mod bench;
pub mod budget;
pub mod element;
pub mod fixed_base;
pub mod kernels;
pub mod lane;
pub mod msm;
pub mod ntt;
pub mod points;
pub mod prover;
pub mod quotient;
pub mod rows;
pub mod sections;

use std::{fs, sync::Arc};

use sealpipe_gpu::{GpuError, Kind, device::Device, driver::Context};

use self::kernels::IMAGES;
use crate::params::convert::Order;

/// A file with an image to be loaded instead of the built-in ones: for who changes a kernel.
const IMAGE_VARIABLE: &str = "SEALPIPE_C2_IMAGE";

/// Takes a device into use, with the kernels for it.
///
/// # Errors
/// [`Kind::NoKernels`] when none fit it; whatever the driver says.
pub fn open(device: &Device) -> Result<Arc<Context>, GpuError> {
    match std::env::var_os(IMAGE_VARIABLE) {
        None => Context::new(device, IMAGES.of(device)?.bytes),
        Some(path) => {
            let read = fs::read(&path).map_err(|error| {
                let text = format!("{IMAGE_VARIABLE}={}: {error}", path.display());
                GpuError::new(Kind::NoKernels, text)
            })?;
            Context::new(device, &read)
        }
    }
}

/// The order in which [`prover`] has the coefficients of the quotient.
pub const ORDER: Order = Order { id: 1, position: |lg, i| i.reverse_bits().unbounded_shr(32 - lg) };

/// The devices and the kernels that they will run, for people.
///
/// # Errors
/// [`Kind::NoKernels`] when there are none for a device.
pub fn describe(devices: &[Device]) -> Result<String, GpuError> {
    IMAGES.describe(devices)
}
