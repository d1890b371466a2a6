// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether a task that ended without a result is run again, and when. Pure.

use std::time::Duration;

use sealpipe_protocol::{Class, error::ErrorData};

use crate::supervisor::Lost;

/// Tries of one task that may be lost with their process. Each resumes where the one before was, so
/// there may be many.
pub const MAX_LOST: u32 = 50;

/// Temporary errors of one task.
pub const MAX_TEMPORARY: u32 = 5;

/// Delay after the first temporary error; it doubles.
pub const FIRST_DELAY: Duration = Duration::from_millis(500);

/// Longest delay, whatever the processor asks for.
pub const MAX_DELAY: Duration = Duration::from_secs(300);

/// What has happened to a task so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tries {
    lost: u32,
    temporary: u32,
}

impl Tries {
    /// The delay before the next try, or `None` when there is none.
    pub fn next(&mut self, lost: &Lost) -> Option<Duration> {
        match lost {
            Lost::Gone(_) | Lost::Stalled(_) => {
                self.lost += 1;
                // The process' own restart has its delay.
                (self.lost < MAX_LOST).then_some(Duration::ZERO)
            }
            Lost::Failed(error) => self.failed(&error.data),
        }
    }

    fn failed(&mut self, data: &ErrorData) -> Option<Duration> {
        if data.class != Class::Temporary {
            return None;
        }
        self.temporary += 1;
        if self.temporary >= MAX_TEMPORARY {
            return None;
        }
        let asked = Duration::from_millis(data.retry.map_or(0, |retry| retry.after_ms));
        let doubled = FIRST_DELAY * (1 << (self.temporary - 1));
        Some(asked.max(doubled).min(MAX_DELAY))
    }
}

#[cfg(test)]
mod tests {
    use sealpipe_protocol::{Code, TaskError, error::RetryWhere};

    use super::*;

    fn failed(error: TaskError) -> Lost {
        Lost::Failed(error)
    }

    #[test]
    fn the_class_decides() {
        let check = |code, expected: bool| {
            let next = Tries::default().next(&failed(TaskError::new(code, "")));
            assert_eq!(next.is_some(), expected, "{code:?}");
        };
        check(Code::Busy, true);
        check(Code::OutputConflict, true);
        check(Code::ResourceExhausted, true);
        check(Code::InvalidInput, false);
        check(Code::VerificationFailed, false);
        check(Code::Cancelled, false);
    }

    #[test]
    fn delays_double_respect_the_hint_and_end() {
        let mut tries = Tries::default();
        let busy = failed(TaskError::new(Code::Busy, ""));
        let delays: Vec<_> = (0..5).map(|_| tries.next(&busy).map(|d| d.as_millis())).collect();
        assert_eq!(delays, [Some(500), Some(1000), Some(2000), Some(4000), None]);
        let hinted = TaskError::new(Code::Busy, "").retry(RetryWhere::Same, 7_000);
        assert_eq!(Tries::default().next(&failed(hinted)), Some(Duration::from_secs(7)));
        let absurd = TaskError::new(Code::Busy, "").retry(RetryWhere::Same, u64::MAX);
        assert_eq!(Tries::default().next(&failed(absurd)), Some(MAX_DELAY));
    }

    #[test]
    fn a_task_that_always_kills_its_process_ends() {
        let mut tries = Tries::default();
        let gone = Lost::Gone("signal 11".into());
        let given = (0..100).take_while(|_| tries.next(&gone).is_some()).count();
        assert_eq!(given as u32, MAX_LOST - 1);
    }
}
