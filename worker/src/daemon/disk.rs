// SPDX-License-Identifier: MIT OR Apache-2.0

//! Room on disks: what sectors that have begun will still write is promised to them, and what is left
//! may be begun on.
//!
//! [`rooms`] decides; the functions below it look.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::statvfs;
use sealpipe_protocol::{Stage, stage::proof::SealProof};

use crate::{
    pipeline::{
        layout::{ROOM_FOR_SMALL_FILES, room_bytes},
        record::Record,
        steps,
    },
    scheduler::{Disk, Need},
};

/// How deep the files of a sector lie below its directory.
const DEPTH: u32 = 4;

/// A sector that has begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Begun {
    /// Its disk.
    pub disk: Disk,
    /// Its proof.
    pub proof: SealProof,
    /// The stage at hand; none while it waits for its seed, or before its first one.
    pub stage: Option<Stage>,
    /// Bytes that lie there, as far as that is known.
    pub present: Option<u64>,
}

/// Bytes that a sector will still write: most of what it ever takes, less what lies there. Once pc2 is
/// done it only gets smaller.
pub fn still_to_write(begun: &Begun) -> u64 {
    if begun.stage.is_some_and(|stage| stage > Stage::Pc2) {
        return ROOM_FOR_SMALL_FILES;
    }
    room_bytes(begun.proof).saturating_sub(begun.present.unwrap_or(0))
}

/// Of each disk the bytes that are promised, and those that others may begin on.
pub fn rooms(free: &BTreeMap<Disk, u64>, begun: &[Begun]) -> BTreeMap<Disk, (u64, u64)> {
    let room = |(disk, free): (&Disk, &u64)| {
        let here = begun.iter().filter(|begun| begun.disk == *disk);
        let promised = here.map(still_to_write).fold(0, u64::saturating_add);
        (*disk, (promised, free.saturating_sub(promised)))
    };
    free.iter().map(room).collect()
}

/// What a sector needs that begins in a directory, and a directory of its disk that is there. A
/// `record` is of one that an earlier daemon has begun there: what lies there is not written again.
pub fn need(dir: &Path, proof: SealProof, record: Option<&Record>) -> Option<(Need, PathBuf)> {
    let existing = dir.ancestors().find(|dir| dir.exists())?;
    let disk = fs::metadata(existing).ok()?.dev();
    let bytes = record.map_or(room_bytes(proof), |record| {
        let stage = Some(steps::next(record).unwrap_or(Stage::Verify));
        still_to_write(&Begun { disk, proof, stage, present: Some(present_bytes(dir)) })
    });
    Some((Need { disk, bytes }, existing.to_owned()))
}

/// Free bytes of a directory's disk.
pub fn free_bytes(dir: &Path) -> Option<u64> {
    let disk = statvfs(dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Bytes that the files below a directory take.
pub fn present_bytes(dir: &Path) -> u64 {
    walk(dir, DEPTH)
}

fn walk(dir: &Path, depth: u32) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() && depth > 0 => walk(&entry.path(), depth - 1),
        // Blocks are of 512 bytes (stat(2)): a file that is all hole takes nothing yet.
        Ok(metadata) if metadata.is_file() => metadata.blocks().saturating_mul(512),
        _ => 0,
    };
    entries.flatten().map(size).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROOF: SealProof = SealProof::StackedDrg32GiBV1_1;
    const GIB: u64 = 1 << 30;

    fn begun(disk: Disk, stage: Option<Stage>, present: Option<u64>) -> Begun {
        Begun { disk, proof: PROOF, stage, present }
    }

    #[test]
    fn what_lies_there_is_not_written_again() {
        let all = room_bytes(PROOF);
        let check = |stage, present, expected| {
            assert_eq!(
                still_to_write(&begun(1, stage, present)),
                expected,
                "{stage:?} {present:?}"
            );
        };
        check(Some(Stage::AddPieces), None, all);
        check(Some(Stage::Pc1), Some(100 * GIB), all - 100 * GIB);
        check(Some(Stage::Pc2), Some(u64::MAX), 0);
        check(Some(Stage::C1), Some(0), ROOM_FOR_SMALL_FILES);
        check(None, Some(GIB), all - GIB);
    }

    #[test]
    fn what_is_promised_is_not_promised_twice() {
        let all = room_bytes(PROOF);
        let free = BTreeMap::from([(1, 2 * all), (2, all), (3, 0)]);
        let sectors = [
            begun(1, Some(Stage::Pc1), Some(all / 2)),
            begun(1, Some(Stage::AddPieces), None),
            begun(2, Some(Stage::Pc1), Some(0)),
        ];
        let half = all - all / 2;
        let expected = BTreeMap::from([(1, (half + all, all - half)), (2, (all, 0)), (3, (0, 0))]);
        assert_eq!(rooms(&free, &sectors), expected);
    }

    #[test]
    fn files_are_counted_by_what_they_take() {
        let temp = tempfile::tempdir().unwrap();
        let deep = temp.path().join("cache/deep");
        fs::create_dir_all(&deep).unwrap();
        fs::write(temp.path().join("sealed"), vec![1; 100_000]).unwrap();
        fs::write(deep.join("tree"), vec![1; 50_000]).unwrap();
        fs::File::create(deep.join("hole")).unwrap().set_len(1 << 40).unwrap();
        let present = present_bytes(temp.path());
        assert!((150_000..300_000).contains(&present), "{present}");
        let (need, _) = need(&temp.path().join("not/there"), PROOF, None).unwrap();
        assert_eq!(need.disk, fs::metadata(temp.path()).unwrap().dev());
        assert!(free_bytes(temp.path()).is_some());
    }
}
