// SPDX-License-Identifier: MIT OR Apache-2.0

//! Takes orders: all of them, or none and all that is wrong with them.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
};

use sealpipe_protocol::{Code, Stage, TaskError, stage::proof::SealProof};

use super::{
    book::MAX_JOBS,
    desk::Desk,
    job::{Job, Work},
    requests::{Answer, dir, stored},
    state::State,
    store::{Entry, StoreError, check_readable},
};
use crate::{
    control::{MAX_ORDERS, Problem, SubmitParams, SubmitResult, Submitted, order::Order},
    event::Event,
    pipeline::{
        parameters::{self, ParametersError},
        piece_file::piece_file,
        store::SectorDir,
    },
};

/// Takes orders.
pub async fn submit(desk: &Arc<Desk>, params: SubmitParams) -> Answer<SubmitResult> {
    let n = params.orders.len();
    if n > MAX_ORDERS {
        let message = format!("at most {MAX_ORDERS} sectors are submitted at once, got {n}");
        return Err(TaskError::new(Code::InvalidParams, message).hint("submit them in parts"));
    }
    if desk.is_draining() {
        return Err(TaskError::new(
            Code::InvalidParams,
            "the daemon is draining and takes no more",
        )
        .hint("submit them once it runs again"));
    }
    let (jobs, mut problems) = read(desk, params.orders);
    problems.extend(missing_parameters(desk, &jobs).await);
    let mut submitted = Vec::new();
    let added = desk
        .book
        .add(|known, unfinished| {
            let (found, new) = compare(desk, &jobs, known, unfinished);
            match found {
                Ok(found) => submitted = found,
                Err(more) => problems.extend(more),
            }
            let new = if problems.is_empty() && !params.dry_run { new } else { Vec::new() };
            Ok::<_, StoreError>(new)
        })
        .await
        .map_err(stored)?;
    problems.sort_by_key(|problem| problem.order);
    if !problems.is_empty() {
        return Ok(SubmitResult { sectors: Vec::new(), problems });
    }
    let sectors: Vec<String> = added.iter().map(|entry| entry.job.name.clone()).collect();
    if !sectors.is_empty() {
        desk.tell(&Event::Submitted { sectors: sectors.clone() });
    }
    for name in &sectors {
        // Whoever was cancelled before under this name may still be leaving.
        desk.gone(name).await;
        desk.send(name);
    }
    Ok(SubmitResult { sectors: submitted, problems })
}

fn problem(order: usize, message: String, hint: Option<String>) -> Problem {
    Problem { order, message, hint }
}

/// The jobs that are ordered, with the number of each order, and what is wrong with the others.
fn read(desk: &Desk, orders: Vec<Order>) -> (Vec<(usize, Job)>, Vec<Problem>) {
    let (mut jobs, mut problems) = (Vec::new(), Vec::new());
    let mut taken = 0;
    for (number, order) in orders.into_iter().enumerate() {
        let free_name = || {
            loop {
                taken += 1;
                let name = format!("echo-{taken}");
                if desk.book.get(&name).is_none() {
                    return name;
                }
            }
        };
        match order.into_job(piece_file, free_name) {
            Ok(job) => match check_readable(&job) {
                Ok(()) => jobs.push((number, job)),
                Err(why) => problems.push(problem(number, why, None)),
            },
            Err(wrong) => problems.extend(wrong.into_iter().map(|m| problem(number, m, None))),
        }
    }
    (jobs, problems)
}

/// Network parameters take hours to fetch: that they are missing is said before anything is begun.
async fn missing_parameters(desk: &Desk, jobs: &[(usize, Job)]) -> Vec<Problem> {
    let mut sizes: BTreeMap<SealProof, Option<ParametersError>> = BTreeMap::new();
    let mut problems = Vec::new();
    for (number, job) in jobs {
        let Work::Sector(sector) = &job.work else { continue };
        if sector.until < Stage::C2 || sector.proof.is_test_size() {
            continue;
        }
        if let std::collections::btree_map::Entry::Vacant(vacant) = sizes.entry(sector.proof) {
            let (config, dir) = (desk.config(), &desk.settings.worker_dir);
            let ensured =
                parameters::ensure(sector.proof, &config.processors, dir, &desk.observer).await;
            vacant.insert(ensured.err());
        }
        if let Some(Some(error)) = sizes.get(&sector.proof) {
            problems.push(problem(*number, error.message.clone(), error.hint.clone()));
        }
    }
    problems
}

/// Looks at jobs beside those that are there: an answer for each, and those that are new.
fn compare(
    desk: &Desk,
    jobs: &[(usize, Job)],
    known: &dyn Fn(&str) -> Option<Entry>,
    unfinished: usize,
) -> (Result<Vec<Submitted>, Vec<Problem>>, Vec<Job>) {
    let (mut found, mut problems, mut new) = (Vec::new(), Vec::new(), Vec::<Job>::new());
    let mut dirs = used_dirs(desk);
    let mut names: HashMap<&str, &Job> = HashMap::new();
    for (number, job) in jobs {
        let before = names.insert(&job.name, job).map(|job| (job.clone(), State::Queued.word()));
        // One that is over gives way, unless it is what is ordered.
        let before = before.or_else(|| {
            let entry = known(&job.name)?;
            let is_over = entry.life.state.is_over();
            let gives_way = is_over && !entry.job.differences(job).is_empty();
            let stays = entry.life.state != State::Cancelled && !gives_way;
            stays.then_some((entry.job.clone(), entry.life.word()))
        });
        let name = job.name.clone();
        if let Some((before, state)) = before {
            let differences = before.differences(job);
            if differences.is_empty() {
                found.push(Submitted { name, known: true, state: state.to_owned() });
            } else {
                let differences = differences.join("; ");
                let message = format!("{name} is {state} already, and differs: {differences}");
                let hint = format!("`sealpipe cancel {name}` first, to submit another one");
                problems.push(problem(*number, message, Some(hint)));
            }
            continue;
        }
        if let Err((message, hint)) = check_dir(job, &mut dirs) {
            problems.push(problem(*number, message, hint));
            continue;
        }
        found.push(Submitted { name, known: false, state: State::Queued.word().to_owned() });
        new.push(job.clone());
    }
    if unfinished + new.len() > MAX_JOBS {
        let message = format!(
            "{unfinished} sectors wait, run or have failed, {} more are submitted, and at most \
             {MAX_JOBS} may be",
            new.len()
        );
        let last = jobs.last().map_or(0, |(number, _)| *number);
        problems.push(problem(
            last,
            message,
            Some("submit the others later, and cancel what is not to be tried again".to_owned()),
        ));
    }
    match problems.is_empty() {
        true => (Ok(found), new),
        false => (Err(problems), Vec::new()),
    }
}

/// The directories of unfinished jobs, and whose they are.
fn used_dirs(desk: &Desk) -> BTreeMap<PathBuf, String> {
    desk.book.read(|entries| {
        let unfinished = entries.filter(|entry| !entry.life.state.is_over());
        let used = unfinished
            .filter_map(|entry| Some((dir(&entry.job)?.to_owned(), entry.job.name.clone())));
        used.collect()
    })
}

/// A directory that is the given one, holds it, or lies in it, and whose it is.
fn overlapping<'a>(
    dir: &Path,
    dirs: &'a BTreeMap<PathBuf, String>,
) -> Option<(&'a PathBuf, &'a String)> {
    let around = dir.ancestors().find_map(|above| dirs.get_key_value(above));
    // Paths are ordered by their components: what lies in one follows it.
    let first = dirs.range::<Path, _>((Bound::Excluded(dir), Bound::Unbounded)).next();
    around.or(first.filter(|(other, _)| other.starts_with(dir)))
}

/// Whether a new job may have its directory.
fn check_dir(
    job: &Job,
    dirs: &mut BTreeMap<PathBuf, String>,
) -> Result<(), (String, Option<String>)> {
    let Work::Sector(sector) = &job.work else { return Ok(()) };
    if let Some((other_dir, other)) = overlapping(&sector.dir, dirs) {
        let place = match other_dir == &sector.dir {
            true => format!("where {other} lies"),
            false => format!("and {other} lies in {}", other_dir.display()),
        };
        return Err((
            format!("{} is to lie in {}, {place}", job.name, sector.dir.display()),
            Some("each sector has a directory of its own, in nobody else's".to_owned()),
        ));
    }
    dirs.insert(sector.dir.clone(), job.name.clone());
    SectorDir::look(&sector.dir, &sector.sector())
        .map(drop)
        .map_err(|error| (error.message, error.hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sector_lies_in_anothers_directory() {
        let used = ["/d/a", "/d/b/c"].map(|dir| (PathBuf::from(dir), format!("t {dir}")));
        let used = BTreeMap::from(used);
        let check = |dir: &str, expected: Option<&str>| {
            let found = overlapping(Path::new(dir), &used).map(|(dir, _)| dir.as_path());
            assert_eq!(found, expected.map(Path::new), "{dir}");
        };
        check("/d/a", Some("/d/a"));
        check("/d/a/cache/x", Some("/d/a"));
        check("/d/b", Some("/d/b/c"));
        check("/d", Some("/d/a"));
        check("/d/ab", None);
        check("/d/b/d", None);
        check("/e", None);
    }
}
