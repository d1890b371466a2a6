// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file that is either complete or absent, made by one process at a time.
//!
//! The bytes go to `<name>.part` beside the target, which is also the lock: its maker holds an
//! exclusive `flock` on it, so the kernel frees it when a process dies, whatever the reason. A
//! complete file is synced and renamed to the target, and the directory is synced. Because the
//! name may be renamed or removed between opening it and getting the lock, the holder compares the
//! locked file with what the name stands for, and starts over where they differ. What this module
//! does not do is look into the file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Kind};
use crate::progress::{Step, Watch};

/// How often a waiting process looks again, and how late it may notice a cancellation.
const WAIT: Duration = Duration::from_millis(200);

/// What [`claim`] found.
pub(crate) enum Claim {
    /// The target is there, perhaps because another process has just made it.
    Found,
    /// The target is to be made by the caller.
    Ours(Staged),
}

/// A file in the making. Dropping it before [`Staged::publish`] removes it.
#[derive(Debug)]
pub(crate) struct Staged {
    file: File,
    part: PathBuf,
    target: PathBuf,
    is_published: bool,
}

/// Waits until `target` is there or may be made, reporting [`Step::Waiting`] meanwhile. The
/// remains of a killed process are removed or taken over, and missing directories are made.
///
/// # Errors
/// Cancellation, and the system's errors.
pub(crate) fn claim(target: &Path, watch: Watch<'_>) -> Result<Claim, Error> {
    let part = with_suffix(target, ".part");
    fs::create_dir_all(directory(target)).map_err(Error::io("make the directory of", target))?;
    loop {
        watch.check()?;
        let is_made = target.try_exists().map_err(Error::io("look for", target))?;
        let mut options = OpenOptions::new();
        let file = match options.read(true).write(true).create(!is_made).open(&part) {
            Err(error) if is_made && error.kind() == io::ErrorKind::NotFound => {
                return Ok(Claim::Found);
            }
            result => result.map_err(Error::io("open", &part))?,
        };
        match file.try_lock() {
            Ok(()) => {}
            // Only the rename lies between a target that is there and its maker's lock.
            Err(TryLockError::WouldBlock) if is_made => return Ok(Claim::Found),
            Err(TryLockError::WouldBlock) => {
                watch.report(Step::Waiting, 0);
                thread::sleep(WAIT);
                continue;
            }
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &part)(error)),
        }
        if !is_named(&file, &part) {
            continue;
        }
        // From here on dropping `staged` removes the file.
        let staged = Staged { file, part, target: target.to_owned(), is_published: false };
        if target.try_exists().map_err(Error::io("look for", target))? {
            return Ok(Claim::Found);
        }
        staged.file.set_len(0).map_err(Error::io("empty", &staged.part))?;
        return Ok(Claim::Ours(staged));
    }
}

impl Staged {
    /// The file to write to, and its path for messages.
    pub(crate) fn file(&self) -> (&File, &Path) {
        (&self.file, &self.part)
    }

    /// Syncs the file and makes it visible under its name.
    ///
    /// # Errors
    /// The system's; the file is removed then.
    pub(crate) fn publish(mut self) -> Result<(), Error> {
        self.file.sync_all().map_err(Error::io("sync", &self.part))?;
        fs::rename(&self.part, &self.target).map_err(Error::io("rename", &self.part))?;
        self.is_published = true;
        sync_directory(&self.target)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_published {
            // There is nobody to tell, and the next process removes what is left.
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// Writes a small file so that it is either complete or what it was. The caller keeps others from
/// writing the same file.
///
/// # Errors
/// The system's.
pub(crate) fn write_small(target: &Path, bytes: &[u8]) -> Result<(), Error> {
    let part = with_suffix(target, ".part");
    let write = |part: &Path| {
        let mut file = File::create(part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(part, target)
    };
    write(&part).map_err(|error| {
        let _ = fs::remove_file(&part);
        Error::io("write", target)(error)
    })?;
    sync_directory(target)
}

/// Reads a file, or nothing where there is none.
///
/// # Errors
/// The system's, other than that the file is missing.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// Writes to `file` until the buffers end, syncing along the way: otherwise the last sync would
/// wait for all of the file.
///
/// # Errors
/// The system's.
pub(crate) fn write_all(mut file: &File, buffers: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
    const N_BETWEEN_SYNCS: usize = 1 << 26;
    let mut n_unsynced = 0;
    for bytes in buffers {
        file.write_all(&bytes)?;
        n_unsynced += bytes.len();
        if n_unsynced >= N_BETWEEN_SYNCS {
            file.sync_data()?;
            n_unsynced = 0;
        }
    }
    Ok(())
}

/// Whether `path` still names the open `file`.
fn is_named(file: &File, path: &Path) -> bool {
    let same = |a: fs::Metadata, b: fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    file.metadata().and_then(|a| Ok(same(a, fs::metadata(path)?))).unwrap_or(false)
}

fn sync_directory(target: &Path) -> Result<(), Error> {
    let path = directory(target);
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::io("sync", path))
}

fn directory(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// An error where `target` names no file.
pub(crate) fn check_target(target: &Path) -> Result<(), Error> {
    if target.file_name().is_none() || target.is_dir() {
        let error = io::Error::from(io::ErrorKind::IsADirectory);
        return Err(Kind::Io { action: "write", path: target.to_owned(), source: error }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_renamed_removed_or_replaced_is_not_the_named_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.part");
        let create = || File::create(&path).unwrap();
        let file = create();
        assert!(is_named(&file, &path));
        fs::rename(&path, directory.path().join("x")).unwrap();
        assert!(!is_named(&file, &path));
        let second = create();
        assert!(is_named(&second, &path) && !is_named(&file, &path));
        fs::remove_file(&path).unwrap();
        assert!(!is_named(&second, &path));
    }

    #[test]
    fn a_small_file_is_replaced_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.vk");
        assert_eq!(read_if_there(&path).unwrap(), None);
        for bytes in [&b"long ago"[..], b"now"] {
            write_small(&path, bytes).unwrap();
            assert_eq!(read_if_there(&path).unwrap().as_deref(), Some(bytes));
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_bare_name_lies_in_the_working_directory() {
        assert_eq!(directory(Path::new("x.params")), Path::new("."));
        assert_eq!(directory(Path::new("a/x.params")), Path::new("a"));
    }
}
