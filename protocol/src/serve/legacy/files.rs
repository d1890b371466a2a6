// SPDX-License-Identifier: MIT OR Apache-2.0

//! The files that damocles expects around a stage: copies of the data, and scratch of our own.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read},
    os::{
        fd::AsFd,
        unix::fs::{FileExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::fstat;
use sha2::{Digest, Sha256};

use crate::{
    Bytes32, Code, TaskError, durable, failure,
    sector_lock::SectorLock,
    stage::{c1::FileRef, files::TREE_D, proof::SealProof},
};

/// Scratch within a cache directory. It is gone when a task has ended well.
const WORK: &str = ".sealpipe";

/// How long to wait for another task, or an orphan, that works on the same cache directory. The
/// line protocol has no word for trying again.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// How often the lock is tried.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// Where damocles' readers find zeros of any length.
const DEV_ZERO: &str = "/dev/zero";

/// Places at which a file is compared with the data, and bytes at each: all of a small sector, and
/// of a large one every 8 MiB.
const SAMPLES: u64 = 4_096;
const SAMPLE_BYTES: u64 = 4_096;

fn failed(what: &str, path: &Path, error: &io::Error) -> TaskError {
    TaskError::io(Code::InputUnavailable, format!("cannot {what} {}", path.display()), error)
}

/// Scratch in a cache directory that no other process uses meanwhile.
pub struct WorkDir {
    path: PathBuf,
    lock: SectorLock,
}

impl WorkDir {
    /// Makes the scratch of a cache directory and locks it.
    ///
    /// # Errors
    /// It cannot be made, or is in use for too long.
    pub fn take(cache_dir: &Path, is_stopping: impl Fn() -> bool) -> Result<Self, TaskError> {
        let path = cache_dir.join(WORK);
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            fs::create_dir_all(&path).map_err(|error| failed("make", &path, &error))?;
            match SectorLock::acquire(&path) {
                Ok(lock) if is_at(&lock, &path) => return Ok(Self { path, lock }),
                // Whoever had it before has removed it since: it is another directory now.
                Ok(_) => {}
                Err(error) if error.known_code() == Some(Code::OutputConflict) => {
                    if Instant::now() > deadline || is_stopping() {
                        return Err(error);
                    }
                    thread::sleep(LOCK_POLL);
                }
                // It was removed in between.
                Err(_) if Instant::now() < deadline && !path.exists() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The directory, and the lock on it.
    pub fn into_parts(self) -> (PathBuf, SectorLock) {
        (self.path, self.lock)
    }
}

fn is_at(lock: &SectorLock, path: &Path) -> bool {
    let (Ok(held), Ok(found)) = (fstat(lock.as_fd()), fs::metadata(path)) else { return false };
    (held.st_dev, held.st_ino) == (found.dev(), found.ino())
}

/// Removes scratch whose lock is held. What is left is removed by the next task that ends well.
pub fn remove_work(path: &Path) {
    let _ = fs::remove_dir_all(path);
}

/// Makes `to` a copy of the data in `from`: beside, synced, renamed.
///
/// # Errors
/// What the disk says.
pub fn copy_data(proof: SealProof, from: &Path, to: &Path) -> Result<(), TaskError> {
    if from == to {
        return Ok(());
    }
    let copied = |mut file: &File| -> io::Result<()> {
        if from != Path::new(DEV_ZERO) {
            io::copy(&mut File::open(from)?, &mut file)?;
        }
        // Shorter data ends with zeros, as filecoin-proofs has it.
        if file.metadata()?.len() < proof.sector_bytes() {
            file.set_len(proof.sector_bytes())?;
        }
        Ok(())
    };
    durable::write_file(to, |file| {
        copied(file).map_err(|error| failure::output("the copy", to, &error))
    })
}

/// Root of the tree-d in a cache directory, unless it is absent or not whole.
pub fn tree_d_root(proof: SealProof, cache_dir: &Path) -> Option<Bytes32> {
    let file = File::open(cache_dir.join(TREE_D)).ok()?;
    let bytes = (2 * proof.n_nodes() - 1) * 32;
    if file.metadata().ok()?.len() != bytes {
        return None;
    }
    let mut root = [0; 32];
    file.read_exact_at(&mut root, bytes - 32).ok()?;
    Some(Bytes32(root))
}

/// Makes sure that `path` holds the data that the tree-d beside was made of, and not what an
/// earlier attempt has made of it: a replica is encoded in its place. The leaves of tree-d are the
/// data.
///
/// # Errors
/// Files that are missing, and what the disk says.
pub fn restore_data(proof: SealProof, cache_dir: &Path, path: &Path) -> Result<(), TaskError> {
    let tree_path = cache_dir.join(TREE_D);
    let tree = File::open(&tree_path).map_err(|error| failed("read", &tree_path, &error))?;
    let file = File::open(path).map_err(|error| failed("read", path, &error))?;
    let same = is_data(proof, &tree, &file).map_err(|error| failed("read", path, &error))?;
    if same {
        return Ok(());
    }
    eprintln!(
        "warning: {} is not the data of {}, and is made of that anew",
        path.display(),
        tree_path.display()
    );
    durable::write_file(path, |mut file| {
        io::copy(&mut (&tree).take(proof.sector_bytes()), &mut file)
            .map(drop)
            .map_err(|error| failure::output("the data", path, &error))
    })
}

fn is_data(proof: SealProof, tree: &File, file: &File) -> io::Result<bool> {
    let bytes = proof.sector_bytes();
    if file.metadata()?.len() != bytes {
        return Ok(false);
    }
    let stride = (bytes / SAMPLES).max(SAMPLE_BYTES);
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    for offset in (0..bytes).step_by(usize::try_from(stride).unwrap_or(usize::MAX)) {
        let length = usize::try_from(SAMPLE_BYTES.min(bytes - offset)).unwrap_or(0);
        expected.resize(length, 0);
        found.resize(length, 0);
        match tree.read_exact_at(&mut expected, offset) {
            // Whether tree-d is whole is the processor's to say.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(true),
            read => read?,
        }
        file.read_exact_at(&mut found, offset)?;
        if expected != found {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A file in the system's directory for temporary files, removed when dropped.
pub struct TemporaryFile(FileRef);

impl TemporaryFile {
    /// Writes one.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(stem: &str, content: &[u8]) -> Result<Self, TaskError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sealpipe-{stem}-{}-{number}.json", std::process::id());
        let path = std::env::temp_dir().join(name);
        let sha256 = Bytes32(Sha256::digest(content).into());
        let made = Self(FileRef { path, size: content.len() as u64, sha256 });
        fs::write(&made.0.path, content).map_err(|error| {
            let message = format!("cannot write {}", made.0.path.display());
            TaskError::io(Code::ResourceExhausted, message, &error)
        })?;
        Ok(made)
    }

    /// The file.
    pub fn file(&self) -> FileRef {
        self.0.clone()
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROOF: SealProof = SealProof::StackedDrg2KiBV1_1;

    #[test]
    fn data_that_was_encoded_is_taken_from_tree_d_again() {
        let dir = tempfile::tempdir().unwrap();
        let (sealed, data) = (dir.path().join("sealed"), vec![7; 2048]);
        let tree: Vec<u8> = data.iter().copied().chain(vec![9; 4064 - 2048]).collect();
        fs::write(dir.path().join(TREE_D), tree).unwrap();
        assert_eq!(tree_d_root(PROOF, dir.path()), Some(Bytes32([9; 32])));
        for found in [data.clone(), vec![8; 2048], vec![7; 100]] {
            fs::write(&sealed, found).unwrap();
            restore_data(PROOF, dir.path(), &sealed).unwrap();
            assert_eq!(fs::read(&sealed).unwrap(), data);
        }
        fs::remove_file(&sealed).unwrap();
        restore_data(PROOF, dir.path(), &sealed).unwrap_err();
    }

    #[test]
    fn the_copy_has_the_size_of_the_sector() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("staged"), dir.path().join("sealed"));
        fs::write(&from, [1; 10]).unwrap();
        copy_data(PROOF, &from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap()[..11], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
        copy_data(PROOF, Path::new(DEV_ZERO), &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), [0; 2048]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn scratch_is_for_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (path, lock) = WorkDir::take(dir.path(), || false).unwrap().into_parts();
        assert!(WorkDir::take(dir.path(), || true).is_err());
        remove_work(&path);
        // A directory that was removed is nobody's.
        let (again, _) = WorkDir::take(dir.path(), || true).unwrap().into_parts();
        assert_eq!(again, path);
        drop(lock);
    }

    #[test]
    fn a_temporary_file_is_gone_with_its_owner() {
        let file = TemporaryFile::write("test", b"abc").unwrap();
        let path = file.file().path;
        assert_eq!((fs::read(&path).unwrap(), file.file().size), (b"abc".to_vec(), 3));
        drop(file);
        assert!(!path.exists());
    }
}
