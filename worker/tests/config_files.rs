// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whole configurations: the two schemes that users know, a damocles worker's, and noise.

mod host;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use host::{SEED, Setting};
use sealpipe_worker::{
    config::{self, Loaded, MAX_CONFIG_BYTES, Severity, Source},
    hardware::Amounts,
    simulate::Random,
};

fn data(name: &str) -> Loaded {
    config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name))
}

/// What is said of a severity: `line message`.
fn said(loaded: &Loaded, severity: Severity) -> Vec<String> {
    let of_severity = loaded.parsed.diagnostics().iter().filter(|d| d.severity() == severity);
    of_severity.map(|d| format!("{} {}", d.span.map_or(0, |span| span.line), d.message)).collect()
}

#[test]
fn scheme_a_is_fine() {
    let loaded = data("scheme-a.toml");
    assert_eq!(said(&loaded, Severity::Error), [""; 0]);
    assert_eq!(said(&loaded, Severity::Warning), [""; 0]);
    assert_eq!(
        said(&loaded, Severity::Note),
        [
            "19 cpus shared without a common lock: 2,5,8,11 with `pc1` in line 6, 50,53,56,59 with \
             `pc1` in line 12",
            "23 cpus shared without a common lock: 14,17,20,23,26,29,32,35 with `pc1` in line 6, \
             62,65,68,71,74,77,80,83 with `pc1` in line 12",
        ]
    );
    let processors = &loaded.parsed.config().unwrap().processors;
    let entries: Vec<_> = processors
        .entries
        .iter()
        .map(|e| {
            let cpus = e.cpus.as_ref().unwrap().len();
            format!("{} #{} {cpus} {:?} {:?}", e.stage, e.index, e.numa_preferred, e.concurrent)
        })
        .collect();
    assert_eq!(
        entries,
        [
            "pc1 #0 42 Some(0) Some(14)",
            "pc1 #1 42 Some(1) Some(14)",
            "pc2 #0 8 None None",
            "c2 #0 28 None None",
        ]
    );
}

#[test]
fn scheme_b_is_fine() {
    let loaded = data("scheme-b.toml");
    assert_eq!(said(&loaded, Severity::Error), [""; 0]);
    assert_eq!(said(&loaded, Severity::Warning), [""; 0]);
    let notes = said(&loaded, Severity::Note);
    // pc2 and c2 of one GPU have its lock in common; each of them shares cpus with pc1.
    assert_eq!(notes.len(), 4, "{notes:#?}");
    assert!(notes.iter().all(|note| note.contains("with `pc1`") && !note.contains("`pc2`")));
    let processors = &loaded.parsed.config().unwrap().processors;
    assert_eq!(processors.ext_locks.len(), 2);
    assert_eq!(processors.entries.len(), 6);
    assert_eq!(processors.entries[5].locks, ["gpu2"]);
    assert_eq!(processors.entries[5].gpus(), Some(vec!["1"]));
}

#[test]
fn a_damocles_worker_file_yields_notes_only() {
    let loaded = data("damocles-worker.toml");
    assert_eq!(said(&loaded, Severity::Error), [""; 0]);
    assert_eq!(said(&loaded, Severity::Warning), [""; 0]);
    let notes = said(&loaded, Severity::Note);
    let skipped: Vec<_> = notes
        .iter()
        .filter_map(|note| {
            note.split_once(" is skipped").or(note.split_once(" are skipped")).map(|(what, _)| what)
        })
        .collect();
    assert_eq!(
        skipped,
        [
            "1 `worker`, `metrics`, `sector_manager`, `sealing`, `sealing_thread`, `remote_store`, \
             `attached`, `attached_selection`",
            "49 `processors.limitation.concurrent.synth_proof`",
            "52 `processors.limitation.concurrent.snap_encode`",
            "99 `processors.snap_encode`",
            "102 `processors.snap_prove`",
            "105 `processors.transfer`",
            "107 `processors.window_post`",
        ]
    );
    // A limit below the slots.
    assert_eq!(notes.len(), skipped.len() + 1, "{notes:#?}");
    assert_eq!(loaded.parsed.config().unwrap().processors.entries.len(), 6);
}

#[test]
fn a_file_with_all_that_real_files_have_loads() {
    let loaded = data("crowded.toml");
    assert_eq!(said(&loaded, Severity::Error), [""; 0]);
    let warnings = said(&loaded, Severity::Warning);
    let deprecated = "9 `processors.limit` is deprecated";
    assert_eq!(warnings[0], deprecated);
    // Of four processors on one cpuset, three share it with one before.
    assert_eq!(warnings.len(), 4, "{warnings:#?}");
    let config = loaded.parsed.config().unwrap();
    assert_eq!(config.processors.entries.len(), 15);

    let machine = "pack:2 [numa(memory=256GiB)] l3:8(size=16MiB) core:3 pu:1";
    let mut setting = Setting::new(machine, Amounts::default());
    let swap = |setting: &mut Setting, bytes| {
        let hardware = setting.hardware.as_mut().unwrap().as_mut().unwrap();
        hardware.memory.swap_bytes = Some(bytes);
    };
    swap(&mut setting, 1 << 40);
    let output = setting.check(loaded.clone(), false);
    assert_eq!(output.code, 0);
    assert!(output.err.contains("note[SP702]"), "{}", output.err);
    swap(&mut setting, 0);
    assert!(setting.check(loaded, false).err.contains("warning[SP701]"));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let loaded = data("no-such-file.toml");
    assert!(said(&loaded, Severity::Error)[0].starts_with("0 cannot read the configuration: "));
    let loaded = config::load(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(loaded.parsed.config().is_none());
}

#[test]
fn bytes_that_are_no_text_have_a_place() {
    let loaded = config::from_bytes("w", b"a = 1\nb = \"\xff\"\n".to_vec());
    assert_eq!(said(&loaded, Severity::Error), ["2 byte 0xff is not valid UTF-8"]);
    assert_eq!(loaded.parsed.diagnostics().iter().next().unwrap().span.unwrap().column, 6);
}

/// How long a check may take on the slowest and busiest of machines: it takes milliseconds, and
/// without bounds it would take hours for some of these.
const BOUND: Duration = Duration::from_secs(120);

/// Checks a text on a machine, as the command does.
fn check(setting: &Setting, bytes: Vec<u8>) {
    let begin = Instant::now();
    let loaded = config::from_bytes("noise", bytes);
    let is_silent = loaded.parsed.diagnostics().iter().next().is_none();
    let text = loaded.source.text().to_owned();
    // Everything that is said can be shown.
    let shown = loaded.parsed.diagnostics().render(&loaded.source, Severity::Note);
    assert_eq!(shown.is_empty(), is_silent);
    let output = setting.check(loaded, true);
    assert!(serde_json::from_str::<serde_json::Value>(&output.out).is_ok());
    assert!(begin.elapsed() < BOUND, "{:?} for {} bytes: {text:.200}", begin.elapsed(), text.len());
}

#[test]
fn no_input_makes_it_panic() {
    const PIECES: &[&str] = &[
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "\"",
        "'",
        "=",
        ".",
        ",",
        "\n",
        "\r",
        "\0",
        "-1",
        "0",
        "\t",
        "99999999999999999999",
        "1e9",
        "nan",
        "true",
        "1979-05-27",
        "\"\"\"",
        "#",
        "\\u0000",
        "ä",
        "\u{feff}",
        "pc1",
        "processors",
        "locks",
        "\u{1b}",
        "[[processors.pc1]]\n",
        "0-8191",
        "concurrent = 9223372036854775807\n",
        "numa_preferred = 1\n",
        "sectors_in_flight = 1\n",
    ];
    let setting = Setting::new(SEED, Amounts { disk_bytes: Some(1 << 40), ..Amounts::default() });
    let mut random = Random::new(0x5eed, &[]);
    for name in ["scheme-a.toml", "scheme-b.toml", "damocles-worker.toml", "crowded.toml"] {
        let text = data(name).source.text().as_bytes().to_vec();
        for _ in 0..400 {
            let mut bytes = text.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len());
                let end = (at + random.below(24)).min(bytes.len());
                match random.below(4) {
                    0 => bytes[at] = u8::try_from(random.below(256)).unwrap(),
                    1 => bytes[at] = b" \n.=[]{}\"'#,0a-"[random.below(15)],
                    2 => drop(bytes.drain(at..end)),
                    _ => drop(bytes.splice(at..at, PIECES[random.below(PIECES.len())].bytes())),
                }
                if bytes.is_empty() {
                    bytes.push(b'\n');
                }
            }
            check(&setting, bytes);
        }
    }
}

/// As many copies of a text as a configuration may have, each with its number in the place of `#`.
fn repeated(head: &str, part: &str, tail: &str) -> Vec<u8> {
    let mut text = head.to_owned();
    let most = usize::try_from(MAX_CONFIG_BYTES).unwrap() - tail.len() - 64;
    for number in 0.. {
        if text.len() + part.len() > most {
            break;
        }
        text.push_str(&part.replace('#', &number.to_string()));
    }
    text.push_str(tail);
    text.into_bytes()
}

#[test]
fn no_input_takes_long() {
    let setting = Setting::new(SEED, Amounts::default());
    let long = "l".repeat(60);
    for bytes in [
        repeated("", "[[processors.pc1]]\ncgroup.cpuset=\"0-8191\"\n", ""),
        repeated("", "[[processors.c2]]\nenvs.CUDA_VISIBLE_DEVICES=\"0,1,2,3\"\n", ""),
        repeated("[[processors.c2]]\nlocks=[", "\"#\",", "]"),
        repeated("", &format!("[[processors.c2]]\nlocks=[\"{long}#\"]\n"), ""),
        repeated("[processors.ext_locks]\n", "l#=1\n", ""),
        repeated("processors.ext_locks={", "l#=1,", "z=1}\nprocessors.c2=[{locks=[\"x\"]}]"),
        repeated("[[processors.pc1]]\n", &format!("{long}#=1\n"), ""),
        repeated("x={", "k#=1,", "z=1}"),
        repeated("processors.pc1=[{", "k#=1,", "z=1}]"),
        repeated("[[processors.pc1]]\nenvs={", "FIL_PROOFS_#=\"\",", "A=\"\"}"),
        repeated("x=", "[", ""),
        repeated("a", ".a", "=1"),
        repeated("", "[a.b#.c]\n", ""),
    ] {
        check(&setting, bytes);
    }
}

#[test]
fn depth_does_not_exhaust_the_stack() {
    for text in [
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("a = {}", "{a=".repeat(100_000)),
        format!("{}a = 1", "a.".repeat(100_000)),
        format!("[{}a]", "processors.".repeat(20_000)),
        format!("[processors.pc1]\n{}a = 1", "cgroup.".repeat(60)),
        "[a]\n".repeat(10_000),
    ] {
        let source = Source::new("deep", text);
        let parsed = config::parse(&source);
        parsed.diagnostics().render(&source, Severity::Note);
    }
}
