// SPDX-License-Identifier: MIT OR Apache-2.0

//! How far the library is where it does not say so, from what the kernel knows of this process.

use std::fs;

/// Bytes that this process has read so far through system calls. The library reads labels and the
/// rows of trees that way, so they advance with its work.
pub fn bytes_read() -> Option<u64> {
    let io = fs::read_to_string("/proc/self/io").ok()?;
    io.lines().find_map(|line| line.strip_prefix("rchar: "))?.trim().parse().ok()
}

/// The highest offset, in bytes, at which a file whose path contains `name` is mapped into this
/// process. Labelling maps the parent cache window by window.
pub fn highest_mapped_offset(name: &str) -> Option<u64> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    highest_offset(&maps, name)
}

fn highest_offset(maps: &str, name: &str) -> Option<u64> {
    maps.lines()
        .filter(|line| line.contains(name))
        .filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(2)?, 16).ok())
        .max()
}

/// Phases of a task that are measured in bytes read. The sizes are what the library reads in each
/// phase, so that `done` is comparable over the whole task and a phase ends by itself.
#[derive(Debug)]
pub struct Phases {
    phases: Vec<(String, u64)>,
    current: usize,
    read_before: u64,
}

impl Phases {
    /// Starts with the first of `phases`, each with the bytes read in it.
    pub fn new(phases: Vec<(String, u64)>) -> Self {
        Self { phases, current: 0, read_before: bytes_read().unwrap_or(0) }
    }

    /// Goes on to the phase of this name, unless it is past or unknown.
    pub fn enter(&mut self, name: &str) {
        let later = self.phases.iter().skip(self.current + 1).position(|(phase, _)| phase == name);
        if let Some(steps) = later {
            self.current += steps + 1;
            self.read_before = bytes_read().unwrap_or(0);
        }
    }

    /// The phase's name, and bytes done and total over all phases.
    pub fn now(&mut self) -> (String, u64, u64) {
        let mut read = bytes_read().unwrap_or(0).saturating_sub(self.read_before);
        while let Some((_, bytes)) = self.phases.get(self.current)
            && read > *bytes
            && self.current + 1 < self.phases.len()
        {
            read -= bytes;
            self.read_before += bytes;
            self.current += 1;
        }
        let total = self.phases.iter().map(|(_, bytes)| bytes).sum();
        let past: u64 = self.phases.iter().take(self.current).map(|(_, bytes)| bytes).sum();
        let (name, bytes) = self.phases.get(self.current).cloned().unwrap_or_default();
        (name, past + read.min(bytes), total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_window_is_found_among_mappings() {
        let maps = "\
            7f00-7f10 r--p 00000000 fe:00 12 /p/v28-sdr-parent-4.cache\n\
            7f10-7f20 r--p 0001c000 fe:00 12 /p/v28-sdr-parent-4.cache\n\
            7f20-7f30 r--p 0ffff000 fe:00 13 /lib/libc.so.6\n\
            7f30-7f40 rw-p 00000000 00:00 0\n";
        assert_eq!(highest_offset(maps, "v28-sdr-parent-4"), Some(0x1c000));
        assert_eq!(highest_offset(maps, "v28-sdr-parent-5"), None);
    }

    #[test]
    fn phases_only_go_forward_and_reading_moves_them() {
        let sizes = [("columns", 100), ("encode", 1 << 40), ("tree", 7)];
        let mut phases = Phases::new(sizes.map(|(name, size)| (name.to_owned(), size)).to_vec());
        phases.enter("encode");
        phases.enter("columns");
        phases.enter("unknown");
        let (name, before, total) = phases.now();
        assert_eq!((name.as_str(), total), ("encode", 107 + (1 << 40)));
        assert!(before >= 100);
        fs::read("/proc/self/exe").unwrap();
        assert!(phases.now().1 > before);
    }
}
