// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every wait of the suite, by name. All grow with `--slow`.

use std::time::Duration;

/// How long the suite waits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// What all limits are multiplied by.
    pub slow: f64,
    /// For the answer to `initialize`, before `slow`.
    pub stable_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { slow: 1.0, stable_wait: Duration::from_secs(5) }
    }
}

impl Limits {
    fn scaled(&self, millis: u64) -> Duration {
        Duration::from_millis(millis).mul_f64(self.slow)
    }

    /// For the answer to `initialize`.
    pub fn initialize(&self) -> Duration {
        self.stable_wait.mul_f64(self.slow)
    }

    /// For answers to `ping`, `task/cancel` and `shutdown`, and to whatever
    /// needs no computation.
    pub fn answer(&self) -> Duration {
        self.scaled(1_000)
    }

    /// For the end of a cancelled run, which SHOULD come in ten seconds.
    pub fn cancelled(&self) -> Duration {
        self.scaled(10_000)
    }

    /// The same where that SHOULD is not what is looked at.
    pub fn cancelled_at_last(&self) -> Duration {
        2 * self.cancelled()
    }

    /// For the result of a task that has next to nothing to do.
    pub fn brief_task(&self) -> Duration {
        self.scaled(5_000)
    }

    /// For bulk to pass through the pipes and through whatever JSON parser reads it.
    pub fn bulk(&self) -> Duration {
        self.scaled(10_000)
    }

    /// For a process to be gone once nothing holds it.
    pub fn exit(&self) -> Duration {
        self.scaled(3_000)
    }

    /// For a process to be gone that may not even have begun.
    pub fn start_and_exit(&self) -> Duration {
        self.initialize() + self.exit()
    }

    /// How long nothing may come where nothing MUST come. A window, not a limit: a fault that is
    /// slower than this goes unseen.
    pub fn quiet(&self) -> Duration {
        Duration::from_millis(150)
    }

    /// For a processor to have nothing left to do. One that never rests is not waited for longer.
    pub fn settle(&self) -> Duration {
        self.scaled(1_000)
    }

    /// The `graceMs` that is granted, so that the checks of it need not wait for ten seconds.
    pub fn grace(&self) -> Duration {
        self.scaled(1_500)
    }

    /// The end of what has the grace: a process that is about to end itself needs a moment more.
    pub fn grace_is_over(&self) -> Duration {
        self.grace() + self.scaled(1_000)
    }

    /// For a worker to end by itself, whatever its processor does: it may try again a few times, and
    /// waits longer each time.
    pub fn worker(&self) -> Duration {
        self.scaled(40_000)
    }

    /// For something that a worker does soon: to start a process, to end one, to answer.
    pub fn soon(&self) -> Duration {
        self.scaled(15_000)
    }

    /// The `stable_wait` of a processor that never answers.
    pub fn silent(&self) -> Duration {
        self.scaled(1_500)
    }

    /// The `stable_wait` where it does not matter: for programs to be started on a busy machine.
    pub fn start(&self) -> Duration {
        self.scaled(60_000)
    }
}
