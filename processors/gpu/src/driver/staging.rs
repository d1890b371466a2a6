// SPDX-License-Identifier: MIT OR Apache-2.0

//! Copies between ordinary memory and a device, through registered buffers: one is copied by this thread
//! while the device copies the other.

use std::sync::Arc;

use super::{Context, DeviceMemory, Result, Stream};
use crate::{GpuError, Kind};

/// Bytes of each buffer: large enough for the bus, small enough for the caches.
const BUFFER_BYTES: usize = 16 << 20;

/// Two buffers, and a stream of their own for each. Copies are done when its functions return.
#[derive(Debug)]
pub struct Staging {
    halves: [Stream; 2],
}

impl Staging {
    /// Registers the buffers.
    ///
    /// # Errors
    /// [`Kind::OutOfMemory`].
    pub fn new(context: &Arc<Context>) -> Result<Self> {
        let half = || {
            let mut stream = context.stream()?;
            stream.lend(context.allocate_host(BUFFER_BYTES)?);
            Ok(stream)
        };
        Ok(Self { halves: [half()?, half()?] })
    }

    /// Copies `from` to the device. Nothing else may be using that memory.
    ///
    /// # Errors
    /// [`Kind::Defect`] for a range that is not inside, [`Kind::Lost`].
    pub fn upload(&mut self, to: &DeviceMemory, to_offset: usize, from: &[u8]) -> Result<()> {
        self.upload_from(to, (to_offset, from.len()), |at, part| {
            part.copy_from_slice(&from[at..][..part.len()]);
            Ok(())
        })
    }

    /// Fills so many bytes of the device with what `read` says of each part, given the part's first byte,
    /// counted from the first of all. Nothing else may be using that memory.
    ///
    /// # Errors
    /// As [`upload`](Self::upload), and those of `read`.
    pub fn upload_from<E: From<GpuError>>(
        &mut self,
        to: &DeviceMemory,
        (to_offset, n_bytes): (usize, usize),
        mut read: impl FnMut(usize, &mut [u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        to.range(to_offset, n_bytes)?;
        let mut copy = |half: &mut Stream, at: usize| {
            let len = BUFFER_BYTES.min(n_bytes - at);
            with_buffer(half, |buffer| read(at, &mut buffer[..len]))??;
            Ok(half.upload((to, to_offset + at), (0, 0), len)?)
        };
        let mut parts = (0..n_bytes).step_by(BUFFER_BYTES).enumerate();
        let copied = parts.try_for_each(|(i, at)| copy(&mut self.halves[i % 2], at));
        let finished = self.halves.iter_mut().try_for_each(Stream::finish);
        copied.and(finished.map_err(E::from))
    }

    /// Copies from the device. Nothing else may be writing that memory.
    ///
    /// # Errors
    /// [`Kind::Defect`] for a range that is not inside, [`Kind::Lost`].
    pub fn download(
        &mut self,
        to: &mut [u8],
        from: &DeviceMemory,
        from_offset: usize,
    ) -> Result<()> {
        from.range(from_offset, to.len())?;
        let bytes = to.len();
        let request = |half: &mut Stream, i: usize| {
            let at = i * BUFFER_BYTES;
            let part = bytes.saturating_sub(at).min(BUFFER_BYTES);
            half.download((0, 0), (from, from_offset + at.min(bytes)), part)
        };
        request(&mut self.halves[0], 0)?;
        for (i, part) in to.chunks_mut(BUFFER_BYTES).enumerate() {
            request(&mut self.halves[(i + 1) % 2], i + 1)?;
            let half = &mut self.halves[i % 2];
            with_buffer(half, |buffer| part.copy_from_slice(&buffer[..part.len()]))?;
        }
        self.halves.iter_mut().try_for_each(Stream::finish)
    }
}

/// Waits for a stream and has its buffer read or written.
fn with_buffer<R>(half: &mut Stream, use_it: impl FnOnce(&mut [u8]) -> R) -> Result<R> {
    let mut lent = half.take_back()?;
    let buffer = lent.first_mut();
    let buffer =
        buffer.ok_or_else(|| GpuError::new(Kind::Defect, "a stream without its buffer"))?;
    let used = use_it(buffer.as_mut_slice());
    lent.into_iter().for_each(|memory| _ = half.lend(memory));
    Ok(used)
}
