// SPDX-License-Identifier: MIT OR Apache-2.0

//! The committed GPU kernels are those of the committed sources.

use std::fs;

use sealpipe_tests::root;
use sha2::{Digest, Sha256};

use crate::none;

/// Processors with kernels.
const PROCESSORS: [&str; 2] = ["c2", "pc2"];

/// What `processors/gpu/compile` makes machine code for.
const ARCHITECTURES: [&str; 5] = ["75", "80", "86", "89", "90"];

fn digest(path: &str) -> String {
    let bytes = fs::read(root().join(path)).unwrap_or_default();
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn kernels_are_as_old_as_their_sources() {
    let mut wrong = Vec::new();
    for name in PROCESSORS {
        let list = format!("processors/{name}/kernels/sources.sha256");
        let noted = fs::read_to_string(root().join(&list)).unwrap();
        let sources: Vec<_> = noted.lines().filter_map(|line| line.split_once("  ")).collect();
        assert_eq!(sources.len(), noted.lines().count(), "{list} has lines `digest  path`");
        let main = format!("processors/{name}/cuda/{name}.cu");
        assert!(sources.iter().any(|(_, path)| *path == main), "{list} lacks {main}");
        let stale = sources.iter().filter(|(noted, path)| digest(path) != *noted);
        wrong.extend(
            stale.map(|(_, path)| format!("{path} is newer than {name}'s: run `make kernels`")),
        );
    }
    none(wrong);
}

#[test]
fn kernels_are_there_for_all_architectures() {
    for name in PROCESSORS {
        for sm in ARCHITECTURES {
            let path = format!("processors/{name}/kernels/{name}.sm_{sm}.cubin");
            let cubin = fs::read(root().join(&path)).unwrap_or_default();
            assert!(cubin.starts_with(b"\x7fELF"), "{path}");
        }
    }
}
