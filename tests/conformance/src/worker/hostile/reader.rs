// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lines from the worker, unless the script has it read nothing.

use std::{collections::VecDeque, io::ErrorKind, thread, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    stdio::stdin,
};
use serde_json::json;

use super::player::Player;

/// Most of what is read at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// How often it is looked whether reading is allowed, in nanoseconds.
const LOOK_NANOS: i64 = 20_000_000;

/// What came.
pub enum Input {
    /// A line, without its end.
    Line(Vec<u8>),
    /// The end of stdin.
    End,
}

/// Reads stdin.
#[derive(Default)]
pub struct Reader {
    partial: Vec<u8>,
    lines: VecDeque<Vec<u8>>,
}

impl Reader {
    /// The next line that is not empty.
    pub fn next(&mut self, player: &Player) -> Input {
        loop {
            if let Some(mut line) = self.lines.pop_front() {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Input::Line(line);
            }
            if !self.read(player) {
                player.note("end", json!(String::from_utf8_lossy(&self.partial)));
                return Input::End;
            }
        }
    }

    /// Reads what is there; false at the end.
    fn read(&mut self, player: &Player) -> bool {
        let timeout = Timespec { tv_sec: 0, tv_nsec: LOOK_NANOS };
        let stdin = stdin();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            // Held while it reads: who stops the reading knows that nothing is read any more.
            let reads = player.reads();
            let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
            let none = Timespec { tv_sec: 0, tv_nsec: 0 };
            if *reads && poll(&mut fds, Some(&none)).is_ok_and(|n| n > 0) {
                match rustix::io::read(stdin, &mut chunk) {
                    Ok(0) => return false,
                    Ok(n) => {
                        self.take(&chunk[..n], player);
                        return true;
                    }
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return false,
                }
            }
            let may_read = *reads;
            drop(reads);
            if may_read {
                let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
                let _ = poll(&mut fds, Some(&timeout));
            } else {
                thread::sleep(Duration::from_nanos(LOOK_NANOS.unsigned_abs()));
            }
        }
    }

    /// Takes bytes, and writes down the lines in them that are not empty.
    fn take(&mut self, mut bytes: &[u8], player: &Player) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.partial.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.partial);
            match std::str::from_utf8(&line) {
                Ok("") => continue,
                Ok(text) => player.note("line", json!(text)),
                Err(_) => player.note("bytes", json!(line)),
            }
            self.lines.push_back(line);
        }
        self.partial.extend_from_slice(bytes);
    }
}
