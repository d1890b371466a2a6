// SPDX-License-Identifier: MIT OR Apache-2.0

//! hwloc on machines that are not at hand: it reads a description of one, and writes what it knows as
//! XML.
//!
//! These functions are bound by hand, since hwloc2's crate can be shown another machine only through
//! the environment of the whole process, and tells neither the memory of a node nor devices.

#![expect(unsafe_code, reason = "calls into a C library")]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_uint, c_ulong},
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr,
};

/// Keep devices that a program could use, and leave out bridges to nothing.
const KEEP_IMPORTANT: c_uint = 3;

/// What describes a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// hwloc's synthetic text, such as `pack:2 [numa] l3:16 core:3 pu:1`.
    Synthetic(&'a str),
    /// A file that `lstopo --of xml` wrote.
    XmlFile(&'a Path),
}

/// hwloc did not do what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HwlocError {
    /// It could not look at anything.
    #[error("hwloc does not start")]
    Start,
    /// It does not understand the description.
    #[error("hwloc does not understand the description")]
    Description,
    /// It could not write.
    #[error("hwloc cannot write its XML")]
    Export,
}

/// `struct hwloc_topology`, of which only hwloc knows more.
#[repr(C)]
struct RawTopology {
    _private: [u8; 0],
}

#[link(name = "hwloc")]
unsafe extern "C" {
    fn hwloc_topology_init(topology: *mut *mut RawTopology) -> c_int;
    fn hwloc_topology_set_synthetic(topology: *mut RawTopology, text: *const c_char) -> c_int;
    fn hwloc_topology_set_xml(topology: *mut RawTopology, path: *const c_char) -> c_int;
    fn hwloc_topology_set_io_types_filter(topology: *mut RawTopology, filter: c_uint) -> c_int;
    fn hwloc_topology_load(topology: *mut RawTopology) -> c_int;
    fn hwloc_topology_export_xmlbuffer(
        topology: *mut RawTopology,
        buffer: *mut *mut c_char,
        len: *mut c_int,
        flags: c_ulong,
    ) -> c_int;
    fn hwloc_free_xmlbuffer(topology: *mut RawTopology, buffer: *mut c_char);
    fn hwloc_topology_destroy(topology: *mut RawTopology);
}

/// A topology of hwloc's, not null, destroyed with this value.
struct Topology(*mut RawTopology);

impl Drop for Topology {
    fn drop(&mut self) {
        // SAFETY: `hwloc_topology_init` gave the pointer, and nobody else destroys it.
        unsafe { hwloc_topology_destroy(self.0) };
    }
}

/// What hwloc knows of a machine that is described, in the XML of hwloc 2.
///
/// # Errors
/// hwloc does not understand the description.
pub fn export(source: Source<'_>) -> Result<String, HwlocError> {
    let topology = init()?;
    describe(&topology, source)?;
    // SAFETY: the topology is initialised, and was not loaded before.
    if unsafe { hwloc_topology_load(topology.0) } != 0 {
        return Err(HwlocError::Description);
    }
    let (mut buffer, mut len) = (ptr::null_mut(), 0);
    // SAFETY: the topology is loaded, and both places outlive the call.
    let failed =
        unsafe { hwloc_topology_export_xmlbuffer(topology.0, &raw mut buffer, &raw mut len, 0) };
    if failed != 0 || buffer.is_null() {
        return Err(HwlocError::Export);
    }
    // SAFETY: hwloc says that the buffer ends with a zero byte; it lives until it is freed below.
    let text = unsafe { CStr::from_ptr(buffer) }.to_string_lossy().into_owned();
    // SAFETY: the buffer is this topology's, and is not used again.
    unsafe { hwloc_free_xmlbuffer(topology.0, buffer) };
    Ok(text)
}

fn init() -> Result<Topology, HwlocError> {
    let mut raw = ptr::null_mut();
    // SAFETY: the place outlives the call.
    let failed = unsafe { hwloc_topology_init(&raw mut raw) };
    if failed != 0 || raw.is_null() { Err(HwlocError::Start) } else { Ok(Topology(raw)) }
}

fn describe(topology: &Topology, source: Source<'_>) -> Result<(), HwlocError> {
    let terminated = |bytes: &[u8]| CString::new(bytes).map_err(|_| HwlocError::Description);
    let failed = match source {
        Source::Synthetic(text) => {
            let text = terminated(text.as_bytes())?;
            // SAFETY: the topology is initialised and not loaded; hwloc copies the text.
            unsafe { hwloc_topology_set_synthetic(topology.0, text.as_ptr()) }
        }
        Source::XmlFile(path) => {
            let path = terminated(path.as_os_str().as_bytes())?;
            // SAFETY: the topology is initialised and not loaded; hwloc reads the file here.
            let failed = unsafe { hwloc_topology_set_xml(topology.0, path.as_ptr()) };
            // SAFETY: the topology is initialised and not loaded.
            failed | unsafe { hwloc_topology_set_io_types_filter(topology.0, KEEP_IMPORTANT) }
        }
    };
    if failed == 0 { Ok(()) } else { Err(HwlocError::Description) }
}
