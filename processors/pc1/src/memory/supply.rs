// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the memory for labels comes from: the system's pages, or files of a hugetlbfs that an
//! administrator has made beforehand, as damocles' `store hugepage-file-init` does.

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    pages::{self, Pages},
    region::{Backing, Region},
};

/// Labels grow by at most so many bytes at a time, unless pages are larger.
const PIECE_BYTES: usize = 64 << 20;

/// And by at most this part of a layer.
const PIECES_A_LAYER: usize = 64;

/// A source of memory.
#[derive(Debug)]
pub enum Supply {
    /// Pages of the system, preferably on a node.
    System {
        /// The kind to begin with; when it runs out, the next one is taken.
        pages: Pages,
        /// The memory node.
        node: Option<u32>,
    },
    /// Files in huge pages.
    Files(FilePool),
}

/// Huge files, cut into pieces.
#[derive(Debug)]
pub struct FilePool {
    directory: PathBuf,
    piece_bytes: usize,
    n_pieces: usize,
    free: Arc<Mutex<Vec<Piece>>>,
}

/// A piece of a huge file.
#[derive(Clone, Debug)]
struct Piece {
    file: Arc<File>,
    offset: u64,
}

/// Pieces of files that are in use; back in their pool when dropped.
#[derive(Debug)]
pub struct Lease {
    pieces: Vec<Piece>,
    free: Arc<Mutex<Vec<Piece>>>,
}

impl Supply {
    /// The system's best pages for `wanted` bytes in all.
    pub fn system(wanted: u64, node: Option<u32>) -> Self {
        let set_aside = |pages: Pages| pages.set_aside(node);
        let pages = pages::choose(wanted, set_aside, Pages::transparent_is_on());
        Self::System { pages, node }
    }

    /// By how many bytes labels of `layer_bytes` grow at a time.
    pub fn piece_bytes(&self, layer_bytes: usize) -> usize {
        match self {
            Self::System { pages, .. } => {
                let part = PIECE_BYTES.min(layer_bytes / PIECES_A_LAYER).max(1);
                part.next_multiple_of(pages.bytes())
            }
            Self::Files(pool) => pool.piece_bytes,
        }
    }

    /// To what the addresses of labels of `layer_bytes` are aligned.
    pub fn align(&self, layer_bytes: usize) -> usize {
        match self {
            Self::System { pages, .. } => {
                pages.bytes().min(layer_bytes.next_power_of_two()).max(4096)
            }
            Self::Files(pool) => pool.piece_bytes,
        }
    }

    /// Bytes that there are, where that is known.
    pub fn capacity(&self) -> Option<u64> {
        match self {
            Self::System { pages, node } => pages.set_aside(*node),
            Self::Files(pool) => Some(pool.n_pieces as u64 * pool.piece_bytes as u64),
        }
    }

    /// Backs a piece of a region with memory that is really there.
    ///
    /// # Errors
    /// What the system says when there is none of any kind.
    pub(super) fn back(
        &self,
        region: &Region,
        offset: usize,
        bytes: usize,
    ) -> io::Result<Option<Lease>> {
        match self {
            Self::System { pages, node } => {
                let mut last = io::Error::from(io::ErrorKind::OutOfMemory);
                for pages in Pages::ALL.into_iter().filter(|kind| kind >= pages) {
                    if !bytes.is_multiple_of(pages.bytes()) && pages < Pages::Transparent {
                        continue;
                    }
                    let backing = Backing::Anonymous(pages);
                    let backed = region.back(offset, bytes, backing, *node);
                    match backed.and_then(|()| region.populate(offset, bytes)) {
                        Ok(()) => return Ok(None),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
            Self::Files(pool) => pool.back(region, offset, bytes).map(Some),
        }
    }
}

impl fmt::Display for Supply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { pages, node: Some(node) } => write!(f, "{pages} of node {node}"),
            Self::System { pages, node: None } => write!(f, "{pages}"),
            Self::Files(pool) => write!(f, "huge files in {}", pool.directory.display()),
        }
    }
}

impl FilePool {
    /// The files in `directory`, cut into pieces of `piece_bytes`.
    ///
    /// # Errors
    /// What the system says when a file cannot be opened, or that there is none.
    pub fn open(directory: &Path, piece_bytes: usize) -> io::Result<Self> {
        let mut pieces = Vec::new();
        let mut paths =
            fs::read_dir(directory)?.map(|e| Ok(e?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        for path in paths.into_iter().filter(|path| path.is_file()) {
            let file = Arc::new(File::options().read(true).write(true).open(&path)?);
            let n_pieces = file.metadata()?.len() / piece_bytes as u64;
            pieces.extend(
                (0..n_pieces).map(|i| Piece { file: file.clone(), offset: i * piece_bytes as u64 }),
            );
        }
        if pieces.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} has no file of {piece_bytes} bytes or more", directory.display()),
            ));
        }
        // The last is taken first: keep files together.
        pieces.reverse();
        let n_pieces = pieces.len();
        let free = Arc::new(Mutex::new(pieces));
        Ok(Self { directory: directory.to_path_buf(), piece_bytes, n_pieces, free })
    }

    fn back(&self, region: &Region, offset: usize, bytes: usize) -> io::Result<Lease> {
        let mut lease = Lease { pieces: Vec::new(), free: self.free.clone() };
        for at in (offset..offset + bytes).step_by(self.piece_bytes) {
            let piece = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let piece = piece.ok_or(io::ErrorKind::OutOfMemory)?;
            let backing = Backing::File(&piece.file, piece.offset);
            let backed = region.back(at, self.piece_bytes, backing, None);
            lease.pieces.push(piece);
            backed?;
            region.populate(at, self.piece_bytes)?;
        }
        Ok(lease)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).append(&mut self.pieces);
    }
}

/// The directory of the huge files that damocles' variables name: a pattern in which
/// `$NUMA_NODE_INDEX` stands for the node, or a directory with `numa_<node>` in it.
pub fn files_directory(
    variable: impl Fn(&str) -> Option<String>,
    node: Option<u32>,
) -> Option<PathBuf> {
    let node = node.unwrap_or(0).to_string();
    if let Some(pattern) = variable("HUGEPAGE_FILES_PATH_PATTERN") {
        let path = pattern.replace("$NUMA_NODE_INDEX", &node);
        let path = path.strip_suffix("/*").unwrap_or(&path);
        return Some(PathBuf::from(path));
    }
    let path = variable("HUGEPAGE_FILES_PATH")?;
    Some(Path::new(&path).join(format!("numa_{node}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::labels::Writer;

    #[test]
    fn damocles_variables_name_a_directory() {
        let check = |set: &[(&str, &str)], node, expected: Option<&str>| {
            let variable =
                |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            assert_eq!(files_directory(variable, node), expected.map(PathBuf::from));
        };
        check(&[], Some(0), None);
        check(&[("HUGEPAGE_FILES_PATH", "/huge")], Some(1), Some("/huge/numa_1"));
        check(&[("HUGEPAGE_FILES_PATH", "/huge")], None, Some("/huge/numa_0"));
        let pattern = ("HUGEPAGE_FILES_PATH_PATTERN", "/mnt/n$NUMA_NODE_INDEX/*");
        check(&[("HUGEPAGE_FILES_PATH", "/huge"), pattern], Some(1), Some("/mnt/n1"));
    }

    #[test]
    fn pieces_of_files_go_back_when_the_labels_are_gone() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["32.0_GiB_0", "32.0_GiB_1"] {
            File::create(dir.path().join(name)).unwrap().set_len(2 << 16).unwrap();
        }
        let pool = FilePool::open(dir.path(), 1 << 16).unwrap();
        let free = pool.free.clone();
        let n_free = || free.lock().unwrap().len();
        let supply = Supply::Files(pool);
        assert_eq!((supply.capacity(), n_free()), (Some(4 << 16), 4));
        let n_nodes = (3 << 16) / 32;
        let (mut writer, mut backer) = Writer::reserve(n_nodes, 1, 1 << 16).unwrap();
        backer.back(1 << 16, &supply).unwrap();
        writer.push(&[[7; 8]]);
        assert_eq!((n_free(), writer.backed()), (3, 2048));
        backer.back(2 << 16, &supply).unwrap();
        assert!(backer.is_done());
        assert_eq!(n_free(), 1);
        let (_other, mut other_backer) = Writer::reserve(n_nodes, 1, 1 << 16).unwrap();
        other_backer.back(2 << 16, &supply).unwrap_err();
        assert_eq!(writer.labels().get(0, 0), [7; 8]);
        drop((writer, backer));
        assert_eq!(n_free(), 4);
    }
}
