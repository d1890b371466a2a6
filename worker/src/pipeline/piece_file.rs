// SPDX-License-Identifier: MIT OR Apache-2.0

//! The files that are sealed, as they are looked at before anything is begun.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// The absolute path of a file that can be read, without links and `..`, and its length in bytes.
///
/// # Errors
/// What is wrong with it, for people.
pub fn piece_file(path: &Path) -> Result<(PathBuf, u64), String> {
    let unusable = |what: &str| format!("piece {} cannot be read: {what}", path.display());
    let failed = |error: io::Error| unusable(&error.to_string());
    // Before it is opened: whoever opens a pipe waits for somebody who writes to it.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(unusable("it is not a regular file"));
    }
    let metadata = File::open(path).and_then(|file| file.metadata()).map_err(failed)?;
    let path = path.canonicalize().map_err(failed)?;
    match path.to_str() {
        Some(_) => Ok((path, metadata.len())),
        None => Err(unusable("its path is not UTF-8, and the protocol is JSON")),
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_piece_is_a_regular_file_and_has_one_path() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().canonicalize().unwrap();
        let file = dir.join("car.bin");
        fs::write(&file, "data").unwrap();
        fs::create_dir(dir.join("sub")).unwrap();
        assert_eq!(piece_file(&dir.join("sub/../car.bin")), Ok((file, 4)));
        let fifo = dir.join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for other in [fifo, dir.clone()] {
            assert!(piece_file(&other).unwrap_err().contains("is not a regular file"));
        }
        assert!(piece_file(&dir.join("gone")).unwrap_err().contains("No such file"));
    }
}
