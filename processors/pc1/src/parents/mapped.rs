// SPDX-License-Identifier: MIT OR Apache-2.0

//! A parent cache in memory: the file mapped once, for all sectors.

#![expect(unsafe_code, reason = "a mapping of a file")]

use std::{fs::File, io, os::fd::AsRawFd, ptr, slice};

use crate::graph::N_PARENTS;

/// Parents of a node as they stand in the file: little-endian.
type Entry = [u32; N_PARENTS];

/// A file of parents, mapped read-only.
#[derive(Debug)]
pub struct Mapped {
    start: *const Entry,
    n_nodes: usize,
}

// SAFETY: the mapping is read-only and lives as long as this value.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

const _: () = assert!(cfg!(target_endian = "little"), "entries are used as they stand in the file");

impl Mapped {
    /// Maps the entries of `n_nodes` nodes.
    ///
    /// # Errors
    /// What the system says; a file that is shorter.
    pub fn open(file: &File, n_nodes: usize) -> io::Result<Self> {
        let bytes = n_nodes * size_of::<Entry>();
        if file.metadata()?.len() < bytes as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (fd, flags) = (file.as_raw_fd(), libc::MAP_SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        let at = unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_READ, flags, fd, 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: advice on the whole of the mapping; a refusal changes nothing.
        unsafe { libc::madvise(at, bytes, libc::MADV_HUGEPAGE) };
        Ok(Self { start: at.cast_const().cast(), n_nodes })
    }

    /// The entries.
    pub fn entries(&self) -> &[Entry] {
        // SAFETY: the mapping is page-aligned, at least so long, and any bytes are an entry. Files
        // are replaced by renaming, never written in place; whoever does that to a file that is in
        // use gets wrong labels, and a kernel that clamps what it reads stays within its memory.
        unsafe { slice::from_raw_parts(self.start, self.n_nodes) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let bytes = self.n_nodes * size_of::<Entry>();
        // SAFETY: unmaps what `open` mapped, once; `entries` borrows from this value.
        unsafe { libc::munmap(self.start.cast_mut().cast(), bytes) };
    }
}
