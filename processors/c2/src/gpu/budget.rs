// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory of a device: how much of it may be used, and what to say where it is too little.

use std::{ffi::OsStr, sync::Arc};

use sealpipe_gpu::{device::Device, driver::Context};
use sealpipe_protocol::{Code, TaskError};

use super::{element, sections::Sections};
use crate::{
    circuit::{Circuit, Matrix},
    params::{Params, Section},
};

/// Bytes of a device to be used at most, instead of all that are free: for tests, and for who shares it.
const VARIABLE: &str = "SEALPIPE_C2_MEMORY";

/// What is left to the driver and to others, such as a pc2, in bytes.
const RESERVE_BYTES: usize = 3 << 29;

/// The bytes of a device that may be used at most, where somebody has said so.
///
/// # Errors
/// [`Code::InvalidParams`] for what is no number.
pub fn limit() -> Result<Option<usize>, TaskError> {
    std::env::var_os(VARIABLE).map(|text| parse(&text)).transpose()
}

fn parse(text: &OsStr) -> Result<usize, TaskError> {
    text.to_str().and_then(|text| text.trim().parse().ok()).ok_or_else(|| {
        let text = format!("{VARIABLE} is {text:?}, expected a number of bytes");
        TaskError::new(Code::InvalidParams, text)
            .hint("25000000000 is 25 GB of each GPU; without it all that is free is used")
    })
}

/// Bytes of a device that may be used.
///
/// # Errors
/// As [`limit`], and what the driver says.
pub fn budget(context: &Arc<Context>) -> Result<usize, TaskError> {
    let free = context.free_bytes()?.saturating_sub(RESERVE_BYTES);
    Ok(limit()?.map_or(free, |limit| limit.min(free)))
}

/// Bytes that have to fit at least: matrices, values of the rows, witness and lists.
pub fn least_bytes(circuit: &Circuit, params: &Params) -> usize {
    let of_matrix = |matrix: &Matrix| 6 * matrix.n_terms() + 4 * matrix.n_rows();
    let matrices: usize = [&circuit.a, &circuit.b, &circuit.c].map(of_matrix).iter().sum();
    let n_scalars = 3 * circuit.n_constraints().next_power_of_two()
        + circuit.variables.n_values() as usize
        + params.len(Section::AValues)
        + params.len(Section::B1Values);
    let bits = circuit.variables.n_bits() as usize / 8;
    matrices + n_scalars * element::BYTES + bits + Sections::list_bytes(params, &circuit.variables)
}

/// Says of a device on which loading ran out of memory which it is, and what to do about it.
pub fn explained(error: TaskError, device: &Device, least_bytes: usize) -> TaskError {
    if error.known_code() != Some(Code::ResourceExhausted) {
        return error;
    }
    let Device { ordinal, name, memory_bytes, .. } = device;
    let message = format!(
        "GPU {ordinal} ({name}) has {memory_bytes} bytes of memory, the parameters take {least_bytes} \
         at least, and more to be fast: {}",
        error.message
    );
    let hint =
        "free that GPU's memory or, if it is too small, leave it out of CUDA_VISIBLE_DEVICES";
    TaskError { message, ..error }.hint(hint)
}

#[cfg(test)]
mod tests {
    use sealpipe_gpu::{GpuError, Kind};

    use super::*;

    #[test]
    fn a_limit_is_a_number_of_bytes() {
        let limit = |text: &str| parse(text.as_ref()).map_err(|error| error.known_code());
        assert_eq!(limit(" 2500000000 "), Ok(2_500_000_000));
        for text in ["", "x", "25GB", "-1", "1e9", "99999999999999999999"] {
            assert_eq!(limit(text), Err(Some(Code::InvalidParams)), "{text}");
        }
    }

    #[test]
    fn a_device_that_is_too_small_is_named() {
        let device = Device {
            ordinal: 1,
            name: "NVIDIA T4".to_owned(),
            capability: 75,
            memory_bytes: 15_000,
            n_processors: 40,
        };
        let of = |kind| explained(GpuError::new(kind, "why").into(), &device, 18_000);
        let error = of(Kind::OutOfMemory);
        for part in ["GPU 1 (NVIDIA T4)", "15000 bytes", "18000", "why"] {
            assert!(error.message.contains(part), "{error}");
        }
        assert!(error.data.hint.unwrap().contains("CUDA_VISIBLE_DEVICES"));
        assert!(error.data.retry.is_some());
        assert_eq!(of(Kind::Lost), GpuError::new(Kind::Lost, "why").into());
    }
}
