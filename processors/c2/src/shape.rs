// SPDX-License-Identifier: MIT OR Apache-2.0

//! What of a sector decides its circuit: the trees, the layers and the challenges of a partition.

use filecoin_proofs::{
    DefaultPieceHasher, parameters::public_params, types::PoRepConfig, with_shape,
};
use sealpipe_protocol::{Code, TaskError, stage::proof::SealProof};
use storage_proofs_core::{
    api_version::ApiVersion,
    compound_proof::CompoundProof,
    drgraph::Graph,
    merkle::{MerkleTreeTrait, base_path_length},
};
use storage_proofs_porep::stacked::{PublicParams, StackedCircuit, StackedCompound};

use generic_array::typenum::Unsigned;

/// Parents of a node in its own layer (storage-proofs-core, `drgraph.rs`, `BASE_DEGREE`).
pub const N_DRG_PARENTS: usize = 6;

/// Parents of a node in the layer before (storage-proofs-porep, `graph.rs`, `EXP_DEGREE`).
pub const N_EXP_PARENTS: usize = 8;

/// The circuit of one partition of a sealing proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Nodes of 32 bytes in a sector, and so in a layer; a power of two.
    pub n_nodes: u64,
    /// SDR layers.
    pub n_layers: usize,
    /// Challenges that a partition answers.
    pub n_challenges: usize,
    /// The arity of each level of the trees over columns and over the replica, leaves first. The
    /// tree over the data is binary.
    pub arities: Vec<usize>,
}

impl Shape {
    /// The shape of the parameters of filecoin-proofs.
    pub fn of<Tree: MerkleTreeTrait>(params: &PublicParams<Tree>) -> Self {
        let n_nodes = params.graph.size();
        let n_base =
            base_path_length::<Tree::Arity, Tree::SubTreeArity, Tree::TopTreeArity>(n_nodes);
        let mut arities = vec![Tree::Arity::USIZE; n_base];
        // An arity of 0 stands for a tree without such a level.
        arities.extend(
            [Tree::SubTreeArity::USIZE, Tree::TopTreeArity::USIZE].iter().filter(|a| **a > 0),
        );
        Shape {
            n_nodes: n_nodes as u64,
            n_layers: params.num_layers,
            n_challenges: params.challenges.num_challenges_per_partition(),
            arities,
        }
    }

    /// The shape of a proof's sectors.
    ///
    /// # Errors
    /// A defect: every proof of ours is known to filecoin-proofs.
    pub fn of_proof(proof: SealProof) -> Result<Self, TaskError> {
        fn shaped<Tree: 'static + MerkleTreeTrait>(proof: SealProof) -> Result<Shape, TaskError> {
            Ok(Shape::of(&setup::<Tree>(proof)?))
        }
        with_shape!(proof.sector_bytes(), shaped, proof)
    }

    /// Levels of the binary tree over the data.
    pub fn n_data_levels(&self) -> usize {
        self.n_nodes.ilog2() as usize
    }

    /// Inputs of the circuit, the constant one included: the replica's id and two commitments, then
    /// the positions of 17 leaves and the challenged node for each challenge.
    pub fn n_inputs(&self) -> usize {
        4 + self.n_challenges * (N_DRG_PARENTS + N_EXP_PARENTS + 4)
    }
}

/// filecoin-proofs' parameters of a proof, without the graph's parents, which it looks up later.
///
/// # Errors
/// A defect: every proof of ours is known to filecoin-proofs.
pub fn setup<Tree: 'static + MerkleTreeTrait>(
    proof: SealProof,
) -> Result<PublicParams<Tree>, TaskError> {
    let config =
        PoRepConfig::new_groth16(proof.sector_bytes(), proof.porep_id(), ApiVersion::V1_1_0);
    public_params::<Tree>(&config).map_err(|error| {
        TaskError::new(Code::InternalError, format!("no set-up of {proof}"))
            .caused_by(error.as_ref())
    })
}

/// The circuit without values.
pub fn blank<Tree: 'static + MerkleTreeTrait>(
    params: &PublicParams<Tree>,
) -> StackedCircuit<Tree, DefaultPieceHasher> {
    StackedCompound::<Tree, DefaultPieceHasher>::blank_circuit(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_the_networks() {
        let shape = |proof| Shape::of_proof(proof).unwrap();
        let small = shape(SealProof::StackedDrg2KiBV1_1);
        let expected = Shape { n_nodes: 64, n_layers: 2, n_challenges: 2, arities: vec![8; 2] };
        assert_eq!((small.n_inputs(), small), (40, expected));
        let large = shape(SealProof::StackedDrg32GiBV1_1);
        let expected =
            Shape { n_nodes: 1 << 30, n_layers: 11, n_challenges: 18, arities: vec![8; 10] };
        assert_eq!((large.n_data_levels(), large), (30, expected));
        let mut arities = vec![8; 10];
        arities.push(2);
        assert_eq!(shape(SealProof::StackedDrg64GiBV1_1).arities, arities);
    }
}
