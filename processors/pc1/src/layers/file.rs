// SPDX-License-Identifier: MIT OR Apache-2.0

//! A layer on its way to the disk: written beside in large steps past the page cache where the file
//! system allows that, digested on the way, synced, renamed.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use sealpipe_protocol::{Bytes32, TaskError, durable, failure};
use sha2::{Digest, Sha256};

/// What offsets, lengths and addresses of direct writes are multiples of: the largest logical block
/// in use.
const DIRECT_BYTES: usize = 4096;

/// A buffer for direct writes.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// A buffer of `len` bytes.
    pub fn new(len: usize) -> Self {
        let bytes = vec![0; len + DIRECT_BYTES];
        let start = bytes.as_ptr().align_offset(DIRECT_BYTES).min(DIRECT_BYTES);
        Self { bytes, start, len }
    }

    /// The first `len` bytes.
    pub fn first(&mut self, len: usize) -> &mut [u8] {
        let len = len.min(self.len);
        &mut self.bytes[self.start..self.start + len]
    }
}

/// A layer that is not complete; removed when dropped.
#[derive(Debug)]
pub struct LayerFile {
    path: PathBuf,
    direct: Option<File>,
    file: File,
    written: u64,
    digest: Sha256,
    is_complete: bool,
}

impl LayerFile {
    /// Begins to write `path`.
    ///
    /// # Errors
    /// What the disk says.
    pub fn create(path: PathBuf) -> Result<Self, TaskError> {
        let beside = durable::beside(&path);
        let failed = |error: io::Error| failure::output("the layer", &path, &error);
        let file = File::create(&beside).map_err(failed)?;
        // Some file systems have no direct writes: tmpfs did not for long.
        let direct = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(&beside).ok();
        let digest = Sha256::new();
        Ok(Self { path, direct, file, written: 0, digest, is_complete: false })
    }

    /// Appends bytes, best from a [`Buffer`].
    ///
    /// # Errors
    /// What the disk says.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), TaskError> {
        self.digest.update(bytes);
        let aligned = [bytes.as_ptr() as usize, bytes.len(), self.written as usize]
            .iter()
            .all(|n| n.is_multiple_of(DIRECT_BYTES));
        let direct = self.direct.as_ref().filter(|_| aligned);
        let written = match direct.map(|file| file.write_all_at(bytes, self.written)) {
            // Offered and refused: not here then.
            Some(Err(error)) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.direct = None;
                self.file.write_all_at(bytes, self.written)
            }
            Some(done) => done,
            None => self.file.write_all_at(bytes, self.written),
        };
        written.map_err(|error| failure::output("the layer", &self.path, &error))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Syncs the file and gives it its name; its SHA-256.
    ///
    /// # Errors
    /// What the disk says.
    pub fn finish(mut self) -> Result<Bytes32, TaskError> {
        let failed = |error: io::Error| failure::output("the layer", &self.path, &error);
        self.file.sync_all().map_err(failed)?;
        fs::rename(durable::beside(&self.path), &self.path).map_err(failed)?;
        durable::sync_parent(&self.path).map_err(failed)?;
        self.is_complete = true;
        Ok(Bytes32(std::mem::take(&mut self.digest).finalize().into()))
    }
}

impl Drop for LayerFile {
    fn drop(&mut self) {
        if !self.is_complete {
            let _ = fs::remove_file(durable::beside(&self.path));
        }
    }
}

/// SHA-256 of a file; `on_bytes` hears how many bytes are done, and may stop it.
///
/// # Errors
/// What the disk says, or `on_bytes`.
pub fn digest(
    path: &Path,
    mut on_bytes: impl FnMut(u64) -> Result<(), TaskError>,
) -> Result<Bytes32, TaskError> {
    const STEP: usize = 4 << 20;
    let failed = |error: io::Error| failure::input("the layer", path, &error);
    let file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let mut buffer = vec![0; STEP];
    let mut digest = Sha256::new();
    let mut at = 0;
    while at < bytes {
        let n = (bytes - at).min(STEP as u64) as usize;
        file.read_exact_at(&mut buffer[..n], at).map_err(failed)?;
        digest.update(&buffer[..n]);
        at += n as u64;
        on_bytes(at)?;
    }
    Ok(Bytes32(digest.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_gets_its_name_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sc-02-data-layer-1.dat");
        let names = || fs::read_dir(dir.path()).unwrap().count();
        drop(LayerFile::create(path.clone()).unwrap());
        assert_eq!(names(), 0);
        let mut buffer = Buffer::new(8192);
        for (i, byte) in buffer.first(8192).iter_mut().enumerate() {
            *byte = i as u8;
        }
        let mut file = LayerFile::create(path.clone()).unwrap();
        file.append(buffer.first(8192)).unwrap();
        // A tail that is no multiple of a block.
        file.append(&buffer.first(8192)[1..100]).unwrap();
        assert!(!path.exists());
        let digest_written = file.finish().unwrap();
        assert_eq!((names(), fs::metadata(&path).unwrap().len()), (1, 8291));
        assert_eq!(digest(&path, |_| Ok(())).unwrap(), digest_written);
    }
}
