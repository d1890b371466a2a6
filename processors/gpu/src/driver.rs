// SPDX-License-Identifier: MIT OR Apache-2.0

//! The CUDA driver: nothing but this module and its two parts calls it.
//!
//! Memory that a copy reads or writes is lent to the stream, by value, and comes back when the stream has
//! finished: so nothing here can be read, written or freed while the device still uses it. What a kernel
//! does with device memory is checked by whoever launches it; a mistake there ends in an error of the
//! device and touches no memory of this process.

mod memory;
mod staging;
mod stream;

pub use memory::{DeviceMemory, HostMemory};
pub use staging::Staging;
pub use stream::{Event, Stream};

use std::{
    ffi::{CStr, CString, c_int},
    ptr,
    sync::Arc,
};

use cudarc::driver::{result, sys};

use crate::{
    GpuError, Kind,
    device::{Device, OLDEST_DRIVER},
};

/// Bytes of shared memory that a block may have without asking (CUDA C++ Programming Guide, compute capabilities).
const MAX_SHARED_UNASKED_BYTES: u32 = 48 << 10;

type Result<T> = std::result::Result<T, GpuError>;

/// What the driver answered, as an error that says what was tried.
fn check(code: sys::CUresult, what: &str) -> Result<()> {
    use sys::CUresult as R;
    let kind = match code {
        R::CUDA_SUCCESS => return Ok(()),
        R::CUDA_ERROR_OUT_OF_MEMORY => Kind::OutOfMemory,
        R::CUDA_ERROR_NO_DEVICE => Kind::NoDevice,
        R::CUDA_ERROR_STUB_LIBRARY | R::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => Kind::NoDriver,
        R::CUDA_ERROR_NO_BINARY_FOR_GPU
        | R::CUDA_ERROR_INVALID_PTX
        | R::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
        | R::CUDA_ERROR_INVALID_IMAGE => Kind::NoKernels,
        R::CUDA_ERROR_INVALID_VALUE
        | R::CUDA_ERROR_NOT_FOUND
        | R::CUDA_ERROR_INVALID_HANDLE
        | R::CUDA_ERROR_NOT_INITIALIZED
        | R::CUDA_ERROR_INVALID_CONTEXT => Kind::Defect,
        // The others are errors of the hardware, of a kernel, or of unknown meaning: start anew.
        _ => Kind::Lost,
    };
    Err(GpuError::new(kind, format!("cuda: {what}: {}", name_of(code))))
}

fn name_of(code: sys::CUresult) -> String {
    let mut name = ptr::null();
    // SAFETY: `name` is a valid place for a pointer; the driver gives one to a constant or null.
    let found = unsafe { sys::cuGetErrorName(code, &raw mut name) };
    if found != sys::CUresult::CUDA_SUCCESS || name.is_null() {
        return format!("error {}", code as u32);
    }
    // SAFETY: the driver's names are constants that end in a zero.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

/// See [`crate::device::all`].
pub(crate) fn devices() -> Result<Vec<Device>> {
    // SAFETY: loading the driver's library runs its initialisers, which is what is wanted.
    if !unsafe { sys::is_culib_present() } {
        return Err(GpuError::new(Kind::NoDriver, "no NVIDIA driver is here (libcuda.so.1)"));
    }
    // SAFETY: cuInit may be called at any time; no other call comes before it.
    check(unsafe { sys::cuInit(0) }, "the driver does not start")?;
    let mut version: c_int = 0;
    // SAFETY: `version` is a valid place for an integer.
    check(unsafe { sys::cuDriverGetVersion(&raw mut version) }, "the driver's version")?;
    if version < OLDEST_DRIVER {
        let shown = |v: i32| format!("{}.{}", v / 1000, v % 1000 / 10);
        return Err(GpuError::new(
            Kind::NoDriver,
            format!(
                "the driver speaks CUDA {}, at least {} is needed",
                shown(version),
                shown(OLDEST_DRIVER)
            ),
        ));
    }
    let count = result::device::get_count().map_err(|e| lost("counting devices", e))?;
    let found: Vec<_> = (0..count).map(device).collect::<Result<_>>()?;
    if found.is_empty() {
        return Err(GpuError::new(Kind::NoDevice, "the driver shows no GPU to this process"));
    }
    Ok(found)
}

fn lost(what: &str, error: result::DriverError) -> GpuError {
    match check(error.0, what) {
        Err(error) => error,
        Ok(()) => GpuError::new(Kind::Defect, format!("cuda: {what}: no error")),
    }
}

fn device(ordinal: i32) -> Result<Device> {
    let failed = |e| lost("asking a device", e);
    let handle = result::device::get(ordinal).map_err(failed)?;
    let name = result::device::get_name(handle).map_err(failed)?;
    let attribute = |attribute| {
        // SAFETY: `handle` was given by the driver.
        unsafe { result::device::get_attribute(handle, attribute) }.map_err(failed)
    };
    use sys::CUdevice_attribute as A;
    let major = attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    let n_processors = attribute(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?.unsigned_abs();
    // SAFETY: `handle` was given by the driver.
    let memory_bytes = unsafe { result::device::total_mem(handle) }.map_err(failed)?;
    let capability = (major * 10 + minor).unsigned_abs();
    Ok(Device { ordinal, name, capability, memory_bytes, n_processors })
}

/// A GPU in use: its primary context, and kernels loaded into it.
#[derive(Debug)]
pub struct Context {
    context: sys::CUcontext,
    module: sys::CUmodule,
}

// SAFETY: contexts and modules are handles that the driver lets any thread use; each call here makes the
// context current on its own thread first.
unsafe impl Send for Context {}
// SAFETY: as above; the driver locks its own state.
unsafe impl Sync for Context {}

impl Context {
    /// Takes a device into use and loads an image: machine code, or PTX that ends in a zero.
    ///
    /// # Errors
    /// Whatever the driver says.
    pub fn new(device: &Device, image: &[u8]) -> Result<Arc<Self>> {
        let failed = |e| lost("taking the device into use", e);
        let handle = result::device::get(device.ordinal).map_err(failed)?;
        // SAFETY: `handle` was given by the driver. The primary context is kept until the process ends.
        let context = unsafe { result::primary_ctx::retain(handle) }.map_err(failed)?;
        let mut made = Self { context, module: ptr::null_mut() };
        made.enter()?;
        let mut image = image.to_vec();
        image.push(0);
        // SAFETY: the image is in memory for the time of the call, and ends in a zero as text has to.
        let code = unsafe { sys::cuModuleLoadData(&raw mut made.module, image.as_ptr().cast()) };
        check(code, "loading the kernels")?;
        Ok(Arc::new(made))
    }

    /// Makes the context the calling thread's.
    fn enter(&self) -> Result<()> {
        // SAFETY: the context is retained for as long as the process lives.
        check(unsafe { sys::cuCtxSetCurrent(self.context) }, "entering the context")
    }

    /// A kernel by its name, with so many bytes of dynamic shared memory.
    ///
    /// # Errors
    /// [`Kind::Defect`] when the image has none of that name or cannot have so much memory.
    pub fn kernel(self: &Arc<Self>, name: &str, shared_bytes: u32) -> Result<Kernel> {
        self.enter()?;
        let text =
            CString::new(name).map_err(|_| GpuError::new(Kind::Defect, "a name with a zero"))?;
        let mut function = ptr::null_mut();
        // SAFETY: the module is loaded, and the name ends in a zero.
        let code =
            unsafe { sys::cuModuleGetFunction(&raw mut function, self.module, text.as_ptr()) };
        check(code, name)?;
        // Of more a kernel has to be told; never of less, since a handle to it may be in use with more.
        if shared_bytes > MAX_SHARED_UNASKED_BYTES {
            let attribute =
                sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let bytes = c_int::try_from(shared_bytes).unwrap_or(c_int::MAX);
            // SAFETY: the function was just given by the driver.
            check(unsafe { sys::cuFuncSetAttribute(function, attribute, bytes) }, name)?;
        }
        Ok(Kernel { context: Arc::clone(self), function, shared_bytes })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if !self.module.is_null() && self.enter().is_ok() {
            // SAFETY: the module is ours and unloaded once. Its kernels and the streams on which they run hold
            // the context, and a stream that is dropped before it has finished holds it for ever: so none of
            // them runs, and none can be launched. An error means that the device is lost.
            let _ = unsafe { sys::cuModuleUnload(self.module) };
        }
    }
}

/// A kernel of a [`Context`].
#[derive(Debug)]
pub struct Kernel {
    context: Arc<Context>,
    function: sys::CUfunction,
    shared_bytes: u32,
}

// SAFETY: a function is a handle into a module, which any thread may use.
unsafe impl Send for Kernel {}
// SAFETY: as above.
unsafe impl Sync for Kernel {}

/// An argument of a kernel: an address or a number, both 64 bits wide.
#[derive(Clone, Copy, Debug)]
pub struct Argument(u64);

impl From<u64> for Argument {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

/// How many blocks of `block` threads it takes to have `n` threads.
///
/// # Errors
/// [`Kind::Defect`] for more than a launch can have.
pub fn blocks(n: u64, block: u32) -> Result<u32> {
    u32::try_from(n.div_ceil(u64::from(block)))
        .map_err(|_| GpuError::new(Kind::Defect, format!("{n} threads in one launch")))
}
