// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tour of `docs/daemon.md`: what is shown there is what a reader sees.

use sealpipe_tests::{
    program,
    site::{PATIENT, Site},
    tour::{Step, steps, unvarying},
};

#[test]
fn the_tour_of_the_documentation_is_true() {
    let steps = steps("docs/daemon.md");
    let (config, rest) = steps.split_first().expect("it shows a configuration first");
    assert_eq!(config.command, "cat worker.toml");
    let (run, rest) = rest.split_first().expect("it starts the daemon next");
    assert_eq!(run.command, "sealpipe run --config worker.toml --state state");
    let mut site = Site::start(&format!("{}\n{PATIENT}", config.shown.join("\n")));
    let expected = told(&run.shown.join("\n"));
    site.until("it says what is shown", || {
        let said = told(&plain(&site, &site.stderr()));
        (said == expected).then_some(())
    });
    assert!(rest.len() >= 8, "it shows {} commands", rest.len());
    rest.iter().for_each(|step| check(&site, step));
    site.end().ok();
    site.bench.check_nothing_is_left();
}

/// Commands that only look are given again until they see what is shown: what they look at takes its
/// time.
fn check(site: &Site, step: &Step) {
    let looks = ["sealpipe explain", "sealpipe status"];
    let looks = looks.iter().any(|command| step.command.starts_with(command));
    let expected = told(&step.shown.join("\n"));
    let line = format!("{{ {} ; }} 2>&1", step.command);
    let socket = site.socket();
    site.until(&format!("{} prints {expected:#?}", step.command), || {
        let run = site.bench.start_shell_with(&line, &[("SEALPIPE_SOCKET", &socket)]);
        let text = plain(site, &run.end().stdout);
        if !looks {
            assert_eq!(told(&text), expected, "\n$ {}\n{text}", step.command);
        }
        (told(&text) == expected).then_some(())
    });
}

fn told(text: &str) -> Vec<String> {
    text.lines().filter_map(unvarying).collect()
}

/// The text as on a reader's machine.
fn plain(site: &Site, text: &str) -> String {
    let here = site.bench.path("").canonicalize().unwrap().display().to_string();
    let programs = program("sealpipe");
    let programs = programs.parent().unwrap().display().to_string();
    text.replace(here.trim_end_matches('/'), "/home/me").replace(&programs, "/usr/local/bin")
}
