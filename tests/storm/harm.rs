// SPDX-License-Identifier: MIT OR Apache-2.0

//! The harm that is done, and what proves that it hit.

use std::{
    collections::BTreeMap,
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use sealpipe_tests::{Process, random::Random, text};
use serde_json::Value;

use crate::world::World;

/// How long a storm may take until everything is done: many times what it does on two busy cores.
const LIMIT: Duration = Duration::from_secs(3600);

/// The longest pause between two strikes.
const PAUSE: Duration = Duration::from_millis(1500);

/// How long the disk stays full.
const FULL: Duration = Duration::from_millis(1500);

/// How long a stage is waited for that a sector may still come to, and how often it is looked for: pc1 of 8 MiB
/// takes a fraction of a second.
const LURK: Duration = Duration::from_secs(10);
const PEEK: Duration = Duration::from_millis(5);

/// How often the daemon is stopped and looked at until it is found in the middle of a write.
const LOOKS: usize = 400;

/// Strikes in a row at one processor, below the deaths after which it is given up.
const IN_A_ROW: u32 = 3;

/// Processes that are stopped for ever, beside which the others get on.
const MAX_WEDGED: usize = 1;

/// Sectors that are submitted over and above for strikes that have not hit yet.
const MAX_MORE_SECTORS: u64 = 10;

/// Demonstrations that are submitted at once, to be struck while they run or are written down.
const PREY: u64 = 10;

/// A kind of harm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Harm {
    /// A process that computes pc1 is killed.
    Pc1,
    /// A process that computes pc2 is killed.
    Pc2,
    /// A processor of demonstrations is killed.
    Echo,
    /// The daemon is killed at any moment.
    Daemon,
    /// The daemon is killed while it writes.
    Write,
    /// The disk of the sectors is full for a while.
    Disk,
    /// A processor is stopped for ever.
    Wedge,
}

const ALL: [Harm; 7] =
    [Harm::Pc1, Harm::Pc2, Harm::Echo, Harm::Daemon, Harm::Write, Harm::Disk, Harm::Wedge];

/// The storm.
pub struct Storm {
    random: Random,
    /// Strikes of each kind that have to hit.
    strikes: u64,
    hits: BTreeMap<Harm, u64>,
    /// What the daemon was writing when it was killed, by the file.
    written: BTreeMap<String, u64>,
    /// Strikes at each processor since it has finished something.
    in_a_row: BTreeMap<String, u32>,
    wedged: Vec<i32>,
}

impl Storm {
    /// A storm that has not begun.
    pub fn new(random: Random, strikes: u64) -> Self {
        Self {
            random,
            strikes,
            hits: BTreeMap::new(),
            written: BTreeMap::new(),
            in_a_row: BTreeMap::new(),
            wedged: Vec::new(),
        }
    }

    /// Strikes until all jobs are done and everything has hit.
    pub fn rage(&mut self, world: &mut World) {
        let deadline = Instant::now() + LIMIT;
        let most_sectors = world.sectors + MAX_MORE_SECTORS;
        let mut reported = Instant::now();
        loop {
            let Some(status) = world.status() else {
                panic!("the daemon does not answer:\n{}", world.site.stderr())
            };
            assert_eq!(status["counts"]["failed"], Value::Null, "{:#}", status["sectors"]);
            assert!(Instant::now() < deadline, "{status:#}\n{}", world.site.stderr());
            if status["counts"]["done"].as_u64() == Some(world.sectors + world.echoes) {
                if self.missing(world).is_empty() || world.sectors == most_sectors {
                    return;
                }
                world.one_more_sector();
            }
            if reported.elapsed() > Duration::from_secs(30) {
                println!("{} {}", status["counts"], self.report());
                reported = Instant::now();
            }
            self.mend(world, &status);
            let due = self.due(world, &status);
            if !due.is_empty() {
                let harm = due[self.random.number(due.len() as u64) as usize];
                if self.strike(world, harm) {
                    *self.hits.entry(harm).or_default() += 1;
                }
            }
            sleep(self.random.below(PAUSE));
        }
    }

    /// What a person would do: start again what was given up.
    fn mend(&mut self, world: &World, status: &Value) {
        let processors = status["processors"].as_array().into_iter().flatten();
        if processors.into_iter().any(|processor| processor["state"] == "degraded") {
            println!("a processor is degraded: reload");
            world.site.run(&["reload"]).ok();
        }
    }

    /// What has not hit often enough, of what can be done here.
    fn missing(&self, world: &World) -> Vec<Harm> {
        let harms = possible(world).into_iter();
        harms.filter(|harm| self.hits(*harm) < self.strikes).collect()
    }

    /// What is to hit next: as much of it as sectors are done and under way, so that the harm is spread
    /// over all of them, and none is struck for ever.
    fn due(&self, world: &World, status: &Value) -> Vec<Harm> {
        let sectors = status["sectors"].as_array().into_iter().flatten();
        let waits = |sector: &&Value| sector["size"] == "8MiB" && sector["state"] == "queued";
        let begun = world.sectors - sectors.filter(waits).count() as u64;
        let quota = (self.strikes * begun).div_ceil(world.sectors.max(1));
        let harms = possible(world).into_iter();
        harms.filter(|harm| self.hits(*harm) < quota).collect()
    }

    fn hits(&self, harm: Harm) -> u64 {
        self.hits.get(&harm).copied().unwrap_or(0)
    }

    /// Does harm; whether it hit what it was meant for.
    fn strike(&mut self, world: &mut World, harm: Harm) -> bool {
        match harm {
            Harm::Pc1 => self.kill_in(world, "pc1"),
            Harm::Pc2 => self.kill_in(world, "pc2"),
            Harm::Echo => {
                if running(world, "echo").is_none() {
                    world.more_echoes(PREY);
                }
                self.kill_in(world, "echo")
            }
            Harm::Daemon => {
                let work = running(world, "pc1").is_some() || running(world, "pc2").is_some();
                world.site.kill();
                self.revive(world);
                work
            }
            Harm::Write => {
                world.more_echoes(PREY);
                self.kill_in_write(world)
            }
            Harm::Disk => {
                let Some(disk) = &world.disk else { return false };
                disk.fill();
                sleep(FULL);
                disk.free();
                true
            }
            Harm::Wedge => self.wedge(world),
        }
    }

    /// Starts the next daemon. What was stopped for ever dies with the one before.
    fn revive(&mut self, world: &mut World) {
        for pid in self.wedged.drain(..) {
            signal(pid, Signal::CONT);
        }
        self.in_a_row.clear();
        sleep(self.random.below(Duration::from_millis(300)));
        world.site.begin();
        world.submit();
    }

    /// Kills a processor of a stage, or its helper process, while it runs a task.
    fn kill_in(&mut self, world: &World, stage: &str) -> bool {
        let Some((sector, attempt, processor, pid)) = coming(world, stage) else { return false };
        let strikes = self.in_a_row.entry(processor).or_default();
        *strikes += 1;
        if *strikes > IN_A_ROW {
            *strikes = 0;
            return false;
        }
        let (_, helpers) = world.processors();
        let helper = helpers.iter().find(|helper| helper.parent == pid);
        let helper = helper.filter(|_| self.random.number(2) == 0);
        signal(helper.map_or(pid, |helper| helper.pid), Signal::KILL);
        // The journal says whether the try was lost.
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let events = world.site.journal().events();
            let of_try = events.iter().rev().find(|event| {
                let ends = ["stage-retried", "stage-finished"].contains(&text(event, "event"));
                ends && event["sector"] == sector
                    && event["attempt"] == attempt
                    && event["stage"] == stage
            });
            if let Some(event) = of_try {
                return text(event, "event") == "stage-retried";
            }
            assert!(Instant::now() < deadline, "{sector} hangs:\n{}", world.site.stderr());
            sleep(Duration::from_millis(20));
        }
    }

    /// Kills the daemon in the middle of a write: stops it, looks what its threads are doing, and lets
    /// it go on when that is nothing.
    fn kill_in_write(&mut self, world: &mut World) -> bool {
        let daemon = world.site.pid();
        for _ in 0..LOOKS {
            world.site.signal(Signal::STOP);
            wait_until_stopped(daemon);
            if let Some(file) = writing(daemon) {
                world.site.kill();
                *self.written.entry(file).or_default() += 1;
                self.revive(world);
                return true;
            }
            world.site.signal(Signal::CONT);
            sleep(self.random.below(Duration::from_millis(4)));
        }
        false
    }

    /// Stops a processor that runs a task for ever. The daemon has to find out.
    fn wedge(&mut self, world: &World) -> bool {
        self.wedged.retain(|pid| fs::exists(format!("/proc/{pid}")).unwrap_or(false));
        if self.wedged.len() >= MAX_WEDGED {
            return false;
        }
        let stage = if self.random.number(2) == 0 { "pc1" } else { "pc2" };
        let Some((.., pid)) = running(world, stage) else { return false };
        let (_, helpers) = world.processors();
        let group: Vec<&Process> = helpers.iter().filter(|helper| helper.parent == pid).collect();
        // Processor and helper: nothing of the task gets on.
        group.iter().for_each(|helper| signal(helper.pid, Signal::STOP));
        signal(pid, Signal::STOP);
        self.wedged.push(pid);
        true
    }

    /// What has hit so far.
    pub fn report(&self) -> String {
        format!("hits {:?}, daemon killed while it wrote {:?}", self.hits, self.written)
    }

    /// Every kind of harm has hit as often as it had to, as far as there was a disk.
    pub fn check(&self, world: &World) {
        for harm in possible(world) {
            let hits = self.hits(harm);
            assert!(hits >= self.strikes, "{harm:?} has hit {hits} times only: {}", self.report());
        }
    }
}

/// The harm that can be done here.
fn possible(world: &World) -> Vec<Harm> {
    ALL.into_iter().filter(|harm| *harm != Harm::Disk || world.disk.is_some()).collect()
}

/// A try of a stage that runs: its sector, its number, its processor and the process.
fn running(world: &World, stage: &str) -> Option<(String, u64, String, i32)> {
    let status = world.status()?;
    let of_stage = |sector: &&Value| sector["state"] == "running" && sector["stage"] == stage;
    let sector = status["sectors"].as_array()?.iter().find(of_stage)?;
    let processor = text(sector, "processor");
    let all = status["processors"].as_array()?;
    let pid =
        all.iter().find(|p| p["name"] == processor && !p["pid"].is_null())?["pid"].as_i64()?;
    let (name, attempt) = (text(sector, "name").to_owned(), sector["attempt"].as_u64()?);
    Some((name, attempt, processor.to_owned(), i32::try_from(pid).ok()?))
}

/// The same, waited for while something is not done that may come to the stage.
fn coming(world: &World, stage: &str) -> Option<(String, u64, String, i32)> {
    let deadline = Instant::now() + LURK;
    loop {
        if let Some(found) = running(world, stage) {
            return Some(found);
        }
        let done = world.status()?["counts"]["done"].as_u64();
        if done == Some(world.sectors + world.echoes) || Instant::now() > deadline {
            return None;
        }
        sleep(PEEK);
    }
}

fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// Waits until all threads have seen the signal.
fn wait_until_stopped(pid: i32) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        let states = threads(pid).into_iter().filter_map(|thread| {
            let stat = fs::read_to_string(format!("{thread}/stat")).ok()?;
            stat.rsplit(") ").next()?.chars().next()
        });
        if states.into_iter().all(|state| "TtZX".contains(state)) {
            return;
        }
        sleep(Duration::from_micros(100));
    }
}

fn threads(pid: i32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path().display().to_string()).collect()
}

/// The file of its own that a stopped process is in the middle of writing: a thread is in a system call
/// that writes, syncs or renames (proc(5), `/proc/pid/task/tid/syscall`; numbers of x86-64).
fn writing(pid: i32) -> Option<String> {
    const WRITE: u64 = 1;
    const PWRITE64: u64 = 18;
    const FSYNC: u64 = 74;
    const FDATASYNC: u64 = 75;
    for thread in threads(pid) {
        let Ok(call) = fs::read_to_string(format!("{thread}/syscall")) else { continue };
        let mut words = call.split_whitespace();
        let Some(number) = words.next().and_then(|word| word.parse::<u64>().ok()) else { continue };
        if ![WRITE, PWRITE64, FSYNC, FDATASYNC].contains(&number) {
            continue;
        }
        let file =
            words.next().and_then(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok());
        let Some(file) = file else { continue };
        let path = fs::read_link(format!("/proc/{pid}/fd/{file}")).ok()?;
        let name = path.file_name()?.to_string_lossy().into_owned();
        // Its own files: the store, and a sector's record beside which it writes.
        if name.starts_with("jobs.redb") || name.starts_with("sector.json") {
            return Some(name);
        }
    }
    None
}
