// SPDX-License-Identifier: MIT OR Apache-2.0

//! Against neptune, and against the tables of the kernels.

use blstrs::Scalar;
use ff::PrimeField;
use generic_array::typenum::{U2, U8, U11};
use neptune::{Arity, poseidon::PoseidonConstants};

use super::*;

/// Nodes below r, from a seed: splitmix64, the two highest bits off.
fn nodes(seed: u64, n: usize) -> Vec<Node> {
    let word = |j: u64| {
        let z = (seed.wrapping_mul(1 << 20) + j + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let node_of =
        |i: u64| node([word(4 * i), word(4 * i + 1), word(4 * i + 2), word(4 * i + 3) >> 2]);
    (0..n as u64).map(node_of).collect()
}

fn check<A: Arity<Scalar>, const T: usize>() {
    let constants = PoseidonConstants::<Scalar, A>::new();
    let ours = Poseidon::<T>::new();
    let mut r_minus_1 = R;
    r_minus_1[0] -= 1;
    let edges = [node([0; 4]), node([1, 0, 0, 0]), node(r_minus_1), node([0, 0, 0, 1 << 62])];
    let edges = edges.map(|edge| vec![edge; T - 1]);
    for preimage in edges.into_iter().chain((0..200).map(|seed| nodes(seed, T - 1))) {
        let elements: Vec<_> = preimage.iter().map(|n| Scalar::from_repr(*n).unwrap()).collect();
        let expected =
            neptune::Poseidon::<Scalar, A>::new_with_preimage(&elements, &constants).hash();
        assert_eq!(ours.hash(&preimage), expected.to_repr(), "{preimage:?}");
    }
}

#[test]
fn columns_of_a_test_sector_hash_as_neptune_says() {
    check::<U2, 3>();
}

#[test]
fn tree_nodes_hash_as_neptune_says() {
    check::<U8, 9>();
}

#[test]
fn columns_of_eleven_layers_hash_as_neptune_says() {
    check::<U11, 12>();
}

#[test]
fn encoding_is_addition_in_the_field() {
    let mut all = nodes(7, 50);
    let mut r_minus_1 = R;
    r_minus_1[0] -= 1;
    all.extend([node([0; 4]), node(r_minus_1)]);
    for data in &all {
        for label in &all {
            let sum = Scalar::from_repr(*data).unwrap() + Scalar::from_repr(*label).unwrap();
            assert_eq!(encode(data, label), sum.to_repr());
        }
    }
}

#[test]
fn what_is_not_below_r_is_seen() {
    let r = node(R);
    let mut below = r;
    below[0] -= 1;
    assert!(is_canonical(&below));
    assert!(!is_canonical(&r));
    assert!(!is_canonical(&[0xff; 32]));
    assert!(is_canonical(&[0; 32]));
}

#[test]
fn the_kernels_have_the_same_tables() {
    let text = include_str!("../../../gpu/cuda/poseidon_constants.cuh");
    check_tables::<3>(text);
    check_tables::<9>(text);
    check_tables::<12>(text);
}

fn check_tables<const T: usize>(text: &str) {
    let tables = Tables::<T>::new();
    let elements = |values: &[Scalar]| values.iter().map(|value| limbs(*value)).collect::<Vec<_>>();
    for (name, ours) in [
        ("FULL", elements(&tables.full)),
        ("ROW0", tables.row0.clone()),
        ("KAPPA", elements(&tables.kappa)),
        ("LAST", elements(&[tables.last])),
    ] {
        let begin = text.find(&format!("POSEIDON{T}_{name}[")).unwrap();
        let body = text[begin..].split_once("= {").unwrap().1.split_once(';').unwrap().0;
        let words: Vec<u64> = body
            .split("0x")
            .skip(1)
            .map(|word| u64::from_str_radix(&word[..8], 16).unwrap())
            .collect();
        let theirs: Vec<[u64; 4]> = words
            .chunks_exact(8)
            .map(|w| std::array::from_fn(|i| w[2 * i] | w[2 * i + 1] << 32))
            .collect();
        assert_eq!(theirs, ours, "POSEIDON{T}_{name}");
    }
}
