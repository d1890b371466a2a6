// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bytes to lines.

use std::io::{self, Read};

use sealpipe_protocol::INITIAL_FRAME_BYTES;

use crate::{
    MAX_FRAME_BYTES,
    faults::{Fault, has},
};

/// Most of what is read at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// What comes in.
#[derive(Debug)]
pub enum Frame {
    /// A line without its end.
    Line(Vec<u8>),
    /// A line over the limit.
    TooLong,
    /// No more.
    End,
}

/// Reads lines from stdin.
pub struct Lines {
    input: std::fs::File,
    /// What was read and not looked at.
    waiting: Vec<u8>,
    at: usize,
    line: Vec<u8>,
    skipping: bool,
    limit: usize,
}

impl Lines {
    /// Nothing was read.
    pub fn new(input: std::fs::File) -> Self {
        let mut limit = INITIAL_FRAME_BYTES;
        if has(Fault::FirstLimitIsLess) {
            limit -= 1;
        }
        if has(Fault::HasNoFirstLimit) {
            limit = usize::MAX;
        }
        Self { input, waiting: Vec::new(), at: 0, line: Vec::new(), skipping: false, limit }
    }

    /// `initialize` is answered: another limit holds.
    pub fn initialized(&mut self) {
        self.limit = MAX_FRAME_BYTES;
        if has(Fault::LimitIsLess) {
            self.limit -= 1;
        }
        if has(Fault::LimitIsMore) {
            self.limit += 1;
        }
        if has(Fault::StopsAtThePipe) {
            self.limit = 65_536;
        }
        if has(Fault::LosesSecondFrame) {
            self.waiting.clear();
            self.at = 0;
        }
    }

    /// The next line.
    pub fn next_frame(&mut self) -> io::Result<Frame> {
        loop {
            let rest = &self.waiting[self.at..];
            let end = rest.iter().position(|byte| *byte == b'\n');
            let piece = &rest[..end.unwrap_or(rest.len())];
            self.at += piece.len() + usize::from(end.is_some());
            if !self.skipping {
                self.line.extend_from_slice(piece);
            }
            // One byte more than the limit may be a carriage return.
            let over = self.line.len() > self.limit.saturating_add(1);
            if over && !has(Fault::KeepsLongLines) {
                self.skipping = true;
                self.line = Vec::new();
            }
            if end.is_some() {
                if let Some(frame) = self.finish() {
                    return Ok(frame);
                }
                continue;
            }
            if !self.read_more()? {
                let cut_off = std::mem::take(&mut self.line);
                if has(Fault::ActsOnCutOffLine) && !cut_off.is_empty() {
                    return Ok(Frame::Line(cut_off));
                }
                return Ok(Frame::End);
            }
        }
    }

    fn finish(&mut self) -> Option<Frame> {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.skipping) {
            return Some(Frame::TooLong);
        }
        let keep = has(Fault::RefusesCarriageReturns) && line.len() > 1;
        if line.last() == Some(&b'\r') && !keep {
            line.pop();
        }
        if line.len() > self.limit {
            return Some(Frame::TooLong);
        }
        let skip = line.is_empty() && !has(Fault::AnswersEmptyLines);
        (!skip).then_some(Frame::Line(line))
    }

    /// Whether there was more.
    fn read_more(&mut self) -> io::Result<bool> {
        self.waiting.resize(CHUNK_BYTES, 0);
        self.at = 0;
        let n = loop {
            match self.input.read(&mut self.waiting) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.waiting.truncate(n);
        if has(Fault::BreaksCharacters) {
            self.waiting = String::from_utf8_lossy(&self.waiting).into_owned().into_bytes();
        }
        Ok(n > 0)
    }
}
