// SPDX-License-Identifier: MIT OR Apache-2.0

//! Feeds `invariants::peer` to libFuzzer.

#![no_main]

#[path = "../src/invariants.rs"]
#[expect(dead_code, reason = "each target checks its own share")]
mod invariants;

libfuzzer_sys::fuzz_target!(|data: &[u8]| invariants::peer(data));
