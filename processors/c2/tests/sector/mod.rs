// SPDX-License-Identifier: MIT OR Apache-2.0

//! Small sectors of any shape, sealed for the sake of their vanilla proofs, and their circuits.

use std::fs;

use blstrs::Scalar;
use ff::{Field, PrimeField};
use filecoin_hashers::Hasher;
use filecoin_proofs::DefaultPieceHasher;
use rand_core::{RngCore, SeedableRng};
use rand_xorshift::XorShiftRng;
use sealpipe_c2::{
    circuit::straight::Straight,
    witness::{Public, vanilla},
};
use storage_proofs_core::{
    api_version::ApiVersion, compound_proof::CompoundProof, data::Data, merkle::MerkleTreeTrait,
    proof::ProofScheme,
};
use storage_proofs_porep::stacked::{
    Challenges, PrivateInputs, Proof, PublicInputs, PublicParams, SetupParams, StackedCompound,
    StackedDrg, TemporaryAuxCache,
};

pub type Domain<Tree> = <<Tree as MerkleTreeTrait>::Hasher as Hasher>::Domain;
pub type Inputs<Tree> = PublicInputs<Domain<Tree>, <DefaultPieceHasher as Hasher>::Domain>;
type Compound<Tree> = StackedCompound<Tree, DefaultPieceHasher>;
type Drg<Tree> = StackedDrg<'static, Tree, DefaultPieceHasher>;

/// The parameters of sectors that nobody seals.
pub fn setup<Tree: 'static + MerkleTreeTrait>(
    nodes: usize,
    num_layers: usize,
    n_challenges: usize,
) -> PublicParams<Tree> {
    Drg::<Tree>::setup(&SetupParams {
        nodes,
        degree: 6,
        expansion_degree: 8,
        porep_id: [7; 32],
        challenges: Challenges::new_interactive(n_challenges),
        num_layers,
        api_version: ApiVersion::V1_1_0,
        api_features: vec![],
    })
    .unwrap()
}

/// The vanilla proofs of a partition, with what is public.
pub struct Vanilla<Tree: 'static + MerkleTreeTrait> {
    pub inputs: Inputs<Tree>,
    pub proofs: Vec<Proof<Tree, DefaultPieceHasher>>,
}

impl<Tree: 'static + MerkleTreeTrait> Vanilla<Tree> {
    /// Of a sector with random data and a random replica id.
    pub fn random(params: &PublicParams<Tree>, n_nodes: usize, seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut rng = XorShiftRng::seed_from_u64(seed);
        let replica_id: Domain<Tree> = Scalar::random(&mut rng).into();
        let replica = dir.path().join("replica");
        let mut data: Vec<u8> =
            (0..n_nodes).flat_map(|_| Scalar::random(&mut rng).to_repr()).collect();
        fs::write(&replica, &data).unwrap();
        let labels = StackedDrg::<Tree, DefaultPieceHasher>::replicate_phase1(
            params,
            &replica_id,
            dir.path(),
        );
        let (tau, (p_aux, t_aux)) = StackedDrg::<Tree, DefaultPieceHasher>::replicate_phase2(
            params,
            labels.unwrap().0,
            Data::from(&mut data[..]),
            None,
            dir.path().to_owned(),
            replica.clone(),
        )
        .unwrap();
        // The library changes the copy in memory alone.
        fs::write(&replica, &data).unwrap();
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let inputs = PublicInputs { replica_id, seed: Some(seed), tau: Some(tau), k: None };
        let t_aux = TemporaryAuxCache::new(&t_aux, replica, false).unwrap();
        let private = PrivateInputs { p_aux, t_aux };
        let mut partitions =
            StackedDrg::prove_all_partitions(params, &inputs, &private, 1).unwrap();
        assert!(StackedDrg::verify_all_partitions(params, &inputs, &partitions).unwrap());
        Vanilla { inputs, proofs: partitions.remove(0) }
    }

    /// The circuit's own values.
    pub fn own(&self, params: &PublicParams<Tree>) -> Straight {
        let circuit = Compound::circuit(&self.inputs, (), &self.proofs, params, None).unwrap();
        Straight::of(circuit).unwrap()
    }

    /// The inputs that the verifier computes.
    pub fn verifiers(&self, params: &PublicParams<Tree>) -> Vec<Scalar> {
        Compound::generate_public_inputs(&self.inputs, params, None).unwrap()
    }

    pub fn public(&self) -> Public {
        let tau = self.inputs.tau.clone().unwrap();
        let bytes = |number: Scalar| number.to_repr();
        Public {
            replica_id: bytes(self.inputs.replica_id.into()),
            comm_d: tau.comm_d.into(),
            comm_r: bytes(tau.comm_r.into()),
        }
    }

    pub fn ours(&self) -> Vec<vanilla::Proof> {
        vanilla::Proof::of(&self.proofs).unwrap()
    }
}
