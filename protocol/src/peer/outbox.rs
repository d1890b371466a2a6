// SPDX-License-Identifier: MIT OR Apache-2.0

//! What waits to be written: bounded, in two lanes, so that `ping` and `task/cancel` overtake bulk
//! frames while small frames keep their order among themselves.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

/// Frames of up to so many bytes go by the fast lane.
pub const SMALL_FRAME_BYTES: usize = 64 * 1024;

/// Bytes that may wait: four frames of the default limit.
pub const MAX_WAITING_BYTES: usize = 4 * crate::DEFAULT_FRAME_BYTES;

/// Frames that may wait.
pub const MAX_WAITING_FRAMES: usize = 65_536;

/// A frame, and whom to tell that it is written.
#[derive(Debug)]
pub struct Outgoing {
    /// The frame, without its line end.
    pub frame: Bytes,
    /// Told once the frame has left.
    pub written: Option<oneshot::Sender<()>>,
}

/// Why a frame was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Nothing more is written.
    Closed,
    /// The other side reads too slowly.
    Full,
}

#[derive(Default, Debug)]
struct State {
    small: VecDeque<Outgoing>,
    bulk: VecDeque<Outgoing>,
    bytes: usize,
    closed: bool,
}

/// The two lanes.
#[derive(Default, Debug)]
pub struct Outbox {
    state: Mutex<State>,
    changed: Notify,
}

impl Outbox {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two lines that could panic: there are none.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a frame, without waiting.
    pub fn push(&self, outgoing: Outgoing) -> Result<(), Refused> {
        let mut state = self.state();
        if state.closed {
            return Err(Refused::Closed);
        }
        let frames = state.small.len() + state.bulk.len();
        let bytes = state.bytes + outgoing.frame.len();
        // A frame always fits into an empty box, whatever limit the other side announced.
        if frames > 0 && (bytes > MAX_WAITING_BYTES || frames >= MAX_WAITING_FRAMES) {
            return Err(Refused::Full);
        }
        state.bytes = bytes;
        if outgoing.frame.len() <= SMALL_FRAME_BYTES {
            state.small.push_back(outgoing);
        } else {
            state.bulk.push_back(outgoing);
        }
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Moves the frames to write next into the empty `batch`: one bulk frame, or small ones for one
    /// write. `false` once the box is closed and empty.
    pub async fn next_batch(&self, batch: &mut Vec<Outgoing>) -> bool {
        loop {
            {
                let mut state = self.state();
                let mut bytes = 0;
                while let Some(next) = state.small.pop_front() {
                    bytes += next.frame.len();
                    batch.push(next);
                    let following = state.small.front().map_or(0, |next| next.frame.len());
                    if bytes + following > SMALL_FRAME_BYTES {
                        break;
                    }
                }
                if batch.is_empty() {
                    let bulk = state.bulk.pop_front();
                    bytes = bulk.as_ref().map_or(0, |bulk| bulk.frame.len());
                    batch.extend(bulk);
                }
                state.bytes -= bytes;
                if !batch.is_empty() {
                    return true;
                }
                if state.closed {
                    return false;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Takes no more frames; what waits is still written.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// Takes no more frames and forgets those that wait.
    pub fn abandon(&self) {
        *self.state() = State { closed: true, ..State::default() };
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(bytes: usize) -> Outgoing {
        Outgoing { frame: vec![b'x'; bytes].into(), written: None }
    }

    /// The lengths of the frames of each batch, until the box is empty.
    async fn batches(outbox: &Outbox) -> Vec<Vec<usize>> {
        let (mut batch, mut batches) = (Vec::new(), Vec::new());
        while outbox.next_batch(&mut batch).await {
            batches.push(batch.drain(..).map(|outgoing| outgoing.frame.len()).collect());
        }
        batches
    }

    #[tokio::test]
    async fn small_frames_overtake_bulk_and_keep_their_order() {
        let outbox = Outbox::default();
        for bytes in [100_000, 1, 200_000, 2] {
            outbox.push(outgoing(bytes)).unwrap();
        }
        outbox.close();
        assert_eq!(batches(&outbox).await, [vec![1, 2], vec![100_000], vec![200_000]]);
    }

    #[tokio::test]
    async fn small_frames_are_written_together_up_to_the_size_of_one() {
        let outbox = Outbox::default();
        for bytes in [SMALL_FRAME_BYTES, 1, SMALL_FRAME_BYTES - 1, 0, 1] {
            outbox.push(outgoing(bytes)).unwrap();
        }
        outbox.close();
        let expected = [vec![SMALL_FRAME_BYTES], vec![1, SMALL_FRAME_BYTES - 1, 0], vec![1]];
        assert_eq!(batches(&outbox).await, expected);
        assert_eq!(outbox.state().bytes, 0);
    }

    #[test]
    fn what_waits_is_bounded() {
        let outbox = Outbox::default();
        outbox.push(outgoing(MAX_WAITING_BYTES + 1)).unwrap();
        assert_eq!(outbox.push(outgoing(1)), Err(Refused::Full));
        outbox.abandon();
        assert_eq!(outbox.push(outgoing(1)), Err(Refused::Closed));
    }
}
