// SPDX-License-Identifier: MIT OR Apache-2.0

//! Placement: granted, observed, and true for every thread.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::thread::{CpuSet, sched_getaffinity};
use sealpipe_protocol::{
    method::{MemoryPolicy, Placement},
    placement::{self, CpuList},
};
use serde_json::{Value, json};

use crate::{
    bench::Bench,
    check::{Check, Failure, Verdict, ensure, skip},
    proc,
    session::Session,
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("P-060", "runs-every-thread-on-the-granted-cpus", &[33, 34], every_thread),
    Check::must("P-061", "observes-the-granted-cpus", &[36], observed),
    Check::must("P-062", "leaves-cpus-alone-that-are-not-granted", &[33, 36], inherited),
    Check::must("P-063", "observes-the-granted-memory-policy", &[33, 36], memory_policy),
    Check::must("P-064", "refuses-a-cpu-that-is-not-there", &[35], absent_cpu),
    Check::must("P-065", "refuses-a-node-that-is-not-there", &[35], absent_node),
    Check::must("P-066", "refuses-an-unknown-memory-policy", &[24, 35], unknown_policy),
    Check::must("P-067", "applies-the-granted-memory-policy", &[33, 34], policy_in_proc),
];

/// The cpus that this process may run on.
fn own_cpus() -> Verdict<CpuList> {
    let set = sched_getaffinity(None).map_err(|e| Failure::harness("sched_getaffinity", e))?;
    let bound = u32::try_from(CpuSet::MAX_CPU).unwrap_or(u32::MAX);
    Ok((0..bound).filter(|cpu| set.is_set(*cpu as usize)).collect())
}

/// The last of them: a grant that differs from what is inherited where there are two or more.
fn one_cpu() -> Verdict<CpuList> {
    let last = own_cpus()?.iter().last();
    match last {
        Some(cpu) => Ok(CpuList::from_iter([cpu])),
        None => Err(Failure::Harness("this process may run on no cpu".into())),
    }
}

fn granting(bench: &Bench, placement: Value) -> Value {
    let mut params = bench.initialize_params();
    params["placement"] = placement;
    params
}

fn observed_cpus(session: &Session) -> Option<CpuList> {
    session.offer["placement"]["cpus"].as_str()?.parse().ok()
}

fn every_thread(bench: &Bench) -> Verdict {
    let granted = one_cpu()?;
    let params = granting(bench, json!({"cpus": granted.to_string()}));
    let mut session = bench.session_with(params)?;
    session.ask("task/run", bench.lasting("pinned")?)?;
    session.subject.settle(bench.limits.settle());
    let began = Instant::now();
    while began.elapsed() < 2 * bench.limits.quiet() {
        for pid in session.subject.processes() {
            for (tid, name, cpus) in proc::thread_cpus(pid) {
                ensure!(
                    cpus == granted,
                    "granted {granted}, thread {tid} ({name}) of {pid} may run on {cpus}"
                );
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn observed(bench: &Bench) -> Verdict {
    let granted = one_cpu()?;
    let params = granting(bench, json!({"cpus": granted.to_string()}));
    let session = bench.session_with(params)?;
    let placement = &session.offer["placement"];
    ensure!(
        observed_cpus(&session) == Some(granted.clone()),
        "granted {granted}, observed {placement}"
    );
    Ok(())
}

fn inherited(bench: &Bench) -> Verdict {
    let inherited = one_cpu()?;
    let mut session = Session::new(bench.start_on(&inherited)?, bench.limits);
    session.initialize(bench.initialize_params())?;
    let threads = proc::thread_cpus(session.subject.pid());
    for (tid, name, cpus) in threads {
        ensure!(
            cpus == inherited,
            "started on {inherited} and nothing granted, thread {tid} ({name}) runs on {cpus}"
        );
    }
    let placement = &session.offer["placement"];
    if placement["cpus"].is_null() {
        return Err(Failure::Broken(format!("no `cpus` are observed: {placement}")));
    }
    ensure!(
        observed_cpus(&session) == Some(inherited.clone()),
        "started on {inherited} and nothing granted, observed {placement}"
    );
    Ok(())
}

/// Skips where nobody may choose where memory comes from, as in some containers.
fn needs_memory_policies() -> Verdict {
    let grant = Placement {
        memory_node: Some(0),
        memory_policy: Some(MemoryPolicy::Preferred),
        ..Placement::default()
    };
    // A policy is a thread's, and ends with this one.
    match thread::spawn(move || placement::apply(&grant)).join() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(why)) => skip!("this system refuses memory policies: {why}"),
        Err(_) => Err(Failure::Harness("the thread with a memory policy died".into())),
    }
}

/// A session with a grant of memory, which a program without the means refuses.
fn with_memory(bench: &Bench, placement: Value) -> Verdict<Session> {
    let mut session = bench.silent_session()?;
    let id = session.ask("initialize", granting(bench, placement))?;
    let answer = session.answer(&id, bench.limits.initialize())?;
    if answer.code() == Some(1004) {
        skip!("it refuses memory with 1004: its entry needs `pinning = \"worker\"`");
    }
    ensure!(answer.at("/result").is_object(), "no result of initialize: {}", answer.excerpt());
    session.offer = answer.at("/result").clone();
    Ok(session)
}

fn memory_policy(bench: &Bench) -> Verdict {
    needs_memory_policies()?;
    // Without a policy the node is a preference, which only shows in what is observed.
    let session = with_memory(bench, json!({"memoryNode": 0}))?;
    let placement = &session.offer["placement"];
    ensure!(
        placement["memoryNode"] == 0 && placement["memoryPolicy"] == "preferred",
        "granted the node 0, to prefer, observed {placement}"
    );
    Ok(())
}

fn policy_in_proc(bench: &Bench) -> Verdict {
    needs_memory_policies()?;
    for (policy, shown) in [("preferred", "prefer"), ("bind", "bind")] {
        let session = with_memory(bench, json!({"memoryNode": 0, "memoryPolicy": policy}))?;
        let Some(policies) = proc::memory_policies(session.subject.pid()) else {
            skip!("this kernel does not show memory policies");
        };
        let expected = policies.iter().any(|text| text.starts_with(shown) && text.ends_with(":0"));
        ensure!(expected, "granted `{policy}` of node 0, the kernel says {policies:?}");
    }
    Ok(())
}

/// Refused with 1004, and its end.
fn refused(bench: &Bench, placement: Value) -> Verdict {
    let mut session = bench.silent_session()?;
    let id = session.ask("initialize", granting(bench, placement))?;
    session.error(&id, &[1004], bench.limits.initialize())?;
    session.ends_with(4, bench.limits.exit())
}

fn absent_cpu(bench: &Bench) -> Verdict {
    refused(bench, json!({"cpus": "8191"}))?;
    // The kernel drops what it has not, as long as one is left.
    let some = one_cpu()?;
    refused(bench, json!({"cpus": format!("{some},8190")}))
}

fn absent_node(bench: &Bench) -> Verdict {
    refused(bench, json!({"memoryNode": 1_000}))?;
    refused(bench, json!({"memoryNode": 63, "memoryPolicy": "bind"}))
}

fn unknown_policy(bench: &Bench) -> Verdict {
    refused(bench, json!({"memoryNode": 0, "memoryPolicy": "weighted-interleave"}))
}
