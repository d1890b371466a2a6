// SPDX-License-Identifier: MIT OR Apache-2.0

//! The directory in which a run makes its files.

use std::{
    fs::{self, File},
    io,
    os::fd::AsFd,
    path::Path,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use tempfile::{Builder, TempDir};

/// How such directories' names begin.
const PREFIX: &str = "sealpipe-conformance-";

/// How long nothing was made in a directory before it may be taken for one that a killed run has left:
/// a run that has only just begun has no lock on it yet.
const LEFT_AFTER: Duration = Duration::from_secs(600);

/// A directory of one run, which is gone when this is.
pub struct Scratch {
    dir: TempDir,
    /// Held as long as the run lives, however it ends.
    _lock: File,
}

impl Scratch {
    /// Makes one among the system's temporary files, and removes those that killed runs have left.
    ///
    /// # Errors
    /// What the system says.
    pub fn new() -> io::Result<Self> {
        let parent = std::env::temp_dir();
        remove_left(&parent, LEFT_AFTER);
        Self::new_in(&parent)
    }

    fn new_in(parent: &Path) -> io::Result<Self> {
        let dir = Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::open(dir.path())?;
        // Where nothing can be locked, nobody takes it for left either.
        let _ = flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive);
        Ok(Self { dir, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Removes what nobody holds and was not changed for so long. What cannot be removed stays: it may be
/// somebody else's.
fn remove_left(parent: &Path, left_after: Duration) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_ours && is_dir && is_left(&entry.path(), left_after).unwrap_or(false) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_left(dir: &Path, left_after: Duration) -> io::Result<bool> {
    let lock = File::open(dir)?;
    let is_old = lock.metadata()?.modified()?.elapsed().is_ok_and(|age| age >= left_after);
    Ok(is_old && flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_has_left_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        let held = Scratch::new_in(parent.path()).unwrap();
        fs::create_dir_all(at("sealpipe-conformance-left/dir-1")).unwrap();
        fs::create_dir(at("sealpipe-test-other")).unwrap();
        fs::write(at("sealpipe-conformance-file"), "").unwrap();
        remove_left(parent.path(), LEFT_AFTER);
        assert!(at("sealpipe-conformance-left").exists(), "it may have only just begun");
        remove_left(parent.path(), Duration::ZERO);
        assert!(!at("sealpipe-conformance-left").exists());
        assert!(held.path().exists());
        assert!(at("sealpipe-test-other").exists() && at("sealpipe-conformance-file").exists());
        drop(held);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2);
    }
}
