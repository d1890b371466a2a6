// SPDX-License-Identifier: MIT OR Apache-2.0

//! A sector's directory on disk: made, locked, read and written so that a crash between any two
//! lines loses nothing.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock, statvfs};
use sealpipe_protocol::{Bytes32, Stage, stage::files};

use super::{
    layout::{Layout, room_bytes},
    record::{FORMAT, Record},
    sector::{Keep, Sector},
};

/// Largest record that is read, in bytes: a sector of the largest size with the smallest pieces has
/// some hundred thousand of them.
const MAX_RECORD_BYTES: u64 = 256 << 20;

/// Why a directory cannot be used, with a hint, for people.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Whether it may pass by itself: room comes back, and whoever has the directory leaves it.
    pub passes: bool,
}

impl StoreError {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()), passes: false }
    }

    fn passing(self) -> Self {
        Self { passes: true, ..self }
    }

    fn io(what: &str, path: &Path, error: &io::Error) -> Self {
        let full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        let files = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE];
        let too_many = files.iter().any(|e| error.raw_os_error() == Some(e.raw_os_error()));
        Self {
            message: format!("cannot {what} {}: {error}", path.display()),
            hint: full.then(|| "free some space and run the command again".to_owned()),
            passes: full || too_many,
        }
    }
}

/// A sector's directory, which no other worker uses meanwhile.
pub struct SectorDir {
    /// Where its files lie.
    pub layout: Layout,
    /// What is remembered of it.
    pub record: Record,
    /// The worker's lock is on the cache directory: the one on the sector's directory is the
    /// processors'.
    _lock: File,
}

impl SectorDir {
    /// Opens the directory of `sector`, or makes it.
    ///
    /// # Errors
    /// It belongs to another sector or to nobody, is in use, or cannot be written.
    pub fn open_or_create(dir: &Path, sector: Sector) -> Result<Self, StoreError> {
        let layout = Layout::new(absolute(dir)?);
        if check_vacant(&layout)? {
            check_room(&layout, &sector)?;
            let cache = layout.cache();
            fs::create_dir_all(&cache).map_err(|e| StoreError::io("make", &cache, &e))?;
        }
        Self::open_layout(layout, Some(sector))
    }

    /// Whether [`open_or_create`](Self::open_or_create) would find the directory fit for a sector, as
    /// far as can be told without its lock. What is remembered of the sector, if it was begun.
    ///
    /// # Errors
    /// It belongs to another sector or to nobody, or cannot be read.
    pub fn look(dir: &Path, sector: &Sector) -> Result<Option<Record>, StoreError> {
        let layout = Layout::new(absolute(dir)?);
        if check_vacant(&layout)? {
            return Ok(None);
        }
        let record = read_record(&layout)?;
        check_same(&layout, &record, sector)?;
        Ok(Some(record))
    }

    /// Opens the directory of a sector that was begun.
    ///
    /// # Errors
    /// There is none, it is in use, or cannot be read.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let layout = Layout::new(absolute(dir)?);
        if !lies_there(&layout.record())? {
            return Err(StoreError::new(
                format!("{} holds no sector", layout.dir().display()),
                "`sealpipe seal --out DIR` makes one",
            ));
        }
        Self::open_layout(layout, None)
    }

    /// Takes over the randomness that is known by now.
    fn learn(&mut self, sector: &Sector) -> Result<(), StoreError> {
        let known = &mut self.record.sector;
        let learnt = (known.ticket.or(sector.ticket), known.seed.or(sector.seed));
        if learnt == (known.ticket, known.seed) {
            return Ok(());
        }
        (known.ticket, known.seed) = learnt;
        self.save()
    }

    /// Takes the lock, and only then reads what is remembered: before it, whoever has the directory
    /// may write. A `sector` that nothing is remembered of is begun.
    fn open_layout(layout: Layout, sector: Option<Sector>) -> Result<Self, StoreError> {
        let lock = lock(&layout)?;
        let Some(sector) = sector else {
            let record = read_record(&layout)?;
            return Ok(Self { layout, record, _lock: lock });
        };
        if !lies_there(&layout.record())? {
            let begun = Self { layout, record: Record::new(sector), _lock: lock };
            begun.save()?;
            return Ok(begun);
        }
        let record = read_record(&layout)?;
        check_same(&layout, &record, &sector)?;
        let mut found = Self { layout, record, _lock: lock };
        found.learn(&sector)?;
        Ok(found)
    }

    /// Writes the record: once this returns, it survives a loss of power.
    ///
    /// # Errors
    /// What the system says.
    pub fn save(&self) -> Result<(), StoreError> {
        write_record(&self.layout, &self.record)
    }

    /// The journal, to add lines to.
    ///
    /// # Errors
    /// What the system says.
    pub fn journal(&self) -> Result<File, StoreError> {
        let path = self.layout.journal();
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|e| StoreError::io("open", &path, &e))
    }

    /// Makes the scratch of a stage.
    ///
    /// # Errors
    /// What the system says.
    pub fn make_work(&self, stage: Stage) -> Result<(), StoreError> {
        let work = self.layout.work_of(stage);
        fs::create_dir_all(&work).map_err(|e| StoreError::io("make", &work, &e))
    }

    /// Removes the scratch of a stage.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove_work_of(&self, stage: Stage) -> Result<(), StoreError> {
        remove_all(&self.layout.work_of(stage))
    }

    /// Removes the scratch of all stages, once none of them is in the middle of anything.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove_work(&self) -> Result<(), StoreError> {
        remove_all(&self.layout.work())
    }

    /// Links a ready tree-d into the cache directory, and gives its root: the last node.
    ///
    /// # Errors
    /// It is missing, or not of the sector's size.
    pub fn adopt_tree_d(&self, ready: &Path) -> Result<Bytes32, StoreError> {
        let unusable = |error: io::Error| StoreError::io("use the static tree-d", ready, &error);
        let ready = ready.canonicalize().map_err(unusable)?;
        let mut file = File::open(&ready).map_err(unusable)?;
        let length = file.metadata().map_err(unusable)?.len();
        let expected = (2 * self.record.sector.proof.n_nodes() - 1) * 32;
        if length != expected {
            return Err(StoreError::new(
                format!("{} has {length} bytes, a tree-d has {expected}", ready.display()),
                "correct `processors.static_tree_d`",
            ));
        }
        let mut root = [0; 32];
        file.seek(SeekFrom::End(-32)).map_err(unusable)?;
        file.read_exact(&mut root).map_err(unusable)?;
        let target = self.layout.cache().join(files::TREE_D);
        let _ = fs::remove_file(&target);
        // On another disk it is linked by name; nobody writes to a tree-d that is there.
        fs::hard_link(&ready, &target)
            .or_else(|_| std::os::unix::fs::symlink(&ready, &target))
            .map_err(|e| StoreError::io("make", &target, &e))?;
        Ok(Bytes32(root))
    }

    /// Ends a sector whose proof holds: removes what is not to be kept.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(&mut self, keep: Keep) -> Result<(), StoreError> {
        match self.record.results.valid == Some(true) && keep == Keep::Needed {
            true => self.finalize(),
            false => Ok(()),
        }
    }

    /// Removes what nobody needs any more. The record says so first, so that a crash in between
    /// leaves files behind rather than a sector that looks unfinished.
    ///
    /// # Errors
    /// What the system says.
    fn finalize(&mut self) -> Result<(), StoreError> {
        self.record.finalized = true;
        self.save()?;
        for path in self.layout.spare(self.record.sector.proof) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove", &path, &error));
                }
                _ => {}
            }
        }
        self.remove_work()
    }
}

/// What is remembered of the sector in a directory, without taking its lock; `None` when there is
/// none that can be read.
pub fn peek(dir: &Path) -> Option<Record> {
    read_record(&Layout::new(dir.to_path_buf())).ok()
}

/// The absolute path of a directory that may not be there yet, without links and `..`.
///
/// # Errors
/// It is not UTF-8, or the system says so.
pub fn absolute(dir: &Path) -> Result<PathBuf, StoreError> {
    if dir.to_str().is_none() {
        return Err(StoreError::new(
            format!("the path {} is not UTF-8, and the protocol is JSON", dir.display()),
            "give another directory",
        ));
    }
    let whole = std::path::absolute(dir).map_err(|e| StoreError::io("use", dir, &e))?;
    // Processors take no path with `..`, and a link may move while they run.
    match whole.canonicalize() {
        Ok(real) => Ok(real),
        Err(_) => {
            let (Some(parent), Some(name)) = (whole.parent(), whole.file_name()) else {
                return Ok(whole);
            };
            Ok(absolute(parent)?.join(name))
        }
    }
}

/// Whether a file is there. Only one that the system does not find is gone: what an answerless disk
/// says of its files passes.
///
/// # Errors
/// It cannot be told; that may pass.
pub fn lies_there(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(|error| StoreError::io("look for", path, &error).passing())
}

/// Refuses a directory that holds another sector.
fn check_same(layout: &Layout, record: &Record, sector: &Sector) -> Result<(), StoreError> {
    let differences = record.sector.differences(sector);
    if differences.is_empty() {
        return Ok(());
    }
    let (dir, differences) = (layout.dir().display(), differences.join("; "));
    Err(StoreError::new(
        format!("{dir} holds another sector: {differences}"),
        "give another --out, or the options that this sector was begun with",
    ))
}

/// Where a record lies until it is written whole.
fn unfinished(record: &Path) -> PathBuf {
    record.with_extension("json.tmp")
}

/// Whether there is no directory yet or an empty one.
fn check_vacant(layout: &Layout) -> Result<bool, StoreError> {
    if lies_there(&layout.record())? {
        return Ok(false);
    }
    match fs::read_dir(layout.dir()) {
        Ok(mut entries) => {
            // A crash before the first record was in its place leaves these, and they are used again.
            let begun = [layout.cache(), unfinished(&layout.record())];
            match entries.all(|entry| entry.is_ok_and(|entry| begun.contains(&entry.path()))) {
                true => Ok(true),
                false => Err(StoreError::new(
                    format!("{} is not empty and holds no sector", layout.dir().display()),
                    "give a new or an empty directory as --out",
                )),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(StoreError::io("look into", layout.dir(), &error)),
    }
}

/// Refuses to begin a sector for which there is no room: a disk that fills up in the middle stops
/// everything behind it.
fn check_room(layout: &Layout, sector: &Sector) -> Result<(), StoreError> {
    let existing = layout.dir().ancestors().find(|dir| dir.exists());
    let Some(existing) = existing else { return Ok(()) };
    let Ok(disk) = statvfs(existing) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let needed = room_bytes(sector.proof);
    if free >= needed {
        return Ok(());
    }
    Err(StoreError::new(
        format!(
            "no space for a {} sector on the disk of {}: it takes {} MiB on its way, {} MiB are \
             free",
            sector.proof.size_name(),
            layout.dir().display(),
            needed.div_ceil(1 << 20),
            free >> 20
        ),
        "free some space, or give an --out on another disk",
    )
    .passing())
}

fn lock(layout: &Layout) -> Result<File, StoreError> {
    let cache = layout.cache();
    let dir = File::open(&cache).map_err(|e| StoreError::io("open", &cache, &e))?;
    match flock(dir.as_fd(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(dir),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::new(
            format!("another sealpipe works on {}", layout.dir().display()),
            "wait until it has ended",
        )
        .passing()),
        Err(error) => Err(StoreError::io("lock", &cache, &error.into())),
    }
}

fn read_record(layout: &Layout) -> Result<Record, StoreError> {
    let path = layout.record();
    let unreadable = |what: String| {
        StoreError::new(
            format!("{} is no sector's record: {what}", path.display()),
            "it is written by sealpipe alone; restore it, or begin anew in another directory",
        )
    };
    let length = fs::metadata(&path).map_err(|e| StoreError::io("read", &path, &e))?.len();
    if length > MAX_RECORD_BYTES {
        return Err(unreadable(format!("it has {length} bytes")));
    }
    let text = fs::read(&path).map_err(|e| StoreError::io("read", &path, &e))?;
    let record: Record =
        serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
    if record.format != FORMAT {
        return Err(unreadable(format!("format {}, expected {FORMAT}", record.format)));
    }
    Ok(record)
}

fn write_record(layout: &Layout, record: &Record) -> Result<(), StoreError> {
    let path = layout.record();
    let beside = unfinished(&path);
    let write = || -> io::Result<()> {
        let mut file = File::create(&beside)?;
        serde_json::to_writer_pretty(&mut file, record)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(layout.dir())?.sync_all()
    };
    write().map_err(|error| StoreError::io("write", &path, &error))
}

fn remove_all(dir: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", dir, &error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use sealpipe_protocol::{Bytes32, stage::proof::SealProof};

    use super::*;
    use crate::pipeline::sector::{Prover, lay_out};

    fn sector(number: u64) -> Sector {
        let proof = SealProof::StackedDrg2KiBV1_1;
        Sector {
            proof,
            prover: Prover::Miner(1000),
            number,
            ticket: Some(Bytes32([1; 32])),
            seed: Some(Bytes32([2; 32])),
            pieces: lay_out(proof, &[]).unwrap(),
        }
    }

    fn refused(dir: &Path, number: u64) -> String {
        SectorDir::open_or_create(dir, sector(number)).err().unwrap().message
    }

    #[test]
    fn a_directory_is_one_sectors_and_one_workers() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a/b");
        let first = SectorDir::open_or_create(&dir, sector(1)).unwrap();
        assert!(refused(&dir, 1).contains("another sealpipe works on"));
        drop(first);
        assert!(refused(&dir, 2).contains("sector number 1, not 2"));
        SectorDir::open_or_create(&dir, sector(1)).unwrap();
        SectorDir::open(&dir).unwrap();
    }

    #[test]
    fn what_is_remembered_is_read_once_the_directory_is_ours() {
        let temp = tempfile::tempdir().unwrap();
        let mut first = SectorDir::open_or_create(temp.path(), sector(1)).unwrap();
        // Half written, as whoever has the directory may be about to.
        fs::write(first.layout.record(), "{").unwrap();
        for error in
            [SectorDir::open(temp.path()), SectorDir::open_or_create(temp.path(), sector(1))]
        {
            let error = error.err().unwrap();
            assert!(error.passes && error.message.contains("works on"), "{error}");
        }
        first.record.results.valid = Some(true);
        first.save().unwrap();
        drop(first);
        assert_eq!(SectorDir::open(temp.path()).unwrap().record.results.valid, Some(true));
    }

    #[test]
    fn only_a_sector_whose_proof_holds_loses_its_files() {
        let check = |valid: Option<bool>, keep: Keep, expected: bool| {
            let temp = tempfile::tempdir().unwrap();
            let mut dir = SectorDir::open_or_create(temp.path(), sector(1)).unwrap();
            dir.make_work(Stage::C1).unwrap();
            dir.record.results.valid = valid;
            dir.finish(keep).unwrap();
            assert_eq!(dir.record.finalized, expected, "{valid:?}");
            assert_eq!(!dir.layout.work().exists(), expected, "{valid:?}");
        };
        check(Some(true), Keep::Needed, true);
        check(Some(true), Keep::All, false);
        check(Some(false), Keep::Needed, false);
        check(None, Keep::Needed, false);
    }

    #[test]
    fn a_foreign_directory_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("letter.txt"), "dear").unwrap();
        assert!(refused(temp.path(), 1).contains("is not empty and holds no sector"));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
        assert!(SectorDir::open(temp.path()).err().unwrap().message.contains("holds no sector"));
    }

    #[test]
    fn a_crash_while_it_is_made_leaves_the_directory_usable() {
        let temp = tempfile::tempdir().unwrap();
        let cache = temp.path().join("cache");
        fs::create_dir(&cache).unwrap();
        fs::write(temp.path().join("sector.json.tmp"), "{\"format\": 1, \"sec").unwrap();
        assert_eq!(SectorDir::look(temp.path(), &sector(1)).unwrap(), None);
        drop(SectorDir::open_or_create(temp.path(), sector(1)).unwrap());
        assert!(SectorDir::look(temp.path(), &sector(1)).unwrap().is_some());
        assert!(!temp.path().join("sector.json.tmp").exists());
    }

    #[test]
    fn a_record_that_is_none_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        drop(SectorDir::open_or_create(temp.path(), sector(1)).unwrap());
        let record = temp.path().join("sector.json");
        for (text, why) in [("{", "EOF"), ("{}", "missing field"), ("\u{0}", "expected value")] {
            fs::write(&record, text).unwrap();
            assert!(refused(temp.path(), 1).contains(why), "{}", refused(temp.path(), 1));
        }
    }
}
