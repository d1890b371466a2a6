// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can go wrong, as one type with predicates; the kinds stay private.

use std::io;
use std::path::{Path, PathBuf};

use bellperson::SynthesisError;

/// Why parameters were not made or could not be looked at.
///
/// The text is one line without a full stop; [`Error::hint`] names the next action.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Kind>);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("making the parameters was cancelled")]
    Cancelled,
    #[error("cannot make parameters for the circuit: {0}")]
    Synthesis(SynthesisError),
    #[error("the circuit has more than {limit} {what}")]
    TooLarge { what: &'static str, limit: u64 },
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is no complete parameter file: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error(
        "sector size {n_bytes} bytes is the network's, whose parameters come from its ceremony"
    )]
    NetworkSize { n_bytes: u64 },
    #[error("sector size {n_bytes} bytes is unknown, allowed are {allowed}")]
    UnknownSize { n_bytes: u64, allowed: String },
    #[error("{} is the network's verifying key, without its parameters", path.display())]
    NetworkKey { path: PathBuf },
    #[error("cannot set up the circuit of a {n_bytes} byte sector: {reason}")]
    Setup { n_bytes: u64, reason: String },
}

impl Error {
    /// Whether the caller's cancel flag ended the work.
    pub fn is_cancelled(&self) -> bool {
        matches!(*self.0, Kind::Cancelled)
    }

    /// Whether the size is one whose real parameters must be fetched (32 GiB, 64 GiB).
    pub fn is_network_size(&self) -> bool {
        matches!(*self.0, Kind::NetworkSize { .. })
    }

    /// Whether a file is there but cut short or inconsistent.
    pub fn is_damaged(&self) -> bool {
        matches!(*self.0, Kind::Damaged { .. })
    }

    /// Whether the system refused a file operation.
    pub fn is_io(&self) -> bool {
        matches!(*self.0, Kind::Io { .. })
    }

    /// The circuit's own error, as bellperson's generator would return it.
    pub fn synthesis(&self) -> Option<&SynthesisError> {
        match &*self.0 {
            Kind::Synthesis(error) => Some(error),
            _ => None,
        }
    }

    /// What to do about it, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        match &*self.0 {
            Kind::NetworkSize { n_bytes } => Some(format!(
                "fetch them with `curio fetch-params {size}`, `lotus fetch-params {size}` or \
                 rust-fil-proofs' `paramfetch`; test set-ups exist for the smaller sizes",
                size = size_name(*n_bytes)
            )),
            Kind::Damaged { path, .. } => Some(format!("remove {} and try again", path.display())),
            Kind::NetworkKey { .. } => Some(
                "fetch the network's parameters, or name another directory in \
                 FIL_PROOFS_PARAMETER_CACHE for a test set-up"
                    .to_owned(),
            ),
            Kind::Io { source, path, .. } => match source.kind() {
                io::ErrorKind::StorageFull => {
                    Some(format!("free space beside {} and try again", path.display()))
                }
                io::ErrorKind::PermissionDenied => {
                    Some(format!("make {} writable, or choose another place", path.display()))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Wraps a system error with what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Kind::Io { action, path, source }.into()
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Error(Box::new(kind))
    }
}

impl From<SynthesisError> for Error {
    fn from(error: SynthesisError) -> Self {
        Kind::Synthesis(error).into()
    }
}

/// A sector size as people and the fetching programs write it: `2KiB`, `32GiB`.
pub(crate) fn size_name(n_bytes: u64) -> String {
    let (mut value, mut unit) = (n_bytes, 0);
    while value >= 1024 && value.is_multiple_of(1024) && unit < 4 {
        value /= 1024;
        unit += 1;
    }
    format!("{value}{}", ["B", "KiB", "MiB", "GiB", "TiB"][unit])
}
