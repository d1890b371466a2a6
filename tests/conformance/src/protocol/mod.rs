// SPDX-License-Identifier: MIT OR Apache-2.0

//! The checks of the protocol: a file per section of SPEC.md, in the order of their ids.

mod envelope;
mod initialize;
pub mod mutation;
mod ping_cancel;
mod placement;
mod progress;
pub mod shape;
mod shutdown;
mod tasks;
mod transport;
mod versions;

use crate::check::Check;

/// All of them.
pub fn checks() -> Vec<Check> {
    [
        transport::CHECKS,
        envelope::CHECKS,
        versions::CHECKS,
        initialize::CHECKS,
        placement::CHECKS,
        tasks::CHECKS,
        progress::CHECKS,
        ping_cancel::CHECKS,
        shutdown::CHECKS,
        shape::CHECKS,
    ]
    .concat()
}
