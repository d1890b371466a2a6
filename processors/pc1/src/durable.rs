// SPDX-License-Identifier: MIT OR Apache-2.0

//! Outputs that are there completely or not at all, power loss included: written beside, synced,
//! renamed into place, and the directory synced.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use sealpipe_protocol::{Code, TaskError};

use crate::failure;

/// Writes `path` through `write`, which gets a file beside it; nothing is left there on failure.
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

/// Refuses to begin what would fill the disk of `dir`.
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

/// Makes sure that the names in the directory of `path` survive power loss.
///
/// # Errors
/// What the disk says.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
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
