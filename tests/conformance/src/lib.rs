// SPDX-License-Identifier: MIT OR Apache-2.0

//! Does a program keep the processor protocol?
//!
//! `sealpipe-conformance run --stage pc2 -- ./my-processor …` starts it as a worker would, as often as
//! it likes, and looks at everything that can be seen from outside. Each check is tied to the
//! numbered rules of `schemas/v1/SPEC.md` that it proves.
//!
//! Reading order: [`check`] (what a check is), [`subject`] (the process), [`session`] (the
//! conversation), [`bench`] (what a check is given), [`protocol`] (the checks, a file per section of
//! the specification), [`suite`] (runs them), [`report`].
//!
//! What this crate refuses to do: link anything of a processor, or have one link anything of it.

pub mod bench;
pub mod check;
pub mod limits;
pub mod proc;
pub mod protocol;
pub mod report;
mod scratch;
pub mod session;
pub mod stage;
pub mod subject;
pub mod suite;
pub mod work;
pub mod worker;
