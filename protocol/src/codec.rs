// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bytes to frames and back: one JSON object a line, bounded, no I/O.
//!
//! A line that is too long is skipped and the connection lives. A line cut off by the end of the
//! stream is an error and not a frame.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

/// What ends a line.
pub const LINE_END: &[u8] = b"\n";

/// Room that a read finds at least, in bytes: a pipe holds as much.
const READ_BYTES: usize = 64 * 1024;

/// The longest frame that is taken, in bytes without the line end. Shared, since it changes when
/// `initialize` is answered.
#[derive(Clone, Debug)]
pub struct FrameLimit(Arc<AtomicUsize>);

impl FrameLimit {
    /// A limit of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// The limit now.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Changes it, for frames that are not complete yet too.
    pub fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}

impl Default for FrameLimit {
    fn default() -> Self {
        Self::new(crate::INITIAL_FRAME_BYTES)
    }
}

/// What a stream of bytes decodes to. An error would end the stream, so there is none.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// A line without its end; never empty.
    Line(Bytes),
    /// A line over the limit was skipped: so many bytes were seen of it.
    TooLong {
        /// Bytes of the line.
        bytes: usize,
    },
    /// The stream ended within a line.
    CutOff {
        /// Bytes of the line that had come.
        bytes: usize,
    },
}

/// Decodes lines, encodes frames.
#[derive(Debug)]
pub struct FrameCodec {
    limit: FrameLimit,
    /// Bytes from the front of the buffer in which no line end was found.
    scanned: usize,
    /// While a line over the limit is skipped: its bytes so far.
    skipping: Option<usize>,
}

impl FrameCodec {
    /// A codec that takes frames up to `limit`.
    pub fn new(limit: FrameLimit) -> Self {
        Self { limit, scanned: 0, skipping: None }
    }

    /// The next line with its end taken off, or `None` until more bytes come.
    fn next_line(&mut self, buffer: &mut BytesMut) -> Option<BytesMut> {
        let end = memchr::memchr(b'\n', &buffer[self.scanned..]);
        let Some(end) = end.map(|i| self.scanned + i) else {
            self.scanned = buffer.len();
            return None;
        };
        self.scanned = 0;
        let mut line = buffer.split_to(end + 1);
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        Some(line)
    }
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Frame>> {
        loop {
            let limit = self.limit.get();
            match self.next_line(buffer) {
                Some(line) => {
                    if let Some(seen) = self.skipping.take() {
                        return Ok(Some(Frame::TooLong { bytes: seen + line.len() }));
                    }
                    if line.len() > limit {
                        return Ok(Some(Frame::TooLong { bytes: line.len() }));
                    }
                    if !line.is_empty() {
                        return Ok(Some(Frame::Line(line.freeze())));
                    }
                }
                // One byte more than the limit may be a carriage return.
                None if self.skipping.is_some() || buffer.len() > limit.saturating_add(1) => {
                    // A carriage return at the end may belong to the line end, and is not counted.
                    let kept = usize::from(buffer.last() == Some(&b'\r'));
                    let skipped = buffer.len() - kept;
                    self.skipping = Some(self.skipping.unwrap_or(0) + skipped);
                    buffer.advance(skipped);
                    self.scanned = kept;
                    return Ok(None);
                }
                None => {
                    buffer.reserve(READ_BYTES);
                    return Ok(None);
                }
            }
        }
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Frame>> {
        if let Some(frame) = self.decode(buffer)? {
            return Ok(Some(frame));
        }
        let bytes = self.skipping.take().unwrap_or(0) + buffer.len();
        buffer.clear();
        self.scanned = 0;
        Ok((bytes > 0).then_some(Frame::CutOff { bytes }))
    }
}

impl Encoder<Bytes> for FrameCodec {
    type Error = io::Error;

    fn encode(&mut self, frame: Bytes, buffer: &mut BytesMut) -> io::Result<()> {
        buffer.reserve(frame.len() + LINE_END.len());
        buffer.put_slice(&frame);
        buffer.put_slice(LINE_END);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `input`, fed in pieces of `step` bytes, with a limit of `limit`.
    fn decode(input: &[u8], limit: usize, step: usize) -> Vec<Frame> {
        let mut codec = FrameCodec::new(FrameLimit::new(limit));
        let mut buffer = BytesMut::new();
        let mut frames = Vec::new();
        for piece in input.chunks(step) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                frames.push(frame);
            }
            assert!(buffer.len() <= limit + 1 + step, "the buffer grows past the limit");
        }
        while let Some(frame) = codec.decode_eof(&mut buffer).unwrap() {
            frames.push(frame);
        }
        frames
    }

    fn line(text: &str) -> Frame {
        Frame::Line(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn frames_do_not_depend_on_where_the_bytes_are_split() {
        let check = |input: &str, expected: &[Frame]| {
            for step in 1..=input.len() {
                assert_eq!(decode(input.as_bytes(), 8, step), expected, "{input:?} by {step}");
            }
        };
        check("{}\n{\"a\":1}\r\n", &[line("{}"), line("{\"a\":1}")]);
        check("\n\r\n\n{}\n", &[line("{}")]);
        check("12345678\n", &[line("12345678")]);
        check("12345678\r\n", &[line("12345678")]);
        check("123456789\n{}\n", &[Frame::TooLong { bytes: 9 }, line("{}")]);
        check("123456789\r\n{}\n", &[Frame::TooLong { bytes: 9 }, line("{}")]);
        check("123456789\rab\r\r\n", &[Frame::TooLong { bytes: 13 }]);
        check("123456789\r", &[Frame::CutOff { bytes: 10 }]);
        check("{}\n{\"a", &[line("{}"), Frame::CutOff { bytes: 3 }]);
        check("\r\r\n", &[line("\r")]);
    }

    #[test]
    fn a_long_line_is_skipped_without_being_kept() {
        let mut input = vec![b'x'; 100_000];
        input.extend_from_slice(b"\n{}\n");
        for step in [1, 7, 1_000, 200_000] {
            let frames = decode(&input, 64, step);
            let lengths: Vec<_> =
                frames.iter().map(|f| matches!(f, Frame::TooLong { .. })).collect();
            assert_eq!(lengths, [true, false], "by {step}");
        }
    }

    #[test]
    fn a_long_line_that_never_ends_is_cut_off() {
        assert_eq!(decode(&[b'x'; 100], 8, 3), [Frame::CutOff { bytes: 100 }]);
    }

    #[test]
    fn a_frame_is_written_as_one_line() {
        let mut buffer = BytesMut::new();
        let mut codec = FrameCodec::new(FrameLimit::default());
        codec.encode(Bytes::from_static(b"{}"), &mut buffer).unwrap();
        assert_eq!(&buffer[..], b"{}\n");
    }
}
