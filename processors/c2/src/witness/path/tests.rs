// SPDX-License-Identifier: MIT OR Apache-2.0

use bellperson::{ConstraintSystem as _, gadgets::num::AllocatedNum};
use ff::{Field as _, PrimeField as _};
use filecoin_hashers::{Hasher, PoseidonArity, poseidon::PoseidonHasher, sha256::Sha256Hasher};
use generic_array::typenum::{U0, U2, U4, U8};
use rand_core::{RngCore, SeedableRng};
use rand_xorshift::XorShiftRng;
use storage_proofs_core::{
    gadgets::{
        por::{AuthPath, PoRCircuit},
        variables::Root,
    },
    merkle::{DiskStore, MerkleTreeWrapper},
};

use super::*;
use crate::{
    circuit::straight::Straight,
    witness::vanilla::{Levels, Node},
};

type Tree<H, U, V, W> = MerkleTreeWrapper<H, DiskStore<<H as Hasher>::Domain>, U, V, W>;

fn levels(rng: &mut XorShiftRng, arities: &[usize]) -> Vec<Level> {
    let node = |rng: &mut XorShiftRng| -> Node { Scalar::random(rng).to_repr() };
    let level = |arity: &usize| Level {
        hashes: (1..*arity).map(|_| node(rng)).collect(),
        index: rng.next_u64() % *arity as u64,
    };
    arities.iter().map(level).collect()
}

fn path(levels: Vec<Level>) -> Path {
    Path::Single { root: Node::default(), leaf: Node::default(), path: Levels::from(levels) }
}

/// Random siblings on the way up a tree of these arities, against the circuit of storage-proofs-core.
fn check<H, U, V, W>(hash: Hash, n_base: usize)
where
    H: 'static + Hasher,
    U: 'static + PoseidonArity,
    V: 'static + PoseidonArity,
    W: 'static + PoseidonArity,
{
    let mut rng = XorShiftRng::from_seed([9; 16]);
    let mut arities = vec![U::USIZE; n_base];
    arities.extend([V::USIZE, W::USIZE].into_iter().filter(|arity| *arity > 0));
    for _ in 0..if n_base > 9 { 1 } else { 12 } {
        let levels = levels(&mut rng, &arities);
        let number = |node: &Node| Some(Scalar::from_repr(*node).unwrap());
        let options: Vec<_> = levels
            .iter()
            .map(|level| (level.hashes.iter().map(number).collect(), Some(level.index as usize)))
            .collect();
        let leaf = Scalar::random(&mut rng);

        let mut cs = Straight::default();
        cs.alloc_input(|| "", || Ok(Scalar::ONE)).unwrap();
        let value = AllocatedNum::alloc(&mut cs, || Ok(leaf)).unwrap();
        let root = AllocatedNum::alloc(&mut cs, || Ok(leaf)).unwrap();
        PoRCircuit::<Tree<H, U, V, W>>::synthesize(
            cs.namespace(|| ""),
            Root::Var(value),
            AuthPath::from(options),
            Root::Var(root),
            true,
        )
        .unwrap();

        let mut out = Writer::default();
        write(&mut out, hash, leaf, &path(levels), arities.iter().copied()).unwrap();
        assert_eq!(out.inputs, cs.inputs[1..]);
        assert!(out.aux() == cs.aux[2..], "{arities:?}");
    }
}

#[test]
fn trees_of_all_sector_sizes_are_the_gadgets() {
    check::<PoseidonHasher, U8, U0, U0>(Hash::Poseidon, 2);
    check::<PoseidonHasher, U8, U2, U0>(Hash::Poseidon, 2);
    check::<PoseidonHasher, U8, U4, U0>(Hash::Poseidon, 2);
    check::<PoseidonHasher, U8, U8, U0>(Hash::Poseidon, 9);
    check::<PoseidonHasher, U8, U8, U2>(Hash::Poseidon, 9);
}

#[test]
fn the_datas_tree_is_the_gadgets() {
    check::<Sha256Hasher, U2, U0, U0>(Hash::Sha256, 6);
    check::<Sha256Hasher, U2, U0, U0>(Hash::Sha256, 30);
}

#[test]
fn paths_of_another_tree_are_refused() {
    let mut rng = XorShiftRng::from_seed([10; 16]);
    let mut refused = |arities: &[usize], expected: &[usize], what: &str| {
        let path = path(levels(&mut rng, arities));
        let expected = expected.iter().copied();
        let error = write(&mut Writer::default(), Hash::Poseidon, Scalar::ONE, &path, expected);
        let error = error.unwrap_err();
        assert!(error.message.contains(what), "{error:?}");
    };
    refused(&[8, 8], &[8, 8, 8], "a path of 2 levels in a tree of 3");
    refused(&[8, 2], &[8, 8], "1 siblings in a tree of arity 8");
    refused(&[16], &[16], "a tree of arity 16");
    let mut levels = levels(&mut rng, &[8]);
    levels[0].hashes[3] = [0xff; 32];
    let error =
        write(&mut Writer::default(), Hash::Poseidon, Scalar::ONE, &path(levels), [8].into_iter());
    assert!(error.unwrap_err().message.contains("no field element"));
}

#[test]
fn an_index_too_large_counts_as_the_circuit_counts_it() {
    let made = |index: u64| {
        let mut rng = XorShiftRng::from_seed([11; 16]);
        let mut levels = levels(&mut rng, &[8]);
        levels[0].index = index;
        let mut out = Writer::default();
        write(&mut out, Hash::Poseidon, Scalar::ONE, &path(levels), [8].into_iter()).unwrap();
        (out.inputs.clone(), out.aux())
    };
    assert_eq!(made(3), made(11));
}
