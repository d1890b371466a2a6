// SPDX-License-Identifier: MIT OR Apache-2.0

//! The processor protocol 1.0 and the SDK for processors written in Rust.
//!
//! A worker starts a processor, speaks JSON-RPC 2.0 to it over its stdin and stdout, one object a
//! line, and has it run stages of sectors. `schemas/v1/SPEC.md` is the normative text; the types
//! here are the source of the JSON Schemas beside it.
//!
//! Reading order: [`method`] (the eight methods), [`stage`] (parameters and results of each stage),
//! [`error`] (codes and classes), [`message`] and [`codec`] (bytes to frames to envelopes, no I/O),
//! [`peer`] (the loop over any reader and writer), [`serve`] (the SDK), [`durable`] and [`failure`] (files
//! that are there completely or not at all, and what is said when they cannot be).
//!
//! What this crate refuses to do: scheduling, and any computation of a stage.

pub mod codec;
pub mod durable;
pub mod error;
pub mod failure;
pub mod legacy;
pub mod message;
pub mod method;
pub mod peer;
pub mod placement;
pub mod schema;
pub mod sector_lock;
pub mod serve;
pub mod stage;
pub mod value;
pub mod version;

pub use error::{Class, Code, TaskError};
pub use stage::Stage;
pub use value::{Base64, Bytes32, TaskId};
pub use version::Version;

/// Environment variable by which the worker offers its protocol versions, comma separated, before
/// it says its first word: `SEALPIPE_PROTOCOL=1.0`.
pub const PROTOCOL_ENV: &str = "SEALPIPE_PROTOCOL";

/// Frame limit of both sides, in bytes without the line end, until `initialize` is answered.
pub const INITIAL_FRAME_BYTES: usize = 1024 * 1024;

/// Frame limit that a side announces unless it has a reason to choose another, in bytes.
pub const DEFAULT_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// A binary value larger than this travels as a file (path, size, sha256), in bytes.
pub const INLINE_VALUE_BYTES: usize = 256 * 1024;

/// Largest integer on the wire: 2^53 - 1, what every JSON implementation keeps exactly (RFC 7493).
pub const MAX_INTEGER: u64 = (1 << 53) - 1;
