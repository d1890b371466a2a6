// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a machine has: cpus, NUMA nodes, packages, L3 groups.
//!
//! [`detect`] asks hwloc, which looks at this machine unless the environment says otherwise:
//! `HWLOC_XMLFILE` names a file that `lstopo --of xml` wrote on another one, and `HWLOC_SYNTHETIC`
//! describes one, as in `pack:2 [numa] l3:16 core:3 pu:1`. Both are for planning; a processor must
//! not inherit them. [`Machine`] is plain data, and all that is concluded from it is pure.

mod check;
mod detect;
mod machine;

pub use detect::{DetectError, PLANNING_ENVS, described_by, detect};
pub use machine::Machine;
