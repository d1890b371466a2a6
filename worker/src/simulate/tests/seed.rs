// SPDX-License-Identifier: MIT OR Apache-2.0

//! The two schemes of the configuration guide that users come from, for a month.

use super::*;

const SCHEME_A: &str = include_str!("../../../tests/data/scheme-a.toml");
const SCHEME_B: &str = include_str!("../../../tests/data/scheme-b.toml");

#[test]
fn print() {
    for (name, scheme) in [("A", SCHEME_A), ("B", SCHEME_B)] {
        for cap in [None, Some(60)] {
            for decider in DECIDERS {
                let mut experiment = experiment(scheme, 30);
                experiment.site.in_flight = cap;
                let since = std::time::Instant::now();
                let (trace, report) = decider.run(&experiment).unwrap();
                println!(
                    "{name} {cap:?} {decider} {:?} {} tasks",
                    since.elapsed(),
                    trace.tasks.len()
                );
                println!("{}", serde_json::to_string_pretty(&report).unwrap());
            }
        }
    }
}
