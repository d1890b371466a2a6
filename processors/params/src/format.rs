// SPDX-License-Identifier: MIT OR Apache-2.0
//! The parameter file's layout, as `bellperson::groth16::Parameters::write` lays it down.
//!
//! ```text
//! 0     alpha_g1 96 | beta_g1 96 | beta_g2 192 | gamma_g2 192 | delta_g1 96 | delta_g2 192
//! 864   u32 count, points of 96 bytes    ic     one an input; the verifying key file ends here
//! ...   u32 count, points of 96 bytes    h      one less than the domain
//! ...   u32 count, points of 96 bytes    l      one an auxiliary variable
//! ...   u32 count, points of 96 bytes    a      inputs first
//! ...   u32 count, points of 96 bytes    b_g1   inputs first
//! ...   u32 count, points of 192 bytes   b_g2   the same variables
//! ```
//!
//! Numbers are big-endian; points are uncompressed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::{Error, Kind};

/// Bytes before the first count: three points of G1 and three of G2.
pub(crate) const N_KEY_BYTES: u64 = 3 * 96 + 3 * 192;

/// How many points each section of a parameter file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Inputs of the circuit, the constant one included.
    pub ic: u32,
    /// The domain's size less one.
    pub h: u32,
    /// Auxiliary variables of the circuit.
    pub l: u32,
    /// Variables that occur in the matrix A.
    pub a: u32,
    /// Variables that occur in the matrix B, as points of G1.
    pub b_g1: u32,
    /// The same variables as points of G2.
    pub b_g2: u32,
}

impl Layout {
    /// Length of the parameter file in bytes.
    pub fn n_bytes(&self) -> u64 {
        let Layout { ic, h, l, a, b_g1, b_g2 } = *self;
        let counts = [ic, h, l, a, b_g1, b_g2];
        let section = |(count, (_, n_bytes))| 4 + u64::from(count) * n_bytes;
        N_KEY_BYTES + counts.into_iter().zip(SECTIONS).map(section).sum::<u64>()
    }

    /// Where the first point of each section is, in bytes from the file's beginning: ic, h, l, a, b_g1, b_g2.
    pub fn first_points(&self) -> [u64; 6] {
        let Layout { ic, h, l, a, b_g1, b_g2 } = *self;
        let counts = [ic, h, l, a, b_g1, b_g2];
        let mut offset = N_KEY_BYTES + 4;
        std::array::from_fn(|section| {
            let first = offset;
            offset += u64::from(counts[section]) * SECTIONS[section].1 + 4;
            first
        })
    }

    /// Length of the verifying key file in bytes: 868 and 96 for each input.
    pub fn verifying_key_n_bytes(&self) -> u64 {
        N_KEY_BYTES + 4 + 96 * u64::from(self.ic)
    }

    /// Reads the counts of the parameter file at `path` and compares its length with them.
    ///
    /// This takes six short reads whatever the size of the file; it finds a file that was cut
    /// short or belongs to something else, and no altered point.
    ///
    /// # Errors
    /// [`Error::is_io`] where the file cannot be read, [`Error::is_damaged`] where its length is
    /// not what its counts ask for.
    pub fn read(path: &Path) -> Result<Layout, Error> {
        let damaged = |reason: String| Kind::Damaged { path: path.to_owned(), reason }.into();
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        let n_bytes = file.metadata().map_err(Error::io("examine", path))?.len();
        let mut counts = [0; 6];
        let mut offset = N_KEY_BYTES;
        for (count, (name, point_n_bytes)) in counts.iter_mut().zip(SECTIONS) {
            if offset + 4 > n_bytes {
                return Err(damaged(format!(
                    "it has {n_bytes} bytes and should reach the section {name} at {offset}"
                )));
            }
            *count = read_count(&mut file, offset).map_err(Error::io("read", path))?;
            offset += 4 + u64::from(*count) * point_n_bytes;
        }
        if offset != n_bytes {
            return Err(damaged(format!(
                "it has {n_bytes} bytes and its section counts ask for {offset}"
            )));
        }
        let [ic, h, l, a, b_g1, b_g2] = counts;
        if b_g1 != b_g2 {
            return Err(damaged(format!("it has {b_g1} points in b_g1 and {b_g2} in b_g2")));
        }
        Ok(Layout { ic, h, l, a, b_g1, b_g2 })
    }
}

/// Names of the sections in the file's order, with the bytes of one point each.
const SECTIONS: [(&str, u64); 6] =
    [("ic", 96), ("h", 96), ("l", 96), ("a", 96), ("b_g1", 96), ("b_g2", 192)];

fn read_count(file: &mut File, offset: u64) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

/// Reads the verifying key's bytes, the head of the complete parameter file at `path`; they are
/// what belongs into the `.vk` file beside it.
///
/// # Errors
/// Those of [`Layout::read`].
pub fn verifying_key(path: &Path) -> Result<Vec<u8>, Error> {
    let layout = Layout::read(path)?;
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(layout.verifying_key_n_bytes()).read_to_end(&mut bytes))
        .map_err(Error::io("read", path))?;
    Ok(bytes)
}
