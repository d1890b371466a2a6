// SPDX-License-Identifier: MIT OR Apache-2.0

//! The output of c1 for a sector of any size that nobody sealed.
//!
//! A proof sees the challenged columns and the paths to the roots, and the challenges depend on the
//! replica's id and on the seed alone. So it is enough to make those columns: labels of challenged
//! nodes are computed, their parents' labels and all other nodes of the trees over columns and replica
//! are taken from a hash. The data is zero throughout. The vanilla proofs are true and the Groth16
//! proofs over them verify; the sector they speak of is never stored. For tests and measurements of
//! the real shape.

use std::collections::{BTreeMap, BTreeSet};

use blstrs::Scalar;
use ff::PrimeField;
use filecoin_hashers::Hasher;
use filecoin_proofs::{DefaultPieceHasher, PoRepConfig, SealCommitPhase1Output, with_shape};
use generic_array::typenum::Unsigned;
use rayon::prelude::*;
use sealpipe_protocol::{Bytes32, Code, TaskError, stage::proof::SealProof};
use sha2::{Digest, Sha256};
use storage_proofs_core::{api_version::ApiVersion, drgraph::Graph, merkle::MerkleTreeTrait};
use storage_proofs_porep::stacked::{self, PublicInputs, PublicParams, Tau};

use crate::{
    shape::{self, N_DRG_PARENTS, N_EXP_PARENTS, Shape},
    witness::{
        hash_elements,
        vanilla::{Column, ColumnProof, Columns, Labeling, Level, MerkleProof, Node, Path, Proof},
    },
};

/// Parents that are hashed into a label, repetitions counted.
const N_PARENTS: usize = 37;

/// A sector that is never stored. Two that differ in anything have different proofs.
#[derive(Clone, Copy, Debug)]
pub struct Sector {
    /// Which proof is made of it.
    pub proof: SealProof,
    /// Whose it would be.
    pub prover_id: Bytes32,
    /// Its number.
    pub sector_number: u64,
    /// What its replica is bound to.
    pub ticket: Bytes32,
    /// What the challenges are drawn with.
    pub seed: Bytes32,
}

/// What c1 says of a sector.
#[derive(Clone, Debug)]
pub struct Phase1 {
    /// The root over the data, which is zero.
    pub comm_d: Node,
    /// The commitment to the replica and the columns.
    pub comm_r: Node,
    /// What every label is bound to.
    pub replica_id: Node,
    /// The vanilla proofs by partitions.
    pub partitions: Vec<Vec<Proof>>,
}

impl Sector {
    /// Makes the vanilla proofs, on the rayon pool that the caller is in: milliseconds for 2KiB,
    /// seconds for 32GiB.
    ///
    /// # Errors
    /// A defect: every proof of ours is known to filecoin-proofs.
    pub fn phase1(&self) -> Result<Phase1, TaskError> {
        fn shaped<Tree: 'static + MerkleTreeTrait>(sector: &Sector) -> Result<Phase1, TaskError> {
            sector.phase1_with(&shape::setup::<Tree>(sector.proof)?)
        }
        with_shape!(self.proof.sector_bytes(), shaped, self)
    }

    /// The same with other parameters than the proof's: fewer challenges, say.
    ///
    /// # Errors
    /// As [`phase1`](Self::phase1).
    pub fn phase1_with<Tree: 'static + MerkleTreeTrait>(
        &self,
        params: &PublicParams<Tree>,
    ) -> Result<Phase1, TaskError> {
        let shape = Shape::of(params);
        let zeros = zeros(shape.n_data_levels());
        let comm_d = zeros[shape.n_data_levels()];
        let replica_id = stacked::generate_replica_id::<Tree::Hasher, _>(
            &self.prover_id.0,
            self.sector_number,
            &self.ticket.0,
            comm_d,
            &self.proof.porep_id(),
        );
        let challenges = self.challenges(params, replica_id, comm_d);
        let parents = (challenges.iter().flatten())
            .map(|node| Ok((*node, parents(params, *node)?)))
            .collect::<Result<BTreeMap<_, _>, TaskError>>()?;
        let id: Scalar = replica_id.into();
        let filler = Filler(id.to_repr());
        let columns = columns(shape.n_layers, &filler, &parents);
        let column_hash = |(node, rows): (&u64, &Vec<Scalar>)| (*node, hash_elements(rows));
        let leaves = columns.par_iter().map(column_hash).collect();
        let tree_c = SparseTree::new(leaves, &shape.arities, &filler, "c");
        // The data is zero, so the replica is the last label.
        let replica = |node: &u64| (*node, columns[node][shape.n_layers - 1]);
        let leaves = parents.keys().map(replica).collect();
        let tree_r = SparseTree::new(leaves, &shape.arities, &filler, "r");
        let view = View { shape: &shape, parents: &parents, columns: &columns, zeros: &zeros };
        let prove = |node: &u64| view.prove::<Tree>(*node, &tree_c, &tree_r);
        let partitions = challenges.iter().map(|nodes| nodes.iter().map(prove).collect()).collect();
        let comm_r = hash_elements(&[tree_c.root(), tree_r.root()]).to_repr();
        Ok(Phase1 { comm_d, comm_r, replica_id: id.to_repr(), partitions })
    }

    fn challenges<Tree: 'static + MerkleTreeTrait>(
        &self,
        params: &PublicParams<Tree>,
        replica_id: <Tree::Hasher as Hasher>::Domain,
        comm_d: Node,
    ) -> Vec<Vec<u64>> {
        type PieceDomain = <DefaultPieceHasher as Hasher>::Domain;
        let config = PoRepConfig::new_groth16(
            self.proof.sector_bytes(),
            self.proof.porep_id(),
            ApiVersion::V1_1_0,
        );
        // The replica's root is not known yet; these challenges do not depend on it.
        let tau = Tau { comm_d: PieceDomain::from(comm_d), comm_r: replica_id };
        let inputs = PublicInputs { replica_id, seed: Some(self.seed.0), tau: Some(tau), k: None };
        let of_partition = |k: usize| {
            let nodes = inputs.challenges(&params.challenges, params.graph.size(), Some(k));
            nodes.into_iter().map(|node| node as u64).collect()
        };
        (0..usize::from(config.partitions)).map(of_partition).collect()
    }
}

impl Phase1 {
    /// As filecoin-proofs has it.
    ///
    /// # Errors
    /// A defect: the library's form has changed, or `Tree` is not the sector's.
    pub fn to_library<Tree: MerkleTreeTrait>(
        &self,
        sector: &Sector,
    ) -> Result<SealCommitPhase1Output<Tree>, TaskError> {
        let defect = |error: bincode::Error| {
            TaskError::new(Code::InternalError, "vanilla proofs cannot be converted")
                .caused_by(error.as_ref())
        };
        let bytes = bincode::serialize(&self.partitions).map_err(defect)?;
        Ok(SealCommitPhase1Output {
            vanilla_proofs: bincode::deserialize(&bytes).map_err(defect)?,
            comm_r: self.comm_r,
            comm_d: self.comm_d,
            replica_id: self.replica_id.into(),
            seed: sector.seed.0,
            ticket: sector.ticket.0,
        })
    }
}

/// Parents of a challenged node: those in its own layer, then those in the layer before.
type Parents = [u64; N_DRG_PARENTS + N_EXP_PARENTS];

fn parents<Tree: 'static + MerkleTreeTrait>(
    params: &PublicParams<Tree>,
    node: u64,
) -> Result<Parents, TaskError> {
    let mut parents = [0u32; N_DRG_PARENTS + N_EXP_PARENTS];
    let (drg, exp) = parents.split_at_mut(N_DRG_PARENTS);
    let graph = &params.graph;
    (graph.base_graph().parents(node as usize, drg))
        .and_then(|()| graph.expanded_parents(node as usize, exp))
        .map_err(|error| {
            TaskError::new(Code::InternalError, format!("no parents of node {node}"))
                .caused_by(error.as_ref())
        })?;
    Ok(parents.map(u64::from))
}

/// What nobody computed.
struct Filler(Node);

impl Filler {
    fn node(&self, salt: &str, level: u64, node: u64) -> Scalar {
        let hasher = Sha256::new_with_prefix(self.0).chain_update(salt);
        truncated(hasher.chain_update(level.to_le_bytes()).chain_update(node.to_le_bytes()))
    }
}

/// A hash without its two highest bits, as trees and labels have it.
fn truncated(hasher: Sha256) -> Scalar {
    let mut bytes: Node = hasher.finalize().into();
    bytes[31] &= 0b0011_1111;
    // Less than 2^254, so less than the modulus.
    Option::from(Scalar::from_repr(bytes)).unwrap_or_default()
}

/// Roots of trees over zeros, by levels.
fn zeros(n_levels: usize) -> Vec<Node> {
    let above = |below: &Node| {
        Some(truncated(Sha256::new_with_prefix(below).chain_update(below)).to_repr())
    };
    std::iter::successors(Some([0; 32]), above).take(n_levels + 1).collect()
}

/// The labels of challenged nodes and of their parents, by nodes, then by layers.
fn columns(
    n_layers: usize,
    filler: &Filler,
    parents: &BTreeMap<u64, Parents>,
) -> BTreeMap<u64, Vec<Scalar>> {
    let all: BTreeSet<u64> = parents.keys().chain(parents.values().flatten()).copied().collect();
    let mut columns: BTreeMap<_, _> = all.into_iter().map(|node| (node, Vec::new())).collect();
    for layer in 1..=n_layers {
        // Parents in a node's own layer come before it.
        let nodes: Vec<_> = columns.keys().copied().collect();
        for node in nodes {
            let label = match parents.get(&node) {
                Some(parents) => label(&filler.0, layer, node, parents, &columns),
                None => filler.node("label", layer as u64, node),
            };
            columns.entry(node).or_default().push(label);
        }
    }
    columns
}

fn label(
    replica_id: &Node,
    layer: usize,
    node: u64,
    parents: &Parents,
    columns: &BTreeMap<u64, Vec<Scalar>>,
) -> Scalar {
    let mut hasher = Sha256::new_with_prefix(replica_id);
    hasher.update((layer as u32).to_be_bytes());
    hasher.update(node.to_be_bytes());
    hasher.update([0; 20]);
    for parent in labels_of_parents(layer, parents, columns) {
        hasher.update(parent);
    }
    truncated(hasher)
}

/// The labels that a label is made of, repeated as often as they are hashed.
fn labels_of_parents(
    layer: usize,
    parents: &Parents,
    columns: &BTreeMap<u64, Vec<Scalar>>,
) -> Vec<Node> {
    let (drg, exp) = parents.split_at(N_DRG_PARENTS);
    let same = drg.iter().map(|parent| columns[parent][layer - 1]);
    let before = exp.iter().filter(|_| layer > 1).map(|parent| columns[parent][layer - 2]);
    let labels: Vec<_> = same.chain(before).map(|label| label.to_repr()).collect();
    labels.iter().cycle().take(N_PARENTS).copied().collect()
}

/// A tree of which a few leaves are known: its levels, leaves first, the root alone in the last.
struct SparseTree<'s> {
    arities: &'s [usize],
    levels: Vec<BTreeMap<u64, Scalar>>,
    filler: &'s Filler,
    /// Which tree it is, so that no two have the same unknown nodes.
    salt: &'static str,
}

impl<'s> SparseTree<'s> {
    fn new(
        leaves: Vec<(u64, Scalar)>,
        arities: &'s [usize],
        filler: &'s Filler,
        salt: &'static str,
    ) -> Self {
        let levels = vec![leaves.into_iter().collect()];
        let mut tree = SparseTree { arities, levels, filler, salt };
        for (level, arity) in arities.iter().enumerate() {
            let parents: BTreeSet<u64> =
                tree.levels[level].keys().map(|node| node / *arity as u64).collect();
            let parent = |parent: &u64| {
                let children: Vec<_> = tree.children(level, *parent).collect();
                (*parent, hash_elements(&children))
            };
            let above = parents.par_iter().map(parent).collect::<Vec<_>>();
            tree.levels.push(above.into_iter().collect());
        }
        tree
    }

    fn children(&self, level: usize, parent: u64) -> impl Iterator<Item = Scalar> + '_ {
        let arity = self.arities[level] as u64;
        (parent * arity..(parent + 1) * arity).map(move |node| {
            let known = self.levels[level].get(&node).copied();
            known.unwrap_or_else(|| self.filler.node(self.salt, level as u64, node))
        })
    }

    fn root(&self) -> Scalar {
        self.levels.last().and_then(|level| level.get(&0)).copied().unwrap_or_default()
    }

    /// The siblings of a leaf and of the nodes above it.
    fn path(&self, leaf: u64) -> Vec<Level> {
        let mut node = leaf;
        let level = |(level, arity): (usize, &usize)| {
            let arity = *arity as u64;
            let (parent, index) = (node / arity, node % arity);
            let children = self.children(level, parent).enumerate();
            let siblings = children.filter(|(i, _)| *i as u64 != index);
            let hashes = siblings.map(|(_, sibling)| sibling.to_repr()).collect();
            node = parent;
            Level { hashes, index }
        };
        self.arities.iter().enumerate().map(level).collect()
    }

    /// A leaf's path as the library divides it.
    fn prove<Tree: MerkleTreeTrait>(&self, leaf: u64) -> MerkleProof {
        let mut levels = self.path(leaf);
        let top_proof = levels.split_off(levels.len() - usize::from(Tree::TopTreeArity::USIZE > 0));
        let sub_proof = levels.split_off(levels.len() - usize::from(Tree::SubTreeArity::USIZE > 0));
        let root = self.root().to_repr();
        let leaf = self.levels[0][&leaf].to_repr();
        let (path, sub_proof, top_proof) = (levels.into(), sub_proof.into(), top_proof.into());
        MerkleProof::from(match (Tree::SubTreeArity::USIZE, Tree::TopTreeArity::USIZE) {
            (0, _) => Path::Single { root, leaf, path },
            (_, 0) => Path::Sub { base_proof: path, sub_proof, root, leaf },
            _ => Path::Top { base_proof: path, sub_proof, top_proof, root, leaf },
        })
    }
}

/// What vanilla proofs are made from.
struct View<'s> {
    shape: &'s Shape,
    parents: &'s BTreeMap<u64, Parents>,
    columns: &'s BTreeMap<u64, Vec<Scalar>>,
    zeros: &'s [Node],
}

impl View<'_> {
    fn prove<Tree: MerkleTreeTrait>(
        &self,
        node: u64,
        tree_c: &SparseTree<'_>,
        tree_r: &SparseTree<'_>,
    ) -> Proof {
        let column = |node: u64| {
            let rows = self.columns[&node].iter().map(|label| label.to_repr()).collect();
            ColumnProof {
                column: Column::new(node as u32, rows),
                inclusion_proof: tree_c.prove::<Tree>(node),
            }
        };
        let parents = &self.parents[&node];
        let (drg, exp) = parents.split_at(N_DRG_PARENTS);
        let labeling_proofs: Vec<_> = (1..=self.shape.n_layers)
            .map(|layer| Labeling {
                parents: labels_of_parents(layer, parents, self.columns),
                layer_index: layer as u32,
                node,
            })
            .collect();
        Proof {
            comm_d_proofs: self.prove_data(node),
            comm_r_last_proof: tree_r.prove::<Tree>(node),
            replica_column_proofs: Columns {
                c_x: column(node),
                drg_parents: drg.iter().map(|parent| column(*parent)).collect(),
                exp_parents: exp.iter().map(|parent| column(*parent)).collect(),
            },
            encoding_proof: labeling_proofs[self.shape.n_layers - 1].clone(),
            labeling_proofs,
        }
    }

    fn prove_data(&self, node: u64) -> MerkleProof {
        let n_levels = self.shape.n_data_levels();
        let level = |i: usize| Level { hashes: vec![self.zeros[i]], index: node >> i & 1 };
        let path = (0..n_levels).map(level).collect::<Vec<_>>().into();
        let (root, leaf) = (self.zeros[n_levels], self.zeros[0]);
        MerkleProof::from(Path::Single { root, leaf, path })
    }
}

#[cfg(test)]
mod tests;
