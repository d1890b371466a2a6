// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tasks of the line protocol as jobs of the processor, and its outputs as theirs.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

use super::{
    super::{Processor, TaskContext},
    files::{self, TemporaryFile},
};
use crate::{
    Bytes32, Code, Stage, TaskError,
    legacy::task::{
        AddPieces, C2, C2Output, Pc1, Pc1Output, Pc2, Pc2Output, PieceFile, PieceInfo, PieceSource,
        TreeD, UNKNOWN_REPLICA, Unseal, padded,
    },
    stage::{
        Job, add_pieces, c2, pc1, pc2, piece, piece::Source, proof::SealProof, tree_d, unseal,
    },
};

/// A task as it was asked for.
pub enum Task {
    AddPieces(AddPieces),
    TreeD(TreeD),
    Pc1(Pc1),
    Pc2(Pc2),
    C2(C2),
    Unseal(Unseal),
}

impl Task {
    /// Reads the task of a stage.
    ///
    /// # Errors
    /// A member that does not fit, and a stage without tasks.
    pub fn parse(stage: Stage, task: &RawValue) -> Result<Self, TaskError> {
        Ok(match stage {
            Stage::AddPieces => Self::AddPieces(read(stage, task)?),
            Stage::TreeD => Self::TreeD(read(stage, task)?),
            Stage::Pc1 => Self::Pc1(read(stage, task)?),
            Stage::Pc2 => Self::Pc2(read(stage, task)?),
            Stage::C2 => Self::C2(read(stage, task)?),
            Stage::Unseal => Self::Unseal(read(stage, task)?),
            Stage::Echo | Stage::C1 | Stage::Verify => {
                return Err(TaskError::new(
                    Code::UnsupportedStage,
                    format!("there are no tasks of `{stage}`"),
                ));
            }
        })
    }

    /// The cache directory that the task works in and that no other may work in meanwhile.
    pub fn needs_work_in(&self) -> Option<&Path> {
        match self {
            Self::TreeD(task) => Some(&task.cache_dir),
            Self::Pc1(task) => Some(&task.cache_path),
            Self::Pc2(task) => Some(&task.cache_dir),
            Self::Unseal(task) => Some(&task.cache_dir),
            Self::AddPieces(_) | Self::C2(_) => None,
        }
    }

    /// Runs it and gives its output as it stands on the wire.
    ///
    /// # Errors
    /// Those of the processor, and of the files around it.
    pub fn run(
        self,
        processor: &impl Processor,
        context: &TaskContext,
        work: Option<&Path>,
    ) -> Result<Box<RawValue>, TaskError> {
        let runner = Runner { processor, context, work: work.unwrap_or(Path::new("/")) };
        match self {
            Self::AddPieces(task) => write(&runner.add_pieces(task)?),
            Self::TreeD(task) => {
                let cache_dir = absolute(&task.cache_dir)?;
                let staged = absolute(&task.staged_file)?;
                runner.tree_d(task.registered_proof, staged, cache_dir)?;
                write(&true)
            }
            Self::Pc1(task) => write(&runner.pc1(task)?),
            Self::Pc2(task) => write(&runner.pc2(task)?),
            Self::C2(task) => write(&runner.c2(&task)?),
            Self::Unseal(task) => write(&runner.unseal(&task)?),
        }
    }
}

struct Runner<'a, P> {
    processor: &'a P,
    context: &'a TaskContext,
    work: &'a Path,
}

impl<P: Processor> Runner<'_, P> {
    fn run<T: DeserializeOwned>(&self, job: &Job) -> Result<T, TaskError> {
        self.context.check_stop()?;
        // The way over the wire checks what the types cannot say.
        let job = Job::parse(job.stage(), &job.to_raw()?)?;
        let stage = job.stage();
        let done = self.processor.run(job, self.context)?;
        serde_json::from_str(done.output.get()).map_err(|error| {
            TaskError::new(Code::InternalError, format!("the output of `{stage}`: {error}"))
        })
    }

    fn add_pieces(&self, task: AddPieces) -> Result<Vec<PieceInfo>, TaskError> {
        let proof = task.seal_proof_type;
        let pieces = match task.pieces.is_empty() {
            true => vec![piece::PieceSource {
                source: Source::Zero,
                payload_size: 0,
                piece_size: proof.sector_bytes(),
            }],
            false => task.pieces.iter().map(source).collect::<Result<_, _>>()?,
        };
        let unsealed_path = absolute(&task.staged_filepath)?;
        let job = Job::AddPieces(add_pieces::Params { proof, pieces, unsealed_path });
        let output: add_pieces::Output = self.run(&job)?;
        Ok(output.pieces.iter().map(PieceInfo::from).collect())
    }

    fn tree_d(
        &self,
        proof: SealProof,
        unsealed_path: PathBuf,
        cache_dir: PathBuf,
    ) -> Result<Bytes32, TaskError> {
        let job = Job::TreeD(tree_d::Params { proof, unsealed_path, cache_dir });
        Ok(self.run::<tree_d::Output>(&job)?.comm_d)
    }

    fn pc1(&self, task: Pc1) -> Result<Pc1Output, TaskError> {
        let proof = task.registered_proof;
        let (cache_dir, data) = (absolute(&task.cache_path)?, absolute(&task.out_path)?);
        files::copy_data(proof, &absolute(&task.in_path)?, &data)?;
        // damocles often has one there; pc1 compares it with the pieces.
        let comm_d = match files::tree_d_root(proof, &cache_dir) {
            Some(root) => root,
            None => self.tree_d(proof, data.clone(), cache_dir.clone())?,
        };
        let pieces = task.piece_infos.iter().map(piece::Piece::try_from);
        let job = Job::Pc1(pc1::Params {
            proof,
            prover_id: Bytes32(task.prover_id),
            sector_number: task.sector_id,
            ticket: Bytes32(task.ticket),
            pieces: pieces.collect::<Result<_, _>>()?,
            comm_d,
            unsealed_path: data,
            cache_dir,
            work_dir: self.work.to_path_buf(),
        });
        let output: pc1::Output = self.run(&job)?;
        Ok(Pc1Output::new(proof, &task.cache_path, output.comm_d))
    }

    fn pc2(&self, task: Pc2) -> Result<Pc2Output, TaskError> {
        let proof = task.pc1out.registered_proof;
        let (cache_dir, sealed) = (absolute(&task.cache_dir)?, absolute(&task.sealed_file)?);
        files::restore_data(proof, &cache_dir, &sealed)?;
        let comm_d = task.pc1out.comm_d;
        let job = Job::Pc2(pc2::Params {
            proof,
            replica_id: UNKNOWN_REPLICA,
            comm_d: Bytes32(comm_d),
            unsealed_path: sealed.clone(),
            sealed_path: sealed,
            cache_dir,
            work_dir: self.work.to_path_buf(),
        });
        let output: pc2::Output = self.run(&job)?;
        Ok(Pc2Output { registered_proof: proof, comm_r: output.comm_r.0, comm_d })
    }

    fn c2(&self, task: &C2) -> Result<C2Output, TaskError> {
        #[derive(Deserialize)]
        struct C1Out {
            registered_proof: SealProof,
        }
        let C1Out { registered_proof: proof } = read(Stage::C2, &task.c1out)?;
        let file = TemporaryFile::write("c1", task.c1out.get().as_bytes())?;
        let job = Job::C2(c2::Params {
            proof,
            prover_id: Bytes32(task.prover_id),
            sector_number: task.sector_id,
            c1: file.file(),
        });
        let output: c2::Output = self.run(&job)?;
        Ok(C2Output { proof: output.proof.0 })
    }

    fn unseal(&self, task: &Unseal) -> Result<u64, TaskError> {
        let job = Job::Unseal(unseal::Params {
            proof: task.registered_proof,
            prover_id: Bytes32(task.prover_id),
            sector_number: task.sector_id,
            ticket: Bytes32(task.ticket),
            comm_d: Bytes32(task.comm_d),
            sealed_path: absolute(&task.sealed_file)?,
            cache_dir: absolute(&task.cache_dir)?,
            out_path: absolute(&task.unsealed_output)?,
            offset: task.offset,
            size: task.num_bytes,
        });
        Ok(self.run::<unseal::Output>(&job)?.size)
    }
}

fn source(piece: &PieceSource) -> Result<piece::PieceSource, TaskError> {
    let (source, payload_size) = match &piece.piece_file {
        PieceFile::Local(path) => (Source::Path(absolute(path)?), piece.payload_size),
        PieceFile::Pledge => (Source::Zero, 0),
        PieceFile::Url(url) => {
            return Err(TaskError::new(
                Code::InputUnavailable,
                format!("the piece at {url} is not fetched by this processor"),
            )
            .hint("use pieces in local files, or damocles' own add_pieces"));
        }
    };
    Ok(piece::PieceSource { source, payload_size, piece_size: padded(piece.piece_size)? })
}

/// A path as a job has it; damocles' may be relative to where it was started.
fn absolute(path: &Path) -> Result<PathBuf, TaskError> {
    std::path::absolute(path).map_err(|error| {
        TaskError::io(Code::InvalidParams, format!("the path {}", path.display()), &error)
    })
}

fn read<T: DeserializeOwned>(stage: Stage, task: &RawValue) -> Result<T, TaskError> {
    serde_json::from_str(task.get())
        .map_err(|error| TaskError::new(Code::InvalidParams, format!("task of `{stage}`: {error}")))
}

fn write(output: &impl Serialize) -> Result<Box<RawValue>, TaskError> {
    to_raw_value(output)
        .map_err(|error| TaskError::new(Code::InternalError, format!("the output: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(stage: Stage, task: &str) -> Result<Task, TaskError> {
        Task::parse(stage, &RawValue::from_string(task.to_owned()).unwrap())
    }

    #[test]
    fn tasks_are_read_as_damocles_writes_them() {
        let text =
            r#"{"registered_proof":"StackedDrg32GiBV1_1","staged_file":"/s","cache_dir":"/c"}"#;
        let task = parse(Stage::TreeD, text).unwrap();
        assert_eq!(task.needs_work_in(), Some(Path::new("/c")));
        let Err(error) = parse(Stage::TreeD, &text.replace("V1_1", "V9")) else { panic!() };
        assert!(error.message.starts_with("task of `tree_d`: unknown variant"), "{error}");
        assert!(parse(Stage::C1, text).is_err());
    }

    #[test]
    fn pieces_are_files_or_zeros() {
        let piece = |piece_file| PieceSource { piece_file, payload_size: 9, piece_size: 127 };
        let local = source(&piece(PieceFile::Local("/p".into()))).unwrap();
        assert_eq!((local.payload_size, local.piece_size), (9, 128));
        assert_eq!(source(&piece(PieceFile::Pledge)).unwrap().source, Source::Zero);
        let error = source(&piece(PieceFile::Url("http://x/y".into()))).unwrap_err();
        assert!(error.message.contains("http://x/y"));
    }
}
