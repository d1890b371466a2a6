// SPDX-License-Identifier: MIT OR Apache-2.0

//! From the errors of files to errors of a task, for people.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use crate::{Class, Code, TaskError};

/// What is said when a disk is full.
pub const DISK_FULL: &str = "free some space on that disk, then run the task again";

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

/// Whether a disk or the memory is full.
pub fn is_exhausted(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::OutOfMemory)
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
}
