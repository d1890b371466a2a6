// SPDX-License-Identifier: MIT OR Apache-2.0

//! A range of addresses that is backed by memory piece by piece: the system calls, and no policy.

#![expect(unsafe_code, reason = "system calls for memory")]

use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    ptr::{self, NonNull},
};

use super::pages::Pages;

/// `MPOL_PREFERRED` and `MPOL_BIND` (linux/mempolicy.h).
const MPOL_PREFERRED: libc::c_int = 1;

/// Nodes that a mask for `mbind` has room for: the kernel's own bound (`CONFIG_NODES_SHIFT` 10).
const MAX_NODES: usize = 1024;

/// Where the memory of a piece comes from.
#[derive(Clone, Copy, Debug)]
pub enum Backing<'f> {
    /// The system, in pages of this kind.
    Anonymous(Pages),
    /// A file of a hugetlbfs, from this offset.
    File(&'f File, u64),
}

/// Reserved addresses. Pieces that are not backed read as zeros and must not be written: that is
/// fatal.
#[derive(Debug)]
pub struct Region {
    base: NonNull<u8>,
    bytes: usize,
    mapped: (NonNull<u8>, usize),
}

// SAFETY: the region is memory like any other; who may touch it when is its users' to say.
unsafe impl Send for Region {}
// SAFETY: as above; `&Region` offers the address and system calls, which are atomic.
unsafe impl Sync for Region {}

impl Region {
    /// Reserves `bytes` of addresses, a multiple of `align`, that begin at a multiple of `align`.
    ///
    /// # Errors
    /// What the system says when it has no such range.
    pub fn reserve(bytes: usize, align: usize) -> io::Result<Self> {
        assert!(align.is_power_of_two() && bytes.is_multiple_of(align) && bytes > 0);
        let room = bytes.checked_add(align).ok_or(io::ErrorKind::OutOfMemory)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        let at = unsafe { libc::mmap(ptr::null_mut(), room, libc::PROT_READ, flags, -1, 0) };
        let start = mapped(at)?;
        let skip = start.as_ptr().align_offset(align);
        let base = NonNull::new(start.as_ptr().wrapping_add(skip)).ok_or(io::ErrorKind::Other)?;
        Ok(Self { base, bytes, mapped: (start, room) })
    }

    /// The first address.
    pub fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// The length in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Backs a piece with memory that is zero, or for a file what it holds, on `node` if possible.
    ///
    /// # Errors
    /// What the system says when there is no memory of this kind.
    pub fn back(
        &self,
        offset: usize,
        bytes: usize,
        backing: Backing<'_>,
        node: Option<u32>,
    ) -> io::Result<()> {
        let at = self.piece(offset, bytes);
        let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        let (flags, fd, file_offset) = match backing {
            Backing::Anonymous(pages) => (anonymous | pages.flags(), -1, 0),
            Backing::File(file, at) => (libc::MAP_SHARED | libc::MAP_FIXED, file.as_raw_fd(), at),
        };
        let file_offset = libc::off_t::try_from(file_offset).map_err(io::Error::other)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the piece lies within this region, which this value owns, so that no mapping of
        // anybody else is replaced.
        let got = unsafe { libc::mmap(at.cast(), bytes, protection, flags, fd, file_offset) };
        mapped(got)?;
        if let Some(node) = node {
            bind(at, bytes, node)?;
        }
        if matches!(backing, Backing::Anonymous(Pages::Transparent)) {
            // SAFETY: advice on a piece of this region; a refusal means smaller pages.
            unsafe { libc::madvise(at.cast(), bytes, libc::MADV_HUGEPAGE) };
        }
        Ok(())
    }

    /// Makes sure that the pages of a backed piece are there: a huge page that is missing shows
    /// here as an error, not as a signal when it is touched.
    ///
    /// # Errors
    /// What the system says when memory has run out.
    pub fn populate(&self, offset: usize, bytes: usize) -> io::Result<()> {
        let at = self.piece(offset, bytes);
        // SAFETY: faults in pages of this region and changes no content.
        let done = unsafe { libc::madvise(at.cast(), bytes, libc::MADV_POPULATE_WRITE) };
        match io::Error::last_os_error() {
            _ if done == 0 => Ok(()),
            // Kernels before 5.14: the pages come when they are touched.
            error if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            error => Err(error),
        }
    }

    fn piece(&self, offset: usize, bytes: usize) -> *mut u8 {
        let end = offset.checked_add(bytes).expect("a piece of a region that exists");
        assert!(end <= self.bytes, "{offset} + {bytes} bytes of a region of {}", self.bytes);
        self.base.as_ptr().wrapping_add(offset)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let (start, bytes) = self.mapped;
        // SAFETY: unmaps what `reserve` mapped, once; nobody holds a reference into it.
        unsafe { libc::munmap(start.as_ptr().cast(), bytes) };
    }
}

fn mapped(at: *mut libc::c_void) -> io::Result<NonNull<u8>> {
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(at.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Prefers a node's memory for a piece. A kernel without NUMA has one node, which is right.
fn bind(at: *mut u8, bytes: usize, node: u32) -> io::Result<()> {
    let mut mask = [0_u64; MAX_NODES / 64];
    let word = mask.get_mut(node as usize / 64).ok_or(io::ErrorKind::InvalidInput)?;
    *word = 1 << (node % 64);
    // SAFETY: mbind(2) reads `MAX_NODES` bits of the mask, which is so long (it takes one bit less
    // than it is told), and changes the policy of this region alone.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mbind,
            at,
            bytes,
            MPOL_PREFERRED,
            mask.as_ptr(),
            MAX_NODES as libc::c_ulong + 1,
            0,
        )
    };
    match io::Error::last_os_error() {
        _ if done == 0 => Ok(()),
        error if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        error => Err(error),
    }
}
