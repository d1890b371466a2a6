// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which files a process was started from, so that a reload notices another program under the same
//! path.

use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::config::Program;

/// A program and what it is given to read, as they lie on the disk: its file, and the first
/// argument that is an absolute path of a file: an interpreter's script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProgramFiles(Vec<Option<Identity>>);

/// A file with its content, as far as that can be told without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds since 1970.
    changed: (i64, i64),
}

impl ProgramFiles {
    /// The files of a program as they are now.
    pub fn of(program: &Program) -> Self {
        let files = program.args.iter().map(Path::new).filter(|path| path.is_absolute());
        // The first one: an interpreter's script. Others may be what it writes, such as a log.
        let scripts = files.filter_map(|path| identity(path).map(Some)).take(1);
        Self(
            std::iter::once(find(&program.bin).and_then(|path| identity(&path)))
                .chain(scripts)
                .collect(),
        )
    }
}

fn identity(path: &Path) -> Option<Identity> {
    let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some(Identity {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        changed: (found.mtime(), found.mtime_nsec()),
    })
}

/// Where a program lies: a name without `/` is looked up in `PATH`, as `execvp` does.
fn find(bin: &Path) -> Option<PathBuf> {
    if bin.components().count() > 1 {
        return Some(bin.to_owned());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(bin)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_under_the_same_path_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (bin, script) = (dir.path().join("pc2"), dir.path().join("pc2.py"));
        fs::write(&bin, "one").unwrap();
        fs::write(&script, "one").unwrap();
        let args = vec!["processor".to_owned(), script.display().to_string()];
        let program = Program { bin: bin.clone(), args };
        let before = ProgramFiles::of(&program);
        assert_eq!(ProgramFiles::of(&program), before);
        for path in [&bin, &script] {
            let before = ProgramFiles::of(&program);
            let beside = path.with_extension("new");
            fs::write(&beside, "two").unwrap();
            fs::rename(&beside, path).unwrap();
            assert_ne!(ProgramFiles::of(&program), before, "{}", path.display());
        }
        fs::remove_file(&bin).unwrap();
        assert_eq!(ProgramFiles::of(&program).0[0], None);
    }

    #[test]
    fn a_name_is_looked_up() {
        let program = Program { bin: "sh".into(), args: Vec::new() };
        assert!(ProgramFiles::of(&program).0[0].is_some());
    }
}
