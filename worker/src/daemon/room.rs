// SPDX-License-Identifier: MIT OR Apache-2.0

//! Looks at the disks now and then, and tells the fleet how much may be begun on.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::{sleep, timeout};

use super::{
    desk::Desk,
    disk::{self, Begun},
    job::Work,
    state::State,
};
use crate::{control::status::DiskStatus, pipeline::sector::Randomness, scheduler::Disk};

/// How often disks are looked at while nothing is asked for.
const LOOK: Duration = Duration::from_secs(5);

/// The least time between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks for ever.
pub async fn look(desk: Arc<Desk>) {
    loop {
        let (dirs, sectors) = asked(&desk);
        let looked = tokio::task::spawn_blocking(move || measure(dirs, sectors)).await;
        if let Ok((free, present)) = looked {
            tell(&desk, &free, &present);
        }
        sleep(PAUSE).await;
        let _ = timeout(LOOK, desk.room.notified()).await;
    }
}

/// A directory of each disk, and those of the sectors that have begun.
fn asked(desk: &Desk) -> (BTreeMap<Disk, PathBuf>, HashMap<String, PathBuf>) {
    let mut disks = BTreeMap::new();
    let mut sectors = HashMap::new();
    for (name, live) in &*desk.live() {
        let Some(place) = &live.place else { continue };
        disks.entry(place.disk).or_insert_with(|| place.dir.clone());
        if live.journey.has_begun()
            && let Some(entry) = desk.book.get(name)
            && let Work::Sector(job) = entry.job.work
        {
            sectors.insert(name.clone(), job.dir);
        }
    }
    (disks, sectors)
}

/// Free bytes of each disk with the directory by which it was found.
type Free = BTreeMap<Disk, (PathBuf, u64)>;

fn measure(
    dirs: BTreeMap<Disk, PathBuf>,
    sectors: HashMap<String, PathBuf>,
) -> (Free, HashMap<String, u64>) {
    let free = dirs.into_iter().filter_map(|(disk, dir)| {
        let free = disk::free_bytes(&dir)?;
        Some((disk, (dir, free)))
    });
    let free = free.collect();
    let present = sectors.into_iter().map(|(name, dir)| (name, disk::present_bytes(&dir)));
    (free, present.collect())
}

/// Tells what was found. A sector that has begun meanwhile is promised all that it takes.
fn tell(desk: &Arc<Desk>, free: &Free, present: &HashMap<String, u64>) {
    let mut begun = Vec::new();
    for (name, live) in &*desk.live() {
        let Some(place) = live.place.as_ref().filter(|_| live.journey.has_begun()) else {
            continue;
        };
        let stage = desk.book.get(name).and_then(|entry| match entry.life.state {
            // What it waits for comes after pc2.
            State::Asking { what: Randomness::Seed } => Some(sealpipe_protocol::Stage::C1),
            state => state.stage(),
        });
        let present = present.get(name).copied();
        begun.push(Begun { disk: place.disk, proof: place.proof, stage, present });
    }
    let bytes = free.iter().map(|(disk, (_, free))| (*disk, *free)).collect();
    let rooms = disk::rooms(&bytes, &begun);
    let status = free.iter().map(|(disk, (path, free_bytes))| DiskStatus {
        path: path.clone(),
        free_bytes: *free_bytes,
        promised_bytes: rooms.get(disk).map_or(0, |(promised, _)| *promised),
    });
    *desk.disks.lock().unwrap_or_else(PoisonError::into_inner) = status.collect();
    for (disk, (_, room)) in rooms {
        desk.fleet.set_room(disk, room);
    }
}
