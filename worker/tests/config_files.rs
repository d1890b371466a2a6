// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whole configurations: the two schemes that users know, a damocles worker's, and noise.

use std::path::Path;

use sealpipe_worker::config::{self, Loaded, Severity, Source};

fn data(name: &str) -> Loaded {
    config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name))
}

/// What is said of a severity: `line message`.
fn said(loaded: &Loaded, severity: Severity) -> Vec<String> {
    let of_severity = loaded.parsed.diagnostics().iter().filter(|d| d.severity == severity);
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
        .filter_map(|note| note.split_once(" is skipped").map(|(what, _)| what))
        .collect();
    assert_eq!(
        skipped,
        [
            "1 `worker`",
            "7 `metrics`",
            "11 `sector_manager`",
            "16 `sealing`",
            "24 `sealing_thread`",
            "32 `remote_store`",
            "36 `attached`",
            "41 `attached_selection`",
            "49 `processors.limitation.concurrent.synth_proof`",
            "52 `processors.limitation.concurrent.snap_encode`",
            "99 `processors.snap_encode`",
            "102 `processors.snap_prove`",
            "105 `processors.transfer`",
            "107 `processors.window_post`",
        ]
    );
    assert_eq!(notes.len(), skipped.len(), "{notes:#?}");
    assert_eq!(loaded.parsed.config().unwrap().processors.entries.len(), 6);
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

/// The numbers of xorshift64*, the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(bits).expect("31 bits fit") % bound
    }
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
    ];
    let mut random = Random(0x5eed);
    for name in ["scheme-a.toml", "scheme-b.toml", "damocles-worker.toml"] {
        let text = data(name).source.text().as_bytes().to_vec();
        for _ in 0..3000 {
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
            let loaded = config::from_bytes("noise", bytes);
            // Everything that is said can be shown.
            let shown = loaded.parsed.diagnostics().render(&loaded.source, Severity::Note);
            assert_eq!(shown.is_empty(), loaded.parsed.diagnostics().iter().next().is_none());
        }
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
