// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory of a device, and memory of this process that a device copies.

use std::{ptr, sync::Arc};

use cudarc::driver::sys;

use super::{Argument, Context, Result, check};
use crate::{GpuError, Kind};

/// Huge pages of x86-64, in bytes: host memory is a multiple of it.
const HUGE_PAGE_BYTES: usize = 2 << 20;

impl Context {
    /// Device memory, not initialised.
    ///
    /// # Errors
    /// [`Kind::OutOfMemory`].
    pub fn allocate(self: &Arc<Self>, bytes: usize) -> Result<DeviceMemory> {
        self.enter()?;
        let mut at = 0;
        // SAFETY: `at` is a valid place for an address.
        let code = unsafe { sys::cuMemAlloc_v2(&raw mut at, bytes.max(1)) };
        check(code, &format!("allocating {bytes} bytes on the device"))?;
        Ok(DeviceMemory { context: Arc::clone(self), at, bytes })
    }

    /// Host memory that the device copies from and to at full speed: huge pages where there are, registered.
    ///
    /// # Errors
    /// [`Kind::OutOfMemory`].
    pub fn allocate_host(self: &Arc<Self>, bytes: usize) -> Result<HostMemory> {
        self.enter()?;
        let mut memory = HostMemory::map(bytes)?;
        // SAFETY: the range is mapped, and is unregistered before it is unmapped.
        let code = unsafe { sys::cuMemHostRegister_v2(memory.at.cast(), memory.mapped, 1) };
        check(code, &format!("registering {bytes} bytes of memory"))?;
        memory.registered = Some(Arc::clone(self));
        Ok(memory)
    }

    /// Bytes of the device's memory that nobody has taken.
    ///
    /// # Errors
    /// Whatever the driver says.
    pub fn free_bytes(&self) -> Result<usize> {
        self.enter()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: both are valid places for a size.
        let code = unsafe { sys::cuMemGetInfo_v2(&raw mut free, &raw mut total) };
        check(code, "asking for free memory")?;
        Ok(free)
    }
}

/// Memory of a device.
#[derive(Debug)]
pub struct DeviceMemory {
    context: Arc<Context>,
    at: sys::CUdeviceptr,
    bytes: usize,
}

impl DeviceMemory {
    /// How much it is.
    pub fn n_bytes(&self) -> usize {
        self.bytes
    }

    /// The address `offset` bytes in, for a kernel that uses `bytes` from there on.
    ///
    /// # Errors
    /// [`Kind::Defect`] when the range is not inside.
    pub fn range(&self, offset: usize, bytes: usize) -> Result<Argument> {
        let end = offset.checked_add(bytes).filter(|end| *end <= self.bytes);
        let text = || format!("{bytes} bytes at {offset} of {} on the device", self.bytes);
        end.map(|_| Argument(self.at + offset as u64))
            .ok_or_else(|| GpuError::new(Kind::Defect, text()))
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            // SAFETY: the memory is ours and freed once; the driver waits for what still uses it. An
            // error means that the device is lost, and its memory with it.
            let _ = unsafe { sys::cuMemFree_v2(self.at) };
        }
    }
}

/// Memory of this process that the device can copy from and to.
#[derive(Debug)]
pub struct HostMemory {
    at: *mut u8,
    bytes: usize,
    mapped: usize,
    registered: Option<Arc<Context>>,
}

// SAFETY: it owns its mapping, which belongs to no thread.
unsafe impl Send for HostMemory {}
// SAFETY: shared references only read.
unsafe impl Sync for HostMemory {}

impl HostMemory {
    /// Where `bytes` bytes from `offset` on are, if they are inside.
    pub(super) fn part(&self, offset: usize, bytes: usize) -> Option<*mut u8> {
        let end = offset.checked_add(bytes)?;
        // SAFETY: the offset is inside of the mapping.
        (end <= self.bytes).then(|| unsafe { self.at.add(offset) })
    }

    fn map(bytes: usize) -> Result<Self> {
        let mapped = bytes.max(1).next_multiple_of(HUGE_PAGE_BYTES);
        let map = |flags| {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags;
            // SAFETY: a new anonymous mapping touches no memory that exists.
            unsafe { libc::mmap(ptr::null_mut(), mapped, protection, flags, -1, 0) }
        };
        // Reserved huge pages if the machine has any, else what the kernel makes of ordinary ones.
        let mut at = map(libc::MAP_HUGETLB);
        if at == libc::MAP_FAILED {
            at = map(0);
        }
        if at == libc::MAP_FAILED {
            return Err(GpuError::new(Kind::OutOfMemory, format!("no {mapped} bytes of memory")));
        }
        // SAFETY: a hint about the mapping just made; where it is not understood nothing changes.
        unsafe { libc::madvise(at, mapped, libc::MADV_HUGEPAGE) };
        Ok(Self { at: at.cast(), bytes, mapped, registered: None })
    }

    /// Its content.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the mapping is initialised (with zeros), at least so long, and written by nobody while it
        // is borrowed: a copy that writes it has taken it by value.
        unsafe { std::slice::from_raw_parts(self.at, self.bytes) }
    }

    /// Its content, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed by nobody else.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.bytes) }
    }
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        if let Some(context) = &self.registered
            && context.enter().is_ok()
        {
            // SAFETY: it was registered at this address and is unregistered once.
            let _ = unsafe { sys::cuMemHostUnregister(self.at.cast()) };
        }
        // SAFETY: the mapping is ours, with this length, and nothing borrows it any more.
        unsafe { libc::munmap(self.at.cast(), self.mapped) };
    }
}
