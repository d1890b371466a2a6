// SPDX-License-Identifier: MIT OR Apache-2.0

//! How fast a disk writes and reads one large file, bounded in bytes and in time.
//!
//! Past the page cache where the file system can; else what was written is waited for and dropped
//! from the cache before it is read back. The file has no name from its first moment on, so that
//! nothing is left of it whatever happens.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant},
};

use rustix::fs::{Advice, OFlags, fadvise};

use super::{Rates, disks};

/// Most bytes that are written: enough to pass the caches of most disks.
const MAX_SAMPLE_BYTES: u64 = 1 << 30;

/// Fewest that tell anything.
const MIN_SAMPLE_BYTES: u64 = 16 << 20;

/// So much of what is free stays free: a sector that runs needs its room.
const KEPT_SHARE: u64 = 10;

/// How long writing may take, and reading again.
const MAX_TIME: Duration = Duration::from_secs(10);

/// Bytes of one call.
const BLOCK_BYTES: usize = 4 << 20;

/// What a buffer has to begin at for a transfer past the page cache: a page, on any disk.
const ALIGNMENT: usize = 4096;

/// Measures the disk of a directory.
///
/// # Errors
/// The directory cannot be written to, or has too little room.
pub fn measure(dir: &Path) -> io::Result<Rates> {
    let free = disks::of_dir(dir)?.free_bytes.unwrap_or(0);
    let sample_bytes = (free - free / KEPT_SHARE * (KEPT_SHARE - 1)).min(MAX_SAMPLE_BYTES);
    if sample_bytes < MIN_SAMPLE_BYTES {
        let message = format!("too little room: {} are free", super::size::shown(free));
        return Err(io::Error::new(io::ErrorKind::StorageFull, message));
    }
    let mut block = Block::new();
    let (mut file, is_direct) = open(dir, &block)?;
    let begin = Instant::now();
    let mut written = 0;
    while written < sample_bytes && begin.elapsed() < MAX_TIME {
        file.write_all(block.bytes())?;
        written += BLOCK_BYTES as u64;
    }
    file.sync_data()?;
    let write_bytes_per_second = rate(written, begin);
    if !is_direct {
        fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    file.seek(SeekFrom::Start(0))?;
    let begin = Instant::now();
    let mut read = 0;
    while read < written && begin.elapsed() < MAX_TIME {
        file.read_exact(block.bytes())?;
        read += BLOCK_BYTES as u64;
    }
    Ok(Rates {
        write_bytes_per_second,
        read_bytes_per_second: rate(read, begin),
        sample_bytes: written,
    })
}

#[expect(clippy::cast_precision_loss, reason = "a rate of bytes has no more digits than that")]
fn rate(bytes: u64, begin: Instant) -> f64 {
    bytes as f64 / begin.elapsed().as_secs_f64().max(1e-9)
}

/// A nameless file, and whether it goes past the page cache.
fn open(dir: &Path, block: &Block) -> io::Result<(File, bool)> {
    let direct = i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0);
    if let Ok(file) = nameless(dir, direct)
        // Some file systems take the flag and then refuse to write.
        && { &file }.write_all(&block.buffer[block.start..][..BLOCK_BYTES]).is_ok()
    {
        { &file }.seek(SeekFrom::Start(0))?;
        return Ok((file, true));
    }
    Ok((nameless(dir, 0)?, false))
}

fn nameless(dir: &Path, flags: i32) -> io::Result<File> {
    let path = dir.join(format!(".sealpipe-measure-{}", std::process::id()));
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).custom_flags(flags).open(&path);
    // Also after a failure: some file systems make the file and then refuse the flag.
    let removed = fs::remove_file(&path);
    let file = file?;
    removed?;
    Ok(file)
}

/// Bytes of no pattern that a disk could compress, at an address that any disk takes.
struct Block {
    buffer: Vec<u8>,
    start: usize,
}

impl Block {
    fn new() -> Self {
        let mut buffer = vec![0; BLOCK_BYTES + ALIGNMENT];
        let start = buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for word in buffer.chunks_exact_mut(8) {
            // xorshift64.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        Self { buffer, start }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..][..BLOCK_BYTES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_rates_and_nothing_is_left_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let rates = measure(dir.path()).unwrap();
        assert!(rates.write_bytes_per_second > 0.0 && rates.read_bytes_per_second > 0.0);
        assert!(rates.sample_bytes >= BLOCK_BYTES as u64);
        assert!(rates.sample_bytes <= MAX_SAMPLE_BYTES);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        assert!(measure(Path::new("/no/such/dir")).is_err());
        assert!(measure(Path::new("/proc")).is_err());
    }

    #[test]
    fn a_block_is_aligned() {
        let mut block = Block::new();
        assert_eq!(block.bytes().as_ptr().align_offset(ALIGNMENT), 0);
        assert_eq!(block.bytes().len(), BLOCK_BYTES);
    }
}
