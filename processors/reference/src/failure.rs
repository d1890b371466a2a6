// SPDX-License-Identifier: MIT OR Apache-2.0

//! From the errors of files and of the library to errors of a task.

use std::{
    error::Error,
    io::{self, ErrorKind},
    path::Path,
};

use sealpipe_protocol::{Class, Code, TaskError};

/// What is said when a disk is full.
pub const DISK_FULL: &str = "free some space on that disk, then run the task again";

/// An error of the library: full disks and exhausted memory keep their own code, anything else is
/// `otherwise`. The chain below it becomes the causes.
pub fn library(
    otherwise: Code,
    what: impl Into<String>,
    error: &(dyn Error + 'static),
) -> TaskError {
    let what = what.into();
    let exhausted = chain(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .find(|cause| is_exhausted(cause.kind()));
    if let Some(cause) = exhausted {
        return TaskError::io(Code::ResourceExhausted, what, cause).caused_by(error);
    }
    let mut made = TaskError::new(otherwise, format!("{what}: {error}"));
    made.data.causes.extend(chain(error).skip(1).map(ToString::to_string));
    made
}

/// An input that cannot be opened or read.
pub fn input(what: &str, path: &Path, error: &io::Error) -> TaskError {
    let made = TaskError::io(
        Code::InputUnavailable,
        format!("cannot read {what} {}", path.display()),
        error,
    );
    match error.kind() {
        ErrorKind::NotFound => made.hint("an earlier stage makes it, or the path is wrong"),
        ErrorKind::PermissionDenied => made.hint("let the processor's user read it"),
        _ => made,
    }
}

/// An output that cannot be written. What a person has to change is permanent, a full disk is
/// temporary.
pub fn output(what: &str, path: &Path, error: &io::Error) -> TaskError {
    let shown = format!("cannot write {what} {}", path.display());
    if is_exhausted(error.kind()) {
        return TaskError::io(Code::ResourceExhausted, shown, error).hint(DISK_FULL);
    }
    let made = TaskError::io(Code::InternalError, shown, error);
    match error.kind() {
        ErrorKind::NotFound => {
            made.class(Class::Permanent).hint("its directory is made by whoever runs the stage")
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            made.class(Class::Permanent).hint("let the processor's user write there")
        }
        _ => made,
    }
}

/// What a panic carried, as text.
pub fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

fn is_exhausted(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::OutOfMemory)
}

fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&cause| cause.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_temporary_and_anything_else_is_not() {
        let full = io::Error::from(ErrorKind::StorageFull);
        let made = output("tree-d", Path::new("/x"), &full);
        assert_eq!(made.known_code(), Some(Code::ResourceExhausted));
        assert_eq!(made.data.class, Class::Temporary);
        assert!(made.data.hint.is_some());
        let denied = io::Error::from(ErrorKind::PermissionDenied);
        assert_eq!(output("tree-d", Path::new("/x"), &denied).data.class, Class::Permanent);
    }

    #[test]
    fn a_full_disk_deep_in_the_chain_is_found() {
        #[derive(Debug)]
        struct Outer(io::Error);
        impl std::fmt::Display for Outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("failed to store labels")
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let full = Outer(io::Error::from(ErrorKind::StorageFull));
        let made = library(Code::InternalError, "pc1", &full);
        assert_eq!(made.known_code(), Some(Code::ResourceExhausted));
        let other = Outer(io::Error::from(ErrorKind::InvalidData));
        let made = library(Code::InvalidInput, "pc1", &other);
        assert_eq!(made.known_code(), Some(Code::InvalidInput));
        assert_eq!(made.data.causes, ["invalid data"]);
    }
}
