// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an operator says by environment variables, ours and those of rust-fil-proofs.

use std::str::FromStr;

use sealpipe_protocol::{Code, TaskError};

/// Lanes a core, 1 to 4.
pub const LANES: &str = "SEALPIPE_PC1_LANES_PER_CORE";

/// Whether hyper-threads share a core's lanes: `1`.
pub const HYPERTHREADS: &str = "SEALPIPE_PC1_HYPERTHREADS";

/// Bytes that labels may take, such as `900GiB`.
pub const MEMORY: &str = "SEALPIPE_PC1_MEMORY";

/// `portable`: no SHA extensions, for comparison.
pub const KERNEL: &str = "SEALPIPE_PC1_KERNEL";

/// Variables of rust-fil-proofs that mean nothing here, and why.
const FOREIGN: [(&str, &str); 5] = [
    ("FIL_PROOFS_USE_MULTICORE_SDR", "several sectors share a core instead"),
    ("FIL_PROOFS_MULTICORE_SDR_PRODUCERS", "there are no producers: parents are fetched ahead"),
    ("FIL_PROOFS_MULTICORE_SDR_LOOKAHEAD", "there are no producers: parents are fetched ahead"),
    ("FIL_PROOFS_SDR_PARENTS_CACHE_SIZE", "the parent cache is mapped whole"),
    ("FIL_PROOFS_MAXIMIZE_CACHING", "the parent cache is mapped whole"),
];

/// What was said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// Lanes a core.
    pub lanes_per_core: Option<usize>,
    /// Whether hyper-threads share a core's lanes.
    pub hyperthreads: bool,
    /// Bytes that labels may take.
    pub memory_bytes: Option<u64>,
    /// Whether the SHA extensions are left alone.
    pub portable: bool,
}

impl Settings {
    /// Reads the variables.
    ///
    /// # Errors
    /// [`Code::InvalidInput`] for a value that cannot be meant.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, TaskError> {
        let mut settings = Self::default();
        if let Some(text) = variable(LANES) {
            let lanes = usize::from_str(&text).ok().filter(|lanes| (1..=4).contains(lanes));
            settings.lanes_per_core = Some(lanes.ok_or_else(|| wrong(LANES, &text, "1 to 4"))?);
        }
        if let Some(text) = variable(HYPERTHREADS) {
            settings.hyperthreads = match text.as_str() {
                "0" | "" => false,
                "1" => true,
                _ => return Err(wrong(HYPERTHREADS, &text, "0 or 1")),
            };
        }
        if let Some(text) = variable(MEMORY) {
            let bytes = bytes(&text).ok_or_else(|| wrong(MEMORY, &text, "such as 900GiB"))?;
            settings.memory_bytes = Some(bytes);
        }
        if let Some(text) = variable(KERNEL) {
            settings.portable = match text.as_str() {
                "auto" | "" => false,
                "portable" => true,
                _ => return Err(wrong(KERNEL, &text, "auto or portable")),
            };
        }
        Ok(settings)
    }
}

/// What is said about variables that mean nothing here, one line each.
pub fn notes(variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let set = FOREIGN.iter().filter(|(name, _)| variable(name).is_some());
    set.map(|(name, why)| format!("{name} means nothing here: {why}")).collect()
}

fn wrong(name: &str, text: &str, allowed: &str) -> TaskError {
    TaskError::new(Code::InvalidInput, format!("{name} is {text:?}, allowed is {allowed}"))
        .hint("the entry's `envs` sets it")
}

/// A number of bytes with a binary unit.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text.trim()[digits.len()..] {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(1 << unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'v>(set: &'v [(&'v str, &'v str)]) -> impl Fn(&str) -> Option<String> + 'v {
        |name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn values_are_read_and_nonsense_is_refused() {
        let read = |set: &[(&str, &str)]| Settings::read(of(set));
        assert_eq!(read(&[]).unwrap(), Settings::default());
        let all = [(LANES, "4"), (HYPERTHREADS, "1"), (MEMORY, "900GiB"), (KERNEL, "portable")];
        let expected = Settings {
            lanes_per_core: Some(4),
            hyperthreads: true,
            memory_bytes: Some(900 << 30),
            portable: true,
        };
        assert_eq!(read(&all).unwrap(), expected);
        for wrong in
            [(LANES, "5"), (LANES, "two"), (HYPERTHREADS, "yes"), (MEMORY, "9 GB"), (KERNEL, "gpu")]
        {
            let error = read(&[wrong]).unwrap_err();
            assert!(error.message.contains(wrong.0) && error.message.contains(wrong.1), "{error}");
        }
    }

    #[test]
    fn variables_of_the_library_are_noted() {
        let set =
            [("FIL_PROOFS_USE_MULTICORE_SDR", "1"), ("FIL_PROOFS_MULTICORE_SDR_PRODUCERS", "1")];
        assert_eq!(notes(of(&set)).len(), 2);
        assert!(notes(of(&[])).is_empty());
    }
}
