// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reading and writing at offsets, past the page cache where the file system can.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

/// What O_DIRECT needs on every file system in use: offset, length and address are multiples of it.
const ALIGNMENT: usize = 4096;

/// A file, opened twice.
#[derive(Debug)]
pub struct RandomFile {
    plain: File,
    direct: Option<File>,
}

impl RandomFile {
    /// Around an open file that `path` names.
    pub fn new(plain: File, path: &Path, write: bool) -> Self {
        let mut options = OpenOptions::new();
        options.read(!write).write(write).custom_flags(libc::O_DIRECT);
        // A file system that cannot, such as a RAM disk, is used through the page cache.
        Self { plain, direct: options.open(path).ok() }
    }

    fn direct(&self, at: *const u8, bytes: usize, offset: u64) -> Option<&File> {
        let aligned = (at as usize | bytes | offset as usize).is_multiple_of(ALIGNMENT);
        self.direct.as_ref().filter(|_| aligned && bytes > 0)
    }

    /// Fills `buffer` from `offset` on.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if let Some(direct) = self.direct(buffer.as_ptr(), buffer.len(), offset) {
            match direct.read_exact_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                done => return done,
            }
        }
        self.plain.read_exact_at(buffer, offset)
    }

    /// Writes `buffer` from `offset` on.
    pub fn write(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        if let Some(direct) = self.direct(buffer.as_ptr(), buffer.len(), offset) {
            match direct.write_all_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                done => return done,
            }
        }
        self.plain.write_all_at(buffer, offset)
    }

    /// Makes sure that what was written survives power loss.
    pub fn sync(&self) -> io::Result<()> {
        self.plain.sync_all()
    }
}
