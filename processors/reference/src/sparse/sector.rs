// SPDX-License-Identifier: MIT OR Apache-2.0

//! The opened nodes of a sector that does not exist.

use std::collections::{BTreeMap, BTreeSet};

use filecoin_hashers::{Domain, HashFunction, Hasher};
use filecoin_proofs::{MerkleTreeTrait, VanillaSealProof};
use generic_array::typenum::Unsigned;
use sealpipe_protocol::{Bytes32, Code, TaskError};
use sha2::{Digest, Sha256};
use storage_proofs_core::{drgraph::Graph, merkle::MerkleProof};
use storage_proofs_porep::stacked::{
    Column, ColumnProof, EncodingProof, LabelingProof, PublicParams, ReplicaColumnProof,
    TOTAL_PARENTS,
};

use super::{
    Draw,
    tree::{self, Sparse, Zeros},
};
use crate::library;

/// Bytes that a label's hash begins with, before the parents.
const HEADER_BYTES: usize = 64;

type Node<Tree> = <<Tree as MerkleTreeTrait>::Hasher as Hasher>::Domain;
type Filler<Tree> = Box<dyn Fn(usize, u64) -> Node<Tree>>;
type Octree<Tree> = Sparse<<Tree as MerkleTreeTrait>::Hasher, Filler<Tree>>;
type Path<Tree> = MerkleProof<
    <Tree as MerkleTreeTrait>::Hasher,
    <Tree as MerkleTreeTrait>::Arity,
    <Tree as MerkleTreeTrait>::SubTreeArity,
    <Tree as MerkleTreeTrait>::TopTreeArity,
>;

/// The parents of a node: in its own layer, then in the one before.
#[derive(Debug)]
struct Parents {
    own: Vec<u64>,
    before: Vec<u64>,
}

/// The opened nodes of a sector.
pub(super) struct Sector<Tree: MerkleTreeTrait> {
    parents: BTreeMap<u64, Parents>,
    /// The labels of the challenged nodes and of their parents, by layer.
    columns: BTreeMap<u64, Vec<Node<Tree>>>,
    tree_d: Zeros,
    tree_c: Octree<Tree>,
    tree_r_last: Octree<Tree>,
}

impl<Tree: 'static + MerkleTreeTrait> Sector<Tree> {
    /// Labels the challenged nodes over parents whose labels are drawn, and builds the trees.
    pub(super) fn new(
        params: &PublicParams<Tree>,
        replica_id: Bytes32,
        challenges: &BTreeSet<u64>,
        draw: Draw,
    ) -> Result<Self, TaskError> {
        let parents: BTreeMap<_, _> = challenges
            .iter()
            .map(|place| Ok((*place, parents_of(params, *place)?)))
            .collect::<Result<_, TaskError>>()?;
        let columns = columns::<Tree>(&parents, params.num_layers, replica_id, draw)?;
        let n_nodes = params.graph.size() as u64;
        let hashes = columns.iter().map(|(place, rows)| {
            let column = column::<Tree>(*place, rows)?;
            Ok((*place, column.hash().into()))
        });
        let hashes = hashes.collect::<Result<_, TaskError>>()?;
        // The data are zeros, so that the replica is the last layer.
        let replica = challenges.iter().filter_map(|place| {
            let last = columns.get(place)?.last()?;
            Some((*place, *last))
        });
        let replica = replica.collect();
        let octree = |what: &'static str, leaves| {
            let filler: Filler<Tree> =
                Box::new(move |row, place| node::<Tree>(draw.bytes(what, row, place)));
            Sparse::new(arities::<Tree>(n_nodes), leaves, filler)
        };
        Ok(Self {
            tree_d: tree::of_zeros(n_nodes),
            tree_c: octree("tree_c", hashes),
            tree_r_last: octree("tree_r_last", replica),
            parents,
            columns,
        })
    }

    /// The commitment to the replica.
    pub(super) fn comm_r(&self) -> Node<Tree> {
        let (comm_c, comm_r_last) = (self.tree_c.root(), self.tree_r_last.root());
        <Tree::Hasher as Hasher>::Function::hash2(&comm_c, &comm_r_last)
    }

    /// Opens a challenge.
    pub(super) fn open(&self, challenge: u64) -> Result<VanillaSealProof<Tree>, TaskError> {
        let Some(parents) = self.parents.get(&challenge) else {
            let text = format!("{challenge} is not challenged");
            return Err(TaskError::new(Code::InternalError, text));
        };
        let n_layers = self.columns.get(&challenge).map_or(0, Vec::len);
        let labeling_proofs: Vec<_> = (1..=n_layers)
            .map(|layer| {
                let labels = parent_labels::<Tree>(parents, &self.columns, layer)?;
                Ok(LabelingProof::new(layer as u32, challenge, labels))
            })
            .collect::<Result<_, TaskError>>()?;
        let labels = parent_labels::<Tree>(parents, &self.columns, n_layers)?;
        let columns = |places: &[u64]| -> Result<Vec<_>, TaskError> {
            places.iter().map(|place| self.column_proof(*place)).collect()
        };
        Ok(VanillaSealProof::<Tree> {
            comm_d_proofs: self.tree_d.proof(challenge),
            comm_r_last_proof: self.tree_r_last.proof(challenge),
            replica_column_proofs: ReplicaColumnProof {
                c_x: self.column_proof(challenge)?,
                drg_parents: columns(&parents.own)?,
                exp_parents: columns(&parents.before)?,
            },
            labeling_proofs,
            encoding_proof: EncodingProof::new(n_layers as u32, challenge, labels),
        })
    }

    fn column_proof(&self, place: u64) -> Result<ColumnProof<Path<Tree>>, TaskError> {
        let rows = self.columns.get(&place).cloned().unwrap_or_default();
        let column = column::<Tree>(place, &rows)?;
        ColumnProof::from_column(column, self.tree_c.proof(place)).map_err(defect)
    }
}

fn defect(error: impl AsRef<dyn std::error::Error + Send + Sync>) -> TaskError {
    library::failure(Code::InternalError, "a sector that does not exist", error.as_ref())
}

fn parents_of<Tree: 'static + MerkleTreeTrait>(
    params: &PublicParams<Tree>,
    place: u64,
) -> Result<Parents, TaskError> {
    let graph = &params.graph;
    let mut own = vec![0; graph.base_graph().degree()];
    let mut before = vec![0; graph.expansion_degree()];
    graph.base_parents(place as usize, &mut own).map_err(defect)?;
    graph.expanded_parents(place as usize, &mut before).map_err(defect)?;
    let places = |places: Vec<u32>| places.into_iter().map(u64::from).collect();
    Ok(Parents { own: places(own), before: places(before) })
}

/// Children of the nodes above each row: the octree of a part of the sector, then one node over a few of
/// them, then one over a few of these.
fn arities<Tree: MerkleTreeTrait>(n_nodes: u64) -> Vec<usize> {
    let above = [Tree::SubTreeArity::to_usize(), Tree::TopTreeArity::to_usize()];
    let above = above.into_iter().filter(|arity| *arity > 0);
    let n_parts: u64 = above.clone().map(|arity| arity as u64).product();
    let arity = Tree::Arity::to_usize();
    let n_rows = (n_nodes / n_parts).ilog(arity as u64) as usize;
    std::iter::repeat_n(arity, n_rows).chain(above).collect()
}

/// The labels of all layers of the challenged nodes, computed, and of their parents, drawn.
fn columns<Tree: MerkleTreeTrait>(
    parents: &BTreeMap<u64, Parents>,
    n_layers: usize,
    replica_id: Bytes32,
    draw: Draw,
) -> Result<BTreeMap<u64, Vec<Node<Tree>>>, TaskError> {
    let drawn = |place: &u64| {
        let rows = (1..=n_layers).map(|layer| node::<Tree>(draw.bytes("label", layer, *place)));
        (*place, rows.collect())
    };
    let all = parents.values().flat_map(|parents| parents.own.iter().chain(&parents.before));
    let mut columns: BTreeMap<_, Vec<_>> = all.chain(parents.keys()).map(drawn).collect();
    // A parent may be challenged too. It is in the same layer and before, or in the layer before.
    for layer in 1..=n_layers {
        for (place, own) in parents {
            let above = parent_labels::<Tree>(own, &columns, layer)?;
            let label = label::<Tree>(replica_id, layer as u32, *place, &above);
            if let Some(row) = columns.get_mut(place).and_then(|rows| rows.get_mut(layer - 1)) {
                *row = label;
            }
        }
    }
    Ok(columns)
}

/// The labels that a layer's label is hashed from: the parents' in turn, again and again.
fn parent_labels<Tree: MerkleTreeTrait>(
    parents: &Parents,
    columns: &BTreeMap<u64, Vec<Node<Tree>>>,
    layer: usize,
) -> Result<Vec<Node<Tree>>, TaskError> {
    let missing = || TaskError::new(Code::InternalError, "a parent has no column");
    let label = |place: &u64, layer: usize| {
        columns.get(place).and_then(|rows| rows.get(layer - 1)).copied().ok_or_else(missing)
    };
    let own = parents.own.iter().map(|place| label(place, layer));
    // The first layer has none before it.
    let before = parents.before.iter().filter(|_| layer > 1).map(|place| label(place, layer - 1));
    let labels: Vec<_> = own.chain(before).collect::<Result<_, _>>()?;
    Ok(labels.into_iter().cycle().take(TOTAL_PARENTS).collect())
}

/// SHA-256 of replica id, layer, node and parents, less two bits (the SDR paper's labels, as in
/// `stacked/vanilla/create_label` of storage-proofs-porep).
fn label<Tree: MerkleTreeTrait>(
    replica_id: Bytes32,
    layer: u32,
    place: u64,
    parents: &[Node<Tree>],
) -> Node<Tree> {
    let mut header = [0; HEADER_BYTES];
    header[..32].copy_from_slice(&replica_id.0);
    header[32..36].copy_from_slice(&layer.to_be_bytes());
    header[36..44].copy_from_slice(&place.to_be_bytes());
    let mut hash = Sha256::new();
    hash.update(header);
    parents.iter().for_each(|parent| hash.update(parent));
    let mut bytes: [u8; 32] = hash.finalize().into();
    bytes[31] &= 0b0011_1111;
    node::<Tree>(Bytes32(bytes))
}

/// Bytes below the order of the field as a node.
fn node<Tree: MerkleTreeTrait>(bytes: Bytes32) -> Node<Tree> {
    Node::<Tree>::try_from_bytes(&bytes.0).unwrap_or_default()
}

fn column<Tree: MerkleTreeTrait>(
    place: u64,
    rows: &[Node<Tree>],
) -> Result<Column<Tree::Hasher>, TaskError> {
    Column::new(place as u32, rows.to_vec()).map_err(defect)
}
