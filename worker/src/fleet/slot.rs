// SPDX-License-Identifier: MIT OR Apache-2.0

//! Places for tasks: asked for, waited for, and given back when they are dropped, whatever ends first.

use std::sync::Arc;

use sealpipe_protocol::Stage;
use tokio::sync::oneshot;

use super::{Fleet, Patience};
use crate::{
    scheduler::{Need, PlaceId, Sector, Ticket},
    supervisor::{Processor, StartError, State},
};

/// What a waiting task gets.
pub(super) struct Given {
    pub place: PlaceId,
    pub processor: Arc<Processor>,
}

/// A sector on its way through the stages, from its first task to its end: what the cap on sectors in
/// flight counts, and what the room on its disk is kept for. It ends when this is dropped.
pub struct Journey {
    fleet: Arc<Fleet>,
    pub(super) sector: Sector,
}

impl Journey {
    /// The number by which the scheduler knows the sector.
    pub fn id(&self) -> Sector {
        self.sector
    }

    /// Says that the sector has begun before, under an earlier worker: it counts at once.
    pub fn begin(&self) {
        self.fleet.inner().scheduler.begin(self.sector);
    }

    /// Gives no new task of the sector a place. One that runs goes on.
    pub fn hold(&self) {
        self.fleet.inner().scheduler.hold(self.sector);
    }

    /// Lets the sector go on.
    pub fn unhold(&self) {
        self.fleet.inner().scheduler.unhold(self.sector);
        self.fleet.pump();
    }

    /// Whether a task of the sector was given a place so far. From then on what it will still write is
    /// the caller's to take off the room of its disk.
    pub fn has_begun(&self) -> bool {
        self.fleet.inner().scheduler.has_begun(self.sector)
    }
}

impl Drop for Journey {
    fn drop(&mut self) {
        {
            let mut inner = self.fleet.inner();
            inner.scheduler.leave(self.sector);
            inner.names.remove(&self.sector);
        }
        self.fleet.pump();
    }
}

/// A place for one task, given back when dropped.
pub struct Slot {
    fleet: Arc<Fleet>,
    ticket: Ticket,
    given: Given,
}

impl Slot {
    /// The processor.
    pub fn processor(&self) -> &Processor {
        &self.given.processor
    }

    /// The place, for a task that fails here and is to be run elsewhere.
    pub fn place(&self) -> PlaceId {
        self.given.place
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let is_forgotten = {
            let mut inner = self.fleet.inner();
            inner.scheduler.release(self.ticket);
            !inner.scheduler.has_place(self.given.place)
        };
        if is_forgotten {
            self.fleet.forgotten.send_modify(|n| *n += 1);
        }
        self.fleet.pump();
    }
}

/// A request that is withdrawn when dropped unanswered.
struct Waiting<'a> {
    fleet: &'a Arc<Fleet>,
    ticket: Ticket,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered {
            let mut inner = self.fleet.inner();
            inner.waiters.remove(&self.ticket);
            // It may have been granted in this moment: then its slot and locks are given back.
            inner.scheduler.release(self.ticket);
            drop(inner);
            self.fleet.forgotten.send_modify(|n| *n += 1);
            self.fleet.pump();
        }
    }
}

impl Fleet {
    /// A sector begins its way under a name; it is in flight from its first task on. With a need its
    /// first task waits until there is [room](Self::set_room).
    pub fn begin_sector(self: &Arc<Self>, name: &str, need: Option<Need>) -> Journey {
        let mut inner = self.inner();
        inner.last_sector += 1;
        let sector = inner.last_sector;
        inner.scheduler.enroll(sector, need);
        inner.names.insert(sector, name.to_owned());
        Journey { fleet: self.clone(), sector }
    }

    /// Waits for a place for a task of a stage, and starts the stage's processors if need be. A task
    /// of no sector is not held back by what bounds sectors. `avoid` is the place where the task
    /// failed, if it is to be run elsewhere as far as that is possible.
    ///
    /// Dropping the future withdraws the request.
    ///
    /// # Errors
    /// Why none of them will ever take it, as far as the fleet's [`Patience`] ends.
    pub async fn slot(
        self: &Arc<Self>,
        stage: Stage,
        journey: Option<&Journey>,
        avoid: Option<PlaceId>,
    ) -> Result<Slot, Arc<StartError>> {
        if self.patience == Patience::UntilGivenUp
            && let Some(why) = self.never(stage)
        {
            return Err(Arc::new(why));
        }
        let (granted_to, granted) = oneshot::channel();
        let ticket = {
            let mut inner = self.inner();
            inner.of_stage(stage).for_each(|processor| processor.start());
            let sector = journey.map(|journey| journey.sector);
            let ticket = inner.scheduler.request(stage, sector, avoid);
            inner.waiters.insert(ticket, granted_to);
            ticket
        };
        let mut waiting = Waiting { fleet: self, ticket, answered: false };
        self.pump();
        tokio::select! {
            biased;
            // Its sender stays until it is answered or withdrawn.
            Ok(given) = granted => {
                waiting.answered = true;
                Ok(Slot { fleet: self.clone(), ticket, given })
            }
            error = self.hopeless(stage) => Err(error),
        }
    }

    /// Why a stage will never run, by the configuration alone. Waiting in silence helps nobody.
    fn never(&self, stage: Stage) -> Option<StartError> {
        let inner = self.inner();
        let off = inner.of_stage(stage).all(|processor| processor.spec().concurrent == Some(0));
        let why = match off {
            true => Some(format!("`concurrent` is 0 in all entries of `{stage}`")),
            false => inner.scheduler.forbidden(stage),
        };
        why.map(|why| StartError {
            processor: stage.to_string(),
            message: format!("it never gets a task: {why}"),
            hint: Some("0 means never; leave the key out for no limit".to_owned()),
            last_words: Vec::new(),
        })
    }

    /// Waits until a task of a stage need not wait any longer, and says why.
    async fn hopeless(&self, stage: Stage) -> Arc<StartError> {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(error) = self.given_up(stage) {
                return error;
            }
            // It cannot close: its sender is here.
            let _ = changed.changed().await;
        }
    }

    fn given_up(&self, stage: Stage) -> Option<Arc<StartError>> {
        let stopped = || {
            Arc::new(StartError {
                processor: stage.to_string(),
                message: "it was stopped".to_owned(),
                hint: None,
                last_words: Vec::new(),
            })
        };
        if self.is_stopping() {
            return Some(stopped());
        }
        if self.patience == Patience::Endless {
            return None;
        }
        let mut last = None;
        for processor in self.inner().of_stage(stage) {
            match &*processor.state().borrow() {
                State::Degraded(error) => last = Some(error.clone()),
                State::Stopped => {}
                _ => return None,
            }
        }
        Some(last.unwrap_or_else(stopped))
    }
}
