// SPDX-License-Identifier: MIT OR Apache-2.0

//! Initialize: first words, their parameters, and what is offered.

use serde_json::{Value, json};

use super::mutation::{self, Mutation};
use crate::{
    bench::Bench,
    check::{Check, Failure, Verdict, ensure, skip},
    session::Session,
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("P-050", "refuses-requests-before-initialize", &[30], too_early),
    Check::must("P-051", "ignores-notifications-before-initialize", &[30], early_notifications),
    Check::must("P-052", "answers-initialize-in-time", &[31, 34], in_time),
    Check::must("P-053", "refuses-a-second-initialize", &[30], twice),
    Check::must("P-054", "refuses-wrong-types-in-initialize", &[24, 32], wrong_types),
    Check::should("P-055", "waits-for-another-initialize", &[32], another),
    Check::must("P-056", "offers-the-stage", &[39], offers_stage),
    Check::should("P-057", "says-what-computes", &[40], device),
    Check::must("P-058", "refuses-arrays-for-objects-in-initialize", &[13, 32], positional),
];

fn too_early(bench: &Bench) -> Verdict {
    let mut session = bench.silent_session()?;
    for (method, params) in [
        ("ping", json!({})),
        ("task/run", bench.brief("early")?),
        ("task/cancel", json!({"taskId": "early"})),
        ("shutdown", json!({"mode": "drain"})),
        ("no/such", json!({})),
    ] {
        session.ask_error(method, params, &[-32002])?;
    }
    session.initialize(bench.initialize_params())?;
    session.lives_and_is_quiet()
}

fn early_notifications(bench: &Bench) -> Verdict {
    let mut session = bench.silent_session()?;
    session.tell("no/such", json!({}))?;
    session.tell("initialized", json!({}))?;
    session.tell("initialize", bench.initialize_params())?;
    session.is_quiet()?;
    session.initialize(bench.initialize_params())?;
    session.lives_and_is_quiet()
}

fn in_time(bench: &Bench) -> Verdict {
    // Nothing is said after the line, so nothing else can be needed.
    bench.session().map(drop)
}

fn twice(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    session.ask_error("initialize", bench.initialize_params(), &[-32600])?;
    session.ask_error("initialize", json!({}), &[-32600])?;
    let id = session.ask("task/run", bench.brief("twice")?)?;
    session.result(&id, bench.limits.brief_task()).map(drop)
}

/// Whether one is answered with -32602.
fn is_refused(session: &mut Session, mutation: &Mutation, bench: &Bench) -> Verdict {
    let id = session.ask("initialize", mutation.value.clone())?;
    session.error(&id, &[-32602], bench.limits.initialize()).map(drop)
}

/// Parameters with all members that there are.
fn whole(bench: &Bench) -> Value {
    let mut valid = bench.initialize_params();
    valid["limits"]["concurrent"] = 1.into();
    valid["placement"] =
        json!({"cpus": "0", "memoryNode": 0, "memoryPolicy": "default", "gpus": []});
    valid["capabilities"] = json!({});
    valid
}

fn wrong_types(bench: &Bench) -> Verdict {
    let mut mutations = mutation::all("initialize.params", &whole(bench))?;
    // No version is no common version as well: P-044.
    mutations.retain(|mutation| mutation.value["protocolVersions"] != json!([]));
    ensure!(mutations.len() > 50, "the schema of `initialize` yields {}", mutations.len());
    all_refused(bench, &mutations)
}

fn positional(bench: &Bench) -> Verdict {
    let mut mutations = mutation::positional("initialize.params", &whole(bench))?;
    // Where all of the parameters are an array there is no request: P-031.
    mutations.retain(|mutation| mutation.value.is_object());
    ensure!(mutations.len() > 10, "the schema of `initialize` yields {}", mutations.len());
    all_refused(bench, &mutations)
}

fn all_refused(bench: &Bench, mutations: &[Mutation]) -> Verdict {
    let mut session = bench.silent_session()?;
    for mutation in mutations {
        let mut refused = is_refused(&mut session, mutation, bench);
        // That it lives on after such an answer is a SHOULD of its own.
        if refused.is_err() && session.subject.wait_exit(bench.limits.exit())?.is_some() {
            session = bench.silent_session()?;
            refused = is_refused(&mut session, mutation, bench);
        }
        refused.map_err(|failure| failure.within(&mutation.what))?;
    }
    Ok(())
}

fn another(bench: &Bench) -> Verdict {
    let mut session = bench.silent_session()?;
    let mut params = bench.initialize_params();
    params["worker"] = Value::from(7);
    let id = session.ask("initialize", params)?;
    session.answer(&id, bench.limits.initialize())?;
    session.initialize(bench.initialize_params())
}

fn offers_stage(bench: &Bench) -> Verdict {
    let session = bench.session()?;
    let most = session.max_concurrent(bench.stage())?;
    ensure!(most >= 1, "`maxConcurrent` of `{}` is {most}", bench.stage());
    let stages = session.offer["stages"].as_array().cloned().unwrap_or_default();
    for offer in &stages {
        let name = offer["stage"].as_str().unwrap_or_default();
        let twice = stages.iter().filter(|other| other["stage"] == name).count() > 1;
        ensure!(!twice, "`{name}` is offered twice");
        ensure!(
            offer["maxConcurrent"].as_u64() >= Some(1),
            "`maxConcurrent` of `{name}` is {}",
            offer["maxConcurrent"]
        );
    }
    Ok(())
}

fn device(bench: &Bench) -> Verdict {
    let session = bench.session()?;
    let stages = session.offer["stages"].as_array().cloned().unwrap_or_default();
    let Some(offer) = stages.iter().find(|offer| offer["stage"] == bench.stage()) else {
        skip!("the stage is not offered")
    };
    match offer["device"].as_str() {
        Some(device) if !device.is_empty() => Ok(()),
        _ => Err(Failure::Broken(format!("no `device` in {offer}"))),
    }
}
