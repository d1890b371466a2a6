// SPDX-License-Identifier: MIT OR Apache-2.0

//! Outputs that are there completely or not at all, power loss included: written beside, synced,
//! renamed into place, and the directory synced.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    io::{self, BufWriter, ErrorKind, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{Code, TaskError, failure};

/// Writes `path` through `write`, which gets a file beside it, open for reading too; nothing is left
/// there on failure.
///
/// # Errors
/// What `write` says, and what the disk says.
pub fn write_file<T>(
    path: &Path,
    write: impl FnOnce(&File) -> Result<T, TaskError>,
) -> Result<T, TaskError> {
    let failed = |error: io::Error| failure::output("the file", path, &error);
    let beside = Beside(beside(path));
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&beside.0);
    let file = file.map_err(failed)?;
    let value = write(&file)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&beside.0, path).map_err(failed)?;
    sync_parent(path).map_err(failed)?;
    Ok(value)
}

/// Writes a small file of given content.
///
/// # Errors
/// What the disk says.
pub fn write_bytes(path: &Path, content: &[u8]) -> Result<(), TaskError> {
    write_file(path, |file| {
        let mut file = BufWriter::new(file);
        file.write_all(content)
            .and_then(|()| file.flush())
            .map_err(|error| failure::output("the file", path, &error))
    })
}

/// Moves complete files into place: all are synced, then all renamed, then their directories
/// synced. A file that comes from another file system is copied beside first.
///
/// # Errors
/// What the disk says.
pub fn install(files: &[(PathBuf, PathBuf)]) -> Result<(), TaskError> {
    for (from, to) in files {
        sync_file(from).map_err(|error| failure::output("the file", to, &error))?;
    }
    install_synced(files)
}

/// [`install`] for files that are synced already.
///
/// # Errors
/// What the disk says.
pub fn install_synced(files: &[(PathBuf, PathBuf)]) -> Result<(), TaskError> {
    for (from, to) in files {
        rename_or_copy(from, to).map_err(|error| failure::output("the file", to, &error))?;
    }
    let parents: BTreeSet<_> = files.iter().filter_map(|(_, to)| to.parent()).collect();
    for parent in parents {
        sync_dir(parent).map_err(|error| failure::output("in", parent, &error))?;
    }
    Ok(())
}

/// Removes a file, if it is there.
///
/// # Errors
/// What the disk says.
pub fn remove_file(path: &Path) -> Result<(), TaskError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(failure::output("over", path, &error))
        }
        _ => Ok(()),
    }
}

/// Removes a file or a directory with all that is in it, if it is there: for what a killed process
/// left. A failure leaves it to the next attempt.
pub fn sweep(path: &Path) {
    let _ = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
}

/// Refuses to begin what would fill the disk of `dir`. Who writes through mappings is killed by a
/// full disk, and all others lose what they have done so far.
///
/// # Errors
/// [`Code::ResourceExhausted`] when fewer than `bytes` are free.
pub fn require_space(dir: &Path, bytes: u64) -> Result<(), TaskError> {
    // A file system that does not say how much is free is not asked for more.
    let Ok(found) = rustix::fs::statvfs(dir) else { return Ok(()) };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if free >= bytes {
        return Ok(());
    }
    Err(TaskError::new(
        Code::ResourceExhausted,
        format!("the disk of {} has {free} bytes free, {bytes} are needed", dir.display()),
    )
    .hint(failure::DISK_FULL))
}

/// Makes sure that the content of a file survives power loss.
///
/// # Errors
/// What the disk says.
pub fn sync_file(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes sure that the names in a directory survive power loss.
///
/// # Errors
/// What the disk says.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A directory of scratch, empty at first and removed when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes the directory, and its parents; what an earlier attempt left there is removed.
    ///
    /// # Errors
    /// What the disk says.
    pub fn create(path: PathBuf) -> Result<Self, TaskError> {
        let failed = |error: io::Error| failure::output("scratch", &path, &error);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        fs::create_dir_all(&path).map_err(failed)?;
        Ok(Self(path))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path inside.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A failure leaves scratch behind, which the next attempt removes.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The name under which a file is written before it is complete: hidden, in the same directory.
pub fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".part");
    path.with_file_name(name)
}

/// A file that is not complete yet, removed when dropped unless it was renamed.
struct Beside(PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn rename_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => {
            let beside = Beside(beside(to));
            fs::copy(from, &beside.0)?;
            sync_file(&beside.0)?;
            fs::rename(&beside.0, to)?;
            fs::remove_file(from)
        }
        done => done,
    }
}

/// Makes sure that the names in the directory of `path` survive power loss.
///
/// # Errors
/// What the disk says.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync_dir)
}

/// What changes when a file does: a copy, a change of its content and a replacement all show in the inode's
/// number or the time of its last change, which nothing can set back. One line, without its end.
///
/// # Errors
/// What the disk says.
pub fn stamp(path: &Path) -> io::Result<String> {
    let found = fs::metadata(path)?;
    let (device, inode, length) = (found.dev(), found.ino(), found.len());
    let (seconds, nanoseconds) = (found.ctime(), found.ctime_nsec());
    Ok(format!("inode {device}:{inode} length {length} changed {seconds}.{nanoseconds:09}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_at_once_or_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c1.json");
        write_bytes(&path, b"old").unwrap();
        let failed = write_file(&path, |mut file| {
            file.write_all(b"half").unwrap();
            Err::<(), _>(TaskError::new(Code::InternalError, "no"))
        });
        failed.unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write_bytes(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["c1.json"]);
    }

    #[test]
    fn files_are_installed_over_older_ones() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("new"), dir.path().join("tree"));
        fs::write(&from, b"new").unwrap();
        fs::write(&to, b"old").unwrap();
        install(&[(from, to.clone())]).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["tree"]);
    }

    #[test]
    fn space_that_no_disk_has_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        require_space(dir.path(), 0).unwrap();
        let error = require_space(dir.path(), u64::MAX).unwrap_err();
        assert_eq!(error.known_code(), Some(Code::ResourceExhausted));
    }

    #[test]
    fn a_sweep_takes_files_and_directories_and_nothing_behind_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("scratch/cache")).unwrap();
        fs::create_dir(path("cache")).unwrap();
        fs::write(path("cache/layer"), b"x").unwrap();
        std::os::unix::fs::symlink(path("cache"), path("scratch/link")).unwrap();
        fs::write(path(".part"), b"x").unwrap();
        for name in ["scratch", ".part", "absent"] {
            sweep(&path(name));
        }
        assert_eq!(names(dir.path()), ["cache"]);
        assert!(path("cache/layer").exists());
    }

    #[test]
    fn scratch_is_empty_at_first_and_gone_at_last() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("work/scratch");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("stale"), b"x").unwrap();
        let scratch = Scratch::create(path.clone()).unwrap();
        assert!(names(scratch.path()).is_empty());
        fs::write(scratch.join("half"), b"x").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
