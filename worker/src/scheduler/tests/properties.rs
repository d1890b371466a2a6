// SPDX-License-Identifier: MIT OR Apache-2.0

//! What holds in every state: random rules, and random walks through requests, ends, and processes
//! that come and go. Everything is counted here a second time, from the grants alone.

use super::*;

/// Walks, each with rules of its own.
const WALKS: u64 = 100;
/// Steps of a walk.
const STEPS: usize = 200;

const STAGES: [Stage; 4] = [Stage::Pc1, Stage::Pc2, Stage::C1, Stage::C2];
const LOCKS: [&str; 3] = ["a", "b", "c"];

/// A linear congruential generator (Knuth, MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

fn random_places(random: &mut Random) -> Vec<Place> {
    // One place of each stage at least, so that no stage waits for ever.
    let mut stages = STAGES.to_vec();
    stages.extend((0..3).map(|_| STAGES[random.below(4)]));
    let mut place = |stage| {
        let mut locks = LOCKS.map(str::to_owned).to_vec();
        locks.retain(|_| random.below(3) == 0);
        let (capacity, weight) = (1 + random.below(3), 1 + random.below(3) as u32);
        Place {
            stage,
            rank: 0,
            capacity,
            locks: locks.into_iter().collect(),
            weight,
            is_counted: true,
        }
    };
    stages.into_iter().map(&mut place).collect()
}

fn random_rules(random: &mut Random) -> Rules {
    let limits = STAGES.map(|stage| {
        let concurrent = (random.below(2) == 0).then(|| 1 + random.below(3));
        let staggered = (random.below(4) == 0).then(|| Duration::from_secs(3));
        (stage, StageLimit { concurrent, staggered })
    });
    let policy = match random.below(4) {
        0 => Policy::Fifo,
        n => Policy::LaterFirst { overtakes: n as u32 - 1 },
    };
    Rules {
        limits: limits.into(),
        locks: LOCKS.map(|name| (name.to_owned(), 1 + random.below(2))).into(),
        policy,
        sectors_in_flight: match random.below(2) {
            0 => Cap::AtMost(1 + random.below(5)),
            _ => Cap::Unbounded,
        },
    }
}

/// A task as this test knows it.
struct Task {
    ticket: Ticket,
    stage: Stage,
    sector: Sector,
}

struct Walk {
    rules: Rules,
    places: Vec<Place>,
    scheduler: Scheduler,
    now: Time,
    waiting: Vec<Task>,
    running: Vec<(Task, usize)>,
    /// How often the oldest waiting task of a stage was deprived of a lock since the stage's last grant.
    deprived: BTreeMap<Stage, u32>,
    last_start: BTreeMap<Stage, Time>,
    begun: BTreeSet<Sector>,
    sectors: Sector,
}

impl Walk {
    fn new(random: &mut Random) -> Self {
        let (rules, places) = (random_rules(random), random_places(random));
        let scheduler = Scheduler::new(rules.clone(), places.clone());
        Self {
            rules,
            places,
            scheduler,
            now: Time::ZERO,
            waiting: Vec::new(),
            running: Vec::new(),
            deprived: BTreeMap::new(),
            last_start: BTreeMap::new(),
            begun: BTreeSet::new(),
            sectors: 0,
        }
    }

    fn request(&mut self, stage: Stage, sector: Sector) {
        let ticket = self.scheduler.request(stage, Some(sector), None);
        self.waiting.push(Task { ticket, stage, sector });
    }

    fn n_at(&self, place: usize) -> usize {
        self.running.iter().filter(|(_, at)| *at == place).count()
    }

    fn n_held(&self, lock: &str) -> usize {
        self.running.iter().filter(|(_, at)| self.places[*at].locks.contains(lock)).count()
    }

    fn n_free(&self, lock: &str) -> usize {
        self.rules.locks[lock] - self.n_held(lock)
    }

    /// Whether limits, intervals and the bound on sectors let a task start.
    fn may_start(&self, task: &Task) -> bool {
        let limit = self.rules.limits[&task.stage];
        let running = self.running.iter().filter(|(other, _)| other.stage == task.stage).count();
        let is_early = limit.staggered.is_some_and(|interval| {
            self.last_start.get(&task.stage).is_some_and(|last| *last + interval > self.now)
        });
        let is_held_back = !self.begun.contains(&task.sector)
            && matches!(self.rules.sectors_in_flight, Cap::AtMost(n) if self.begun.len() >= n);
        limit.concurrent.is_none_or(|limit| running < limit) && !is_early && !is_held_back
    }

    fn oldest(&self, stage: Stage) -> Option<&Task> {
        self.waiting.iter().find(|task| task.stage == stage && self.may_start(task))
    }

    /// Places of a stage with a slot that is free.
    fn open(&self, stage: Stage) -> impl Iterator<Item = &Place> {
        let places = self.places.iter().enumerate();
        let open = places
            .filter(move |(at, place)| place.stage == stage && place.capacity > self.n_at(*at));
        open.map(|(_, place)| place)
    }

    fn take(&mut self, grant: Grant) {
        let index = self.waiting.iter().position(|task| task.ticket == grant.ticket);
        let task = self.waiting.remove(index.expect("only what waits is granted"));
        assert_eq!(self.places[grant.place.number() as usize].stage, task.stage);
        assert!(
            self.n_at(grant.place.number() as usize)
                < self.places[grant.place.number() as usize].capacity,
            "a slot is free"
        );
        assert!(self.may_start(&task), "the limits hold");
        let same = |other: &&Task| other.stage == task.stage && self.may_start(other);
        let older = self.waiting.iter().find(same).filter(|other| other.ticket < task.ticket);
        assert!(older.is_none(), "a stage is served in order");
        self.deprive(&task, grant.place.number() as usize);
        for lock in &self.places[grant.place.number() as usize].locks {
            assert!(self.n_free(lock) > 0, "a lock is free");
        }
        self.last_start.insert(task.stage, self.now);
        self.begun.insert(task.sector);
        self.deprived.remove(&task.stage);
        self.running.push((task, grant.place.number() as usize));
    }

    fn deprive(&mut self, task: &Task, place: usize) {
        let last = |lock: &&String| self.n_free(lock) == 1;
        let taken: Vec<&String> = self.places[place].locks.iter().filter(last).collect();
        let loses = |stage: &Stage| {
            self.oldest(*stage).is_some_and(|oldest| oldest.ticket < task.ticket)
                && self.open(*stage).any(|p| p.locks.iter().any(|lock| taken.contains(&lock)))
        };
        let others = STAGES.into_iter().filter(|stage| *stage != task.stage);
        let losing: Vec<Stage> = others.filter(loses).collect();
        for stage in losing {
            let times = self.deprived.entry(stage).or_default();
            *times += 1;
            let bound = self.rules.policy.overtakes();
            assert!(*times <= bound, "{stage} is overtaken {times} times of {bound}");
        }
    }

    /// No slot is idle beside a task that could have it, unless a due stage keeps a lock for itself.
    fn check_nothing_is_idle(&self) {
        for stage in STAGES {
            let Some(oldest) = self.oldest(stage) else { continue };
            let free = |place: &&Place| place.locks.iter().all(|lock| self.n_free(lock) > 0);
            let Some(idle) = self.open(stage).find(free) else { continue };
            let why = self.scheduler.explain(oldest.ticket, self.now);
            let is_kept = why.iter().any(|reason| matches!(reason, Reason::Kept { .. }));
            let bound = self.rules.policy.overtakes();
            let may_keep = |other: &Stage| {
                *other != stage && self.deprived.get(other).copied().unwrap_or(0) >= bound
            };
            assert!(
                is_kept && !idle.locks.is_empty() && STAGES.iter().any(may_keep),
                "{stage} waits beside an idle place: {why:?}"
            );
        }
    }

    fn settle(&mut self) {
        let (grants, wake) = self.scheduler.grants(self.now);
        grants.into_iter().for_each(|grant| self.take(grant));
        assert_eq!(self.scheduler.grants(self.now), (vec![], wake), "asking twice changes nothing");
        // The oldest ones: those behind them wait for the same and for them.
        for task in self.waiting.iter().take(4) {
            assert!(
                !self.scheduler.explain(task.ticket, self.now).is_empty(),
                "it waits for nothing"
            );
        }
        self.check_nothing_is_idle();
    }

    fn end(&mut self, index: usize) -> Task {
        let (task, _) = self.running.swap_remove(index);
        self.scheduler.release(task.ticket);
        task
    }

    /// The sector goes on, or leaves.
    fn go_on(&mut self, task: &Task) {
        let next = STAGES.iter().position(|stage| *stage == task.stage).map_or(4, |i| i + 1);
        match STAGES.get(next) {
            Some(stage) => self.request(*stage, task.sector),
            None => {
                self.begun.remove(&task.sector);
                self.scheduler.leave(task.sector);
            }
        }
    }

    fn step(&mut self, random: &mut Random) {
        match random.below(5) {
            0 | 1 => {
                self.sectors += 1;
                self.request(Stage::Pc1, self.sectors);
            }
            2 | 3 if !self.running.is_empty() => {
                let task = self.end(random.below(self.running.len()));
                self.go_on(&task);
            }
            4 if random.below(4) == 0 => {
                // A process dies, and its tasks wait again; or one comes back.
                let place = random.below(self.places.len());
                let capacity = if self.places[place].capacity == 0 { 2 } else { 0 };
                self.places[place].capacity = capacity;
                self.scheduler.set_capacity(nth(&self.scheduler, place as u64), capacity);
                while let Some(index) = self.running.iter().position(|(_, at)| *at == place) {
                    let task = self.end(index);
                    self.request(task.stage, task.sector);
                }
            }
            _ => self.now += Duration::from_secs(1),
        }
    }

    /// With all processes there and tasks that end, everything is served.
    fn drain(&mut self, random: &mut Random) {
        for place in 0..self.places.len() {
            self.places[place].capacity = self.places[place].capacity.max(1);
            self.scheduler
                .set_capacity(nth(&self.scheduler, place as u64), self.places[place].capacity);
        }
        let bound = 100 * (self.waiting.len() + self.running.len() + 1);
        for _ in 0..bound {
            self.settle();
            self.now += Duration::from_secs(1);
            if !self.running.is_empty() {
                let task = self.end(random.below(self.running.len()));
                self.go_on(&task);
            }
        }
        assert!(self.waiting.is_empty() && self.running.is_empty(), "somebody is never served");
    }
}

#[test]
fn random_walks_keep_all_promises() {
    for seed in 0..WALKS {
        let mut random = Random(seed);
        let mut walk = Walk::new(&mut random);
        for _ in 0..STEPS {
            walk.step(&mut random);
            walk.settle();
        }
        walk.drain(&mut random);
    }
}
