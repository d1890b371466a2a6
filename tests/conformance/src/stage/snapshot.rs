// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is in a directory, so that it can be seen what a task has changed; and when two files are
//! the same.

use std::{collections::BTreeMap, fs, io::ErrorKind, path::Path};

use sha2::{Digest, Sha256};

use crate::check::{Failure, Verdict};

/// Files, directories and others below a directory, by their relative path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot(BTreeMap<String, Entry>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Entry {
    Dir,
    File { bytes: u64, sha256: [u8; 32] },
    Other,
}

impl Snapshot {
    /// Looks at everything below `root`.
    ///
    /// # Errors
    /// [`Failure::Harness`] when it cannot be read.
    pub fn take(root: &Path) -> Verdict<Self> {
        let mut found = BTreeMap::new();
        collect(root, root, &mut found).map_err(|e| Failure::harness("cannot look at files", e))?;
        Ok(Self(found))
    }

    /// What is another in `later`, in words, but for the paths that `may_change` names.
    pub fn changes(&self, later: &Self, may_change: impl Fn(&str) -> bool) -> Vec<String> {
        let before = self.0.iter().filter(|(path, _)| !may_change(path));
        let mut changes: Vec<String> = before
            .filter_map(|(path, entry)| match later.0.get(path) {
                None => Some(format!("{path} is gone")),
                Some(now) if now != entry => Some(format!("{path} has changed")),
                Some(_) => None,
            })
            .collect();
        let new = later.0.keys().filter(|path| !self.0.contains_key(*path) && !may_change(path));
        changes.extend(new.map(|path| format!("{path} is new")));
        changes
    }
}

fn collect(
    root: &Path,
    dir: &Path,
    found: &mut BTreeMap<String, Entry>,
) -> Result<(), std::io::Error> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let seen = if kind.is_dir() {
            match collect(root, &path, found) {
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                collected => collected?,
            }
            Entry::Dir
        } else if kind.is_file() {
            // A task that runs meanwhile may rename it.
            let content = match fs::read(&path) {
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                content => content?,
            };
            Entry::File { bytes: content.len() as u64, sha256: Sha256::digest(&content).into() }
        } else {
            Entry::Other
        };
        found.insert(name, seen);
    }
    Ok(())
}

/// Why a file is not the expected one; `None` when it is. Of `t_aux` the paths are not compared.
pub fn difference(path: &str, found: &[u8], expected: &[u8]) -> Option<String> {
    if path.ends_with("/t_aux") {
        return match (stores(found), stores(expected)) {
            (Some(found), Some(expected)) if found == expected => None,
            (None, _) => Some(format!("{path} is no t_aux")),
            _ => Some(format!("{path} names other stores")),
        };
    }
    if found.len() != expected.len() {
        return Some(format!("{path} has {} bytes, expected {}", found.len(), expected.len()));
    }
    let at = found.iter().zip(expected).position(|(a, b)| a != b)?;
    Some(format!("{path} differs from byte {at} on"))
}

/// A store as `t_aux` has it, without its path: id, size, rows that are discarded.
type Store<'a> = (&'a [u8], Option<u64>, u64);

/// The stores of a `t_aux`: the layers, then tree-d, tree-r-last and tree-c (bincode 1 of
/// storage-proofs-porep's `TemporaryAux`).
fn stores(bytes: &[u8]) -> Option<Vec<Store<'_>>> {
    let mut reader = Reader(bytes);
    let n_layers = reader.number()?;
    // No sector has more than a few dozen.
    let n = usize::try_from(n_layers).ok().filter(|n| *n <= 64)? + 3;
    let stores: Option<Vec<_>> = (0..n)
        .map(|_| {
            reader.text()?;
            let id = reader.text()?;
            let size = match reader.take(1)? {
                [0] => None,
                [1] => Some(reader.number()?),
                _ => return None,
            };
            Some((id, size, reader.number()?))
        })
        .collect();
    stores.filter(|_| reader.0.is_empty())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let bytes = usize::try_from(self.number()?).ok()?;
        self.take(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T_AUX: &[u8] = include_bytes!("../../../vectors/2KiB-data/cache/t_aux");

    #[test]
    fn t_aux_is_compared_but_for_its_paths() {
        let moved = String::from_utf8_lossy(T_AUX).replace("/sealing/", "/another/").into_bytes();
        assert_eq!(difference("cache/t_aux", &moved, T_AUX), None);
        let renamed = String::from_utf8_lossy(T_AUX).replace("tree-c", "tree-x").into_bytes();
        assert!(difference("cache/t_aux", &renamed, T_AUX).is_some());
        let cut = &T_AUX[..T_AUX.len() - 1];
        assert_eq!(difference("cache/t_aux", cut, T_AUX).unwrap(), "cache/t_aux is no t_aux");
        let ids: Vec<_> = stores(T_AUX).unwrap().iter().map(|store| store.0).collect();
        let expected: [&[u8]; 5] = [b"layer-1", b"layer-2", b"tree-d", b"tree-r-last", b"tree-c"];
        assert_eq!(ids, expected);
    }

    #[test]
    fn other_files_are_compared_byte_by_byte() {
        assert_eq!(difference("a", b"12", b"12"), None);
        assert_eq!(difference("a", b"1", b"12").unwrap(), "a has 1 bytes, expected 2");
        assert_eq!(difference("a", b"13", b"12").unwrap(), "a differs from byte 1 on");
    }

    #[test]
    fn every_change_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| fs::write(dir.path().join(name), content).unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        write("kept", "1");
        write("sub/gone", "1");
        write("changed", "1");
        write("owned", "1");
        let before = Snapshot::take(dir.path()).unwrap();
        assert!(before.changes(&before, |_| false).is_empty());
        fs::remove_file(dir.path().join("sub/gone")).unwrap();
        write("changed", "2");
        write("owned", "2");
        write("sub/new", "");
        let after = Snapshot::take(dir.path()).unwrap();
        let changes = before.changes(&after, |path| path == "owned");
        assert_eq!(changes, ["changed has changed", "sub/gone is gone", "sub/new is new"]);
    }
}
