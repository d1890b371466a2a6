// SPDX-License-Identifier: MIT OR Apache-2.0

//! What people see of every mistake: each `broken/*.toml` is checked, and what is said is the `.txt`
//! beside it. `UPDATE_SNAPSHOTS=1` writes those files anew, for review.
//!
//! The machine is that of the two schemes, with two GPUs, and everything is on it. Comments at the
//! beginning of a file say what is different: `# topology:`, `# gpus:`, `# memory:`, `# swap:`,
//! `# disk:`, `# sector-size:`, `# missing:` and `# variable:`.

mod host;

use std::{
    fs,
    path::{Path, PathBuf},
};

use host::{SEED, Setting};
use sealpipe_worker::{
    config::{self, Code, Loaded, MAX_CONFIG_BYTES},
    hardware::{Amounts, size},
};

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken")
}

/// Reads the comments at the beginning.
fn setting(text: &str) -> Setting {
    let lines = text.lines().map_while(|line| line.strip_prefix("# ")?.split_once(": "));
    let said: Vec<_> = lines.collect();
    let value = |name: &str| said.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let bytes = |name: &str| value(name).map(|text| size::parse(text).unwrap());
    let amounts = Amounts {
        gpus: value("gpus").map(|n| (n.parse().unwrap(), None)),
        memory_bytes: bytes("memory"),
        disk_bytes: bytes("disk"),
    };
    let mut setting = Setting::new(value("topology").unwrap_or(SEED), amounts);
    if let (Some(Ok(hardware)), Some(swap)) = (&mut setting.hardware, bytes("swap")) {
        hardware.memory.swap_bytes = Some(swap);
    }
    if let Some(size) = value("sector-size") {
        setting.proof = size.parse().unwrap();
    }
    for (name, value) in said {
        match name {
            "missing" => drop(setting.missing.insert(value.into())),
            "variable" => {
                let (name, value) = value.split_once('=').unwrap();
                setting.variables.insert(name.to_owned(), value.to_owned());
            }
            "topology" | "gpus" | "memory" | "swap" | "disk" | "sector-size" => {}
            other => panic!("`{other}` says nothing"),
        }
    }
    setting
}

fn shown(setting: &Setting, loaded: Loaded) -> String {
    let output = setting.check(loaded, false);
    // What would be started is shown only where it would be.
    assert_eq!(output.out.is_empty(), output.code != 0);
    format!("{}exit code {}\n", output.err, output.code)
}

/// The mistakes, by name, and what is said of each.
fn cases() -> Vec<(String, String)> {
    let mut cases = Vec::new();
    for file in fs::read_dir(dir()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let bytes = fs::read(&path).unwrap();
        let setting = setting(&String::from_utf8_lossy(&bytes));
        cases.push((name, shown(&setting, config::from_bytes("worker.toml", bytes))));
    }
    // What no file of the repository can be.
    let here = Setting::without_machine(false);
    let absent = config::load(Path::new("/no/such/worker.toml"));
    cases.push(("not-there".to_owned(), shown(&here, absent)));
    let long = tempfile::NamedTempFile::new().unwrap();
    fs::write(long.path(), vec![b'\n'; usize::try_from(MAX_CONFIG_BYTES).unwrap() + 1]).unwrap();
    let text = shown(&here, config::load(long.path()));
    cases.push(("too-long".to_owned(), text.replace(long.path().to_str().unwrap(), "worker.toml")));
    cases.sort();
    cases
}

#[test]
fn every_mistake_is_shown_as_recorded() {
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    let cases = cases();
    assert!(cases.len() >= 40, "only {} mistakes", cases.len());
    let mut wrong = Vec::new();
    for (name, shown) in &cases {
        let path = dir().join(format!("{name}.txt"));
        if update {
            fs::write(&path, shown).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if *shown != expected {
            wrong.push(format!("--- {name}, recorded:\n{expected}--- now:\n{shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_record_belongs_to_a_mistake() {
    let names: Vec<_> = cases().into_iter().map(|(name, _)| name).collect();
    for file in fs::read_dir(dir()).unwrap() {
        let name = file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        assert!(names.contains(&name), "{name}");
    }
}

#[test]
fn every_code_is_shown_by_a_mistake() {
    let cases = cases();
    for code in Code::ALL {
        let mark = format!("{}[{code}]: ", code.severity());
        assert!(cases.iter().any(|(_, shown)| shown.contains(&mark)), "{mark}");
    }
}
