// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cpus and memory: what is granted, and that the worker looks for itself.

use sealpipe_protocol::placement::{self, CpuList};

use super::{
    record::Seen,
    script::{Act, Life, Pin},
    site::{Setting, refused, run},
};
use crate::{
    bench::Bench,
    check::{Check, Failure, Verdict, ensure, skip},
    proc,
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("W-060", "grants-what-is-configured", &[33], grants),
    Check::must("W-061", "does-not-believe-a-claim", &[37], claims),
    Check::must("W-062", "looks-at-every-thread", &[37], threads),
    Check::must("W-063", "looks-at-the-memory-policy", &[37], memory),
    Check::must("W-064", "grants-nothing-where-it-pins", &[38], pins_itself),
    Check::must("W-065", "grants-nothing-where-nobody-pins", &[38], pinning_off),
];

/// One cpu, where there are others.
fn one_cpu() -> Verdict<CpuList> {
    let all = placement::current_cpus().map_err(|e| Failure::harness("its cpus", e))?;
    match all.iter().last() {
        Some(cpu) if all.len() > 1 => Ok(std::iter::once(cpu).collect()),
        _ => skip!("needs two cpus"),
    }
}

/// What was granted in `initialize`.
fn granted(life: Option<&Seen>) -> Verdict<serde_json::Value> {
    let asked = life.map(|life| life.asked("initialize")).unwrap_or_default();
    ensure!(!asked.is_empty(), "does not speak to its processor");
    Ok(asked[0].at("/params/placement").clone())
}

fn grants(bench: &Bench) -> Verdict {
    let cpus = one_cpu()?;
    let setting = Setting { cpus: Some(cpus.clone()), ..Setting::new([Life::default()]) };
    let ended = run(bench, &setting)?;
    let placement = granted(ended.lives.first())?;
    let list: Option<CpuList> = placement["cpus"].as_str().and_then(|text| text.parse().ok());
    ensure!(list.as_ref() == Some(&cpus), "grants {placement}, configured are the cpus {cpus}");
    ended.is_unharmed(1)
}

fn mismatch(bench: &Bench, pin: Pin) -> Verdict {
    let life = Life { pin, initialize: vec![Act::Claim], ..Life::default() };
    let setting = Setting { cpus: Some(one_cpu()?), ..Setting::new([life]) };
    refused(bench, &setting).map(drop)
}

fn claims(bench: &Bench) -> Verdict {
    mismatch(bench, Pin::Never)
}

fn threads(bench: &Bench) -> Verdict {
    mismatch(bench, Pin::Halfway)
}

fn memory(bench: &Bench) -> Verdict {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let Some(policies) = proc::memory_policies(own) else { skip!("no numa_maps in /proc") };
    if policies.iter().any(|policy| policy.contains("prefer") || policy.contains("bind")) {
        skip!("this process has a memory policy of its own");
    }
    let honest = Setting { memory_node: Some(0), ..Setting::new([Life::default()]) };
    let ended = run(bench, &honest)?;
    if ended.lives.iter().any(|life| life.find("unpinned").is_some()) {
        skip!("this kernel takes no memory policy");
    }
    ended.is_unharmed(1).map_err(|failure| failure.within("an honest processor"))?;
    let life = Life { pin: Pin::CpusOnly, initialize: vec![Act::Claim], ..Life::default() };
    let setting = Setting { memory_node: Some(0), ..Setting::new([life]) };
    refused(bench, &setting).map(drop)
}

/// Nothing is granted, and the processor is not asked to do anything about it.
fn not_granted(bench: &Bench, pinning: &'static str) -> Verdict<Seen> {
    let setting = Setting {
        cpus: Some(one_cpu()?),
        pinning: Some(pinning),
        ..Setting::new([Life { pin: Pin::Never, ..Life::default() }])
    };
    let ended = run(bench, &setting)?;
    let placement = granted(ended.lives.first())?;
    for member in ["cpus", "memoryNode", "memoryPolicy"] {
        let value = &placement[member];
        ensure!(value.is_null(), "grants {member} {value} with `pinning = \"{pinning}\"`");
    }
    ended.is_unharmed(1)?;
    ended.lives.into_iter().next().ok_or_else(|| Failure::Harness("no life".into()))
}

fn pins_itself(bench: &Bench) -> Verdict {
    let cpus = one_cpu()?;
    let life = not_granted(bench, "worker")?;
    let seen = &life.start()?["cpus"];
    ensure!(
        *seen == cpus.to_string().as_str(),
        "starts it on the cpus {seen}, configured are {cpus}"
    );
    Ok(())
}

fn pinning_off(bench: &Bench) -> Verdict {
    not_granted(bench, "off").map(drop)
}
