// SPDX-License-Identifier: MIT OR Apache-2.0

//! When a processor that died is started again: back-off with jitter, a budget, then degraded.
//!
//! Pure: time is an argument, and so is the random number.

use std::time::Duration;

/// Delay before the first restart.
pub const FIRST_DELAY: Duration = Duration::from_millis(500);

/// Longest delay before a restart.
pub const MAX_DELAY: Duration = Duration::from_secs(60);

/// Deaths in a row, none of them after useful work, that end in *degraded*.
pub const MAX_DEATHS: u32 = 6;

/// A process that lived so long had started well, whatever killed it.
pub const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// The deaths of one processor so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lifecycle {
    deaths_in_a_row: u32,
}

/// What is known of a life that ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Life {
    /// How long it lasted, from the end of the handshake.
    pub lasted: Duration,
    /// Tasks that it finished.
    pub tasks_done: u64,
}

/// What is done after a death.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Start again after so long.
    Restart(Duration),
    /// Give up until a person has looked.
    Degraded,
}

impl Lifecycle {
    /// Deaths in a row, none after useful work.
    pub fn deaths_in_a_row(self) -> u32 {
        self.deaths_in_a_row
    }

    /// What is done after a death. `random` is uniform over all of `u32` and spreads the restarts
    /// of processors that died together over a quarter of the delay.
    pub fn died(&mut self, life: Life, auto_restart: bool, random: u32) -> Next {
        if life.tasks_done > 0 || life.lasted >= HEALTHY_AFTER {
            self.deaths_in_a_row = 0;
        }
        self.deaths_in_a_row += 1;
        if !auto_restart || self.deaths_in_a_row >= MAX_DEATHS {
            return Next::Degraded;
        }
        // 500 ms, 1 s, 2 s, … ; the exponent stays far below 32.
        let doubled = FIRST_DELAY.saturating_mul(1 << (self.deaths_in_a_row - 1).min(16));
        let delay = doubled.min(MAX_DELAY);
        let jitter = delay.mul_f64(f64::from(random) / f64::from(u32::MAX) / 4.0);
        Next::Restart(delay + jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USELESS: Life = Life { lasted: Duration::ZERO, tasks_done: 0 };

    fn delays(lives: &[Life]) -> Vec<Option<u64>> {
        let mut lifecycle = Lifecycle::default();
        let next = lives.iter().map(|life| match lifecycle.died(*life, true, 0) {
            Next::Restart(delay) => Some(delay.as_millis() as u64),
            Next::Degraded => None,
        });
        next.collect()
    }

    #[test]
    fn the_delay_doubles_and_the_budget_ends() {
        let expected = [Some(500), Some(1000), Some(2000), Some(4000), Some(8000), None];
        assert_eq!(delays(&[USELESS; 6]), expected);
    }

    #[test]
    fn useful_work_or_a_long_life_starts_the_count_anew() {
        let worked = Life { lasted: Duration::ZERO, tasks_done: 1 };
        let old = Life { lasted: HEALTHY_AFTER, tasks_done: 0 };
        assert_eq!(delays(&[worked; 20]), [Some(500); 20]);
        assert_eq!(delays(&[USELESS, USELESS, old, USELESS]).last(), Some(&Some(1000)));
    }

    #[test]
    fn jitter_adds_up_to_a_quarter() {
        let next = Lifecycle::default().died(USELESS, true, u32::MAX);
        assert_eq!(next, Next::Restart(Duration::from_millis(625)));
    }

    #[test]
    fn without_auto_restart_the_first_death_is_the_last() {
        assert_eq!(Lifecycle::default().died(USELESS, false, 0), Next::Degraded);
    }
}
