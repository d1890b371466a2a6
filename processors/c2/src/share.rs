// SPDX-License-Identifier: MIT OR Apache-2.0

//! Work shared among several: prepared piece after piece, each piece done by whoever is free. When one of them
//! fails, all stop.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
};

use sealpipe_protocol::{Code, TaskError};

/// What `work` makes of each of `n` pieces, in their order. One prepared piece waits for each worker.
///
/// The first error sets `is_over` and is returned. Nothing is begun once that is set, by whomever; `prepare` and
/// `work` may look at it too and end early.
///
/// # Errors
/// The first of theirs, a panic as a defect; and [`Code::Cancelled`] when somebody else ended it.
pub fn share<W: Send, T: Send, R: Send>(
    n: usize,
    workers: &mut [W],
    is_over: &AtomicBool,
    prepare: impl Fn(usize) -> Result<T, TaskError>,
    work: impl Fn(&mut W, usize, T) -> Result<R, TaskError> + Sync,
) -> Result<Vec<R>, TaskError> {
    let end = End { is_over, first: OnceLock::new() };
    let done = Mutex::new((0..n).map(|_| None).collect::<Vec<_>>());
    thread::scope(|scope| {
        let (to_do, prepared) = mpsc::sync_channel(workers.len());
        // Gone with the last worker, so that nobody waits for one that has ended.
        let prepared = Arc::new(Mutex::new(prepared));
        for worker in workers {
            let (prepared, done, work, end) = (Arc::clone(&prepared), &done, &work, &end);
            let mut each = move || {
                while let Some((k, piece)) = next(&prepared).filter(|_| !end.is_over()) {
                    let result = work(worker, k, piece)?;
                    lock(done)[k] = Some(result);
                }
                Ok(())
            };
            scope.spawn(move || end.guard("a thread that proves", &mut each));
        }
        drop(prepared);
        end.guard("the thread that makes witnesses", move || {
            for k in (0..n).take_while(|_| !is_over.load(Ordering::Relaxed)) {
                // Nobody receives only when all have ended.
                if to_do.send((k, prepare(k)?)).is_err() {
                    break;
                }
            }
            Ok(())
        });
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let ended = || TaskError::new(Code::Cancelled, "it was ended early");
    match end.first.into_inner() {
        Some(error) => Err(error),
        None => done.into_iter().collect::<Option<_>>().ok_or_else(ended),
    }
}

/// How it ends early.
struct End<'e> {
    is_over: &'e AtomicBool,
    first: OnceLock<TaskError>,
}

impl End<'_> {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Has an error end it.
    fn guard(&self, who: &str, run: impl FnOnce() -> Result<(), TaskError>) {
        if let Err(error) = unless_panicked(who, run) {
            // Before the flag, which has others fail.
            let _ = self.first.set(error);
            self.is_over.store(true, Ordering::Relaxed);
        }
    }
}

/// A panic as an error that says where it was; what it was is on stderr.
///
/// # Errors
/// That, and those of `run`.
pub fn unless_panicked<T>(
    who: &str,
    run: impl FnOnce() -> Result<T, TaskError>,
) -> Result<T, TaskError> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(TaskError::new(Code::InternalError, format!("{who} panicked"))))
}

/// The next piece, for whoever is free.
fn next<T>(prepared: &Mutex<Receiver<T>>) -> Option<T> {
    lock(prepared).recv().ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn lost() -> TaskError {
        TaskError::new(Code::DeviceLost, "it fell off")
    }

    #[test]
    fn results_are_in_the_order_of_the_pieces() {
        let is_over = AtomicBool::new(false);
        let mut counts = [0; 3];
        let square = |count: &mut usize, k, piece: usize| {
            *count += 1;
            assert_eq!(piece, 10 * k);
            Ok(piece * piece)
        };
        let results = share(100, &mut counts, &is_over, |k| Ok(10 * k), square).unwrap();
        assert!(results.into_iter().eq((0..100).map(|k| 100 * k * k)));
        assert_eq!((counts.iter().sum::<usize>(), is_over.into_inner()), (100, false));
    }

    #[test]
    fn when_one_device_fails_the_other_stops_and_the_first_error_is_told() {
        let is_over = AtomicBool::new(false);
        let begun = AtomicUsize::new(0);
        let mut devices = ["good", "faulty"];
        let prove = |device: &mut &str, _, ()| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *device == "faulty" {
                return Err(lost());
            }
            // In the middle of its proof, for as long as nobody says that it is of no use.
            while !is_over.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            Err::<(), _>(TaskError::new(Code::Cancelled, "of no use"))
        };
        assert_eq!(share(1_000, &mut devices, &is_over, |_| Ok(()), prove), Err(lost()));
        assert!(begun.into_inner() <= 2, "nothing is begun after the failure");
    }

    #[test]
    fn whoever_fails_or_panics_is_named_and_nobody_waits_for_it() {
        let check = |prepare: fn(usize) -> Result<(), TaskError>, work: fn() -> _, message| {
            let is_over = AtomicBool::new(false);
            let work = |_: &mut (), _, ()| work();
            let error = share::<_, _, ()>(50, &mut [(), ()], &is_over, prepare, work).unwrap_err();
            assert_eq!(error.message, message);
            assert!(is_over.into_inner());
        };
        let good = || Ok(());
        check(|_| panic!("for the test"), good, "the thread that makes witnesses panicked");
        check(|k| if k < 7 { Ok(()) } else { Err(lost()) }, good, "it fell off");
        check(|_| Ok(()), || panic!("for the test"), "a thread that proves panicked");
        check(|_| Ok(()), || Err(lost()), "it fell off");
    }

    #[test]
    fn what_is_ended_from_outside_begins_nothing() {
        let is_over = AtomicBool::new(true);
        let never = |_| -> Result<(), TaskError> { unreachable!("it is over") };
        let error = share(3, &mut [()], &is_over, never, |_, _, ()| Ok(())).unwrap_err();
        assert_eq!(error.known_code(), Some(Code::Cancelled), "{error}");
    }
}
