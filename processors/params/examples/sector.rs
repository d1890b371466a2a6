// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the test parameters of a sector size, with a line of progress a second:
//! `cargo run --release -p sealpipe-params --example sector -- 2048 /path/to/directory`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sealpipe_params::{DEFAULT_SEED, Error, ParameterSet, Progress, Step};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let sector_bytes = arguments.next().and_then(|size| size.parse().ok());
    let (Some(sector_bytes), Some(directory)) = (sector_bytes, arguments.next()) else {
        eprintln!("usage: sector SECTOR_BYTES DIRECTORY");
        return ExitCode::from(2);
    };
    match run(sector_bytes, directory.into()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(sector_bytes: u64, directory: PathBuf) -> Result<(), Error> {
    let last: Mutex<Option<(Step, Duration)>> = Mutex::new(None);
    let report = |progress: Progress| {
        let mut last = last.lock().expect("no thread panics while it reports");
        let Progress { step, done, total, elapsed, left } = progress;
        let is_due =
            last.is_none_or(|(old, then)| old != step || elapsed >= then + Duration::from_secs(1));
        if is_due {
            *last = Some((step, elapsed));
            let left = left.map_or(String::new(), |left| format!(", {left:.0?} left"));
            eprintln!("{elapsed:8.1?} {step:?} {done}/{total}{left}");
        }
    };
    let set = ParameterSet::new(sector_bytes, &directory)?;
    let made = set.make(DEFAULT_SEED, &report, &AtomicBool::new(false))?;
    eprintln!("{} {:?}", made.path.display(), made.layout);
    eprintln!("{:?}", set.status()?);
    Ok(())
}
