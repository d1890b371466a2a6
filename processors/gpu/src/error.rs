// SPDX-License-Identifier: MIT OR Apache-2.0

//! Errors of the GPU, by what is to be done about them.

use sealpipe_protocol::{Code, TaskError, error::RetryWhere};

/// How long a worker should wait before it tries a lost device's work elsewhere, in milliseconds.
const LOST_RETRY_MS: u64 = 1_000;

/// How long a worker should wait for memory that somebody else holds, in milliseconds.
const MEMORY_RETRY_MS: u64 = 30_000;

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// There is no driver, or it is too old.
    NoDriver,
    /// There is a driver and no GPU that may be used.
    NoDevice,
    /// No compiled kernels fit the GPU and its driver.
    NoKernels,
    /// The GPU's or the pinned memory has run out.
    OutOfMemory,
    /// The GPU fell off, hung, or a kernel failed: nothing on this context works any more.
    Lost,
    /// A call was wrong: a defect of this program.
    Defect,
}

/// An error of the GPU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GpuError {
    /// What is to be done about it.
    pub kind: Kind,
    /// What happened, for people.
    pub message: String,
}

impl GpuError {
    /// An error.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl std::fmt::Display for GpuError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for GpuError {}

impl From<GpuError> for TaskError {
    fn from(error: GpuError) -> Self {
        let made = |code| Self::new(code, error.message.clone());
        match error.kind {
            Kind::NoDriver | Kind::NoDevice | Kind::NoKernels => made(Code::PlacementMismatch)
                .hint("start it with `--device cpu` to compute on the cpu, which is much slower"),
            Kind::OutOfMemory => made(Code::ResourceExhausted)
                .hint(
                    "give it a GPU of its own; pc2 also heeds FIL_PROOFS_MAX_GPU_COLUMN_BATCH_SIZE",
                )
                .retry(RetryWhere::OtherDevice, MEMORY_RETRY_MS),
            Kind::Lost => made(Code::DeviceLost).retry(RetryWhere::OtherProcess, LOST_RETRY_MS),
            Kind::Defect => made(Code::InternalError),
        }
    }
}

#[cfg(test)]
mod tests {
    use sealpipe_protocol::Class;

    use super::*;

    #[test]
    fn the_worker_hears_what_it_can_act_on() {
        let check = |kind, code, class, place| {
            let error = TaskError::from(GpuError::new(kind, "why"));
            assert_eq!(error.known_code(), Some(code), "{kind:?}");
            assert_eq!(error.data.class, class, "{kind:?}");
            assert_eq!(error.data.retry.map(|retry| retry.place), place, "{kind:?}");
        };
        check(Kind::NoDriver, Code::PlacementMismatch, Class::Permanent, None);
        check(Kind::NoDevice, Code::PlacementMismatch, Class::Permanent, None);
        check(Kind::NoKernels, Code::PlacementMismatch, Class::Permanent, None);
        let other = Some(RetryWhere::OtherDevice);
        check(Kind::OutOfMemory, Code::ResourceExhausted, Class::Temporary, other);
        check(Kind::Lost, Code::DeviceLost, Class::Temporary, Some(RetryWhere::OtherProcess));
        check(Kind::Defect, Code::InternalError, Class::Temporary, None);
    }
}
