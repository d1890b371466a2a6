// SPDX-License-Identifier: MIT OR Apache-2.0

//! The file of converted parameters.
//!
//! ```text
//! 0      magic 16 | version u32 | order u32 | circuit 32 | source 16 | offset u64, count u64 of each section
//! 4096   the sections, each from a multiple of 4096 on
//! ```
//!
//! Numbers are little-endian. `order` says in which order the coefficients of the quotient come, `circuit` is
//! the circuit's digest, `source` the first 16 bytes of the BLAKE2b-512 of bellperson's file.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use sealpipe_protocol::{Code, TaskError, failure};

const MAGIC: [u8; 16] = *b"sealpipe-c2-keys";

/// The source of parameters that a test set-up made, without a file of bellperson's: no digest that a file has.
pub const TEST_SOURCE: [u8; 16] = *b"made for tests..";

/// Changes with the format.
const VERSION: u32 = 1;

/// Sections begin at multiples of this, and the first after so many bytes: a page.
const ALIGNMENT: u64 = 4096;

/// What is in the file, in its order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// The verifying key, as its own file has it, in bytes.
    Key,
    /// Points over the coefficients of the quotient, in the order told; one that no point belongs to has
    /// infinity.
    H,
    /// Points of auxiliary variables that are full-size values, for all of them.
    LValues,
    /// Points of auxiliary variables that are bits, for all of them.
    LBits,
    /// Points of A, full-size values.
    AValues,
    /// Points of A, bits.
    ABits,
    /// Points of B in the first group, full-size values.
    B1Values,
    /// Points of B in the first group, bits.
    B1Bits,
    /// Points of B in the second group, full-size values.
    B2Values,
    /// Points of B in the second group, bits.
    B2Bits,
    /// The columns of `AValues`.
    AValueColumns,
    /// The bits of `ABits`, counted from the first.
    ABitNumbers,
    /// The columns of `B1Values` and `B2Values`.
    BValueColumns,
    /// The bits of `B1Bits` and `B2Bits`.
    BBitNumbers,
}

impl Section {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Key,
        Self::H,
        Self::LValues,
        Self::LBits,
        Self::AValues,
        Self::ABits,
        Self::B1Values,
        Self::B1Bits,
        Self::B2Values,
        Self::B2Bits,
        Self::AValueColumns,
        Self::ABitNumbers,
        Self::BValueColumns,
        Self::BBitNumbers,
    ];

    /// Bytes of an element.
    pub fn element_bytes(self) -> usize {
        match self {
            Self::Key => 1,
            Self::H
            | Self::LValues
            | Self::LBits
            | Self::AValues
            | Self::ABits
            | Self::B1Values
            | Self::B1Bits => 96,
            Self::B2Values | Self::B2Bits => 192,
            Self::AValueColumns | Self::ABitNumbers | Self::BValueColumns | Self::BBitNumbers => 4,
        }
    }
}

/// What the file says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The order of the quotient's coefficients.
    pub order: u32,
    /// The circuit's digest.
    pub circuit: [u8; 32],
    /// The digest of bellperson's file.
    pub source: [u8; 16],
    /// Elements of each section.
    pub counts: [u64; 14],
}

impl Header {
    /// Where each section begins, and the file's length.
    pub(super) fn offsets(&self) -> ([u64; 14], u64) {
        let mut next = ALIGNMENT;
        let mut end = next;
        let offsets = std::array::from_fn(|i| {
            let offset = next;
            end = offset + self.counts[i] * Section::ALL[i].element_bytes() as u64;
            next = end.next_multiple_of(ALIGNMENT);
            offset
        });
        (offsets, end)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.order.to_le_bytes());
        bytes.extend_from_slice(&self.circuit);
        bytes.extend_from_slice(&self.source);
        for (offset, count) in self.offsets().0.into_iter().zip(self.counts) {
            bytes.extend_from_slice(&offset.to_le_bytes());
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        bytes
    }

    /// Nothing when the bytes are no header of this version.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        if bytes.get(..16)? != MAGIC || number(16)? != VERSION {
            return None;
        }
        let mut counts = [0; 14];
        for (i, count) in counts.iter_mut().enumerate() {
            let at = 72 + 16 * i + 8;
            *count = u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?);
            // Also keeps the offsets from overflowing.
            if *count > u64::from(u32::MAX) {
                return None;
            }
        }
        let header = Self {
            order: number(20)?,
            circuit: bytes.get(24..56)?.try_into().ok()?,
            source: bytes.get(56..72)?.try_into().ok()?,
            counts,
        };
        // The offsets follow from the counts; that they stand there is for people.
        (header.to_bytes() == bytes.get(..header.to_bytes().len())?).then_some(header)
    }
}

/// A file that is being written.
#[derive(Debug)]
pub struct Out<'f> {
    to: &'f File,
    path: &'f Path,
    at: u64,
}

impl<'f> Out<'f> {
    /// Writes the header to `to`, which is at `path` or beside it.
    ///
    /// # Errors
    /// What the disk says.
    pub fn begin(to: &'f File, path: &'f Path, header: &Header) -> Result<Self, TaskError> {
        let mut out = Self { to, path, at: 0 };
        // Whatever is not written is zeros: between sections, and where the last are empty.
        to.set_len(header.offsets().1).map_err(|error| out.failed(&error))?;
        out.write(&header.to_bytes())?;
        Ok(out)
    }

    /// Goes to where the next section begins. They come in their order, each as long as the header says.
    ///
    /// # Errors
    /// What the disk says.
    pub fn section(&mut self) -> Result<(), TaskError> {
        self.at = self.at.next_multiple_of(ALIGNMENT);
        self.to.seek(SeekFrom::Start(self.at)).map(drop).map_err(|error| self.failed(&error))
    }

    /// Writes elements of the section.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), TaskError> {
        self.at += bytes.len() as u64;
        self.to.write_all(bytes).map_err(|error| self.failed(&error))
    }

    /// Bytes so far.
    pub fn n_bytes(&self) -> u64 {
        self.at
    }

    fn failed(&self, error: &io::Error) -> TaskError {
        failure::output("the converted parameters", self.path, error)
    }
}

/// Where the bytes of sections come from.
pub trait Content: Send + Sync {
    /// Reads bytes of a section from the one at `at` on; all of them are inside.
    ///
    /// # Errors
    /// What the disk says.
    fn read(&self, section: Section, at: usize, to: &mut [u8]) -> io::Result<()>;
}

/// Those of a file.
struct Stored {
    file: File,
    offsets: [u64; 14],
}

impl Content for Stored {
    fn read(&self, section: Section, at: usize, to: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(to, self.offsets[section as usize] + at as u64)
    }
}

/// Converted parameters, open; a copy reads the same.
#[derive(Clone)]
pub struct Params {
    header: Header,
    content: Arc<dyn Content>,
}

impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Params").field("header", &self.header).finish_non_exhaustive()
    }
}

impl Params {
    /// Opens a file; nothing where there is none that is complete and of this version.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let n_bytes = file.metadata()?.len();
        let mut bytes = vec![0; n_bytes.min(ALIGNMENT) as usize];
        file.read_exact_at(&mut bytes, 0)?;
        let Some(header) = Header::parse(&bytes) else { return Ok(None) };
        let (offsets, end) = header.offsets();
        let stored = || Self::with(header, Stored { file, offsets });
        Ok((end == n_bytes).then(stored))
    }

    /// Parameters from elsewhere.
    pub fn with(header: Header, content: impl Content + 'static) -> Self {
        Self { header, content: Arc::new(content) }
    }

    /// What they say of themselves.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Elements of a section.
    pub fn len(&self, section: Section) -> usize {
        self.header.counts[section as usize] as usize
    }

    /// Bytes of all sections together.
    pub fn n_bytes(&self) -> u64 {
        Section::ALL.iter().map(|s| (self.len(*s) * s.element_bytes()) as u64).sum()
    }

    /// Reads bytes of a section from the one at `at` on, as many as `to` has room for.
    ///
    /// # Errors
    /// What the disk says, and the end of the section as the end of the file.
    pub fn read_bytes(&self, section: Section, at: usize, to: &mut [u8]) -> Result<(), TaskError> {
        let read = match at + to.len() <= self.len(section) * section.element_bytes() {
            true => self.content.read(section, at, to),
            false => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        };
        read.map_err(|error| {
            TaskError::io(Code::InputUnavailable, "the converted parameters", &error)
        })
    }
}
