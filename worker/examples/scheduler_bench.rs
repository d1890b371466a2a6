// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a step of the scheduler costs while many sectors are queued: `cargo run --release -p
//! sealpipe-worker --example scheduler_bench`.
//!
//! The shape is that of a machine with two GPUs that pc2 and c2 share (`docs/scheduling.md`): 28 pc1 at
//! two places, 2 pc2 and 2 c2 with a lock each. All sectors are queued before the first step, on four
//! disks; a step is the end of a task, the request for the sector's next one, and what is granted then.

use std::time::{Duration, Instant};

use sealpipe_protocol::Stage;
use sealpipe_worker::scheduler::{
    Cap, Need, Place, Policy, Rules, Scheduler, Sector, StageLimit, Ticket, Time,
};

/// Steps that are measured.
const STEPS: usize = 20_000;

/// Minutes of a 32GiB sector's stages: damocles' own table, for an EPYC 7642 and an RTX 3080.
const MINUTES: [(Stage, f64); 3] = [(Stage::Pc1, 177.0), (Stage::Pc2, 11.5), (Stage::C2, 14.5)];

/// What a sector of the benchmark writes, and what its disk takes of it.
const SECTOR_BYTES: u64 = 1;
const DISK_BYTES: u64 = 20;
const DISKS: u64 = 4;

fn place(stage: Stage, rank: usize, capacity: usize, lock: Option<&str>) -> Place {
    let locks = lock.into_iter().map(str::to_owned).collect();
    Place { stage, rank, capacity, locks, weight: 1, is_counted: true }
}

fn scheme_b() -> Scheduler {
    let rules = Rules {
        limits: [
            (Stage::Pc1, StageLimit { concurrent: Some(28), staggered: None }),
            (Stage::Pc2, StageLimit { concurrent: Some(2), staggered: None }),
            (Stage::C2, StageLimit { concurrent: Some(2), staggered: None }),
        ]
        .into(),
        locks: ["gpu1", "gpu2"].map(|name| (name.to_owned(), 1)).into(),
        policy: Policy::default(),
        sectors_in_flight: Cap::Auto,
    };
    let places = vec![
        place(Stage::Pc1, 0, 14, None),
        place(Stage::Pc1, 1, 14, None),
        place(Stage::Pc2, 2, 1, Some("gpu1")),
        place(Stage::Pc2, 3, 1, Some("gpu2")),
        place(Stage::C2, 4, 1, Some("gpu1")),
        place(Stage::C2, 5, 1, Some("gpu2")),
    ];
    Scheduler::new(rules, places)
}

/// A task that runs until a moment.
type Running = (Time, Ticket, Sector, Stage);

struct Bench {
    scheduler: Scheduler,
    now: Time,
    running: Vec<Running>,
    /// Of the tasks that wait, in the order of their tickets.
    waiting: std::collections::BTreeMap<Ticket, (Sector, Stage)>,
    next_sector: Sector,
}

impl Bench {
    fn new(queued: u64) -> Self {
        let mut bench = Self {
            scheduler: scheme_b(),
            now: Time::ZERO,
            running: Vec::new(),
            waiting: Default::default(),
            next_sector: 0,
        };
        (0..DISKS).for_each(|disk| bench.scheduler.set_room(disk, DISK_BYTES));
        (0..queued).for_each(|_| bench.submit());
        bench
    }

    fn submit(&mut self) {
        let sector = self.next_sector;
        self.next_sector += 1;
        let need = Need { disk: sector % DISKS, bytes: SECTOR_BYTES };
        self.scheduler.enroll(sector, Some(need));
        self.request(Stage::Pc1, sector);
    }

    fn request(&mut self, stage: Stage, sector: Sector) {
        let ticket = self.scheduler.request(stage, Some(sector), None);
        self.waiting.insert(ticket, (sector, stage));
    }

    /// One task ends: what its scheduling costs.
    fn step(&mut self) -> Duration {
        let first = self.running.iter().enumerate().min_by_key(|(_, running)| running.0);
        let ended = first.map(|(index, _)| index).map(|index| self.running.swap_remove(index));
        let since = Instant::now();
        if let Some((at, ticket, sector, stage)) = ended {
            self.now = at;
            self.scheduler.release(ticket);
            match stage {
                Stage::Pc1 => self.request(Stage::Pc2, sector),
                Stage::Pc2 => self.request(Stage::C2, sector),
                _ => {
                    self.scheduler.leave(sector);
                    self.scheduler.set_room(sector % DISKS, DISK_BYTES);
                    self.submit();
                }
            }
        }
        let (grants, _) = self.scheduler.grants(self.now);
        let took = since.elapsed();
        for grant in grants {
            let Some((sector, stage)) = self.waiting.remove(&grant.ticket) else { continue };
            let minutes = MINUTES.iter().find(|(known, _)| *known == stage);
            let minutes = minutes.map_or(0.0, |(_, minutes)| *minutes);
            let end = self.now + Duration::from_secs(60).mul_f64(minutes);
            self.running.push((end, grant.ticket, sector, stage));
        }
        took
    }
}

fn main() {
    for queued in [1_000, 10_000] {
        let mut bench = Bench::new(queued);
        let mut took: Vec<Duration> = (0..STEPS).map(|_| bench.step()).collect();
        let explained = Instant::now();
        let reasons = bench.waiting.keys().map(|t| bench.scheduler.explain(*t, bench.now).len());
        let reasons: usize = reasons.sum();
        let explained = explained.elapsed();
        took.sort();
        let mean = took.iter().sum::<Duration>() / STEPS as u32;
        println!(
            "{queued:>6} sectors queued: a step takes {mean:?} on average, {:?} in 99 of 100, {:?} at \
             most; {reasons} reasons why {} tasks wait take {explained:?}",
            took[STEPS * 99 / 100],
            took[STEPS - 1],
            bench.waiting.len(),
        );
    }
}
