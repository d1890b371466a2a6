// SPDX-License-Identifier: MIT OR Apache-2.0

//! What waits to be written, by a thread of its own.

use std::{
    collections::VecDeque,
    fs::File,
    io::Write,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::faults::{Fault, has};

/// Frames of up to so many bytes overtake longer ones.
const SMALL_BYTES: usize = 64 * 1024;

#[derive(Default)]
struct State {
    small: VecDeque<Vec<u8>>,
    bulk: VecDeque<Vec<u8>>,
    writing: bool,
}

/// A handle; clones share it.
#[derive(Clone, Default)]
pub struct Outbox(Arc<(Mutex<State>, Condvar)>);

impl Outbox {
    /// Starts the thread that writes.
    pub fn start(output: File) -> Self {
        let outbox = Self::default();
        let writer = outbox.clone();
        thread::spawn(move || writer.write_all(output));
        outbox
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message, without waiting.
    pub fn send(&self, message: &Value) {
        self.send_line(line(message));
    }

    /// Sends a line, without waiting.
    pub fn send_line(&self, line: Vec<u8>) {
        let mut state = self.state();
        if line.len() > SMALL_BYTES && !has(Fault::NothingOvertakes) {
            state.bulk.push_back(line);
        } else {
            state.small.push_back(line);
        }
        drop(state);
        self.0.1.notify_all();
    }

    /// Waits until everything has left.
    pub fn flush(&self, within: Duration) {
        let busy =
            |state: &mut State| state.writing || !state.small.is_empty() || !state.bulk.is_empty();
        drop(self.0.1.wait_timeout_while(self.state(), within, busy));
    }

    fn write_all(&self, mut output: File) {
        loop {
            let idle = |state: &mut State| state.small.is_empty() && state.bulk.is_empty();
            let waited = self.0.1.wait_while(self.state(), idle);
            let mut state = waited.unwrap_or_else(PoisonError::into_inner);
            let next = state.small.pop_front().or_else(|| state.bulk.pop_front());
            state.writing = true;
            drop(state);
            // Where nobody reads, nobody misses it.
            let _ = output.write_all(&next.unwrap_or_default());
            self.state().writing = false;
            self.0.1.notify_all();
        }
    }
}

/// A message as a line.
pub fn line(message: &Value) -> Vec<u8> {
    let mut message = message.clone();
    if has(Fault::NoJsonrpc)
        && let Some(members) = message.as_object_mut()
    {
        members.remove("jsonrpc");
    }
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}
