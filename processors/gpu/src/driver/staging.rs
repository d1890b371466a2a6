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
        to.range(to_offset, from.len())?;
        for (i, part) in from.chunks(BUFFER_BYTES).enumerate() {
            let half = &mut self.halves[i % 2];
            with_buffer(half, |buffer| buffer[..part.len()].copy_from_slice(part))?;
            half.upload((to, to_offset + i * BUFFER_BYTES), (0, 0), part.len())?;
        }
        self.halves.iter_mut().try_for_each(Stream::finish)
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
fn with_buffer(half: &mut Stream, use_it: impl FnOnce(&mut [u8])) -> Result<()> {
    let mut lent = half.take_back()?;
    let buffer = lent.first_mut();
    let buffer =
        buffer.ok_or_else(|| GpuError::new(Kind::Defect, "a stream without its buffer"))?;
    use_it(buffer.as_mut_slice());
    lent.into_iter().for_each(|memory| _ = half.lend(memory));
    Ok(())
}
