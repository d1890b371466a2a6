// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device's headers, compiled by the C++ compiler, so that a machine without a GPU tests every function.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

pub type Words = Vec<u32>;

/// A host program, compiled, in a directory that lives as long.
pub struct Program(TempDir);

impl Program {
    /// Compiles `tests/host/<name>.cpp`.
    pub fn compile(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/host/{name}.cpp"));
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let compiled = Command::new(&compiler)
            .args(["-std=c++17", "-O1", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-o"])
            .args([&dir.path().join("host"), &source])
            .output()
            .unwrap_or_else(|error| panic!("{compiler}: {error}; a C++ compiler is needed"));
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Self(dir)
    }

    /// Has the host program answer all questions, in order.
    pub fn ask(&self, questions: &[(&str, Words)]) -> Vec<Words> {
        let mut child = Command::new(self.0.path().join("host"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let text: String = questions
            .iter()
            .map(|(name, words)| {
                let words: Vec<_> = words.iter().map(|word| format!("{word:x}")).collect();
                format!("{name} {}\n", words.join(" "))
            })
            .collect();
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success());
        let answers: Vec<_> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| {
                line.split_whitespace().map(|word| u32::from_str_radix(word, 16).unwrap()).collect()
            })
            .collect();
        assert_eq!(answers.len(), questions.len());
        answers
    }
}

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// n words below 2^bits; words of zeros and of ones are frequent, since carries depend on them.
    pub fn words(&mut self, n: usize, bits: usize) -> Words {
        let mut words: Words = (0..n)
            .map(|_| match self.next() % 8 {
                0 => 0,
                1 => u32::MAX,
                _ => self.next() as u32,
            })
            .collect();
        for (i, word) in words.iter_mut().enumerate() {
            let left = bits.saturating_sub(32 * i).min(32);
            *word = (u64::from(*word) & ((1 << left) - 1)) as u32;
        }
        words
    }
}
