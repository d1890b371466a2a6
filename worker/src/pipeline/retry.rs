// SPDX-License-Identifier: MIT OR Apache-2.0

//! What becomes of a task that ended without a result: run again here, run again elsewhere, or the
//! end of its sector. Pure.
//!
//! The class of the error decides, never its text. What is counted here is written down by whoever
//! must not forget it, so that a restart of the worker gives nobody a new budget.

use std::time::Duration;

use sealpipe_protocol::{
    Class, Code, TaskError,
    error::{ErrorData, RetryWhere},
};
use serde::{Deserialize, Serialize};

use crate::supervisor::Lost;

/// Tries of one task that may be lost with their process. Each resumes where the one before was, so
/// there may be many.
pub const MAX_LOST: u32 = 50;

/// Temporary errors of one task where a person waits for it.
pub const MAX_TEMPORARY: u32 = 5;

/// Temporary errors of one task where nobody does: with delays that double up to [`MAX_DELAY`] about
/// an hour and a half, in which somebody may free the disk.
pub const MAX_TEMPORARY_UNATTENDED: u32 = 25;

/// Processors that one task may bring to a halt by critical errors. The next one is taken for the
/// task's own fault, or else a single bad sector would stop all of them.
pub const MAX_CONDEMNED: u32 = 1;

/// Delay after the first temporary error; it doubles.
pub const FIRST_DELAY: Duration = Duration::from_millis(500);

/// Longest delay, whatever the processor asks for.
pub const MAX_DELAY: Duration = Duration::from_secs(300);

/// What has happened to a task so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tries {
    /// Lost with their process.
    pub lost: u32,
    /// Ended by a temporary error.
    pub temporary: u32,
    /// Ended by a critical error, each in a processor that was stopped for it.
    pub critical: u32,
}

/// What to do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The task waits in its stage's queue again.
    Again {
        /// Not before so long.
        delay: Duration,
        /// Whether another processor of the stage is better.
        elsewhere: bool,
        /// Whether the processor cannot be trusted any more and is to be stopped.
        condemn: bool,
    },
    /// The sector stops, and a person is told.
    Stop {
        /// Whether what the stage has half done is of no use any more.
        drop_work: bool,
    },
}

impl Tries {
    /// Counts a loss and decides. `most_temporary` is the budget of temporary errors.
    pub fn next(&mut self, lost: &Lost, most_temporary: u32) -> Verdict {
        match lost {
            Lost::Gone(_) | Lost::Stalled(_) => self.gone(),
            Lost::Failed(error) if error.known_code() == Some(Code::Interrupted) => self.gone(),
            Lost::Failed(TaskError { data, .. }) => match data.class {
                Class::Temporary => self.temporary(data, most_temporary),
                Class::Critical => self.critical(),
                Class::Abort => Verdict::Stop { drop_work: true },
                Class::Permanent | Class::Unknown => Verdict::Stop { drop_work: false },
            },
        }
    }

    /// The process' own restart has its delay.
    fn gone(&mut self) -> Verdict {
        self.lost = self.lost.saturating_add(1);
        match self.lost < MAX_LOST {
            true => Verdict::Again { delay: Duration::ZERO, elsewhere: false, condemn: false },
            false => Verdict::Stop { drop_work: false },
        }
    }

    fn temporary(&mut self, data: &ErrorData, most: u32) -> Verdict {
        self.temporary = self.temporary.saturating_add(1);
        if self.temporary >= most {
            return Verdict::Stop { drop_work: false };
        }
        let asked = Duration::from_millis(data.retry.map_or(0, |retry| retry.after_ms));
        let doublings = (self.temporary - 1).min(16);
        let doubled = FIRST_DELAY * (1 << doublings);
        let place = data.retry.map(|retry| retry.place);
        Verdict::Again {
            delay: asked.max(doubled).min(MAX_DELAY),
            elsewhere: matches!(place, Some(RetryWhere::OtherProcess | RetryWhere::OtherDevice)),
            condemn: false,
        }
    }

    fn critical(&mut self) -> Verdict {
        self.critical = self.critical.saturating_add(1);
        match self.critical <= MAX_CONDEMNED {
            true => Verdict::Again { delay: Duration::ZERO, elsewhere: true, condemn: true },
            false => Verdict::Stop { drop_work: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(error: TaskError) -> Lost {
        Lost::Failed(error)
    }

    fn delay(tries: &mut Tries, lost: &Lost) -> Option<u128> {
        match tries.next(lost, MAX_TEMPORARY) {
            Verdict::Again { delay, .. } => Some(delay.as_millis()),
            Verdict::Stop { .. } => None,
        }
    }

    #[test]
    fn the_class_decides() {
        let again = |elsewhere, condemn| (true, elsewhere, condemn);
        let check = |code, expected| {
            let error = TaskError::new(code, "");
            let decided = match Tries::default().next(&failed(error), MAX_TEMPORARY) {
                Verdict::Again { elsewhere, condemn, .. } => again(elsewhere, condemn),
                Verdict::Stop { drop_work } => (false, drop_work, false),
            };
            assert_eq!(decided, expected, "{code:?}");
        };
        check(Code::Busy, again(false, false));
        check(Code::OutputConflict, again(false, false));
        check(Code::ResourceExhausted, again(false, false));
        check(Code::Interrupted, again(false, false));
        check(Code::VerificationFailed, again(true, true));
        check(Code::InvalidInput, (false, false, false));
        check(Code::Cancelled, (false, true, false));
    }

    #[test]
    fn delays_double_respect_the_hint_and_end() {
        let mut tries = Tries::default();
        let busy = failed(TaskError::new(Code::Busy, ""));
        let delays: Vec<_> = (0..5).map(|_| delay(&mut tries, &busy)).collect();
        assert_eq!(delays, [Some(500), Some(1000), Some(2000), Some(4000), None]);
        let hinted = failed(TaskError::new(Code::Busy, "").retry(RetryWhere::Same, 7_000));
        assert_eq!(delay(&mut Tries::default(), &hinted), Some(7_000));
        let absurd = failed(TaskError::new(Code::Busy, "").retry(RetryWhere::Same, u64::MAX));
        assert_eq!(delay(&mut Tries::default(), &absurd), Some(MAX_DELAY.as_millis()));
    }

    #[test]
    fn where_nobody_waits_there_is_time_to_free_the_disk() {
        let full = failed(TaskError::new(Code::ResourceExhausted, "disk full"));
        let mut tries = Tries::default();
        let delays = std::iter::from_fn(|| match tries.next(&full, MAX_TEMPORARY_UNATTENDED) {
            Verdict::Again { delay, .. } => Some(delay),
            Verdict::Stop { .. } => None,
        });
        let all: Duration = delays.sum();
        assert!((3600..7200).contains(&all.as_secs()), "{all:?}");
    }

    #[test]
    fn another_place_is_taken_where_the_processor_says_so() {
        for (place, expected) in [
            (RetryWhere::Same, false),
            (RetryWhere::OtherProcess, true),
            (RetryWhere::OtherDevice, true),
            (RetryWhere::Unknown, false),
        ] {
            let error = failed(TaskError::new(Code::DeviceLost, "").retry(place, 0));
            let verdict = Tries::default().next(&error, MAX_TEMPORARY);
            let Verdict::Again { elsewhere, .. } = verdict else { panic!("{verdict:?}") };
            assert_eq!(elsewhere, expected, "{place:?}");
        }
    }

    #[test]
    fn one_bad_sector_does_not_stop_every_processor() {
        let wrong = failed(TaskError::new(Code::VerificationFailed, ""));
        let mut tries = Tries::default();
        let first = Verdict::Again { delay: Duration::ZERO, elsewhere: true, condemn: true };
        assert_eq!(tries.next(&wrong, MAX_TEMPORARY), first);
        assert_eq!(tries.next(&wrong, MAX_TEMPORARY), Verdict::Stop { drop_work: false });
    }

    #[test]
    fn a_task_that_always_kills_its_process_ends_even_if_the_worker_restarts() {
        let mut tries = Tries::default();
        let gone = Lost::Gone("signal 11".into());
        let mut given = 0;
        while delay(&mut tries, &gone).is_some() {
            given += 1;
            let kept = serde_json::to_string(&tries).unwrap();
            tries = serde_json::from_str(&kept).unwrap();
        }
        assert_eq!(given, MAX_LOST - 1);
    }
}
