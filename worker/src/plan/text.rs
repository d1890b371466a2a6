// SPDX-License-Identifier: MIT OR Apache-2.0

//! A draft as a `worker.toml`, with comments.

use std::fmt::Write as _;

use sealpipe_protocol::Stage;

use super::draft::{Draft, DraftEntry};

/// Longest line of a comment, in characters.
const COLUMNS: usize = 96;

/// Lines of a comment, folded between words.
pub fn comment(paragraphs: &[String]) -> String {
    let mut text = String::new();
    for paragraph in paragraphs {
        let mut line = "#".to_owned();
        for word in paragraph.split(' ') {
            if line.chars().count() + word.chars().count() >= COLUMNS {
                let _ = writeln!(text, "{}", line.trim_end());
                line = "#".to_owned();
            }
            let _ = write!(line, " {word}");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// The configuration without its heading.
pub fn body(draft: &Draft) -> String {
    let mut text = String::new();
    let mut limit = |stage: &str, n: usize| {
        let _ = writeln!(text, "{stage} = {n}");
    };
    limit("[processors.limitation.concurrent]\npc1", draft.n_pc1());
    limit("pc2", draft.of_stage(Stage::Pc2).count());
    limit("c2", draft.of_stage(Stage::C2).count());
    let mut locks: Vec<&String> = draft.entries.iter().filter_map(|e| e.lock.as_ref()).collect();
    locks.dedup();
    locks.sort();
    locks.dedup();
    if !locks.is_empty() {
        text.push_str("\n[processors.ext_locks]\n");
        for lock in locks {
            let _ = writeln!(text, "{lock} = 1");
        }
    }
    if let Some(sectors) = draft.in_flight {
        let _ = writeln!(text, "\n[processors.scheduling]\nsectors_in_flight = {sectors}");
    }
    let several = draft.pc1.iter().any(|labelling| labelling.node != draft.pc1[0].node);
    for labelling in &draft.pc1 {
        let between = labelling.cpus.difference(&labelling.bound);
        let tasks = labelling.tasks;
        let mut about = format!("{tasks} tasks, each on {}", cores(draft));
        if !between.is_empty() {
            let _ = write!(about, "; {between} of these cpus are for other stages");
        }
        text.push('\n');
        text.push_str(&comment(&[about]));
        text.push_str("[[processors.pc1]]\n");
        if several {
            let _ = writeln!(text, "numa_preferred = {}", labelling.node);
        }
        let _ = writeln!(text, "cgroup.cpuset = \"{}\"", labelling.cpus);
        let _ = writeln!(text, "concurrent = {tasks}");
        let producers = draft.unit.cores - 1;
        if producers > 0 {
            let _ = writeln!(
                text,
                "envs = {{ FIL_PROOFS_USE_MULTICORE_SDR = \"1\", \
                 FIL_PROOFS_MULTICORE_SDR_PRODUCERS = \"{producers}\" }}"
            );
        }
    }
    for entry in &draft.entries {
        text.push('\n');
        text.push_str(&gpu_entry(entry));
    }
    text
}

fn gpu_entry(entry: &DraftEntry) -> String {
    let mut text = format!("[[processors.{}]]\n", entry.stage);
    let _ = writeln!(text, "cgroup.cpuset = \"{}\"", entry.cpus);
    text.push_str("concurrent = 1\n");
    if let Some(lock) = &entry.lock {
        let _ = writeln!(text, "locks = [\"{lock}\"]");
    }
    let Some(gpu) = entry.gpu else {
        text.push_str("device = \"cpu\"\n");
        return text;
    };
    let _ = writeln!(text, "envs = {{ CUDA_VISIBLE_DEVICES = \"{gpu}\" }}");
    text
}

/// The cores of one pc1 task.
fn cores(draft: &Draft) -> String {
    match (draft.unit.cores, draft.unit.lanes) {
        (1, 1) => "a core".to_owned(),
        (1, lanes) => format!("a core that {lanes} of them share"),
        (cores, 1) => format!("{cores} cores of one L3 group"),
        (cores, lanes) => format!("{cores} cores of one L3 group that {lanes} of them share"),
    }
}
