// SPDX-License-Identifier: MIT OR Apache-2.0

//! The CUDA driver: the only file that calls it.
//!
//! Memory that a copy reads or writes is lent to the stream, by value, and comes back when the stream has
//! finished: so nothing here can be read, written or freed while the device still uses it. What a kernel
//! does with device memory is checked by whoever launches it; a mistake there ends in an error of the
//! device and touches no memory of this process.

use std::{
    ffi::{CStr, CString, c_int, c_uint, c_void},
    ptr,
    sync::Arc,
};

use cudarc::driver::{result, sys};

use crate::{
    GpuError, Kind,
    device::{Device, OLDEST_DRIVER},
};

type Result<T> = std::result::Result<T, GpuError>;

/// Huge pages of x86-64, in bytes: host memory is a multiple of it.
const HUGE_PAGE_BYTES: usize = 2 << 20;

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
    // SAFETY: `handle` was given by the driver.
    let memory_bytes = unsafe { result::device::total_mem(handle) }.map_err(failed)?;
    Ok(Device { ordinal, name, capability: (major * 10 + minor).unsigned_abs(), memory_bytes })
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
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let bytes = c_int::try_from(shared_bytes).unwrap_or(c_int::MAX);
        // SAFETY: the function was just given by the driver.
        check(unsafe { sys::cuFuncSetAttribute(function, attribute, bytes) }, name)?;
        Ok(Kernel { context: Arc::clone(self), function, shared_bytes })
    }

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

    /// A new stream, which no other one waits for.
    ///
    /// # Errors
    /// Whatever the driver says.
    pub fn stream(self: &Arc<Self>) -> Result<Stream> {
        self.enter()?;
        let mut stream = ptr::null_mut();
        // SAFETY: `stream` is a valid place for a handle. 1 is CU_STREAM_NON_BLOCKING.
        check(unsafe { sys::cuStreamCreate(&raw mut stream, 1) }, "making a stream")?;
        let mut event = ptr::null_mut();
        // SAFETY: `event` is a valid place for a handle. 2 is CU_EVENT_DISABLE_TIMING.
        check(unsafe { sys::cuEventCreate(&raw mut event, 2) }, "making an event")?;
        Ok(Stream { context: Arc::clone(self), stream, event, lent: Vec::new() })
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

/// Memory of a device.
#[derive(Debug)]
pub struct DeviceMemory {
    context: Arc<Context>,
    at: sys::CUdeviceptr,
    bytes: usize,
}

impl DeviceMemory {
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

/// Work for a device, done in order.
#[derive(Debug)]
pub struct Stream {
    context: Arc<Context>,
    stream: sys::CUstream,
    event: sys::CUevent,
    lent: Vec<HostMemory>,
}

// SAFETY: streams and events are handles that any thread may use, one at a time here (`&mut`).
unsafe impl Send for Stream {}

impl Stream {
    /// Lends memory to the stream until it has finished; the number names it.
    pub fn lend(&mut self, memory: HostMemory) -> usize {
        self.lent.push(memory);
        self.lent.len() - 1
    }

    fn lent(&self, which: usize, offset: usize, bytes: usize) -> Result<*mut c_void> {
        let memory = self.lent.get(which);
        let inside = |m: &&HostMemory| offset.checked_add(bytes).is_some_and(|end| end <= m.bytes);
        let defect =
            || GpuError::new(Kind::Defect, format!("{bytes} bytes at {offset} of lent memory"));
        let memory = memory.filter(inside).ok_or_else(defect)?;
        // SAFETY: the offset is inside of the mapping.
        Ok(unsafe { memory.at.add(offset) }.cast())
    }

    /// Copies `bytes` of lent memory to the device.
    ///
    /// # Errors
    /// [`Kind::Defect`] for a range that is not inside, [`Kind::Lost`].
    pub fn upload(
        &mut self,
        to: &DeviceMemory,
        to_offset: usize,
        from: usize,
        bytes: usize,
    ) -> Result<()> {
        let host = self.lent(from, 0, bytes)?;
        let device = to.range(to_offset, bytes)?;
        self.context.enter()?;
        // SAFETY: both ranges are valid, and the host's is lent to this stream until it has finished.
        let code = unsafe { sys::cuMemcpyHtoDAsync_v2(device.0, host, bytes, self.stream) };
        check(code, "copying to the device")
    }

    /// Copies `bytes` from the device into lent memory.
    ///
    /// # Errors
    /// [`Kind::Defect`] for a range that is not inside, [`Kind::Lost`].
    pub fn download(
        &mut self,
        (to, to_offset): (usize, usize),
        (from, from_offset): (&DeviceMemory, usize),
        bytes: usize,
    ) -> Result<()> {
        let host = self.lent(to, to_offset, bytes)?;
        let device = from.range(from_offset, bytes)?;
        self.context.enter()?;
        // SAFETY: both ranges are valid, and the host's is lent to this stream until it has finished.
        let code = unsafe { sys::cuMemcpyDtoHAsync_v2(host, device.0, bytes, self.stream) };
        check(code, "copying from the device")
    }

    /// Launches a kernel of `blocks` blocks of `threads` threads.
    ///
    /// # Errors
    /// [`Kind::Defect`], [`Kind::Lost`].
    pub fn launch(
        &mut self,
        kernel: &Kernel,
        blocks: u32,
        threads: u32,
        arguments: &mut [Argument],
    ) -> Result<()> {
        kernel.context.enter()?;
        let mut pointers: Vec<*mut c_void> =
            arguments.iter_mut().map(|argument| ptr::from_mut(&mut argument.0).cast()).collect();
        let (one, shared): (c_uint, c_uint) = (1, kernel.shared_bytes);
        // SAFETY: the function is of this context; its parameters, all 64 bits wide, are copied during the
        // call. What it does with the addresses happens on the device alone.
        let code = unsafe {
            sys::cuLaunchKernel(
                kernel.function,
                blocks,
                one,
                one,
                threads,
                one,
                one,
                shared,
                self.stream,
                pointers.as_mut_ptr(),
                ptr::null_mut(),
            )
        };
        check(code, "launching a kernel")
    }

    /// Marks the end of what was given to the stream so far.
    ///
    /// # Errors
    /// [`Kind::Lost`].
    pub fn mark(&mut self) -> Result<()> {
        self.context.enter()?;
        // SAFETY: both are ours.
        check(unsafe { sys::cuEventRecord(self.event, self.stream) }, "marking a stream")
    }

    /// Has what is given from now on wait for another stream's mark.
    ///
    /// # Errors
    /// [`Kind::Lost`].
    pub fn wait_for(&mut self, other: &Self) -> Result<()> {
        self.context.enter()?;
        // SAFETY: both are ours, of one context.
        let code = unsafe { sys::cuStreamWaitEvent(self.stream, other.event, 0) };
        check(code, "waiting for a stream")
    }

    /// Whether everything up to the mark is done.
    ///
    /// # Errors
    /// What went wrong on the device meanwhile.
    pub fn is_done(&self) -> Result<bool> {
        self.context.enter()?;
        // SAFETY: the event is ours.
        match unsafe { sys::cuEventQuery(self.event) } {
            sys::CUresult::CUDA_ERROR_NOT_READY => Ok(false),
            code => check(code, "computing").map(|()| true),
        }
    }

    /// Gives the lent memory back, in the order in which it was lent; waits for the stream.
    ///
    /// # Errors
    /// What went wrong on the device.
    pub fn take_back(&mut self) -> Result<Vec<HostMemory>> {
        self.context.enter()?;
        // SAFETY: the stream is ours.
        check(unsafe { sys::cuStreamSynchronize(self.stream) }, "computing")?;
        Ok(std::mem::take(&mut self.lent))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let done = self.context.enter().is_ok() && matches!(self.is_done(), Ok(true));
        // SAFETY: the stream is ours. Asked only when nothing hangs: a dead kernel would never return.
        let idle =
            done && unsafe { sys::cuStreamSynchronize(self.stream) } == sys::CUresult::CUDA_SUCCESS;
        if !idle {
            // The device may still write there, so that memory is never given back.
            self.lent.drain(..).for_each(std::mem::forget);
            return;
        }
        // SAFETY: both are ours, idle, and destroyed once.
        unsafe {
            let _ = sys::cuEventDestroy_v2(self.event);
            let _ = sys::cuStreamDestroy_v2(self.stream);
        }
    }
}
