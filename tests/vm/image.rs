// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the machine boots from: an archive of files in the format that the kernel unpacks into its
//! first file system ("newc" of cpio(5)).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Files of the machine, by their absolute paths.
#[derive(Default)]
pub struct Image {
    files: BTreeMap<String, (Vec<u8>, u32)>,
}

impl Image {
    /// Puts a file there.
    pub fn write(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.files.insert(path.to_owned(), (content.into(), 0o644));
    }

    /// Puts a script there, which can be executed.
    pub fn script(&mut self, path: &str, content: &str) {
        self.files.insert(path.to_owned(), (content.into(), 0o755));
    }

    /// Puts a program of this machine there, with the libraries that it links.
    pub fn program(&mut self, path: &str, program: &Path) {
        self.copy(path, program);
        for library in libraries(program) {
            // Where the program looks for it; on this machine that may lead through links.
            let target = library.display().to_string();
            if !self.files.contains_key(&target) {
                self.copy(&target, &library);
            }
        }
    }

    fn copy(&mut self, path: &str, from: &Path) {
        let content = fs::read(from).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
        let mode = fs::metadata(from).unwrap().permissions().mode();
        self.files.insert(path.to_owned(), (content, mode & 0o777));
    }

    /// Writes the archive.
    pub fn pack(&self, archive: &Path) -> io::Result<()> {
        let mut out = Archive { out: BufWriter::new(File::create(archive)?), entries: 0 };
        let paths = self.files.keys().map(Path::new);
        let dirs: BTreeSet<_> = paths.flat_map(|path| path.ancestors().skip(1)).collect();
        for dir in dirs.into_iter().filter(|dir| dir.parent().is_some()) {
            out.entry(dir, 0o040_755, &[])?;
        }
        for (path, (content, mode)) in &self.files {
            out.entry(Path::new(path), 0o100_000 | mode, content)?;
        }
        out.entry(Path::new("/TRAILER!!!"), 0, &[])?;
        out.out.flush()
    }
}

struct Archive {
    out: BufWriter<File>,
    entries: u32,
}

impl Archive {
    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
        let name = path.to_str().expect("paths of the image are text").trim_start_matches('/');
        let (n_name, n_content) = (name.len() as u32 + 1, content.len() as u32);
        self.entries += 1;
        // inode, mode, user, group, links, time, size, two devices' numbers, name, checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, n_content, 0, 0, 0, 0, n_name, 0];
        let head: String = fields.iter().map(|field| format!("{field:08x}")).collect();
        write!(self.out, "070701{head}{name}\0")?;
        self.pad(110 + n_name)?;
        self.out.write_all(content)?;
        self.pad(n_content)
    }

    /// Everything begins at a multiple of four.
    fn pad(&mut self, written: u32) -> io::Result<()> {
        self.out.write_all(&[0; 3][..(4 - written as usize % 4) % 4])
    }
}

/// The libraries of a program, as the loader of this machine finds them.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().expect("a C library comes with ldd");
    let text = String::from_utf8_lossy(&output.stdout);
    // `libm.so.6 => /lib/libm.so.6 (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)`.
    let path = |line: &str| line.split_whitespace().find(|w| w.starts_with('/')).map(PathBuf::from);
    text.lines().filter_map(path).collect()
}
