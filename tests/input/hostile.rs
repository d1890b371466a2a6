// SPDX-License-Identifier: MIT OR Apache-2.0

//! A processor that speaks well at first, and then rubbish. The worker says what is wrong and never
//! panics: every run is checked for that.

use sealpipe_tests::{Bench, Ended, digest, pattern, root};

/// Who never answers is not waited for long, and whoever does may be slow to start.
fn stable_wait(mode: &str) -> &'static str {
    if mode == "initialize-odd-error" { "2s" } else { "300s" }
}

fn seal(bench: &Bench, mode: &str) -> Ended {
    let program = root().join("tests/programs/hostile.py");
    let entry = format!(
        "[[processors.tree_d]]\nbin = \"{}\"\nargs = [\"{mode}\"]\nauto_restart = false\n\
         stable_wait = \"{}\"\n",
        program.display(),
        stable_wait(mode)
    );
    bench.write("worker.toml", entry);
    bench.write("piece", pattern(1_000));
    let args = ["seal", "--size", "2KiB", "--piece", "piece", "--until", "pc1", "--out", mode];
    bench.run(&[&args[..], &["--config", "worker.toml"]].concat())
}

#[track_caller]
fn check(mode: &str, says: &[&str]) {
    let bench = Bench::new();
    seal(&bench, mode).fails_with(says);
    let made = bench.files(mode).is_some();
    assert_eq!(made, !mode.starts_with("initialize"), "{mode}: begun only with processors ready");
    bench.check_nothing_is_left();
}

#[test]
fn a_handshake_that_does_not_fit_is_refused() {
    let unfit = "error: processor tree_d[0]: the answer to `initialize` does not fit";
    check("initialize-number", &[unfit]);
    check("initialize-empty", &[unfit, "missing field"]);
    check("initialize-huge", &[unfit]);
    check("initialize-no-stage", &["it does not serve `tree_d`"]);
    let hint = "hint: another program belongs under [[processors.tree_d]]";
    check("initialize-other-stage", &["it does not serve `tree_d`, but pc1", hint]);
    check("initialize-no-task", &["it offers to run 0 tasks of `tree_d` at a time"]);
    check("initialize-version", &["it chose protocol 9.9, which was not offered"]);
    check("initialize-error", &["error: processor tree_d[0]: only 7.0 is spoken here"]);
    check("initialize-odd-error", &["did not answer `initialize` in 2s"]);
    check("initialize-half", &["it exited with code 0 before it answered `initialize`"]);
    check("initialize-closed", &["it closed its stdout before it answered `initialize`"]);
}

#[test]
fn an_answer_that_does_not_fit_fails_the_stage() {
    let failed = "error: stage `tree_d` failed: ";
    check("task-number", &[failed, "the answer to `task/run` does not fit"]);
    check("task-no-output", &[failed, "the answer to `task/run` does not fit", "output"]);
    check("task-null", &[failed, "does not fit"]);
    check("task-odd-output", &[failed, "the answer of `tree_d` does not fit", "hint: "]);
    check("task-odd-member", &[failed, "the answer of `tree_d` does not fit", "hint: "]);
    check("task-error", &[failed, "no"]);
}

#[test]
fn a_wrong_commitment_is_found_by_the_next_stage() {
    check("task-other-data", &["error: stage `pc1` failed: ", "1111", "is not the root"]);
}

#[test]
fn a_processor_that_breaks_off_is_shown_as_gone() {
    check("task-half", &["tree_d[0]", "is gone: it exited with code 0", "error: "]);
    check(
        "task-closed",
        &["tree_d[0]", "is gone: the other side closed the connection", "error: "],
    );
    check("task-rubbish", &["rubbish", "lines that are no messages", "error: "]);
}

#[test]
fn no_rubbish_beside_a_right_answer_does_any_harm() {
    let bench = Bench::new();
    let noisy = seal(&bench, "noisy").ok();
    noisy.check(noisy.stderr.contains("warning: tree_d[0]: "), "oddities are shown");
    let lines = noisy.stderr.lines().filter(|line| line.starts_with("warning: tree_d[0]: "));
    noisy.check(lines.count() <= 12, "not more of them than can be read");
    let args = ["seal", "--size", "2KiB", "--piece", "piece", "--until", "pc1", "--out", "clean"];
    bench.run(&args).ok();
    for file in ["sc-02-data-tree-d.dat", "sc-02-data-layer-2.dat"] {
        let of = |sector: &str| digest(&bench.path(sector).join("cache").join(file));
        assert_eq!(of("noisy"), of("clean"), "{file}");
    }
    bench.check_nothing_is_left();
}
