// SPDX-License-Identifier: MIT OR Apache-2.0

//! From the parameters of a stage to a task of vc-processors, and from its output to ours. Pure:
//! [`Places`] are names, and what has to be read from files is an argument.

use std::path::{Path, PathBuf};

use sealpipe_protocol::{
    Base64, Bytes32, Code, TaskError,
    legacy::task::{
        AddPieces, C2, C2Output, Pc1, Pc1Output, Pc2, Pc2Output, PieceFile, PieceInfo, PieceSource,
        TreeD, Unseal,
    },
    stage::{
        Job, add_pieces, c2, pc1, pc2,
        piece::{self, Piece, Source, unpadded},
        proof::SealProof,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest, Sha256};

/// Where a task works. Nothing of it is an output before it is complete.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Places {
    /// The cache directory that the task is shown; empty where it is shown none.
    pub cache_dir: PathBuf,
    /// The file that it writes; empty where it writes none.
    pub file: PathBuf,
}

impl Places {
    /// The places of a job.
    pub fn of(job: &Job) -> Self {
        let scratch =
            |work: &Path, file: &str| Self { cache_dir: work.join("cache"), file: work.join(file) };
        match job {
            Job::AddPieces(p) => Self { file: beside(&p.unsealed_path), ..Self::default() },
            Job::TreeD(p) => Self { cache_dir: p.cache_dir.join(".tree_d"), ..Self::default() },
            Job::Pc1(p) => scratch(&p.work_dir, "copy"),
            Job::Pc2(p) => scratch(&p.work_dir, "sealed"),
            Job::Unseal(p) => Self { cache_dir: p.cache_dir.clone(), file: beside(&p.out_path) },
            Job::C2(_) | Job::Echo(_) | Job::C1(_) | Job::Verify(_) => Self::default(),
        }
    }
}

/// The name under which a file is written before it is complete: hidden, in the same directory.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.part"))
}

/// The task of a job that works in `places`; `c1` is the content of c1's file.
///
/// # Errors
/// A stage without tasks, and a path that JSON cannot carry.
pub fn of(
    job: &Job,
    places: &Places,
    c1: Option<Box<RawValue>>,
) -> Result<Box<RawValue>, TaskError> {
    let Places { cache_dir, file } = places.clone();
    match job {
        Job::AddPieces(p) => write(&AddPieces {
            seal_proof_type: p.proof,
            pieces: p.pieces.iter().map(piece_source).collect(),
            staged_filepath: file,
        }),
        Job::TreeD(p) => write(&TreeD {
            registered_proof: p.proof,
            staged_file: p.unsealed_path.clone(),
            cache_dir,
        }),
        Job::Pc1(p) => write(&Pc1 {
            registered_proof: p.proof,
            cache_path: cache_dir,
            in_path: p.unsealed_path.clone(),
            out_path: file,
            prover_id: p.prover_id.0,
            sector_id: p.sector_number,
            ticket: p.ticket.0,
            piece_infos: p.pieces.iter().map(PieceInfo::from).collect(),
        }),
        Job::Pc2(p) => {
            let pc1out = Pc1Output::new(p.proof, &cache_dir, p.comm_d);
            write(&Pc2 { pc1out, cache_dir, sealed_file: file })
        }
        Job::C2(p) => {
            let c1out = c1.ok_or_else(|| unsupported(job))?;
            let (prover_id, sector_id) = (p.prover_id.0, p.sector_number);
            write(&C2 { c1out, prover_id, sector_id, miner_id: actor_id(p.prover_id) })
        }
        Job::Unseal(p) => write(&Unseal {
            registered_proof: p.proof,
            prover_id: p.prover_id.0,
            sector_id: p.sector_number,
            comm_d: p.comm_d.0,
            ticket: p.ticket.0,
            cache_dir,
            sealed_file: p.sealed_path.clone(),
            unsealed_output: file,
            offset: p.offset,
            num_bytes: p.size,
        }),
        Job::Echo(_) | Job::C1(_) | Job::Verify(_) => Err(unsupported(job)),
    }
}

/// The output of add_pieces.
///
/// # Errors
/// An output of another form.
pub fn add_pieces(output: &RawValue) -> Result<add_pieces::Output, TaskError> {
    let pieces: Vec<PieceInfo> = read(output)?;
    let pieces = pieces.iter().map(Piece::try_from).collect::<Result<_, _>>();
    Ok(add_pieces::Output { pieces: pieces.map_err(|error| wrong(&error.message))? })
}

/// The output of tree_d is a word.
///
/// # Errors
/// An output of another form, and `false`.
pub fn tree_d(output: &RawValue) -> Result<(), TaskError> {
    match read(output)? {
        true => Ok(()),
        false => Err(wrong("`false`, without a reason")),
    }
}

/// The output of pc1. The replica's id is not in it and follows from the parameters.
///
/// # Errors
/// An output of another form or proof.
pub fn pc1(params: &pc1::Params, output: &RawValue) -> Result<pc1::Output, TaskError> {
    let output: Pc1Output = read(output)?;
    same_proof(params.proof, output.registered_proof)?;
    let comm_d = Bytes32(output.comm_d);
    Ok(pc1::Output { replica_id: replica_id(params, comm_d), comm_d })
}

/// The output of pc2, with the content of the p_aux that it wrote.
///
/// # Errors
/// An output of another form, proof or data.
pub fn pc2(
    params: &pc2::Params,
    output: &RawValue,
    p_aux: &[u8],
) -> Result<pc2::Output, TaskError> {
    let output: Pc2Output = read(output)?;
    same_proof(params.proof, output.registered_proof)?;
    if output.comm_d != params.comm_d.0 {
        return Err(wrong(&format!("CommD {}", Bytes32(output.comm_d))));
    }
    let roots = p_aux.split_at_checked(32).map(|(c, r)| (c.try_into(), r.try_into()));
    let Some((Ok(comm_c), Ok(comm_r_last))) = roots else {
        return Err(wrong(&format!("p_aux has {} bytes, expected 64", p_aux.len())));
    };
    Ok(pc2::Output {
        comm_r: Bytes32(output.comm_r),
        comm_c: Bytes32(comm_c),
        comm_r_last: Bytes32(comm_r_last),
    })
}

/// The output of c2.
///
/// # Errors
/// An output of another form.
pub fn c2(output: &RawValue) -> Result<c2::Output, TaskError> {
    let C2Output { proof } = read(output)?;
    Ok(c2::Output { proof: Base64(proof), network_parameters: None })
}

/// The output of unseal: how many bytes were written.
///
/// # Errors
/// An output of another form.
pub fn unseal(output: &RawValue) -> Result<u64, TaskError> {
    read(output)
}

fn piece_source(piece: &piece::PieceSource) -> PieceSource {
    let piece_size = unpadded(piece.piece_size);
    match &piece.source {
        Source::Path(path) => PieceSource {
            piece_file: PieceFile::Local(path.clone()),
            payload_size: piece.payload_size,
            piece_size,
        },
        Source::Zero => {
            PieceSource { piece_file: PieceFile::Pledge, payload_size: piece_size, piece_size }
        }
    }
}

/// What every label of a replica is bound to (storage-proofs-porep 19.1, `stacked/vanilla/params.rs`,
/// `generate_replica_id`): a SHA-256 with two bits off.
fn replica_id(params: &pc1::Params, comm_d: Bytes32) -> Bytes32 {
    let mut id: [u8; 32] = Sha256::new()
        .chain_update(params.prover_id.0)
        .chain_update(params.sector_number.to_be_bytes())
        .chain_update(params.ticket.0)
        .chain_update(comm_d.0)
        .chain_update(params.proof.porep_id())
        .finalize()
        .into();
    id[31] &= 0x3f;
    Bytes32(id)
}

/// The actor id whose address' payload a prover id is (unsigned LEB128); 0 where it is none. The
/// tasks' own processors do not read it.
fn actor_id(prover_id: Bytes32) -> u64 {
    let mut id = 0_u64;
    for (index, byte) in prover_id.0.iter().enumerate().take(9) {
        id |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let is_padded = prover_id.0[index + 1..].iter().all(|byte| *byte == 0);
            return if is_padded { id } else { 0 };
        }
    }
    0
}

fn same_proof(expected: SealProof, found: SealProof) -> Result<(), TaskError> {
    match expected == found {
        true => Ok(()),
        false => Err(wrong(&format!("proof {found}, not {expected}"))),
    }
}

fn unsupported(job: &Job) -> TaskError {
    let message = format!("vc-processors has no tasks of `{}`", job.stage());
    TaskError::new(Code::UnsupportedStage, message)
}

/// The error of an answer that does not fit.
pub fn wrong(what: &str) -> TaskError {
    TaskError::new(Code::VerificationFailed, format!("the answer does not fit: {what}"))
}

fn read<T: DeserializeOwned>(output: &RawValue) -> Result<T, TaskError> {
    serde_json::from_str(output.get()).map_err(|error| wrong(&error.to_string()))
}

fn write(task: &impl Serialize) -> Result<Box<RawValue>, TaskError> {
    to_raw_value(task)
        .map_err(|error| TaskError::new(Code::InvalidParams, format!("the task: {error}")))
}

#[cfg(test)]
mod tests;
