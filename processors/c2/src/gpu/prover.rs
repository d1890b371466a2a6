// SPDX-License-Identifier: MIT OR Apache-2.0

//! The prover on a device (temporary, until msm, ntt are merged).

use std::sync::Arc;

use sealpipe_gpu::device::Device;
use sealpipe_protocol::{Code, TaskError};

use crate::{circuit::Circuit, params::Params, prove::Prover, watch::Watch};

/// Loads.
///
/// # Errors
/// Always.
pub fn load(
    device: &Device,
    _: &Arc<Circuit>,
    _: &Params,
    _: &Watch<'_>,
) -> Result<Box<dyn Prover>, TaskError> {
    Err(TaskError::new(Code::DeviceLost, device.name.clone()))
}
