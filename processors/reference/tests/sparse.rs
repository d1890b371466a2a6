// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe-reference sparse` as people run it.

use std::{fs, process::Command};

use serde_json::Value;
use sha2::{Digest, Sha256};

#[test]
fn it_says_what_it_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("c1.json");
    let run = || {
        let output = Command::new(env!("CARGO_BIN_EXE_sealpipe-reference"))
            .args(["sparse", "--size", "2KiB", "--number", "3", "--out"])
            .arg(&out)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let said = run();
    let digest = Sha256::digest(fs::read(&out).unwrap());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(said["c2"]["c1"]["sha256"], *digest);
    assert_eq!(said["c2"]["sectorNumber"], 3);
    assert_eq!(said, run());
}
