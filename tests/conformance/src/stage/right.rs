// SPDX-License-Identifier: MIT OR Apache-2.0

//! Right inputs: the values and files of golden and of random sectors, and nothing else touched.

use std::{
    fs::{self, File},
    io::Read,
    sync::Arc,
};

use sealpipe_protocol::stage::Stage;

use super::{
    layout::{self, Variant},
    model::{Model, write},
    random::Random,
    trial::Trial,
};
use crate::{
    bench::Bench,
    check::{Check, Failure, Verdict, ensure},
};

/// The checks of all stages with files.
pub const CHECKS: &[Check] = &[
    Check::must("S-001", "answers-golden-tasks", &[96, 100, 105], golden),
    Check::must("S-002", "answers-random-tasks", &[96, 100, 105], random),
    Check::must("S-003", "writes-the-files-of-golden-tasks", &[58, 115], golden_files),
    Check::must("S-004", "writes-the-files-of-random-tasks", &[58, 115], random_files),
    Check::must("S-005", "touches-nothing-else", &[113], touches),
    Check::must("S-006", "leaves-nothing-else", &[118], leaves),
    Check::must("S-007", "replaces-files-and-never-overwrites", &[112], replaces),
    Check::must("S-008", "does-not-trust-what-stands-there", &[56, 114], stale),
    Check::must("S-009", "makes-its-files-again", &[56, 58], again),
];

/// Random sectors of a run, for each check.
const RANDOM_SECTORS: u64 = 2;

/// Tasks of a stage for one sector.
pub fn variants(stage: Stage, model: &Model, random: &mut Random) -> Vec<Variant> {
    let whole = model.facts.data_bytes();
    match stage {
        Stage::Pc1 => vec![Variant::Plain, Variant::WithoutTreeD],
        Stage::Unseal => {
            let offset = random.below(whole);
            let size = random.below(whole - offset + 1);
            // Within a node, over a border, the last byte, nothing.
            let fixed = [(0, whole), (127, 1), (126, 2), (whole - 1, 1), (5, 0), (offset, size)];
            fixed.into_iter().map(|(offset, size)| Variant::Range { offset, size }).collect()
        }
        _ => vec![Variant::Plain],
    }
}

/// The one task that stands for its stage.
pub fn usual(stage: Stage, model: &Model) -> Variant {
    match stage {
        Stage::Unseal => Variant::Range { offset: 0, size: model.facts.data_bytes() },
        _ => Variant::Plain,
    }
}

/// Runs all tasks of some sectors, and looks at each.
fn each(
    bench: &Bench,
    models: Vec<Arc<Model>>,
    mut look: impl FnMut(&mut Trial<'_>, &mut crate::session::Session) -> Verdict,
) -> Verdict {
    let mut session = bench.session()?;
    let mut numbers = Random(bench.models().setting.seed);
    for model in models {
        for variant in variants(bench.known_stage()?, &model, &mut numbers) {
            let mut trial = Trial::new(bench, &model, variant)?;
            let looked = look(&mut trial, &mut session);
            let place = match variant {
                Variant::Plain => model.name.clone(),
                other => format!("{}, {other:?}", model.name),
            };
            looked.map_err(|failure| failure.within(&place))?;
        }
    }
    Ok(())
}

fn random_models(bench: &Bench) -> Verdict<Vec<Arc<Model>>> {
    (0..RANDOM_SECTORS).map(|number| bench.models().random(bench, number)).collect()
}

fn golden(bench: &Bench) -> Verdict {
    each(bench, bench.models().golden(bench)?, |trial, session| {
        let heard = trial.run(session)?;
        trial.answers_right(&heard)
    })
}

fn random(bench: &Bench) -> Verdict {
    each(bench, random_models(bench)?, |trial, session| {
        let heard = trial.run(session)?;
        trial.answers_right(&heard)
    })
}

fn golden_files(bench: &Bench) -> Verdict {
    each(bench, bench.models().golden(bench)?, |trial, session| {
        let heard = trial.run(session)?;
        trial.ended_well(&heard)
    })
}

fn random_files(bench: &Bench) -> Verdict {
    each(bench, random_models(bench)?, |trial, session| {
        let heard = trial.run(session)?;
        trial.ended_well(&heard)
    })
}

fn touches(bench: &Bench) -> Verdict {
    each(bench, bench.models().golden(bench)?, |trial, session| {
        let before = trial.look()?;
        trial.run(session)?;
        trial.inputs_are_unchanged(&before)
    })
}

fn leaves(bench: &Bench) -> Verdict {
    each(bench, bench.models().golden(bench)?, |trial, session| {
        let before = trial.look()?;
        trial.run(session)?;
        let beside: Verdict = trial.inputs_are_unchanged(&before);
        // What is touched elsewhere is another check's.
        if beside.is_err() {
            return Ok(());
        }
        trial.nothing_is_left(&before)
    })
}

/// Whoever has opened a file before it is made anew keeps the old content.
fn replaces(bench: &Bench) -> Verdict {
    const OLD: &[u8] = b"what an earlier task has left";
    let mut session = bench.session()?;
    let model = bench.models().first(bench)?;
    let mut trial = Trial::new(bench, &model, usual(bench.known_stage()?, &model))?;
    let failed = |e: std::io::Error| Failure::harness("an old file", e);
    let mut held = Vec::new();
    for (path, _) in &trial.expected {
        write(&trial.path(path), OLD)?;
        held.push((path.clone(), File::open(trial.path(path)).map_err(failed)?));
    }
    let heard = trial.run(&mut session)?;
    trial.ended_well(&heard)?;
    for (path, mut file) in held {
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(failed)?;
        ensure!(
            content == OLD,
            "{path} was written in place: who reads it meanwhile sees half of it"
        );
    }
    Ok(())
}

/// The directories of a finished task get the inputs of another sector.
fn stale(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let (first, other) = (bench.models().first(bench)?, bench.models().other(bench)?);
    let mut trial = Trial::new(bench, &first, usual(bench.known_stage()?, &first))?;
    let heard = trial.run(&mut session)?;
    trial.ended_well(&heard)?;
    trial.become_of(&other)?;
    let heard = trial.run(&mut session)?;
    trial.ended_well(&heard).map_err(|failure| failure.within("after another sector's task"))?;
    // Files of the right size are not therefore right, in a new process neither.
    for (path, content) in &trial.expected {
        write(&trial.path(path), &vec![0; content.len()])?;
    }
    if let Some(dir) = layout::work_dir(trial.stage) {
        let emptied = fs::remove_dir_all(trial.path(&dir));
        emptied
            .and_then(|()| fs::create_dir_all(trial.path(&dir)))
            .map_err(|e| Failure::harness("cannot empty the scratch", e))?;
    }
    let mut session = bench.session()?;
    let heard = trial.run(&mut session)?;
    trial.ended_well(&heard).map_err(|failure| failure.within("over files of zeros"))
}

fn again(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let model = bench.models().first(bench)?;
    let mut trial = Trial::new(bench, &model, usual(bench.known_stage()?, &model))?;
    for place in ["the first run", "the second run, with all files there"] {
        let heard = trial.run(&mut session)?;
        trial.ended_well(&heard).map_err(|failure| failure.within(place))?;
    }
    for (path, _) in &trial.expected {
        fs::remove_file(trial.path(path)).map_err(|e| Failure::harness("an output", e))?;
    }
    let heard = trial.run(&mut session)?;
    trial.ended_well(&heard).map_err(|failure| failure.within("a run after its files were removed"))
}
