// SPDX-License-Identifier: MIT OR Apache-2.0

//! `set_mempolicy(2)` and `get_mempolicy(2)` of the calling thread. hwloc's crate wraps no memory
//! binding, and libnuma would be one more library for every processor.
#![expect(unsafe_code, reason = "two system calls that no crate wraps")]

use std::io;

use crate::method::MemoryPolicy;

/// Bits of the node masks: more than the 1024 nodes that Linux can have (`CONFIG_NODES_SHIFT` 10).
const MASK_BITS: usize = 2048;
const WORD_BITS: usize = u64::BITS as usize;

type Mask = [u64; MASK_BITS / WORD_BITS];

/// Sets the policy of the calling thread; threads started later inherit it. Allocates nothing, so it
/// may be called between fork and exec.
///
/// # Errors
/// What the kernel says: `EINVAL` for a node that does not exist.
pub fn set(policy: MemoryPolicy, node: Option<u32>) -> io::Result<()> {
    let mode = match policy {
        MemoryPolicy::Default => libc::MPOL_DEFAULT,
        MemoryPolicy::Preferred => libc::MPOL_PREFERRED,
        MemoryPolicy::Bind => libc::MPOL_BIND,
        MemoryPolicy::Other => return Err(io::Error::from(io::ErrorKind::Unsupported)),
    };
    let mut mask: Mask = [0; MASK_BITS / WORD_BITS];
    if let Some(node) = node.filter(|_| policy != MemoryPolicy::Default) {
        let word = mask.get_mut(node as usize / WORD_BITS);
        *word.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))? |=
            1 << (node as usize % WORD_BITS);
    }
    // SAFETY: the kernel reads MASK_BITS bits from `mask`, which has as many and outlives the call.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_set_mempolicy,
            libc::c_long::from(mode),
            mask.as_ptr(),
            MASK_BITS as libc::c_ulong,
        )
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The policy of the calling thread, and the lowest node that it names.
///
/// # Errors
/// What the kernel says: `ENOSYS` on one without NUMA.
pub fn get() -> io::Result<(MemoryPolicy, Option<u32>)> {
    let mut mode: libc::c_int = 0;
    let mut mask: Mask = [0; MASK_BITS / WORD_BITS];
    // SAFETY: the kernel writes one int to `mode` and at most MASK_BITS bits to `mask`, which has
    // as many; with a null address and no flags it reads nothing else.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_get_mempolicy,
            &raw mut mode,
            mask.as_mut_ptr(),
            MASK_BITS as libc::c_ulong,
            std::ptr::null::<libc::c_void>(),
            0 as libc::c_ulong,
        )
    };
    if rc != 0 {
        return Err(io::Error::last_os_error());
    }
    let flags = libc::MPOL_F_STATIC_NODES | libc::MPOL_F_RELATIVE_NODES | MPOL_F_NUMA_BALANCING;
    let policy = match mode & !flags {
        libc::MPOL_DEFAULT => MemoryPolicy::Default,
        libc::MPOL_PREFERRED => MemoryPolicy::Preferred,
        libc::MPOL_BIND => MemoryPolicy::Bind,
        _ => MemoryPolicy::Other,
    };
    let first = mask.iter().enumerate().find(|(_, word)| **word != 0);
    let node = first.map(|(i, word)| i as u32 * u64::BITS + word.trailing_zeros());
    Ok((policy, node))
}

/// `include/uapi/linux/mempolicy.h`.
const MPOL_F_NUMA_BALANCING: libc::c_int = 1 << 13;
