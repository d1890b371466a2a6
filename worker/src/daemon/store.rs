// SPDX-License-Identifier: MIT OR Apache-2.0

//! The jobs on disk: one redb file. Every write is one transaction, synced before it returns, so that
//! after a loss of power a write is there whole or not at all.
//!
//! It knows nothing of what the jobs do; [`book`](super::book) writes them, and reads all of them once.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use super::{job::Job, state::Life};

/// The version of the file's content. Another one is refused.
pub const FORMAT: u64 = 1;

/// Memory that pages may take, in bytes: the jobs are in memory already.
const CACHE_BYTES: usize = 4 << 20;

/// Jobs by name, as JSON.
const JOBS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("jobs");

/// Numbers by name.
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");

/// The fact that says which format it is.
const FORMAT_KEY: &str = "format";

/// The fact that nothing starts until somebody says so.
const PAUSED_KEY: &str = "paused";

/// A job and its life.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its place in the order of submission.
    pub number: u64,
    /// What was submitted.
    pub job: Job,
    /// What has become of it.
    pub life: Life,
}

/// A change of the file.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// A job is as it says.
    Put(Box<Entry>),
    /// A job is forgotten.
    Forget(String),
    /// Nothing starts, or no longer so.
    Pause(bool),
}

/// Why the file cannot be used, with a hint, for people.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// What the file holds.
#[derive(PartialEq, Debug, Default)]
pub struct Content {
    /// All jobs that can be read, in the order of their submission.
    pub entries: Vec<Entry>,
    /// Whether nothing starts until somebody says so.
    pub paused: bool,
    /// Jobs that cannot be read, and why. They stay in the file.
    pub unreadable: Vec<String>,
}

impl Entry {
    /// The entry as it is written.
    fn to_text(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("entries are plain data with string keys")
    }
}

/// Whether a job could be read again once it is written: JSON is read only so deep, and written deeper.
///
/// # Errors
/// Why not.
pub fn check_readable(job: &Job) -> Result<(), String> {
    let text = Entry { number: 0, job: job.clone(), life: Life::new(0) }.to_text();
    serde_json::from_slice::<Entry>(&text)
        .map(drop)
        .map_err(|error| format!("it could be written and not be read again: {error}"))
}

/// The file.
pub struct Store {
    path: PathBuf,
    database: Database,
}

impl Store {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// It is in use, damaged, of another format, or no file of ours.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // What cannot be seen may be there.
        let is_there = path.try_exists().map_err(|e| failed(path, "cannot be looked for", &e))?;
        if !is_there {
            make(path).map_err(|error| failed(path, "cannot be made", &error))?;
        }
        Self::reopen(path)
    }

    /// Opens the file, which is there.
    ///
    /// # Errors
    /// It is not; or as [`open`](Self::open).
    pub fn reopen(path: &Path) -> Result<Self, StoreError> {
        let path = path.to_owned();
        let database = builder().open(&path).map_err(|error| unusable(&path, error))?;
        let store = Self { path, database };
        match store.format() {
            Ok(Some(FORMAT)) => Ok(store),
            Ok(found) => Err(store.of_another_format(found)),
            Err(error) => Err(damaged(&store.path, &error)),
        }
    }

    fn format(&self) -> Result<Option<u64>, redb::Error> {
        Ok(self.database.begin_read()?.open_table(FACTS)?.get(FORMAT_KEY)?.map(|f| f.value()))
    }

    fn of_another_format(&self, found: Option<u64>) -> StoreError {
        let found = found.map_or("none".to_owned(), |format| format.to_string());
        StoreError {
            message: format!("{} has format {found}, expected {FORMAT}", self.path.display()),
            hint: Some("another version of sealpipe wrote it; run that one".to_owned()),
        }
    }

    /// All that it holds.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn read(&self) -> Result<Content, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let transaction = self.database.begin_read()?;
            let paused =
                transaction.open_table(FACTS)?.get(PAUSED_KEY)?.is_some_and(|p| p.value() != 0);
            let mut texts = Vec::new();
            for row in transaction.open_table(JOBS)?.iter()? {
                let (name, text) = row?;
                texts.push((name.value().to_owned(), text.value().to_owned()));
            }
            Ok((texts, paused))
        };
        let (texts, paused) = read().map_err(|error| damaged(&self.path, &error))?;
        let mut content = Content { paused, ..Content::default() };
        for (name, text) in texts {
            match serde_json::from_slice(&text) {
                Ok(entry) => content.entries.push(entry),
                // One that cannot be read keeps nobody from the others.
                Err(error) => content.unreadable.push(format!("{name}: {error}")),
            }
        }
        content.entries.sort_by_key(|entry| entry.number);
        Ok(content)
    }

    /// Writes changes, all of them or none. Once this returns they survive a loss of power.
    ///
    /// # Errors
    /// What the system says. The file has to be opened again.
    pub fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.commit(changes).map_err(|error| failed(&self.path, "cannot be written", &error))
    }

    fn commit(&self, changes: &[Change]) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut jobs = transaction.open_table(JOBS)?;
            let mut facts = transaction.open_table(FACTS)?;
            for change in changes {
                match change {
                    Change::Put(entry) => {
                        let text = entry.to_text();
                        jobs.insert(entry.job.name.as_str(), text.as_slice())?;
                    }
                    Change::Forget(name) => drop(jobs.remove(name.as_str())?),
                    Change::Pause(paused) => {
                        facts.insert(PAUSED_KEY, u64::from(*paused))?;
                    }
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// Makes an empty store beside and renames it: whoever finds the file finds it whole.
fn make(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let beside = path.with_extension("redb.tmp");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let database = builder().create(&beside)?;
    let transaction = database.begin_write()?;
    transaction.open_table(JOBS)?;
    transaction.open_table(FACTS)?.insert(FORMAT_KEY, FORMAT)?;
    transaction.commit()?;
    database.close()?;
    fs::rename(&beside, path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()?;
    Ok(())
}

fn failed(path: &Path, what: &str, error: &dyn std::fmt::Display) -> StoreError {
    let full = error.to_string().contains("No space left");
    StoreError {
        message: format!("{} {what}: {error}", path.display()),
        hint: full.then(|| "free some space on its disk".to_owned()),
    }
}

fn damaged(path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError {
        message: format!("{} is no store of sealpipe, or is damaged: {error}", path.display()),
        hint: Some(
            "move it away and submit the sectors again: each goes on where its directory says"
                .to_owned(),
        ),
    }
}

fn unusable(path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError {
            message: format!("{} is in use", path.display()),
            hint: Some("another daemon runs on it".to_owned()),
        },
        DatabaseError::Storage(redb::StorageError::Io(error))
            if error.kind() != io::ErrorKind::InvalidData =>
        {
            failed(path, "cannot be opened", &error)
        }
        other => damaged(path, &other),
    }
}

#[cfg(test)]
mod tests {
    use sealpipe_protocol::stage::echo;

    use super::*;
    use crate::daemon::job::{EchoJob, Work, tests::job};

    fn entry(number: u64) -> Entry {
        Entry { number, job: job(number), life: Life::new(number) }
    }

    fn names(store: &Store) -> Vec<String> {
        store.read().unwrap().entries.into_iter().map(|entry| entry.job.name).collect()
    }

    #[test]
    fn what_is_written_is_there_after_the_file_was_closed() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("jobs.redb");
        let store = Store::open(&path).unwrap();
        // In the order of submission, not of names.
        store
            .write(&[
                Change::Put(entry(10).into()),
                Change::Put(entry(9).into()),
                Change::Pause(true),
            ])
            .unwrap();
        drop(store);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.read().unwrap(), content(vec![entry(9), entry(10)], true));
        store.write(&[Change::Forget("t01000-9".into()), Change::Pause(false)]).unwrap();
        drop(store);
        assert_eq!(Store::open(&path).unwrap().read().unwrap(), content(vec![entry(10)], false));
    }

    fn content(entries: Vec<Entry>, paused: bool) -> Content {
        Content { entries, paused, unreadable: Vec::new() }
    }

    /// An echo whose payload is a list in a list, so many times.
    fn nested(depth: usize) -> Job {
        let payload = (0..depth).fold(serde_json::Value::Null, |inner, _| vec![inner].into());
        let params = echo::Params { payload, ticks: 0, interval_ms: 0, fail: None };
        Job { name: "deep".into(), work: Work::Echo(EchoJob { steps: 1, params }) }
    }

    #[test]
    fn a_job_that_cannot_be_read_is_not_taken_and_keeps_nobody_from_the_others() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(&temp.path().join("jobs.redb")).unwrap();
        let deep = nested(126);
        check_readable(&nested(100)).unwrap();
        assert!(check_readable(&deep).unwrap_err().contains("recursion limit"));
        let deep = Entry { number: 2, job: deep, life: Life::new(0) };
        store.write(&[Change::Put(entry(1).into()), Change::Put(deep.into())]).unwrap();
        let found = store.read().unwrap();
        assert_eq!(found.entries, [entry(1)]);
        assert!(found.unreadable[0].starts_with("deep: recursion limit"), "{found:?}");
    }

    #[test]
    fn a_store_has_one_user() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("jobs.redb");
        let _store = Store::open(&path).unwrap();
        let error = Store::open(&path).err().unwrap();
        assert!(error.message.ends_with("is in use"), "{error}");
    }

    #[test]
    fn what_is_no_store_is_refused_and_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("jobs.redb");
        let whole = {
            let store = Store::open(&path).unwrap();
            store.write(&[Change::Put(entry(1).into())]).unwrap();
            drop(store);
            fs::read(&path).unwrap()
        };
        let check = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let error = Store::open(&path).err().expect("it is refused");
            assert!(error.message.contains("is no store of sealpipe, or is damaged"), "{error}");
            assert!(error.hint.unwrap().contains("submit the sectors again"));
        };
        check(b"dear diary");
        check(&[0; 100_000]);
        check(&whole[..whole.len() / 2]);
    }

    #[test]
    fn a_format_of_the_future_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("jobs.redb");
        let store = Store::open(&path).unwrap();
        let transaction = store.database.begin_write().unwrap();
        transaction.open_table(FACTS).unwrap().insert(FORMAT_KEY, FORMAT + 1).unwrap();
        transaction.commit().unwrap();
        drop(store);
        let error = Store::open(&path).err().unwrap();
        assert!(error.message.ends_with("has format 2, expected 1"), "{error}");
    }

    /// Whatever the file looked like between two writes, a copy of it is a store, and holds all that
    /// was written before.
    #[test]
    fn a_copy_of_the_file_at_any_write_is_a_store() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("jobs.redb");
        let copy = temp.path().join("copy.redb");
        let store = Store::open(&path).unwrap();
        let mut expected = Vec::new();
        for number in 1..=30 {
            store.write(&[Change::Put(entry(number).into())]).unwrap();
            expected.push(entry(number).job.name);
            if number % 3 == 0 {
                let name = expected.remove(0);
                store.write(&[Change::Forget(name)]).unwrap();
            }
            fs::copy(&path, &copy).unwrap();
            assert_eq!(names(&Store::open(&copy).unwrap()), expected, "after {number}");
        }
    }
}
