// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is on the disk when makers are cancelled, killed, or meet each other.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use bellperson::{Circuit, ConstraintSystem, SynthesisError};
use blstrs::Scalar;
use rand_core::SeedableRng;
use rand_xorshift::XorShiftRng;
use sealpipe_params::{Error, Layout, Made, Progress, Step, make};

/// A chain of `n` multiplications.
#[derive(Clone, Copy)]
struct Chain(usize);

impl Circuit<Scalar> for Chain {
    fn synthesize<CS: ConstraintSystem<Scalar>>(self, cs: &mut CS) -> Result<(), SynthesisError> {
        let missing = || Err(SynthesisError::AssignmentMissing);
        let mut last = cs.alloc_input(|| "input", missing)?;
        for _ in 0..self.0 {
            let next = cs.alloc(|| "next", missing)?;
            cs.enforce(|| "row", |lc| lc + last, |lc| lc + last, |lc| lc + next);
            last = next;
        }
        Ok(())
    }
}

fn make_with(
    n: usize,
    target: &Path,
    progress: impl Fn(Progress) + Sync,
    cancel: &AtomicBool,
) -> Result<Made, Error> {
    make(Chain(n), &mut XorShiftRng::from_seed([1; 16]), target, &progress, cancel)
}

fn make_quietly(target: &Path) -> Result<Made, Error> {
    make_with(100, target, |_| {}, &AtomicBool::new(false))
}

fn names(directory: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| name(entry).into_string().unwrap()).collect()
}

#[test]
fn a_file_that_is_there_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x.params");
    let first = make_quietly(&target).unwrap();
    let modified = fs::metadata(&target).unwrap().modified().unwrap();
    let second = make_quietly(&target).unwrap();
    assert_eq!((first.found, second.found), (false, true));
    assert_eq!(first.layout, second.layout);
    assert_eq!(fs::metadata(&target).unwrap().modified().unwrap(), modified);
}

#[test]
fn missing_directories_are_made() {
    let directory = tempfile::tempdir().unwrap();
    make_quietly(&directory.path().join("a/b/x.params")).unwrap();
    assert_eq!(names(&directory.path().join("a/b")), ["x.params"]);
}

#[test]
fn cancelling_at_any_step_leaves_nothing_behind() {
    let steps = [Step::Synthesis, Step::Evaluation, Step::Tables, Step::Points, Step::Publishing];
    for step in steps {
        let directory = tempfile::tempdir().unwrap();
        let cancel = AtomicBool::new(false);
        let seen = AtomicBool::new(false);
        let progress = |progress: Progress| {
            if progress.step == step {
                seen.store(true, Ordering::Relaxed);
                cancel.store(true, Ordering::Relaxed);
            }
        };
        // The last step is past the last look at the flag: the file may as well appear.
        let result = make_with(100, &directory.path().join("x.params"), progress, &cancel);
        assert!(seen.load(Ordering::Relaxed), "{step:?} was reported");
        if step == Step::Publishing {
            assert!(result.is_ok());
            assert_eq!(names(directory.path()), ["x.params"]);
        } else {
            assert!(result.unwrap_err().is_cancelled(), "at {step:?}");
            assert!(names(directory.path()).is_empty(), "at {step:?}");
        }
    }
}

#[test]
fn cancelling_within_synthesis_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let cancel = AtomicBool::new(false);
    let n_last = std::sync::atomic::AtomicU64::new(0);
    let progress = |progress: Progress| {
        assert_eq!(progress.step, Step::Synthesis);
        n_last.store(progress.done, Ordering::Relaxed);
        cancel.store(progress.done > 0, Ordering::Relaxed);
    };
    let result = make_with(1 << 20, &directory.path().join("x.params"), progress, &cancel);
    assert!(result.unwrap_err().is_cancelled());
    assert_eq!(n_last.load(Ordering::Relaxed), 1 << 16);
}

#[test]
fn the_remains_of_a_killed_process_are_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let (target, other) = (directory.path().join("x.params"), directory.path().join("y.params"));
    fs::write(directory.path().join("x.params.part"), vec![0x55; 1 << 20]).unwrap();
    make_quietly(&target).unwrap();
    make_quietly(&other).unwrap();
    assert_eq!(fs::read(&target).unwrap(), fs::read(&other).unwrap());
    // The rest of a process killed after another had made the file.
    fs::write(directory.path().join("x.params.part"), b"junk").unwrap();
    assert!(make_quietly(&target).unwrap().found);
    let mut names = names(directory.path());
    names.sort();
    assert_eq!(names, ["x.params", "y.params"]);
}

/// Starts a maker while the test holds its lock, ends the wait by `end`, and returns what it made.
fn wait_then(end: impl FnOnce(&Path, File)) -> Made {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x.params");
    let part = File::create(directory.path().join("x.params.part")).unwrap();
    part.lock().unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let maker = scope.spawn(|| {
            let progress = |progress: Progress| sender.send(progress.step).unwrap();
            make_with(100, &target, progress, &AtomicBool::new(false))
        });
        assert_eq!(receiver.recv().unwrap(), Step::Waiting);
        end(&target, part);
        let made = maker.join().unwrap().unwrap();
        assert_eq!(names(directory.path()), ["x.params"]);
        assert_eq!(Layout::read(&target).unwrap(), made.layout);
        made
    })
}

#[test]
fn a_waiting_process_finds_what_the_other_made() {
    let made = wait_then(|target, mut part| {
        let elsewhere = tempfile::tempdir().unwrap();
        make_quietly(&elsewhere.path().join("x.params")).unwrap();
        let mut bytes = File::open(elsewhere.path().join("x.params")).unwrap();
        std::io::copy(&mut bytes, &mut part).unwrap();
        fs::rename(target.with_extension("params.part"), target).unwrap();
    });
    assert!(made.found);
}

#[test]
fn a_waiting_process_takes_over_when_the_other_dies_or_gives_up() {
    assert!(!wait_then(|_, part| drop(part)).found);
    assert!(
        !wait_then(|target, part| {
            fs::remove_file(target.with_extension("params.part")).unwrap();
            drop(part);
        })
        .found
    );
}

#[test]
fn a_waiting_process_can_be_cancelled_and_leaves_the_others_file() {
    let directory = tempfile::tempdir().unwrap();
    let part = File::create(directory.path().join("x.params.part")).unwrap();
    part.lock().unwrap();
    let cancel = AtomicBool::new(false);
    let progress = |progress: Progress| {
        assert_eq!(progress.step, Step::Waiting);
        cancel.store(true, Ordering::Relaxed);
    };
    let result = make_with(100, &directory.path().join("x.params"), progress, &cancel);
    assert!(result.unwrap_err().is_cancelled());
    assert_eq!(names(directory.path()), ["x.params.part"]);
}

#[test]
fn of_many_makers_one_makes_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x.params");
    let n_made = thread::scope(|scope| {
        let makers: Vec<_> = (0..6).map(|_| scope.spawn(|| make_quietly(&target))).collect();
        let made = makers.into_iter().map(|maker| maker.join().unwrap().unwrap());
        made.filter(|made| !made.found).count()
    });
    assert_eq!(n_made, 1);
    assert_eq!(names(directory.path()), ["x.params"]);
}

#[test]
fn a_file_cut_short_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x.params");
    make_quietly(&target).unwrap();
    let n_bytes = fs::metadata(&target).unwrap().len();
    for n_left in [0, 1, 863, 866, 868, 1000, n_bytes - 1, n_bytes + 1] {
        File::options().write(true).open(&target).unwrap().set_len(n_left).unwrap();
        let error = make_quietly(&target).unwrap_err();
        assert!(error.is_damaged(), "{n_left} of {n_bytes} bytes: {error}");
        assert!(error.hint().unwrap().starts_with("remove "));
        fs::remove_file(&target).unwrap();
        make_quietly(&target).unwrap();
    }
}

#[test]
fn a_target_that_cannot_be_written_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    assert!(make_quietly(directory.path()).unwrap_err().is_io());
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    assert!(make_quietly(&file.join("x.params")).unwrap_err().is_io());
}

#[test]
fn points_are_reported_to_the_last_byte() {
    let directory = tempfile::tempdir().unwrap();
    let reports = std::sync::Mutex::new(Vec::new());
    let progress = |progress: Progress| reports.lock().unwrap().push(progress);
    let target = directory.path().join("x.params");
    let made = make_with(100, &target, progress, &AtomicBool::new(false)).unwrap();
    let reports = reports.into_inner().unwrap();
    let points: Vec<_> = reports.iter().filter(|report| report.step == Step::Points).collect();
    assert!(points.is_sorted_by_key(|report| report.done));
    assert!(points.iter().all(|report| report.total == made.layout.n_bytes()));
    assert_eq!(points.last().unwrap().done, made.layout.n_bytes());
    assert_eq!(reports.last().unwrap().step, Step::Publishing);
}
