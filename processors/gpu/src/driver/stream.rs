// SPDX-License-Identifier: MIT OR Apache-2.0

//! Streams: copies and launches in order, and when they were done.

use std::{
    ffi::{c_uint, c_void},
    ptr,
    sync::Arc,
};

use cudarc::driver::sys;

use super::{Argument, Context, DeviceMemory, HostMemory, Kernel, Result, check};
use crate::{GpuError, Kind};

impl Context {
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

    /// A point in time of a stream, to be recorded.
    ///
    /// # Errors
    /// Whatever the driver says.
    pub fn event(self: &Arc<Self>) -> Result<Event> {
        self.enter()?;
        let mut event = ptr::null_mut();
        // SAFETY: `event` is a valid place for a handle. 0 is CU_EVENT_DEFAULT, which has a time.
        check(unsafe { sys::cuEventCreate(&raw mut event, 0) }, "making an event")?;
        Ok(Event { context: Arc::clone(self), event })
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
        let defect =
            || GpuError::new(Kind::Defect, format!("{bytes} bytes at {offset} of lent memory"));
        let part = self.lent.get(which).and_then(|memory| memory.part(offset, bytes));
        Ok(part.ok_or_else(defect)?.cast())
    }

    /// Copies `bytes` of lent memory to the device.
    ///
    /// # Errors
    /// [`Kind::Defect`] for a range that is not inside, [`Kind::Lost`].
    pub fn upload(
        &mut self,
        (to, to_offset): (&DeviceMemory, usize),
        (from, from_offset): (usize, usize),
        bytes: usize,
    ) -> Result<()> {
        let host = self.lent(from, from_offset, bytes)?;
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

    /// Copies `bytes` within the device. The ranges must not overlap.
    ///
    /// # Errors
    /// [`Kind::Defect`] for a range that is not inside, [`Kind::Lost`].
    pub fn copy(
        &mut self,
        (to, to_offset): (&DeviceMemory, usize),
        (from, from_offset): (&DeviceMemory, usize),
        bytes: usize,
    ) -> Result<()> {
        let (to, from) = (to.range(to_offset, bytes)?, from.range(from_offset, bytes)?);
        self.context.enter()?;
        // SAFETY: both ranges are valid addresses of the device.
        let code = unsafe { sys::cuMemcpyDtoDAsync_v2(to.0, from.0, bytes, self.stream) };
        check(code, "copying on the device")
    }

    /// Fills `bytes` of the device's memory with a byte.
    ///
    /// # Errors
    /// [`Kind::Defect`] for a range that is not inside, [`Kind::Lost`].
    pub fn fill(&mut self, to: &DeviceMemory, offset: usize, bytes: usize, byte: u8) -> Result<()> {
        let to = to.range(offset, bytes)?;
        self.context.enter()?;
        // SAFETY: the range is a valid one of the device.
        check(unsafe { sys::cuMemsetD8Async(to.0, byte, bytes, self.stream) }, "filling memory")
    }

    /// Launches a kernel of `blocks` blocks of `threads` threads.
    ///
    /// # Errors
    /// [`Kind::Defect`], of a kernel of another context too, [`Kind::Lost`].
    pub fn launch(
        &mut self,
        kernel: &Kernel,
        blocks: u32,
        threads: u32,
        arguments: &mut [Argument],
    ) -> Result<()> {
        if !Arc::ptr_eq(&kernel.context, &self.context) {
            return Err(GpuError::new(Kind::Defect, "a kernel of another context"));
        }
        self.context.enter()?;
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

    /// Notes the time at which everything given so far is done.
    ///
    /// # Errors
    /// [`Kind::Lost`].
    pub fn record(&mut self, event: &Event) -> Result<()> {
        self.context.enter()?;
        // SAFETY: both are of this context.
        check(unsafe { sys::cuEventRecord(event.event, self.stream) }, "recording an event")
    }

    /// Waits until everything given so far is done.
    ///
    /// # Errors
    /// What went wrong on the device.
    pub fn finish(&mut self) -> Result<()> {
        self.context.enter()?;
        // SAFETY: the stream is ours.
        check(unsafe { sys::cuStreamSynchronize(self.stream) }, "computing")
    }

    /// Gives the lent memory back, in the order in which it was lent; waits for the stream.
    ///
    /// # Errors
    /// What went wrong on the device.
    pub fn take_back(&mut self) -> Result<Vec<HostMemory>> {
        self.finish()?;
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
            // The device may still write there, so that memory is never given back; nor are the kernels.
            self.lent.drain(..).for_each(std::mem::forget);
            std::mem::forget(Arc::clone(&self.context));
            return;
        }
        // SAFETY: both are ours, idle, and destroyed once.
        unsafe {
            let _ = sys::cuEventDestroy_v2(self.event);
            let _ = sys::cuStreamDestroy_v2(self.stream);
        }
    }
}

/// A point in time of a stream.
#[derive(Debug)]
pub struct Event {
    context: Arc<Context>,
    event: sys::CUevent,
}

// SAFETY: an event is a handle that any thread may use.
unsafe impl Send for Event {}

impl Event {
    /// Milliseconds from an earlier event to this one, which must both have passed.
    ///
    /// # Errors
    /// [`Kind::Defect`] when one has not been recorded, [`Kind::Lost`].
    pub fn ms_since(&self, earlier: &Self) -> Result<f32> {
        self.context.enter()?;
        let mut ms = 0.0;
        // SAFETY: both events are ours, `ms` is a valid place.
        let code = unsafe { sys::cuEventElapsedTime(&raw mut ms, earlier.event, self.event) };
        check(code, "measuring time")?;
        Ok(ms)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            // SAFETY: the event is ours and destroyed once; the driver waits until it is of no more use.
            let _ = unsafe { sys::cuEventDestroy_v2(self.event) };
        }
    }
}
