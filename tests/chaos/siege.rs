// SPDX-License-Identifier: MIT OR Apache-2.0

//! One sector after another is sealed, and its processes are killed on the way.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Mutex, PoisonError},
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use rustix::process::Signal;
use sealpipe_tests::{Bench, Journal, LIMIT, Process, Run, Vector, random::Random, text};
use serde_json::Value;

use crate::aim;

/// Which process is killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Victim {
    /// The process that the worker started and talks to.
    Processor,
    /// The process that the reference processor started for the task.
    Helper,
    /// The worker. It is started again.
    Worker,
}

/// The stages that are hit, and the first guess of how long they run. The guess shrinks where it
/// turns out too long.
const STAGES: [(&str, Duration); 3] = [
    ("pc1", Duration::from_millis(1_200)),
    ("pc2", Duration::from_millis(4_000)),
    ("c1", Duration::from_millis(60)),
];

/// Kills of a stage in one sector: below the number of deaths in a row after which a processor is
/// given up, and of temporary errors after which a task is.
const KILLS_PER_SECTOR: u64 = 3;

/// Sectors in which nothing is hit any more, after which something is wrong with the test.
const MAX_VAIN_SECTORS: u64 = 10;

/// One test at a time: stages take as long as they are guessed to.
static TURN: Mutex<()> = Mutex::new(());

/// The state of a test.
pub struct Siege {
    victim: Victim,
    random: Random,
    vector: Vector,
    windows: HashMap<&'static str, Duration>,
    /// Kills that have hit, by stage.
    pub hits: BTreeMap<&'static str, u64>,
    /// Sectors that were sealed.
    pub n_sectors: u64,
    n_vain: u64,
}

/// A sector that is being sealed.
struct Sector<'b> {
    bench: &'b Bench,
    args: Vec<String>,
    /// The worker; none between two of them.
    run: Option<Run>,
    journal: Journal,
    /// Events of the journal that were looked at.
    seen: usize,
    /// The finished layers that were there when a process was killed: their content is not to be
    /// written again.
    layers: HashMap<String, (u64, SystemTime)>,
    /// How many of them there were at the last kill in pc1.
    n_layers_in_pc1: usize,
}

/// What came of an attempt to kill.
enum Strike {
    /// The stage was running.
    Hit,
    /// It was over before.
    Missed,
}

/// What came of waiting for the moment.
enum Catch {
    /// The task runs, and this is the victim.
    Caught(Process),
    /// The stage is over.
    Over,
    /// The attempt is over, and another one comes.
    Retried,
}

impl Siege {
    /// Nothing is hit yet.
    pub fn new(victim: Victim, seed: u64) -> Self {
        Self {
            victim,
            random: Random(seed),
            vector: Vector::read("8MiB-data"),
            windows: STAGES.into(),
            hits: STAGES.iter().map(|(stage, _)| (*stage, 0)).collect(),
            n_sectors: 0,
            n_vain: 0,
        }
    }

    /// Seals a sector while its processes are killed, and checks what it has become.
    pub fn sector(&mut self, kills: u64) {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let bench = Bench::new();
        let before: u64 = self.hits.values().sum();
        let mut sector = Sector::start(&bench, &self.vector);
        for (stage, _) in STAGES {
            self.stage(&mut sector, stage, kills);
        }
        sector = sector.ended(&self.vector);
        while self.hits["c1"] < kills && self.n_vain < MAX_VAIN_SECTORS {
            // c1 is short, so it is made again for each kill: a lost output is.
            fs::remove_file(bench.path("sector/c1.json")).unwrap();
            sector = sector.restarted();
            self.stage(&mut sector, "c1", kills);
            sector = sector.ended(&self.vector);
        }
        self.n_sectors += 1;
        let vain = before == self.hits.values().sum::<u64>();
        self.n_vain = if vain { self.n_vain + 1 } else { 0 };
        assert!(self.n_vain < MAX_VAIN_SECTORS, "no kill hits any more: {:?}", self.hits);
    }

    fn stage(&mut self, sector: &mut Sector<'_>, stage: &'static str, kills: u64) {
        let missing = kills.saturating_sub(self.hits[stage]);
        for _ in 0..missing.min(KILLS_PER_SECTOR) {
            match self.strike(sector, stage) {
                Strike::Hit => *self.hits.get_mut(stage).unwrap() += 1,
                Strike::Missed => {
                    *self.windows.get_mut(stage).unwrap() /= 2;
                    return;
                }
            }
        }
    }

    /// Waits for the stage to begin and kills at a random moment in it.
    fn strike(&mut self, sector: &mut Sector<'_>, stage: &'static str) -> Strike {
        let after = self.random.below(self.windows[stage]);
        let process = loop {
            let wait = sector.wait("stage-started", stage);
            let Some((index, started)) = wait else { return Strike::Missed };
            sector.seen = index + 1;
            let processor = i32::try_from(started["pid"].as_i64().unwrap()).unwrap();
            match self.catch(sector, stage, processor, after) {
                Catch::Caught(process) => break process,
                Catch::Over => return Strike::Missed,
                // Such as while the processors of a killed worker still stop.
                Catch::Retried => {}
            }
        };
        sector.note_layers();
        process.kill();
        println!("{:?}: kill in {stage} after {after:?}", self.victim);
        let strike = match self.victim {
            Victim::Worker => sector.worker_died(stage),
            Victim::Processor => sector.died(stage, "the processor is gone"),
            Victim::Helper => sector.died(stage, "the helper process of"),
        };
        if stage == "pc1" && matches!(strike, Strike::Hit) {
            sector.n_layers_in_pc1 = sector.layers.len();
        }
        strike
    }

    /// Finds the process once the moment has come and the task really runs: its helper process is
    /// there.
    fn catch(
        &self,
        sector: &mut Sector<'_>,
        stage: &str,
        processor: i32,
        after: Duration,
    ) -> Catch {
        let moment = Instant::now() + after;
        loop {
            if let Some(over) = sector.is_over(stage) {
                return over;
            }
            if Instant::now() >= moment {
                let processes = sector.bench.processes();
                let computing = processes.iter().any(|process| process.parent == processor);
                let aimed = aim(self.victim, processes, sector.pid(), processor);
                if let (true, Some(process)) = (computing, aimed) {
                    return Catch::Caught(process);
                }
            }
            sleep(moment.saturating_duration_since(Instant::now()).clamp(LOOK / 10, LOOK));
        }
    }
}

/// How often a process is looked for.
const LOOK: Duration = Duration::from_millis(20);

impl<'b> Sector<'b> {
    fn start(bench: &'b Bench, vector: &Vector) -> Self {
        let args = vector.seal(bench, "sector");
        let run = Some(start(bench, &args));
        let journal = bench.journal("sector");
        Self { bench, args, run, journal, seen: 0, layers: HashMap::new(), n_layers_in_pc1: 0 }
    }

    fn restarted(mut self) -> Self {
        self.run = Some(start(self.bench, &self.args));
        self.seen = self.journal.events().len();
        self
    }

    fn run(&mut self) -> &mut Run {
        self.run.as_mut().expect("a worker runs until `ended`")
    }

    fn pid(&mut self) -> i32 {
        self.run().pid()
    }

    fn wait(&mut self, event: &str, stage: &str) -> Option<(usize, Value)> {
        let run = self.run.as_mut().expect("a worker runs until `ended`");
        self.journal.wait(run, self.seen, event, stage)
    }

    /// Whether the attempt of a stage that was seen to start has ended.
    fn is_over(&mut self, stage: &str) -> Option<Catch> {
        let ended = self.run().is_over();
        let events = self.journal.events();
        let has = |name: &str| {
            let is = |e: &Value| text(e, "event") == name && text(e, "stage") == stage;
            events.iter().skip(self.seen).any(is)
        };
        match (ended || has("stage-finished"), has("stage-retried")) {
            (true, _) => Some(Catch::Over),
            (false, true) => Some(Catch::Retried),
            (false, false) => None,
        }
    }

    /// Remembers the layers that are finished: the library renames them when they are.
    fn note_layers(&mut self) {
        for name in layers() {
            let metadata = fs::metadata(self.bench.path("sector/cache").join(&name));
            if let Ok(metadata) = metadata {
                self.layers.entry(name).or_insert_with(|| identity(&metadata));
            }
        }
    }

    /// A processor or a helper process was killed: the journal says whether that cost the stage an
    /// attempt.
    fn died(&mut self, stage: &str, because: &str) -> Strike {
        let deadline = Instant::now() + LIMIT;
        loop {
            let events = self.journal.events();
            let ends = ["stage-retried", "stage-finished"];
            let end = events.iter().enumerate().skip(self.seen).find(|(_, event)| {
                text(event, "stage") == stage && ends.contains(&text(event, "event"))
            });
            if let Some((index, event)) = end {
                self.seen = index + 1;
                if text(event, "event") == "stage-finished" {
                    return Strike::Missed;
                }
                let told = text(event, "reason");
                assert!(told.contains(because), "{stage} was retried for another reason: {told}");
                return Strike::Hit;
            }
            let over = self.run().is_over();
            let said = self.run().stderr();
            assert!(!over, "{stage} neither went on nor ended; it said:\n{said}");
            assert!(Instant::now() < deadline, "{stage} hangs; it said:\n{said}");
            sleep(LOOK);
        }
    }

    /// The worker was killed: the journal ends within the stage, and another worker goes on at
    /// once, while processors of the one before may still be stopping.
    fn worker_died(&mut self, stage: &str) -> Strike {
        let worker = self.run.take().expect("a worker runs until `ended`");
        worker.end().killed_by(Signal::KILL);
        let events = self.journal.events();
        let finished =
            |e: &Value| text(e, "event") == "stage-finished" && text(e, "stage") == stage;
        let over = events.iter().skip(self.seen).any(finished);
        self.seen = events.len();
        self.run = Some(start(self.bench, &self.args));
        if over { Strike::Missed } else { Strike::Hit }
    }

    /// Waits for the end and checks it.
    fn ended(mut self, vector: &Vector) -> Self {
        self.run.take().expect("a worker runs until `ended`").end().ok();
        vector.check(&self.bench.path("sector"));
        self.check_layers();
        self.bench.check_nothing_is_left();
        self
    }

    /// No layer that was finished when a process was killed was labelled again: at most the one
    /// that was in the making.
    fn check_layers(&self) {
        let cache = self.bench.path("sector/cache");
        for (name, before) in &self.layers {
            let now = identity(&fs::metadata(cache.join(name)).unwrap());
            assert_eq!(now, *before, "{name} was finished and is written again");
        }
        let stages = read_json(&self.bench.path("sector/sector.json"))["stages"].take();
        let resumed = text(&stages["pc1"], "resumedFrom");
        println!("layers at the last kill in pc1: {}, {resumed:?}", self.n_layers_in_pc1);
        let kept = resumed.strip_prefix("layer ").and_then(|layer| layer.parse().ok());
        assert!(kept.unwrap_or(0) >= self.n_layers_in_pc1, "pc1 resumed from {resumed:?}");
    }
}

fn start(bench: &Bench, args: &[String]) -> Run {
    bench.start(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

fn layers() -> impl Iterator<Item = String> {
    (1..=2).map(|layer| format!("sc-02-data-layer-{layer}.dat"))
}

fn identity(metadata: &Metadata) -> (u64, SystemTime) {
    (metadata.ino(), metadata.modified().unwrap())
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}
