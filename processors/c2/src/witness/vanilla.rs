// SPDX-License-Identifier: MIT OR Apache-2.0

//! What c1 hands over, of any tree shape: the same fields in the same order as storage-proofs-porep's
//! `stacked::Proof`, some of which are private there, so that both its JSON and its bincode read as
//! this.

use std::marker::PhantomData;

use blstrs::Scalar;
use ff::PrimeField;
use filecoin_hashers::Hasher;
use sealpipe_protocol::{Class, Code, TaskError};
use serde::{Deserialize, Serialize};
use storage_proofs_core::merkle::MerkleTreeTrait;
use storage_proofs_porep::stacked;

/// A node as 32 bytes, little-endian; not yet known to be a field element.
pub type Node = [u8; 32];

/// The vanilla proof of one challenge.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Proof {
    /// The challenged node in the tree over the data.
    pub comm_d_proofs: MerkleProof,
    /// The challenged node in the tree over the replica.
    pub comm_r_last_proof: MerkleProof,
    /// The columns.
    pub replica_column_proofs: Columns,
    /// Of each layer.
    pub labeling_proofs: Vec<Labeling>,
    /// The last of them once more.
    pub encoding_proof: Labeling,
}

/// The columns of a challenged node and of its parents.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Columns {
    /// The challenged node's.
    pub c_x: ColumnProof,
    /// The parents' in the same layer.
    pub drg_parents: Vec<ColumnProof>,
    /// The parents' in the layer before.
    pub exp_parents: Vec<ColumnProof>,
}

/// A column and where its hash is in the tree over the columns.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ColumnProof {
    /// The labels.
    pub column: Column,
    /// Where their hash is.
    pub inclusion_proof: MerkleProof,
}

/// A node's labels in all layers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Column {
    /// Which node.
    pub index: u32,
    /// The labels, the first layer's first.
    pub rows: Vec<Node>,
    _h: PhantomData<()>,
}

/// What a label is made of.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Labeling {
    /// The parents' labels, with their repetitions.
    pub parents: Vec<Node>,
    /// The layer, from 1.
    pub layer_index: u32,
    /// The node.
    pub node: u64,
}

/// Where a node is in a tree.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct MerkleProof {
    data: Path,
}

/// By how many arities the tree has.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[expect(missing_docs, reason = "the names are the fields' meaning")]
pub enum Path {
    Single { root: Node, leaf: Node, path: Levels },
    Sub { base_proof: Levels, sub_proof: Levels, root: Node, leaf: Node },
    Top { base_proof: Levels, sub_proof: Levels, top_proof: Levels, root: Node, leaf: Node },
}

/// Levels of one arity, leaves first.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Levels {
    path: Vec<Level>,
}

/// The other children of a node's parent.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Level {
    /// They, in order.
    pub hashes: Vec<Node>,
    /// Where among them the node is.
    pub index: u64,
}

impl Proof {
    /// From storage-proofs-porep's, by way of its bincode.
    ///
    /// # Errors
    /// A defect: the crate's form has changed.
    pub fn of<Tree: MerkleTreeTrait, G: Hasher>(
        proofs: &[stacked::Proof<Tree, G>],
    ) -> Result<Vec<Self>, TaskError> {
        let read = bincode::serialize(proofs).and_then(|bytes| bincode::deserialize(&bytes));
        read.map_err(|error| {
            TaskError::new(Code::InternalError, "vanilla proofs cannot be converted")
                .caused_by(error.as_ref())
        })
    }
}

impl From<Vec<Level>> for Levels {
    fn from(path: Vec<Level>) -> Self {
        Levels { path }
    }
}

impl Column {
    /// The column of a node.
    pub fn new(index: u32, rows: Vec<Node>) -> Self {
        Column { index, rows, _h: PhantomData }
    }
}

impl From<Path> for MerkleProof {
    fn from(data: Path) -> Self {
        MerkleProof { data }
    }
}

impl MerkleProof {
    /// The path.
    pub fn path(&self) -> &Path {
        &self.data
    }
}

impl Path {
    /// The tree's root, which is stated, not computed.
    pub fn root(&self) -> &Node {
        match self {
            Path::Single { root, .. } | Path::Sub { root, .. } | Path::Top { root, .. } => root,
        }
    }

    /// The node whose place this is.
    pub fn leaf(&self) -> &Node {
        match self {
            Path::Single { leaf, .. } | Path::Sub { leaf, .. } | Path::Top { leaf, .. } => leaf,
        }
    }

    /// All levels, leaves first.
    pub fn levels(&self) -> impl Iterator<Item = &Level> {
        let parts = match self {
            Path::Single { path, .. } => [Some(path), None, None],
            Path::Sub { base_proof, sub_proof, .. } => [Some(base_proof), Some(sub_proof), None],
            Path::Top { base_proof, sub_proof, top_proof, .. } => {
                [Some(base_proof), Some(sub_proof), Some(top_proof)]
            }
        };
        parts.into_iter().flatten().flat_map(|levels| &levels.path)
    }
}

/// A node as a field element.
///
/// # Errors
/// [`Code::InvalidInput`] where it is none.
pub(super) fn scalar(node: &Node) -> Result<Scalar, TaskError> {
    Option::from(Scalar::from_repr(*node))
        .ok_or_else(|| invalid("a node that is no field element".to_owned()))
}

/// A vanilla proof that cannot be proved.
pub(super) fn invalid(what: String) -> TaskError {
    TaskError::new(Code::InvalidInput, format!("the output of c1 has {what}"))
        .class(Class::Permanent)
        .hint("run c1 again")
}
