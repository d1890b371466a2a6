// SPDX-License-Identifier: MIT OR Apache-2.0

//! From the errors of files to errors of a task.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use sealpipe_protocol::{Class, Code, TaskError};

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
    if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
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

/// Memory that the system does not give.
pub fn memory(bytes: u64, error: &io::Error) -> TaskError {
    TaskError::io(Code::ResourceExhausted, format!("no memory for {bytes} bytes of labels"), error)
        .hint("lower the entry's `concurrent`, or give it more memory or huge pages")
}
