// SPDX-License-Identifier: MIT OR Apache-2.0

//! `add_pieces`: writes the pieces, fr32 padded, as the sector's unsealed data.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use filecoin_hashers::{HashFunction, Hasher};
use filecoin_proofs::{DefaultPieceDomain, DefaultPieceHasher, UnpaddedBytesAmount};
use sealpipe_protocol::{
    Bytes32, Code, TaskError, durable, failure,
    stage::{
        add_pieces::{Output, Params},
        piece::{Piece, PieceSource, Source, unpadded},
    },
};

use crate::{library, report::Reporter, sector_files::NODE_BYTES, shape};

/// Bytes between two reports of progress.
const REPORT_BYTES: u64 = 16 << 20;

/// Runs the stage.
///
/// # Errors
/// Pieces that are missing or too short, and what the disk says.
pub fn run(params: &Params, reporter: &Reporter) -> Result<Output, TaskError> {
    // All sources are looked at before the first one is copied.
    let sources: Vec<Option<File>> = params.pieces.iter().map(open).collect::<Result<_, _>>()?;
    let path = &params.unsealed_path;
    let total = params.proof.sector_bytes();
    let pieces = durable::write_file(path, |mut file| {
        let failed = |error: io::Error| failure::output("the unsealed data", path, &error);
        // What is not written stays a hole, which reads as zeros.
        file.set_len(total).map_err(failed)?;
        let mut offset = 0;
        let mut pieces = Vec::with_capacity(sources.len());
        for (piece, source) in params.pieces.iter().zip(sources) {
            file.seek(SeekFrom::Start(offset)).map_err(failed)?;
            let comm_p = match source {
                Some(source) => {
                    let on_bytes =
                        |written| reporter.progress("pieces", offset + written, total, "bytes");
                    add(
                        piece,
                        source,
                        Target { file, written: 0, reported: 0, failure: None, on_bytes },
                        path,
                    )?
                }
                None => zero_commitment(piece.piece_size),
            };
            pieces.push(Piece { comm_p, piece_size: piece.piece_size });
            offset += piece.piece_size;
            reporter.progress("pieces", offset, total, "bytes");
        }
        Ok(pieces)
    })?;
    Ok(Output { pieces })
}

/// The commitment of a piece of zeros: the levels of its tree hashed up from a node of zeros.
pub fn zero_commitment(piece_size: u64) -> Bytes32 {
    let levels = (piece_size / NODE_BYTES).ilog2();
    let root = (0..levels).fold(DefaultPieceDomain::default(), |node, _| {
        <DefaultPieceHasher as Hasher>::Function::hash2(&node, &node)
    });
    shape::bytes32(&root)
}

/// Opens the source of a piece; `None` for zeros.
fn open(piece: &PieceSource) -> Result<Option<File>, TaskError> {
    let Source::Path(path) = &piece.source else { return Ok(None) };
    if piece.payload_size == 0 {
        return Ok(None);
    }
    let failed = |error: io::Error| failure::input("the piece", path, &error);
    let file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(TaskError::new(
            Code::InvalidInput,
            format!("the piece {} is no file", path.display()),
        ));
    }
    if found.len() < piece.payload_size {
        return Err(too_short(path, found.len(), piece.payload_size));
    }
    Ok(Some(file))
}

fn too_short(path: &Path, found: u64, expected: u64) -> TaskError {
    TaskError::new(
        Code::InvalidInput,
        format!("the piece {} has {found} bytes, `payloadSize` is {expected}", path.display()),
    )
    .hint("wait until the file is complete, or give the size that it has")
}

/// Writes one piece and gives its commitment.
fn add<F: Fn(u64)>(
    piece: &PieceSource,
    source: File,
    mut target: Target<'_, F>,
    unsealed_path: &Path,
) -> Result<Bytes32, TaskError> {
    let size = unpadded(piece.piece_size);
    let mut payload = Counted { source: source.take(piece.payload_size), bytes: 0, ended: false };
    let padded = (&mut payload).chain(io::repeat(0).take(size - piece.payload_size));
    let added =
        filecoin_proofs::write_and_preprocess(padded, &mut target, UnpaddedBytesAmount(size));
    // The library drops its buffer without looking whether the last of it could be written.
    if let Some(error) = target.failure {
        return Err(failure::output("the unsealed data", unsealed_path, &error));
    }
    if let Source::Path(path) = &piece.source
        && payload.ended
        && payload.bytes < piece.payload_size
    {
        return Err(too_short(path, payload.bytes, piece.payload_size));
    }
    let (info, _) = added
        .map_err(|error| library::failure(Code::InternalError, "adding a piece", error.as_ref()))?;
    if target.written == piece.piece_size {
        return Ok(Bytes32(info.commitment));
    }
    let (written, expected) = (target.written, piece.piece_size);
    let message = format!("{written} of {expected} bytes of a piece were written");
    Err(TaskError::new(Code::InternalError, message))
}

/// Counts the bytes that were really there to be read.
struct Counted<R> {
    source: R,
    bytes: u64,
    ended: bool,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        self.bytes += n as u64;
        self.ended |= n == 0 && !buffer.is_empty();
        Ok(n)
    }
}

/// Counts the bytes that were really written, and keeps what went wrong.
struct Target<'f, F> {
    file: &'f File,
    written: u64,
    reported: u64,
    failure: Option<io::Error>,
    on_bytes: F,
}

impl<F: Fn(u64)> Write for Target<'_, F> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let n = self.file.write(buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.failure.get_or_insert(error.kind().into());
            }
        })?;
        self.written += n as u64;
        if self.written - self.reported >= REPORT_BYTES {
            self.reported = self.written;
            (self.on_bytes)(self.written);
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use sealpipe_protocol::stage::proof::SealProof;

    use super::*;

    const PROOF: SealProof = SealProof::StackedDrg2KiBV1_1;

    fn add(dir: &Path, pieces: Vec<PieceSource>) -> Result<Output, TaskError> {
        let unsealed_path = dir.join("unsealed");
        run(&Params { proof: PROOF, pieces, unsealed_path }, &Reporter::silent())
    }

    fn piece(source: Source, payload_size: u64, piece_size: u64) -> PieceSource {
        PieceSource { source, payload_size, piece_size }
    }

    #[test]
    fn zeros_are_known_without_being_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zeros");
        std::fs::write(&path, vec![0; 1016]).unwrap();
        let output = add(
            dir.path(),
            vec![piece(Source::Path(path), 1016, 1024), piece(Source::Zero, 0, 1024)],
        )
        .unwrap();
        assert_eq!(output.pieces[0].comm_p, output.pieces[1].comm_p);
        assert_eq!(std::fs::read(dir.path().join("unsealed")).unwrap(), vec![0; 2048]);
    }

    #[test]
    fn a_piece_that_is_missing_or_short_is_named_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("piece");
        let pieces = vec![piece(Source::Path(path.clone()), 2000, 2048)];
        let error = add(dir.path(), pieces.clone()).unwrap_err();
        assert_eq!(error.known_code(), Some(Code::InputUnavailable));
        std::fs::write(&path, vec![1; 1999]).unwrap();
        let error = add(dir.path(), pieces).unwrap_err();
        assert_eq!(error.known_code(), Some(Code::InvalidInput));
        assert!(error.message.contains("has 1999 bytes"), "{error}");
        assert!(error.data.hint.is_some());
        assert!(!dir.path().join("unsealed").exists());
    }
}
