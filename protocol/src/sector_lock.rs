// SPDX-License-Identifier: MIT OR Apache-2.0

//! The lock by which an orphaned processor and its successor stay apart.
//!
//! It is a `flock(2)` on the sector's directory itself, so that it leaves no file behind and is
//! gone with the last process that holds the descriptor.

use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

use rustix::fs::{FlockOperation, flock};

use crate::{Code, TaskError, error::RetryWhere};

/// How long a worker should wait before it tries again, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// An exclusive lock on a sector's directory, released when dropped.
#[derive(Debug)]
pub struct SectorLock(File);

impl SectorLock {
    /// Takes the lock, without waiting.
    ///
    /// # Errors
    /// [`Code::OutputConflict`] when another process has it, [`Code::InputUnavailable`] when there
    /// is no such directory.
    pub fn acquire(sector_dir: &Path) -> Result<Self, TaskError> {
        let shown = sector_dir.display();
        let dir = File::open(sector_dir).map_err(|error| {
            TaskError::io(
                Code::InputUnavailable,
                format!("cannot open the sector's directory {shown}"),
                &error,
            )
        })?;
        match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(dir)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(TaskError::new(
                Code::OutputConflict,
                format!("another process works on {shown}"),
            )
            .hint("an earlier processor may still be stopping")
            .retry(RetryWhere::Same, RETRY_MS)),
            Err(error) => Err(TaskError::io(
                Code::InputUnavailable,
                format!("cannot lock {shown}"),
                &error.into(),
            )),
        }
    }

    /// The lock as a file of its own that shares it: whoever inherits it keeps the lock.
    ///
    /// # Errors
    /// What the kernel says when descriptors run out.
    pub fn share(&self) -> std::io::Result<File> {
        self.0.try_clone()
    }
}

impl AsFd for SectorLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sector_is_locked_once_and_until_the_last_holder_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let lock = SectorLock::acquire(dir.path()).unwrap();
        let shared = lock.share().unwrap();
        drop(lock);
        let error = SectorLock::acquire(dir.path()).unwrap_err();
        assert_eq!(error.known_code(), Some(Code::OutputConflict));
        drop(shared);
        SectorLock::acquire(dir.path()).unwrap();
    }
}
