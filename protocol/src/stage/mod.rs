// SPDX-License-Identifier: MIT OR Apache-2.0

//! The stages of 1.0, one file each: parameters, result values and the files written.
//!
//! Paths are absolute. A path in `cache_dir` follows filecoin-proofs' names, so that every stage
//! can be another implementation's; `files` has them.

pub mod add_pieces;
pub mod c1;
pub mod c2;
pub mod echo;
pub mod files;
pub mod pc1;
pub mod pc2;
pub mod piece;
pub mod proof;
pub mod tree_d;
pub mod unseal;
pub mod verify;

use std::{borrow::Cow, fmt, path::Path, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{Code, TaskError};

/// A stage of protocol 1.0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stage {
    /// Gives its payload back: for tests and first steps.
    Echo,
    /// Writes the pieces, fr32 padded, as the sector's unsealed data.
    AddPieces,
    /// Builds the binary SHA-256 tree over the unsealed data.
    TreeD,
    /// Labels the layers (SDR).
    Pc1,
    /// Hashes columns, encodes the replica, builds the trees.
    Pc2,
    /// Opens the challenged columns and paths: the vanilla proofs.
    C1,
    /// Proves them in zero knowledge (Groth16).
    C2,
    /// Checks a proof.
    Verify,
    /// Restores data from the replica.
    Unseal,
}

impl Stage {
    /// All stages, in the order of a sector's life.
    pub const ALL: &'static [Self] = &[
        Self::Echo,
        Self::AddPieces,
        Self::TreeD,
        Self::Pc1,
        Self::Pc2,
        Self::C1,
        Self::C2,
        Self::Verify,
        Self::Unseal,
    ];

    /// The name on the wire, in configurations and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::AddPieces => "add_pieces",
            Self::TreeD => "tree_d",
            Self::Pc1 => "pc1",
            Self::Pc2 => "pc2",
            Self::C1 => "c1",
            Self::C2 => "c2",
            Self::Verify => "verify",
            Self::Unseal => "unseal",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Stage {
    type Err = TaskError;

    fn from_str(name: &str) -> Result<Self, TaskError> {
        Self::ALL.iter().copied().find(|stage| stage.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|s| s.name()).collect();
            TaskError::new(Code::UnsupportedStage, format!("no stage is called {name:?}"))
                .hint(format!("the stages of 1.0 are {}", known.join(", ")))
        })
    }
}

impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Stage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What the parameters of every stage have in common.
pub trait StageParams: Serialize + DeserializeOwned + Send + 'static {
    /// The stage.
    const STAGE: Stage;
    /// What the stage answers.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// The sector's directory, which whoever runs the stage locks while it writes there; `None`
    /// for a stage that writes no file.
    fn sector_dir(&self) -> Option<&Path>;

    /// What the types cannot say: paths are absolute, sums fit, sizes are those of the proof.
    ///
    /// # Errors
    /// [`Code::InvalidParams`] for a value that can never be right.
    fn validate(&self) -> Result<(), TaskError>;
}

/// The parameters of any stage, told apart by the stage's name beside them.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variants are the stages")]
pub enum Job {
    Echo(echo::Params),
    AddPieces(add_pieces::Params),
    TreeD(tree_d::Params),
    Pc1(pc1::Params),
    Pc2(pc2::Params),
    C1(c1::Params),
    C2(c2::Params),
    Verify(verify::Params),
    Unseal(unseal::Params),
}

/// Calls an expression with the parameters inside a [`Job`], whatever the stage.
macro_rules! for_any {
    ($job:expr, $params:ident => $value:expr) => {
        match $job {
            Job::Echo($params) => $value,
            Job::AddPieces($params) => $value,
            Job::TreeD($params) => $value,
            Job::Pc1($params) => $value,
            Job::Pc2($params) => $value,
            Job::C1($params) => $value,
            Job::C2($params) => $value,
            Job::Verify($params) => $value,
            Job::Unseal($params) => $value,
        }
    };
}

impl Job {
    /// Reads and validates the parameters of `stage`.
    ///
    /// # Errors
    /// [`Code::InvalidParams`] with the member that does not fit.
    pub fn parse(stage: Stage, params: &RawValue) -> Result<Self, TaskError> {
        let job = match stage {
            Stage::Echo => Self::Echo(read(stage, params)?),
            Stage::AddPieces => Self::AddPieces(read(stage, params)?),
            Stage::TreeD => Self::TreeD(read(stage, params)?),
            Stage::Pc1 => Self::Pc1(read(stage, params)?),
            Stage::Pc2 => Self::Pc2(read(stage, params)?),
            Stage::C1 => Self::C1(read(stage, params)?),
            Stage::C2 => Self::C2(read(stage, params)?),
            Stage::Verify => Self::Verify(read(stage, params)?),
            Stage::Unseal => Self::Unseal(read(stage, params)?),
        };
        for_any!(&job, p => p.validate())?;
        Ok(job)
    }

    /// The stage.
    pub fn stage(&self) -> Stage {
        fn stage_of<P: StageParams>(_: &P) -> Stage {
            P::STAGE
        }
        for_any!(self, p => stage_of(p))
    }

    /// The sector's directory: see [`StageParams::sector_dir`].
    pub fn sector_dir(&self) -> Option<&Path> {
        for_any!(self, p => p.sector_dir())
    }

    /// The parameters as they stand on the wire.
    ///
    /// # Errors
    /// [`Code::InvalidParams`] for a path that is not UTF-8, which JSON cannot carry.
    pub fn to_raw(&self) -> Result<Box<RawValue>, TaskError> {
        for_any!(self, p => serde_json::value::to_raw_value(p)).map_err(|error| {
            TaskError::new(
                Code::InvalidParams,
                format!("parameters of `{}`: {error}", self.stage()),
            )
        })
    }
}

fn read<P: StageParams>(stage: Stage, params: &RawValue) -> Result<P, TaskError> {
    let mut reader = serde_json::Deserializer::from_str(params.get());
    crate::value::object(&mut reader).map_err(|error| {
        TaskError::new(Code::InvalidParams, format!("parameters of `{stage}`: {error}"))
    })
}

/// Refuses a path that is relative, empty or not plain.
fn absolute(member: &str, path: &Path) -> Result<(), TaskError> {
    let plain = path.is_absolute()
        && path.components().all(|c| !matches!(c, std::path::Component::ParentDir));
    if plain {
        return Ok(());
    }
    Err(TaskError::new(
        Code::InvalidParams,
        format!("`{member}` is an absolute path without `..`, got {:?}", path.display()),
    ))
}

/// Refuses an integer that some JSON implementation would round.
fn exact(member: &str, value: u64) -> Result<(), TaskError> {
    if value <= crate::MAX_INTEGER {
        return Ok(());
    }
    Err(TaskError::new(Code::InvalidParams, format!("`{member}` is at most 2^53 - 1, got {value}")))
}
