// SPDX-License-Identifier: MIT OR Apache-2.0

//! The file of a circuit.
//!
//! ```text
//! magic 16 | version u32 | digest 32 | counts 8 x u32 | full u32… | coefficients 32…
//! for each of A, B, C: ends u32… | columns u32… | coefficients u16…
//! densities: a_aux u64… | b_inputs u64… | b_aux u64…
//! ```
//!
//! All little-endian. The digest is SHA-256 of what follows it. A file that is not as it should be, for
//! whatever reason, is as good as none: the circuit can always be extracted again.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use blstrs::Scalar;
use ff::PrimeField;
use sealpipe_protocol::{TaskError, durable, failure, stage::proof::SealProof};
use sealpipe_reference::stage::groth16;
use sha2::{Digest, Sha256};

use super::{Circuit, Densities, Matrix};
use crate::assignment::Variables;

const MAGIC: [u8; 16] = *b"sealpipe-circuit";

/// Changes with the format, and with what `bits` proves.
const VERSION: u32 = 1;

/// Bytes before the counts.
const N_HEAD: u64 = 16 + 4 + 32;

/// Bytes that are read and converted at a time; a multiple of every element's length.
const N_BUFFER: usize = 1 << 20;

/// Where the file of a proof's circuit is: beside the parameters, under their name.
///
/// # Errors
/// A defect: every proof of ours is known to filecoin-proofs.
pub fn path(proof: SealProof, dir: &Path) -> Result<PathBuf, TaskError> {
    Ok(dir.join(format!("{}.circuit", groth16::parameters(proof)?.cache_id())))
}

/// What the file says is the circuit's digest.
pub(super) fn digest(circuit: &Circuit) -> [u8; 32] {
    let mut hashing = Hashing { inner: io::sink(), hasher: Sha256::new() };
    // A sink takes everything.
    let _ = write_content(&mut hashing, circuit);
    hashing.hasher.finalize().into()
}

/// Writes a circuit's file.
///
/// # Errors
/// What the disk says.
pub(super) fn write(path: &Path, circuit: &Circuit) -> Result<(), TaskError> {
    durable::write_file(path, |file| {
        let mut out = BufWriter::with_capacity(N_BUFFER, file);
        let head = [&MAGIC[..], &VERSION.to_le_bytes(), &circuit.digest].concat();
        out.write_all(&head)
            .and_then(|()| write_content(&mut out, circuit))
            .and_then(|()| out.flush())
            .map_err(|error| failure::output("the circuit", path, &error))
    })
}

/// Reads a circuit's file; nothing where there is none that is right.
///
/// # Errors
/// What the disk says, other than that there is no file.
pub(super) fn read(path: &Path) -> Result<Option<Circuit>, TaskError> {
    let read = File::open(path).and_then(|file| {
        let n_bytes = file.metadata()?.len();
        read_file(BufReader::with_capacity(N_BUFFER, file), n_bytes)
    });
    match read {
        Ok(circuit) => Ok(circuit),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        // Shorter than its counts say.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(failure::input("the circuit", path, &error)),
    }
}

fn read_file(mut file: impl Read, n_bytes: u64) -> io::Result<Option<Circuit>> {
    let mut head = [0; N_HEAD as usize];
    file.read_exact(&mut head)?;
    if head[..16] != MAGIC || head[16..20] != VERSION.to_le_bytes() {
        return Ok(None);
    }
    let mut input = Hashing { inner: file, hasher: Sha256::new() };
    let [n_inputs, n_aux, n_full, n_coefficients, n_rows, n_a, n_b, n_c] = {
        let counts: Vec<u32> = read_all(&mut input, 8, u32::from_le_bytes)?;
        counts.try_into().unwrap_or_default()
    };
    // Before anything is allocated for what is not there.
    let words = |n: u32| u64::from(n).div_ceil(64);
    let n_matrix = |n_terms: u32| 4 * u64::from(n_rows) + 6 * u64::from(n_terms);
    let n_content = 4 * u64::from(n_full)
        + 32 * u64::from(n_coefficients)
        + [n_a, n_b, n_c].map(n_matrix).iter().sum::<u64>()
        + 8 * (2 * words(n_aux) + words(n_inputs));
    if n_bytes != N_HEAD + 32 + n_content {
        return Ok(None);
    }
    let full = read_all(&mut input, n_full as usize, u32::from_le_bytes)?;
    let scalar = |bytes: [u8; 32]| Option::<Scalar>::from(Scalar::from_repr(bytes));
    let coefficients: Vec<_> = read_all(&mut input, n_coefficients as usize, scalar)?;
    let mut matrix = |n_terms: u32| -> io::Result<Matrix> {
        Ok(Matrix {
            ends: read_all(&mut input, n_rows as usize, u32::from_le_bytes)?,
            columns: read_all(&mut input, n_terms as usize, u32::from_le_bytes)?,
            coefficients: read_all(&mut input, n_terms as usize, u16::from_le_bytes)?,
        })
    };
    let (a, b, c) = (matrix(n_a)?, matrix(n_b)?, matrix(n_c)?);
    let mut marks = |n: u32| read_all(&mut input, words(n) as usize, u64::from_le_bytes);
    let densities =
        Densities { a_aux: marks(n_aux)?, b_inputs: marks(n_inputs)?, b_aux: marks(n_aux)? };
    let digest: [u8; 32] = input.hasher.finalize().into();
    let Some(coefficients) = coefficients.into_iter().collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let variables = Variables { n_inputs, n_aux, full };
    let circuit = Circuit { variables, a, b, c, coefficients, densities, digest };
    Ok((digest == head[20..] && is_consistent(&circuit)).then_some(circuit))
}

/// Whether no index leads outside, so that nobody has to look again.
fn is_consistent(circuit: &Circuit) -> bool {
    let Variables { n_inputs, n_aux, full } = &circuit.variables;
    let n_columns = u64::from(*n_inputs) + u64::from(*n_aux);
    let is_sound = |matrix: &Matrix| {
        matrix.ends.is_sorted()
            && matrix.ends.last().is_none_or(|end| *end as usize == matrix.n_terms())
            && matrix.columns.iter().all(|column| u64::from(*column) < n_columns)
            && matrix.coefficients.iter().all(|c| usize::from(*c) < circuit.coefficients.len())
    };
    full.is_sorted_by(|a, b| a < b)
        && full.last().is_none_or(|last| last < n_aux)
        && [&circuit.a, &circuit.b, &circuit.c].into_iter().all(is_sound)
}

/// What follows the digest.
fn write_content(out: &mut impl Write, circuit: &Circuit) -> io::Result<()> {
    let Circuit { variables, a, b, c, coefficients, densities, digest: _ } = circuit;
    // All of them are below 2^32: the collector refuses larger circuits.
    let counts = [
        variables.n_inputs,
        variables.n_aux,
        variables.full.len() as u32,
        coefficients.len() as u32,
        a.n_rows() as u32,
        a.n_terms() as u32,
        b.n_terms() as u32,
        c.n_terms() as u32,
    ];
    write_all(out, &counts, |n| n.to_le_bytes())?;
    write_all(out, &variables.full, |aux| aux.to_le_bytes())?;
    write_all(out, coefficients, |coefficient| coefficient.to_repr())?;
    for matrix in [a, b, c] {
        write_all(out, &matrix.ends, |end| end.to_le_bytes())?;
        write_all(out, &matrix.columns, |column| column.to_le_bytes())?;
        write_all(out, &matrix.coefficients, |coefficient| coefficient.to_le_bytes())?;
    }
    for marks in [&densities.a_aux, &densities.b_inputs, &densities.b_aux] {
        write_all(out, marks, |word| word.to_le_bytes())?;
    }
    Ok(())
}

fn write_all<T: Copy, const N: usize>(
    out: &mut impl Write,
    elements: &[T],
    bytes: fn(T) -> [u8; N],
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(N_BUFFER.min(N * elements.len()));
    for part in elements.chunks(N_BUFFER / N) {
        buffer.clear();
        buffer.extend(part.iter().flat_map(|element| bytes(*element)));
        out.write_all(&buffer)?;
    }
    Ok(())
}

fn read_all<T, const N: usize>(
    input: &mut impl Read,
    n_elements: usize,
    element: impl Fn([u8; N]) -> T,
) -> io::Result<Vec<T>> {
    let mut elements = Vec::with_capacity(n_elements);
    let mut buffer = vec![0; N_BUFFER.min(N * n_elements)];
    while elements.len() < n_elements {
        let part = &mut buffer[..N_BUFFER.min(N * (n_elements - elements.len()))];
        input.read_exact(part)?;
        let (chunks, _) = part.as_chunks::<N>();
        elements.extend(chunks.iter().map(|bytes| element(*bytes)));
    }
    Ok(elements)
}

/// Hashes what passes.
struct Hashing<T> {
    inner: T,
    hasher: Sha256,
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n_written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..n_written]);
        Ok(n_written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n_read]);
        Ok(n_read)
    }
}

#[cfg(test)]
mod tests;
