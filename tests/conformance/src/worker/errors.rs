// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a worker does about errors: the class decides, and the table where there is none.

use serde_json::{Value, json};

use super::{
    script::{Act, Life},
    site::{Setting, run},
    tasks::{attempts_rise, error},
};
use crate::{
    bench::Bench,
    check::{Check, Verdict, ensure},
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("W-140", "temporary-is-run-again", &[91, 92], temporary),
    Check::must("W-141", "permanent-is-not", &[91, 92], permanent),
    Check::must("W-142", "critical-stops-it", &[91, 92], critical),
    Check::must("W-143", "abort-gives-it-up", &[91, 92], abort),
    Check::must("W-144", "an-unknown-class-is-permanent", &[24, 91], unknown_class),
    Check::must("W-145", "without-data-the-table-decides", &[91], no_data),
    Check::must("W-146", "an-unknown-code-without-data-is-permanent", &[91], unknown_code),
    Check::must("W-147", "unusable-data-is-no-data", &[91], unusable_data),
    Check::must("W-148", "an-unknown-hint-is-taken-as-same", &[24, 93], unknown_hint),
    Check::should("W-149", "waits-as-long-as-asked", &[93], waits),
    Check::must("W-150", "bounds-its-tries", &[92], bounded),
];

/// An error comes once, and the task is done in the next try.
fn again(bench: &Bench, once: Act) -> Verdict {
    let life = Life { runs: vec![vec![once], vec![Act::Answer]], ..Life::default() };
    let ended = run(bench, &Setting::new([life]))?;
    attempts_rise(&ended, 2)?;
    ended.succeeds()
}

/// An error comes once, and the task would be done in the next try.
fn never_again(bench: &Bench, once: Act) -> Verdict {
    let life = Life { runs: vec![vec![once], vec![Act::Answer]], ..Life::default() };
    let ended = run(bench, &Setting::new([life]))?;
    attempts_rise(&ended, 1)?;
    ended.fails()
}

fn class(name: &str) -> Option<Value> {
    Some(json!({"class": name}))
}

fn temporary(bench: &Bench) -> Verdict {
    // A code that the table has as permanent, and one that is nobody's.
    again(bench, error(1006, class("temporary")))?;
    again(bench, error(12_345, class("temporary")))
}

fn permanent(bench: &Bench) -> Verdict {
    never_again(bench, error(1003, class("permanent")))
}

fn critical(bench: &Bench) -> Verdict {
    never_again(bench, error(1003, class("critical")))
}

fn abort(bench: &Bench) -> Verdict {
    never_again(bench, error(1003, class("abort")))?;
    // It was not asked to cancel anything.
    never_again(bench, error(-32800, class("abort")))
}

fn unknown_class(bench: &Bench) -> Verdict {
    never_again(bench, error(1003, class("woven")))
}

fn no_data(bench: &Bench) -> Verdict {
    again(bench, error(1003, None))?;
    never_again(bench, error(1006, None))
}

fn unknown_code(bench: &Bench) -> Verdict {
    never_again(bench, error(23_456, None))
}

fn unusable_data(bench: &Bench) -> Verdict {
    for data in [json!("temporary"), json!({"class": 7}), json!({}), json!([{"class": "abort"}])] {
        let what = format!("data {data}");
        again(bench, error(1003, Some(data))).map_err(|failure| failure.within(&what))?;
    }
    never_again(bench, error(1006, Some(json!({"class": null}))))
}

fn unknown_hint(bench: &Bench) -> Verdict {
    let retry = json!({"where": "on the moon", "afterMs": 1});
    again(bench, error(1003, Some(json!({"class": "temporary", "retry": retry}))))
}

fn waits(bench: &Bench) -> Verdict {
    const AFTER_MS: i64 = 3_000;
    let retry = json!({"where": "same", "afterMs": AFTER_MS});
    let once = error(1003, Some(json!({"class": "temporary", "retry": retry})));
    let life = Life { runs: vec![vec![once], vec![Act::Answer]], ..Life::default() };
    let ended = run(bench, &Setting::new([life]))?;
    attempts_rise(&ended, 2)?;
    let runs = ended.runs();
    let waited = runs[1].ms - runs[0].ms;
    ensure!(waited >= AFTER_MS, "tries again after {waited} ms, asked were {AFTER_MS}");
    Ok(())
}

fn bounded(bench: &Bench) -> Verdict {
    let ended = run(bench, &Setting::new([Life::run([error(1003, class("temporary"))])]))?;
    let tries = ended.runs().len();
    ensure!(tries > 0, "gives it no task");
    attempts_rise(&ended, tries)?;
    ended.fails()
}
