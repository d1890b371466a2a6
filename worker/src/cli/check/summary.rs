// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a configuration would start, as a table and as JSON.

use std::fmt::Write;

use sealpipe_protocol::{Stage, stage::proof::SealProof};
use serde_json::{Value, json};

use crate::{
    check,
    config::{Config, Diagnostic, Entry, Loaded, Processors, Program},
    hardware::{Hardware, size},
};

use super::{super::table::table, Host};

/// The table's columns. The program comes last, for it may be long.
const HEADERS: [&str; 7] = ["STAGE", "CPUS", "NODE", "SLOTS", "LOCKS", "GPU", "PROGRAM"];

/// The summary for people.
pub(super) fn text(config: &Config, host: &Host<'_>) -> String {
    let processors = &config.processors;
    let mut text = String::new();
    let rows = processors.entries.iter().map(|entry| row(entry, &host.files.program(entry)));
    text.push_str(&table(HEADERS, &rows.collect::<Vec<_>>()));
    let limitation = &processors.limitation;
    let concurrent = limitation.concurrent.iter().map(|(stage, limit)| format!("{stage} {limit}"));
    push_list(&mut text, "at most at once", concurrent);
    let staggered = limitation.staggered.iter();
    let staggered = staggered
        .map(|(stage, interval)| format!("{stage} {}", humantime::format_duration(*interval)));
    push_list(&mut text, "starts apart by", staggered);
    let locks = processors.ext_locks.iter().map(|(name, count)| format!("{name} {count}"));
    push_list(&mut text, "locks", locks);
    let files = processors.static_tree_d.iter();
    let files = files.map(|(proof, file)| format!("{} {}", proof.size_name(), file.path.display()));
    push_list(&mut text, "static tree_d", files);
    push_list(
        &mut text,
        "implied, one sealpipe-reference each from its first use",
        processors.implied().map(|stage| stage.to_string()),
    );
    if let Some(hardware) = host.known() {
        push_machine(&mut text, processors, hardware, host.proof);
    }
    text
}

fn push_list(text: &mut String, title: &str, items: impl Iterator<Item = String>) {
    let items: Vec<_> = items.collect();
    if !items.is_empty() {
        writeln!(text, "{title}: {}", items.join(", ")).expect("writing to a string cannot fail");
    }
}

/// What the machine is left with.
fn push_machine(text: &mut String, processors: &Processors, hardware: &Hardware, proof: SealProof) {
    let free = check::free_cores(processors, hardware);
    let free = if free.is_empty() { "none".to_owned() } else { free.to_string() };
    push_list(text, "cores that no entry needs", [free].into_iter());
    let demand = check::demand(processors, proof);
    let needed = demand.memory_bytes(processors, proof);
    if needed == 0 {
        return;
    }
    let of = match hardware.memory.total_bytes {
        0 => String::new(),
        total => format!(" of {}", size::shown(total)),
    };
    let tasks = demand.shown(processors, proof);
    let needed = size::shown(needed);
    push_list(text, "memory at most", [format!("{needed}{of} ({tasks})")].into_iter());
}

fn row(entry: &Entry, program: &Program) -> [String; HEADERS.len()] {
    let shown = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let listed = |list: &[&str]| shown((!list.is_empty()).then(|| list.join(",")));
    let locks: Vec<_> = entry.locks.iter().map(String::as_str).collect();
    let gpus = match entry.device {
        Some(device) if entry.gpus().is_none() => device.name().to_owned(),
        _ => listed(&entry.gpus().unwrap_or_default()),
    };
    [
        format!("{}[{}]", entry.stage, entry.index),
        shown(entry.cpus.as_ref().map(ToString::to_string)),
        shown(entry.numa_preferred.map(|node| node.to_string())),
        shown(entry.concurrent.map(|slots| slots.to_string())),
        listed(&locks),
        gpus,
        format!("{} {}", program.bin.display(), program.args.join(" ")),
    ]
}

/// The summary for programs. What would be started stands there only without errors.
pub(super) fn json(loaded: &Loaded, host: &Host<'_>) -> Value {
    let diagnostics: Vec<_> = loaded.parsed.diagnostics().iter().map(json_diagnostic).collect();
    let mut value = json!({
        "file": loaded.source.name(),
        "ok": loaded.parsed.config().is_some(),
        "diagnostics": diagnostics,
    });
    if let Some(config) = loaded.parsed.config() {
        value["processors"] = json_processors(config, host);
    }
    if let Some(hardware) = host.known() {
        let processors = &loaded.parsed.draft().processors;
        let demand = check::demand(processors, host.proof);
        value["machine"] = json!(hardware);
        value["freeCores"] = json!(check::free_cores(processors, hardware));
        value["memoryAtMostBytes"] = json!(demand.memory_bytes(processors, host.proof));
    }
    value
}

fn json_diagnostic(diagnostic: &Diagnostic) -> Value {
    json!({
        "code": diagnostic.code.id(),
        "severity": diagnostic.severity().name(),
        "message": diagnostic.message,
        "line": diagnostic.span.map(|span| span.line),
        "column": diagnostic.span.map(|span| span.column),
        "hint": diagnostic.hint,
    })
}

fn json_processors(config: &Config, host: &Host<'_>) -> Value {
    let processors = &config.processors;
    let limitation = &processors.limitation;
    let concurrent = limitation.concurrent.iter().map(|(stage, n)| (stage.to_string(), json!(n)));
    let staggered = limitation.staggered.iter();
    let staggered = staggered.map(|(stage, d)| (stage.to_string(), json!(d.as_secs_f64())));
    let files = processors.static_tree_d.iter();
    let files = files.map(|(proof, file)| (proof.to_string(), json!(file.path.to_string_lossy())));
    let entries: Vec<_> =
        processors.entries.iter().map(|e| json_entry(e, &host.files.program(e))).collect();
    json!({
        "entries": entries,
        "implied": processors.implied().map(Stage::name).collect::<Vec<_>>(),
        "concurrent": concurrent.collect::<serde_json::Map<_, _>>(),
        "staggeredSeconds": staggered.collect::<serde_json::Map<_, _>>(),
        "extLocks": processors.ext_locks,
        "staticTreeD": files.collect::<serde_json::Map<_, _>>(),
    })
}

fn json_entry(entry: &Entry, program: &Program) -> Value {
    json!({
        "stage": entry.stage.name(),
        "index": entry.index,
        "line": entry.line(),
        "bin": program.bin.to_string_lossy(),
        "args": program.args,
        "stableWaitSeconds": entry.stable_wait.as_secs_f64(),
        "cpus": entry.cpus,
        "numaPreferred": entry.numa_preferred,
        "pinning": entry.pinning.name(),
        "device": entry.device.map(|device| device.name()),
        "gpus": entry.gpus(),
        "envs": entry.envs,
        "inheritEnvs": entry.inherit_envs,
        "concurrent": entry.concurrent,
        "locks": entry.locks,
        "autoRestart": entry.auto_restart,
    })
}
