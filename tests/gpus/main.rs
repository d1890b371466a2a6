// SPDX-License-Identifier: MIT OR Apache-2.0

//! Scheme B of the damocles documentation on a machine with two GPUs: pc2 and c2 take turns on each of
//! them, under the daemon, from data to proofs.
//!
//! `REQUIRE_GPU=1` makes it fail where there are fewer than two; `SEALPIPE_GPUS=1` makes one enough, and
//! with `SEALPIPE_GPUS=0` pc2 is on the cpu and c1 the last stage: what can be tried without any.
//! `SEALPIPE_GPUS_SECTORS` says how many sectors (16).

mod scheme;
mod tasks;

use std::{env, fs};

use sealpipe_tests::{
    Bench, pattern,
    site::{Site, hex},
    text,
};
use serde_json::{Value, json};

use self::scheme::{PARAMETERS, Scheme};

/// What is sealed, unless the environment says otherwise.
const SECTORS: usize = 16;

/// The GPUs of the scheme.
const GPUS: usize = 2;

/// Bytes of the pieces: all that a sector of 8 MiB holds.
const PIECE_BYTES: usize = (8 << 20) / 128 * 127;

/// The processors of GPUs.
const STAGES: [&str; 2] = ["pc2", "c2"];

/// A number from the environment.
fn setting(name: &str) -> Option<usize> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, got {value:?}")))
}

/// How many GPUs there are: of each the driver has made a device node.
fn n_gpus() -> usize {
    let names = fs::read_dir("/dev")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let numbers = names.filter_map(|name| Some(name.strip_prefix("nvidia")?.to_owned()));
    numbers.filter(|n| !n.is_empty() && n.bytes().all(|digit| digit.is_ascii_digit())).count()
}

#[test]
fn two_stages_take_turns_on_each_gpu() {
    let (wanted, found) = (setting("SEALPIPE_GPUS").unwrap_or(GPUS), n_gpus());
    if found < wanted {
        let why = format!("there are {found} GPUs of {wanted}");
        assert!(env::var_os("REQUIRE_GPU").is_none(), "REQUIRE_GPU is set: {why}");
        return eprintln!("SKIPPED: {why}");
    }
    run(wanted, setting("SEALPIPE_GPUS_SECTORS").unwrap_or(SECTORS));
}

fn run(n_gpus: usize, n_sectors: usize) {
    let (bench, nodes) = (Bench::new(), scheme::nodes());
    let parameters = bench.path("parameters");
    fs::create_dir(&parameters).unwrap();
    let all = Scheme::on(&nodes, if n_gpus == 0 { GPUS } else { n_gpus });
    let scheme = all.with_parameters(&parameters);
    let (scheme, until, stages) = match n_gpus {
        0 => (scheme.without_gpus(), "c1", &STAGES[..1]),
        _ => (scheme, "verify", &STAGES[..]),
    };
    if n_gpus > 0 {
        let variables = [(PARAMETERS, parameters.to_str().unwrap())];
        bench.start_shell_with("sealpipe-c2 params make --size 8MiB", &variables).end().ok();
    }
    println!("cpus {nodes:?}\n{scheme}");
    let site = Site::start_in(bench, &scheme.to_string());
    let names: Vec<_> = (1..=n_sectors).map(|number| format!("t01000-{number}")).collect();
    // Half of them begin c1 at once: proofs then wait for a GPU, however fast it is.
    let (_, late) = names.split_at(n_sectors / 2);
    submit(&site, n_sectors, late, until);
    let is = |state: &'static str| move |sector: &Value| text(sector, "state") == state;
    wait(&site, late, "wait for their seed", is("waiting for seed"));
    let seed = |(name, digit)| site.command(&["seed", name, &hex(digit)]);
    let digits = "123456789".chars().cycle();
    let told: Vec<_> = late.iter().map(String::as_str).zip(digits).map(seed).collect();
    told.into_iter().for_each(|run| drop(run.end().ok()));
    wait(&site, &names, "are done", is("done"));
    for name in &names {
        check_sector(&site.record(name), until);
    }
    let events = site.journal().events();
    let (tasks, holders) = (tasks::tasks(&events), scheme.holders());
    println!("{}", tasks::table(&tasks, &holders));
    tasks::check_locks(&tasks, &holders, stages);
    site.stop();
}

/// Submits sectors, every other one with a piece; those who are late get their seed later.
#[track_caller]
fn submit(site: &Site, n_sectors: usize, late: &[String], until: &str) {
    let piece = site.bench.write("piece", pattern(PIECE_BYTES));
    let order = |number: usize| {
        let name = format!("t01000-{number}");
        let mut sector = json!({
            "size": "8MiB", "number": number, "dir": site.bench.path(&name), "until": until,
        });
        if number.is_multiple_of(2) {
            sector["pieces"] = json!([piece]);
        }
        if late.contains(&name) {
            sector["seed"] = json!("wait");
        }
        format!("{}\n", json!({ "sector": sector }))
    };
    site.submit_lines(&(1..=n_sectors).map(order).collect::<String>()).ok();
}

/// Waits until so it is with all of these sectors, none of which may fail.
#[track_caller]
fn wait(site: &Site, names: &[String], what: &str, is_it: impl Fn(&Value) -> bool) {
    site.until(&format!("all {what}"), || {
        let status = site.status();
        let sectors = status["sectors"].as_array().unwrap();
        let failed = sectors.iter().find(|sector| sector["state"] == "failed");
        assert!(failed.is_none(), "{:#}", failed.unwrap());
        let so = sectors.iter().filter(|sector| is_it(sector));
        (so.filter(|sector| names.iter().any(|name| sector["name"] == *name)).count()
            == names.len())
        .then_some(())
    });
}

/// A sector came as far as it should; its proof was verified.
#[track_caller]
fn check_sector(record: &Value, until: &str) {
    let results = &record["results"];
    assert!(results["commR"].is_string(), "{record:#}");
    if until == "verify" {
        assert!(results["proof"].is_string(), "{record:#}");
        assert_eq!(results["valid"], true, "{record:#}");
        assert_eq!(results["networkParameters"], false, "{record:#}");
    }
}
