// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is submitted is worked on once, and what is wrong is said before anything is begun.

use std::fs;

use sealpipe_tests::{
    Bench, Vector,
    site::{Site, moody},
};

#[test]
fn sectors_and_demonstrations_are_worked_on_to_their_end() {
    let site = Site::start("");
    site.ok("submit --echo --name demo --count 3 --steps 2 --ticks 2 --interval 10ms");
    let ended = site.ok("submit --size 2KiB --count 2 --until c1 --out sectors --wait");
    assert!(ended.stdout.contains("2 sectors submitted: t01000-1 to t01000-2"), "{}", ended.stdout);
    assert_eq!(ended.last_line(), "all done");
    for name in ["demo-1", "demo-2", "demo-3"] {
        site.wait(name, "done");
        assert_eq!(site.events(name, "stage-finished").len(), 2);
    }
    let record = site.record("sectors/t01000-1");
    assert!(record["results"]["c1"]["sha256"].is_string(), "{record}");
    let status = site.status();
    assert_eq!(status["counts"], serde_json::json!({ "done": 5 }));
    assert_eq!(status["inFlight"], 0);
    site.stop();
}

/// The same order as `seal` takes, through the daemon: bit for bit the same sector.
#[test]
fn a_sector_is_the_same_as_the_one_that_seal_makes() {
    let site = Site::start("");
    let vector = Vector::read("2KiB-data");
    let mut args = vector.seal(&site.bench, "sector");
    args[0] = "submit".to_owned();
    args.push("--wait".to_owned());
    site.run(&args.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    vector.check(&site.bench.path("sector"));
    // `seal` finds it done.
    let args = vector.seal(&site.bench, "sector");
    site.run(&args.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    assert_eq!(site.bench.journal("sector").count("stage-started", "pc2"), 1);
    site.stop();
}

#[test]
fn what_is_submitted_twice_is_there_once() {
    let site = Site::start("");
    site.ok("pause");
    let order = "submit --size 2KiB --sector 7 --until c1 --out s";
    assert_eq!(site.ok(order).stdout, "t01000-7 submitted\n");
    assert_eq!(site.ok(order).stdout, "t01000-7 is there already: queued\n");
    let other = site.run(&["submit", "--size", "2KiB", "--sector", "7", "--out", "s"]);
    other.fails_with(&[
        "nothing was submitted",
        "t01000-7 is queued already",
        "until c1, not verify",
    ]);
    let same_dir = site.run(&["submit", "--size", "2KiB", "--sector", "8", "--out", "s"]);
    same_dir.fails_with(&["t01000-8 is to lie in", "where t01000-7 lies"]);
    assert_eq!(site.status()["counts"], serde_json::json!({ "queued": 1 }));
    // Of what waits nothing is on the disk.
    assert!(!site.bench.path("s").exists());
    site.ok("resume");
    site.wait("t01000-7", "done");
    assert_eq!(site.ok(order).stdout, "t01000-7 is there already: done\n");
    site.stop();
}

#[test]
fn everything_that_is_wrong_is_said_with_its_line_and_nothing_is_submitted() {
    let site = Site::start("");
    let order = |number: u32, more: &str| {
        format!(r#"{{"sector":{{"size":"2KiB","number":{number},"dir":"s/{number}"{more}}}}}"#)
    };
    let lines = [
        order(1, ""),
        "not JSON".to_owned(),
        order(2, r#","untill":"c1""#),
        order(3, r#","pieces":["gone.car"]"#),
        String::new(),
        order(4, r#","ticket":"00""#),
        r#"{"sector":{"size":"32GiB","number":5,"dir":"s/5"}}"#.to_owned(),
        order(6, r#","until":"pc3""#),
        r#"{"sector":{"size":"2KiB","number":7,"dir":"s/1"}}"#.to_owned(),
    ];
    let ended = site.submit_lines(&lines.join("\n"));
    ended.fails_with(&[
        "error: nothing was submitted: 8 things are wrong",
        "line 2: expected",
        "line 3: unknown field `untill`",
        "line 4: piece ",
        "gone.car cannot be read",
        "line 6: ",
        "line 7: a 32GiB sector is the network's",
        "line 7: a 32GiB sector needs its `miner`",
        "line 8: `until` is \"pc3\"",
        "line 9: t01000-7 is to lie in",
    ]);
    assert_eq!(site.status()["sectors"], serde_json::json!([]));
    site.submit_lines(&format!("{}\n{}\n", order(1, ""), r#"{"echo":{"steps":2}}"#)).ok();
    site.wait("echo-1", "done");
    site.stop();
}

#[test]
fn a_directory_that_is_somebody_elses_is_refused_at_once() {
    let site = Site::start("");
    let pipe = site.bench.start_shell("mkfifo pipe").end();
    pipe.ok();
    let piped = ["submit", "--size", "2KiB", "--out", "x", "--piece", "pipe"];
    site.run(&piped).fails_with(&["pipe cannot be read: it is not a regular file"]);
    fs::create_dir(site.bench.path("home")).unwrap();
    site.bench.write("home/letter", "dear");
    let submit = |number: &str, out: &str| {
        site.run(&["submit", "--size", "2KiB", "--until", "c1", "--sector", number, "--out", out])
    };
    submit("1", "home").fails_with(&["is not empty and holds no sector"]);
    submit("1", "sector").ok();
    site.wait("t01000-1", "done");
    submit("2", "sector").fails_with(&["holds another sector: sector number 1, not 2"]);
    site.stop();
}

#[test]
fn names_that_are_wrong_get_the_nearest_one_and_no_daemon_is_said_so() {
    let site = Site::start(&moody("good", ""));
    site.ok("submit --echo --name alpha-17 --ticks 1000 --interval 100ms");
    site.run(&["explain", "alpha-71"])
        .fails_with(&["\"alpha-71\"", "hint: did you mean alpha-17?"]);
    site.run(&["cancel", "17"]).fails_with(&["hint: did you mean alpha-17?"]);
    site.run(&["cancel", "zzz"]).fails_with(&["hint: `sealpipe status --all` lists them"]);
    let ended = site.bench.run(&["status", "--socket", "nowhere.sock"]);
    ended.fails_with(&[
        "error: no daemon listens on nowhere.sock: No such file",
        "hint: start one with `sealpipe run",
    ]);
    site.stop();
}

#[test]
fn one_daemon_has_a_directory() {
    let site = Site::start("");
    let second = site.bench.run(&["run", "--state", "state"]);
    second.fails_with(&["a daemon runs in", &format!("(pid {})", site.pid())]);
    let bench = Bench::new();
    bench.write("state", "a file");
    bench.run(&["run", "--state", "state"]).fails_with(&["cannot use", "give another one with"]);
    site.stop();
}

#[test]
fn a_store_that_is_damaged_is_refused_with_a_way_out() {
    let site = Site::start("");
    site.ok("submit --echo --name done --wait");
    let bench = {
        let mut site = site;
        site.signal(rustix::process::Signal::TERM);
        site.end().ok();
        site.bench
    };
    let store = bench.path("state/jobs.redb");
    let whole = fs::read(&store).unwrap();
    fs::write(&store, &whole[..whole.len() / 3]).unwrap();
    bench.run(&["run", "--state", "state"]).fails_with(&[
        "jobs.redb is no store of sealpipe, or is damaged",
        "hint: move it away and submit the sectors again",
    ]);
}
