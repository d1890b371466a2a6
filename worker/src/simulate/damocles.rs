// SPDX-License-Identifier: MIT OR Apache-2.0

//! How damocles-worker 0.13 shares processors, step for step, for comparison.
//!
//! Each sector is a thread that blocks. For a task it takes, one after the other and holding what it
//! has: the stage's token (`limitation.concurrent`), the stage's stagger token, and a processor: of all
//! whose slot and locks it can take at once, the one with the most free slots, of equals the last in
//! the file. When there is none it blocks on the *first* entry of the stage: on its slot, then on its
//! locks in the order in which they stand there.
//!
//! All of these are bounded channels of crossbeam. When a place in one comes free, the thread that
//! waits longest is woken and tries again; whoever comes in between takes it, and the woken thread goes
//! to the end of the queue. How often that happens is a matter of microseconds, which a simulation does
//! not have: [`Newcomers`].
//!
//! Not modelled: a selection takes the slots and locks of all processors for a moment, so that another
//! one meanwhile finds them busy.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use sealpipe_protocol::Stage;

use super::{
    policy::{Policy, Start, Stuck, TaskId},
    random::Random,
    site::{Site, SitePlace},
};
use crate::scheduler::{Sector, Time};

/// What an entry without `concurrent` counts as when its free slots are compared.
const UNLIMITED_RANKS_AS: usize = 64;

/// The random order of threads is of its own, whatever else the seed is used for.
const ABOUT_THREADS: u64 = 0x7468;

/// What happens when a lock or slot comes free, and a thread that blocks on it and one that has just come
/// both want it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Newcomers {
    /// The newcomer always has it: the worst that the channels allow.
    First,
    /// Either, by a seeded coin.
    Random,
    /// The woken thread always has it: as if the channels were queues.
    Last,
}

/// A bounded channel: so many may be in it, others block.
#[derive(Debug)]
struct Channel {
    name: String,
    /// `None` for no bound; 0 blocks for ever.
    bound: Option<usize>,
    inside: usize,
    blocked: VecDeque<TaskId>,
}

impl Channel {
    fn new(name: String, bound: Option<usize>) -> Self {
        Self { name, bound, inside: 0, blocked: VecDeque::new() }
    }

    fn is_open(&self) -> bool {
        self.bound.is_none_or(|bound| self.inside < bound)
    }

    fn try_send(&mut self) -> bool {
        let open = self.is_open();
        self.inside += usize::from(open);
        open
    }

    /// Takes one out. Who is woken by that.
    fn receive(&mut self) -> Option<TaskId> {
        self.inside = self.inside.saturating_sub(1);
        self.blocked.pop_front()
    }
}

/// How far a thread is with a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    /// The sector has no sealing thread yet.
    Thread,
    Token,
    Stagger,
    Selection,
    /// It blocks on the first entry and has taken so many of its slot and locks.
    First(usize),
    Running,
}

#[derive(Clone, Debug)]
struct Thread {
    stage: Stage,
    sector: Sector,
    at: At,
    /// The channels that it is in, in the order in which it came into them.
    inside: Vec<usize>,
}

/// The timer that empties a stage's stagger channel.
#[derive(Clone, Copy, Debug)]
struct Timer {
    interval: Duration,
    next: Time,
}

/// damocles' way of sharing a site.
pub struct Damocles {
    places: Vec<SitePlace>,
    channels: Vec<Channel>,
    timers: BTreeMap<Stage, Timer>,
    threads: BTreeMap<TaskId, Thread>,
    /// Threads that are awake.
    awake: Vec<TaskId>,
    /// Sealing threads: sectors at once.
    n_threads: Option<usize>,
    sectors: BTreeSet<Sector>,
    without_thread: VecDeque<TaskId>,
    newcomers: Newcomers,
    random: Random,
}

impl Damocles {
    /// A site without any task. The bound on sectors in flight stands for the number of sealing
    /// threads, each of which keeps its sector until it is sealed.
    pub fn new(site: &Site, newcomers: Newcomers, seed: u64) -> Self {
        let named = |kind: &'static str| move |name: &str| format!("{kind} `{name}`");
        let (token, stagger, slot) =
            (named("token of stage"), named("stagger token of stage"), named("slot of"));
        let tokens = Stage::ALL.iter();
        let tokens =
            tokens.map(|stage| Channel::new(token(stage.name()), site.limit(*stage).concurrent));
        let staggers = Stage::ALL.iter().map(|stage| Channel::new(stagger(stage.name()), Some(1)));
        // What no entry names runs in the sealing threads themselves, without a bound.
        let slots =
            site.places.iter().map(|place| Channel::new(slot(&place.name), place.concurrent));
        let locks = site.locks.iter().map(|l| Channel::new(named("lock")(&l.name), l.units));
        let timer = |stage: &Stage| {
            let interval = site.limit(*stage).staggered?;
            Some((*stage, Timer { interval, next: interval }))
        };
        Self {
            places: site.places.clone(),
            channels: tokens.chain(staggers).chain(slots).chain(locks).collect(),
            timers: Stage::ALL.iter().filter_map(timer).collect(),
            threads: BTreeMap::new(),
            awake: Vec::new(),
            n_threads: site.in_flight,
            sectors: BTreeSet::new(),
            without_thread: VecDeque::new(),
            newcomers,
            random: Random::new(seed, &[ABOUT_THREADS]),
        }
    }

    // Channels stand in this order: tokens, stagger tokens, slots, locks.
    fn token(stage: Stage) -> usize {
        stage as usize
    }

    fn stagger(stage: Stage) -> usize {
        Stage::ALL.len() + stage as usize
    }

    fn slot(place: usize) -> usize {
        2 * Stage::ALL.len() + place
    }

    /// The channels of an entry in the order in which they are taken: slot, then locks.
    fn channels_of(&self, place: usize) -> Vec<usize> {
        let first_lock = Self::slot(self.places.len());
        let locks = self.places[place].locks.iter().map(|lock| first_lock + lock);
        std::iter::once(Self::slot(place)).chain(locks).collect()
    }

    /// The thread that goes on next.
    fn wake_next(&mut self) -> TaskId {
        let blocked = |task: &TaskId| {
            self.threads.get(task).is_some_and(|thread| matches!(thread.at, At::First(_)))
        };
        let is_next = |task: &TaskId| match self.newcomers {
            Newcomers::First => !blocked(task),
            Newcomers::Random => true,
            Newcomers::Last => blocked(task),
        };
        let mut next: Vec<usize> =
            (0..self.awake.len()).filter(|index| is_next(&self.awake[*index])).collect();
        if next.is_empty() {
            next = (0..self.awake.len()).collect();
        }
        self.awake.swap_remove(next[self.random.below(next.len())])
    }

    /// Lets a thread do the next thing with a channel: others may come in between. Where it runs, if
    /// it does.
    fn go_on(&mut self, task: TaskId) -> Option<usize> {
        let Thread { stage, sector, at, .. } = *self.threads.get(&task)?;
        let (channel, next) = match at {
            At::Thread if self.may_begin(sector) => {
                self.sectors.insert(sector);
                return self.turn_to(task, At::Token);
            }
            At::Thread => {
                self.without_thread.push_back(task);
                return None;
            }
            At::Token => (Self::token(stage), At::Stagger),
            At::Stagger if self.timers.contains_key(&stage) => {
                (Self::stagger(stage), At::Selection)
            }
            At::Stagger => return self.turn_to(task, At::Selection),
            At::Selection => {
                let Some(place) = self.select(stage) else {
                    return self.turn_to(task, At::First(0));
                };
                return self.run(task, place, self.channels_of(place));
            }
            At::First(n_taken) => {
                let first = self.places.iter().position(|place| place.stage == stage)?;
                match self.channels_of(first).get(n_taken) {
                    Some(channel) => (*channel, At::First(n_taken + 1)),
                    None => return self.run(task, first, Vec::new()),
                }
            }
            At::Running => return None,
        };
        if !self.channels[channel].try_send() {
            self.channels[channel].blocked.push_back(task);
            return None;
        }
        // Nobody owns a stagger token: the timer takes it away.
        let thread = self.threads.get_mut(&task)?;
        thread.inside.extend((at != At::Stagger).then_some(channel));
        self.turn_to(task, next)
    }

    fn turn_to(&mut self, task: TaskId, at: At) -> Option<usize> {
        self.threads.get_mut(&task)?.at = at;
        self.awake.push(task);
        None
    }

    fn run(&mut self, task: TaskId, place: usize, taken: Vec<usize>) -> Option<usize> {
        let thread = self.threads.get_mut(&task)?;
        thread.inside.extend(taken);
        thread.at = At::Running;
        Some(place)
    }

    fn may_begin(&self, sector: Sector) -> bool {
        self.sectors.contains(&sector) || self.n_threads.is_none_or(|n| self.sectors.len() < n)
    }

    /// Takes slot and locks of all entries that it can, and keeps those of the entry with the most
    /// free slots; of equals the last.
    fn select(&mut self, stage: Stage) -> Option<usize> {
        let places = (0..self.places.len()).filter(|place| self.places[*place].stage == stage);
        let places: Vec<usize> = places.collect();
        let taken: Vec<usize> = places.into_iter().filter(|place| self.try_all(*place)).collect();
        let free = |place: &usize| {
            let slots = self.places[*place].concurrent.unwrap_or(UNLIMITED_RANKS_AS);
            slots.saturating_sub(self.channels[Self::slot(*place)].inside)
        };
        let selected = taken.iter().copied().max_by_key(free);
        for place in taken.into_iter().filter(|place| Some(*place) != selected) {
            for channel in self.channels_of(place) {
                self.channels[channel].inside -= 1;
            }
        }
        selected
    }

    /// Takes an entry's slot and locks, or nothing.
    fn try_all(&mut self, place: usize) -> bool {
        let channels = self.channels_of(place);
        let n_taken = channels.iter().take_while(|c| self.channels[**c].try_send()).count();
        let has_all = n_taken == channels.len();
        for channel in channels.iter().take(if has_all { 0 } else { n_taken }) {
            self.channels[*channel].inside -= 1;
        }
        has_all
    }

    /// Takes a stage's stagger token away, because its timer says so or a task has ended. Both
    /// start the timer anew.
    fn empty_stagger(&mut self, stage: Stage, at: Time) {
        let Some(timer) = self.timers.get_mut(&stage) else { return };
        timer.next = at.saturating_add(timer.interval);
        let woken = self.channels[Self::stagger(stage)].receive();
        self.awake.extend(woken);
    }

    fn fire_timers(&mut self, now: Time) {
        for stage in Stage::ALL {
            while let Some(timer) =
                self.timers.get(stage).copied().filter(|timer| timer.next <= now)
            {
                self.empty_stagger(*stage, timer.next);
            }
        }
    }
}

impl Policy for Damocles {
    fn request(&mut self, task: TaskId, stage: Stage, sector: Sector, _now: Time) {
        self.threads.insert(task, Thread { stage, sector, at: At::Thread, inside: Vec::new() });
        self.awake.push(task);
    }

    fn release(&mut self, task: TaskId, now: Time) {
        self.fire_timers(now);
        let Some(thread) = self.threads.remove(&task) else { return };
        // The processor's guards are dropped before the stage's token.
        for channel in thread.inside.into_iter().rev() {
            let woken = self.channels[channel].receive();
            self.awake.extend(woken);
        }
        self.empty_stagger(thread.stage, now);
    }

    fn leave(&mut self, sector: Sector) {
        self.sectors.remove(&sector);
        self.awake.extend(self.without_thread.pop_front());
    }

    fn grants(&mut self, now: Time) -> (Vec<Start>, Option<Time>) {
        self.fire_timers(now);
        let mut starts = Vec::new();
        while !self.awake.is_empty() {
            let task = self.wake_next();
            starts.extend(self.go_on(task).map(|place| Start { task, place }));
        }
        let blocks = |stage: &Stage| !self.channels[Self::stagger(*stage)].blocked.is_empty();
        let waited_for = self.timers.iter().filter(|(stage, _)| blocks(stage));
        (starts, waited_for.map(|(_, timer)| timer.next).min())
    }

    /// Threads that are in a channel and blocked on another that nobody who goes on will leave.
    fn stuck(&self) -> Vec<Stuck> {
        let mut blocked_on = BTreeMap::new();
        for (index, channel) in self.channels.iter().enumerate() {
            blocked_on.extend(channel.blocked.iter().map(|task| (*task, index)));
        }
        let is_stagger =
            |channel: usize| (Self::stagger(Stage::ALL[0])..Self::slot(0)).contains(&channel);
        let mut goes_on: BTreeSet<TaskId> =
            self.threads.keys().filter(|task| !blocked_on.contains_key(task)).copied().collect();
        loop {
            let will_open = |channel: usize| {
                let inside = |task: &&TaskId| self.threads[*task].inside.contains(&channel);
                is_stagger(channel)
                    || self.channels[channel].is_open()
                    || goes_on.iter().find(inside).is_some()
            };
            let more = blocked_on.iter().filter(|(task, _)| !goes_on.contains(task));
            let more: Vec<TaskId> =
                more.filter(|(_, channel)| will_open(**channel)).map(|(task, _)| *task).collect();
            if more.is_empty() {
                break;
            }
            goes_on.extend(more);
        }
        let for_ever = blocked_on.iter().filter(|(task, _)| !goes_on.contains(task));
        let holds = |task: &TaskId| {
            let inside = self.threads[task].inside.iter().map(|channel| &self.channels[*channel]);
            inside.filter(|c| c.bound.is_some()).map(|channel| channel.name.clone()).collect()
        };
        let stuck = for_ever.map(|(task, channel)| Stuck {
            task: *task,
            holds: holds(task),
            waits_for: self.channels[*channel].name.clone(),
        });
        stuck.filter(|stuck| !stuck.holds.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests;
