// SPDX-License-Identifier: MIT OR Apache-2.0

//! The jobs in memory, and the thread that writes them down.
//!
//! A step is decided and made in memory at once, and whoever made it waits until it is on the disk
//! before they act on it. Steps that come while the disk is busy are written together, in their order.
//! A disk that is full or broken stops the acting, loses nothing, and is tried again.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc as blocking,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::{oneshot, watch};

use super::{
    job::Job,
    state::{Life, Refusal, State, Step},
    store::{Change, Content, Entry, Store, StoreError},
};
use crate::event::now_ms;

/// Jobs that may wait, run or have failed.
pub const MAX_JOBS: usize = 10_000;

/// Jobs that are done or cancelled and still remembered; the oldest are forgotten first.
pub const MAX_ENDED: usize = 10_000;

/// Steps that are written in one transaction at most.
const MAX_BATCH: usize = 512;

/// The first wait before a failed write is tried again; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// What is said when the thread that writes has died.
const DIED: &str = "a defect of sealpipe stopped the thread that writes; start the daemon again";

struct Write {
    changes: Vec<Change>,
    /// Whether it is tried until it succeeds.
    must: bool,
    written: oneshot::Sender<Result<(), StoreError>>,
}

#[derive(Default)]
struct Inner {
    entries: BTreeMap<u64, Entry>,
    numbers: HashMap<String, u64>,
    last: u64,
    paused: bool,
}

/// The jobs.
pub struct Book {
    inner: Mutex<Inner>,
    writes: Mutex<Option<blocking::Sender<Write>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    closing: Arc<AtomicBool>,
    trouble: watch::Receiver<Option<String>>,
    unreadable: Vec<String>,
    /// Counts the steps.
    changed: watch::Sender<u64>,
    /// Submissions go one by one.
    adding: tokio::sync::Mutex<()>,
}

impl Book {
    /// Opens the store and reads all jobs.
    ///
    /// # Errors
    /// The store cannot be used.
    pub fn open(path: PathBuf) -> Result<Self, StoreError> {
        let store = Store::open(&path)?;
        let Content { entries, paused, unreadable } = store.read()?;
        let mut inner = Inner { paused, ..Inner::default() };
        for mut entry in entries {
            entry.life = entry.life.found();
            inner.insert(entry);
        }
        let (writes, received) = blocking::channel();
        let (trouble_told, trouble) = watch::channel(None);
        let closing = Arc::new(AtomicBool::new(false));
        let writer = Writer { path, store: Some(store), received, trouble: trouble_told };
        let stopped = closing.clone();
        let spawned = thread::Builder::new().name("store".into()).spawn(|| writer.run(stopped));
        let writer = spawned.map_err(|error| StoreError {
            message: format!("cannot start the thread that writes: {error}"),
            hint: None,
        })?;
        Ok(Self {
            inner: Mutex::new(inner),
            writes: Mutex::new(Some(writes)),
            writer: Mutex::new(Some(writer)),
            closing,
            trouble,
            changed: watch::Sender::new(0),
            unreadable,
            adding: tokio::sync::Mutex::default(),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job by its name.
    pub fn get(&self, name: &str) -> Option<Entry> {
        let inner = self.inner();
        inner.numbers.get(name).and_then(|number| inner.entries.get(number)).cloned()
    }

    /// Looks at all jobs in the order of their submission.
    pub fn read<T>(&self, look: impl FnOnce(&mut dyn Iterator<Item = &Entry>) -> T) -> T {
        look(&mut self.inner().entries.values())
    }

    /// Whether nothing starts until somebody says so.
    pub fn is_paused(&self) -> bool {
        self.inner().paused
    }

    /// Jobs that could not be read, and why: they are left as they are.
    pub fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    /// Why nothing can be written just now.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// Counts the steps: whoever waits for one waits for a change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Makes a step and waits until it is on the disk.
    ///
    /// # Errors
    /// The step does not follow.
    pub async fn step(&self, name: &str, step: &Step) -> Result<Life, Refusal> {
        let (life, written) = {
            let mut inner = self.inner();
            let Some((life, changes)) = inner.step(name, step)? else {
                return Ok(inner.life(name)?.clone());
            };
            // Sent before the lock is given back: the disk sees the order that memory sees.
            (life, self.send(changes, true))
        };
        self.tell();
        match written.await {
            Ok(_) => Ok(life),
            // Nobody writes any more. What is not written is not acted on: whoever waits here ends
            // with the daemon.
            Err(_) => std::future::pending().await,
        }
    }

    /// Makes a step that is written down together with the next one.
    ///
    /// # Errors
    /// The step does not follow.
    pub fn note(&self, name: &str, step: &Step) -> Result<(), Refusal> {
        self.inner().step(name, step)?;
        self.tell();
        Ok(())
    }

    /// Adds jobs, all or none, once they are on the disk. `check` looks at those that are there and
    /// says which of the new ones are to be added; no other addition comes in between. It is told how many
    /// neither are done nor were cancelled: those that failed are remembered until somebody has looked.
    ///
    /// # Errors
    /// What `check` finds, or that nothing can be written now.
    pub async fn add<E: From<StoreError>>(
        &self,
        check: impl FnOnce(&dyn Fn(&str) -> Option<Entry>, usize) -> Result<Vec<Job>, E>,
    ) -> Result<Vec<Entry>, E> {
        let _one = self.adding.lock().await;
        let ended = |entry: &&Entry| matches!(entry.life.state, State::Done | State::Cancelled);
        let unfinished = self.read(|entries| entries.filter(|entry| !ended(entry)).count());
        let jobs = check(&|name| self.get(name), unfinished)?;
        let now = now_ms();
        let entries: Vec<Entry> = {
            let mut inner = self.inner();
            let entry = |job| {
                inner.last += 1;
                Entry { number: inner.last, job, life: Life::new(now) }
            };
            jobs.into_iter().map(entry).collect()
        };
        if entries.is_empty() {
            return Ok(entries);
        }
        let changes = entries.iter().cloned().map(Box::new).map(Change::Put).collect();
        let written = self.send(changes, false).await;
        written.unwrap_or_else(|_| Err(unwritten()))?;
        let mut inner = self.inner();
        entries.iter().cloned().for_each(|entry| inner.insert(entry));
        drop(inner);
        self.tell();
        Ok(entries)
    }

    /// Remembers whether nothing starts.
    ///
    /// # Errors
    /// It cannot be written now.
    pub async fn pause(&self, paused: bool) -> Result<(), StoreError> {
        let written = self.send(vec![Change::Pause(paused)], false).await;
        written.unwrap_or_else(|_| Err(unwritten()))?;
        self.inner().paused = paused;
        self.tell();
        Ok(())
    }

    /// Ends the writer once all that was sent is written, or at once when nothing can be.
    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.writes.lock().unwrap_or_else(PoisonError::into_inner).take();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let _ = writer.join();
        }
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn send(&self, changes: Vec<Change>, must: bool) -> oneshot::Receiver<Result<(), StoreError>> {
        let (written, done) = oneshot::channel();
        let writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writes) = &*writes {
            // It fails when the daemon ends, and then `done` says so.
            let _ = writes.send(Write { changes, must, written });
        }
        done
    }
}

fn unwritten() -> StoreError {
    StoreError {
        message: "the daemon writes nothing any more".to_owned(),
        hint: Some("it is ending, or `sealpipe status` says why".to_owned()),
    }
}

impl Inner {
    fn insert(&mut self, entry: Entry) {
        self.last = self.last.max(entry.number);
        let before = self.numbers.insert(entry.job.name.clone(), entry.number);
        if let Some(before) = before.filter(|before| *before != entry.number) {
            self.entries.remove(&before);
        }
        self.entries.insert(entry.number, entry);
    }

    fn life(&self, name: &str) -> Result<&Life, Refusal> {
        let number = self.numbers.get(name);
        let entry = number.and_then(|number| self.entries.get(number));
        entry.map(|entry| &entry.life).ok_or_else(|| Refusal::Unknown(name.to_owned()))
    }

    /// Makes a step; the life after it and what is to be written, or `None` if it changes nothing.
    fn step(&mut self, name: &str, step: &Step) -> Result<Option<(Life, Vec<Change>)>, Refusal> {
        let life = self.life(name)?;
        let next = life.after(name, step, now_ms())?;
        if next == *life {
            return Ok(None);
        }
        let ended = matches!(next.state, State::Done | State::Cancelled);
        let mut changes = Vec::new();
        if let Some(entry) = self.numbers.get(name).and_then(|n| self.entries.get_mut(n)) {
            entry.life = next.clone();
            changes.push(Change::Put(entry.clone().into()));
        }
        if ended {
            changes.extend(self.forget_oldest().map(Change::Forget));
        }
        Ok(Some((next, changes)))
    }

    /// Forgets the oldest job that ended, when there are too many.
    fn forget_oldest(&mut self) -> Option<String> {
        let ended = |entry: &&Entry| matches!(entry.life.state, State::Done | State::Cancelled);
        let mut all = self.entries.values().filter(ended);
        let oldest = all.next().map(|entry| (entry.number, entry.job.name.clone()));
        let (number, name) = oldest.filter(|_| all.count() >= MAX_ENDED)?;
        self.entries.remove(&number);
        self.numbers.remove(&name);
        Some(name)
    }
}

/// The thread that writes.
struct Writer {
    path: PathBuf,
    store: Option<Store>,
    received: blocking::Receiver<Write>,
    trouble: watch::Sender<Option<String>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if thread::panicking() {
            self.trouble.send_replace(Some(DIED.to_owned()));
        }
    }
}

impl Writer {
    fn run(mut self, closing: Arc<AtomicBool>) {
        while let Ok(first) = self.received.recv() {
            let mut batch = vec![first];
            batch.extend(self.received.try_iter().take(MAX_BATCH - 1));
            self.write(batch, &closing);
        }
    }

    /// Writes a batch; again and again where it has to be written.
    fn write(&mut self, mut batch: Vec<Write>, closing: &AtomicBool) {
        let mut wait = FIRST_WAIT;
        while !batch.is_empty() {
            let changes: Vec<Change> =
                batch.iter().flat_map(|write| write.changes.iter().cloned()).collect();
            let Err(error) = self.try_write(&changes) else {
                self.trouble.send_if_modified(|trouble| trouble.take().is_some());
                batch.into_iter().for_each(|write| drop(write.written.send(Ok(()))));
                return;
            };
            self.trouble.send_replace(Some(error.message.clone()));
            if closing.load(Ordering::SeqCst) {
                return;
            }
            let (must, may): (Vec<_>, Vec<_>) = batch.into_iter().partition(|write| write.must);
            for write in may {
                let (message, hint) = (error.message.clone(), error.hint.clone());
                let _ = write.written.send(Err(StoreError { message, hint }));
            }
            batch = must;
            if batch.is_empty() {
                return;
            }
            // Whoever asks meanwhile is answered at once, and after those who wait already.
            match self.received.recv_timeout(wait) {
                Ok(write) => batch.push(write),
                Err(blocking::RecvTimeoutError::Timeout) => wait = (wait * 2).min(LONGEST_WAIT),
                Err(blocking::RecvTimeoutError::Disconnected) => return,
            }
            batch.extend(self.received.try_iter());
        }
    }

    /// After a failure the file is opened anew: what was half written is not there.
    fn try_write(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let store = match self.store.take() {
            Some(store) => store,
            None => Store::reopen(&self.path)?,
        };
        store.write(changes)?;
        self.store = Some(store);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sealpipe_protocol::Stage;

    use super::*;
    use crate::daemon::job::tests::job;

    async fn add(book: &Book, numbers: std::ops::RangeInclusive<u64>) {
        let jobs = numbers.map(job).collect();
        book.add(|_, _| Ok::<_, StoreError>(jobs)).await.unwrap();
    }

    fn words(book: &Book) -> Vec<(String, &'static str)> {
        book.read(|entries| entries.map(|e| (e.job.name.clone(), e.life.word())).collect())
    }

    #[tokio::test]
    async fn steps_are_there_when_the_book_is_opened_again() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("jobs.redb");
        let book = Book::open(path.clone()).unwrap();
        add(&book, 8..=11).await;
        book.step("t01000-8", &Step::Complete).await.unwrap();
        book.step("t01000-9", &Step::Hold).await.unwrap();
        let start = Step::Start { stage: Stage::Pc1, processor: "pc1[0]".into(), attempt: 1 };
        book.step("t01000-10", &start).await.unwrap();
        book.pause(true).await.unwrap();
        let refused = book.step("t01000-8", &Step::Cancel).await.unwrap_err();
        assert!(refused.to_string().contains("is done"));
        book.close();
        let book = Book::open(path).unwrap();
        let expected = ["done", "held", "waiting", "queued"].into_iter().zip(8..);
        let expected: Vec<_> = expected.map(|(word, n)| (format!("t01000-{n}"), word)).collect();
        assert_eq!(words(&book), expected);
        assert!(book.is_paused());
    }

    #[tokio::test]
    async fn many_steps_at_once_are_all_written_in_their_order() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("jobs.redb");
        let book = Arc::new(Book::open(path.clone()).unwrap());
        add(&book, 1..=300).await;
        let mut steps = tokio::task::JoinSet::new();
        for number in 1..=300 {
            let book = book.clone();
            steps.spawn(async move {
                let name = format!("t01000-{number}");
                for stage in [Stage::AddPieces, Stage::TreeD, Stage::Pc1] {
                    let processor = format!("{stage}[0]");
                    let start = Step::Start { stage, processor, attempt: number };
                    book.step(&name, &start).await.unwrap();
                    book.step(&name, &Step::Finish).await.unwrap();
                }
            });
        }
        steps.join_all().await;
        book.close();
        let book = Book::open(path).unwrap();
        book.read(|entries| {
            for entry in entries {
                assert_eq!(entry.life.state, State::Waiting { stage: Stage::Pc1 });
                assert_eq!(entry.life.steps_done, 3);
            }
        });
    }

    #[tokio::test]
    async fn a_name_that_is_added_again_replaces_the_job() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("jobs.redb");
        let book = Book::open(path.clone()).unwrap();
        add(&book, 1..=2).await;
        book.step("t01000-1", &Step::Cancel).await.unwrap();
        add(&book, 1..=1).await;
        let expected = [("t01000-2".to_owned(), "queued"), ("t01000-1".to_owned(), "queued")];
        assert_eq!(words(&book), expected);
        book.close();
        assert_eq!(words(&Book::open(path).unwrap()), expected);
    }

    #[tokio::test]
    async fn a_step_that_nobody_writes_is_never_taken_as_written() {
        let temp = tempfile::tempdir().unwrap();
        let book = Book::open(temp.path().join("jobs.redb")).unwrap();
        add(&book, 1..=1).await;
        book.close();
        let step = book.step("t01000-1", &Step::Hold);
        tokio::time::timeout(Duration::from_millis(100), step).await.unwrap_err();
        let error = book.pause(true).await.unwrap_err();
        assert_eq!(error.message, "the daemon writes nothing any more");
        assert!(!book.is_paused());
    }

    fn writer(path: PathBuf) -> (Writer, watch::Receiver<Option<String>>) {
        let (_, received) = blocking::channel();
        let (trouble, told) = watch::channel(None);
        (Writer { path, store: None, received, trouble }, told)
    }

    #[test]
    fn the_death_of_the_thread_that_writes_is_seen() {
        let (writer, trouble) = writer(PathBuf::new());
        let died = thread::spawn(move || {
            let _writer = writer;
            panic!("on purpose");
        });
        died.join().unwrap_err();
        assert_eq!(trouble.borrow().as_deref(), Some(DIED));
    }

    #[test]
    fn a_store_that_is_gone_is_not_begun_anew() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("jobs.redb");
        let (mut writer, _) = writer(path.clone());
        let error = writer.try_write(&[Change::Pause(true)]).unwrap_err();
        assert!(error.message.contains("cannot be opened"), "{error}");
        assert!(!path.exists());
        // It is there again, as when its disk is mounted.
        drop(Store::open(&path).unwrap());
        writer.try_write(&[Change::Pause(true)]).unwrap();
        drop(writer);
        assert!(Store::open(&path).unwrap().read().unwrap().paused);
    }
}
