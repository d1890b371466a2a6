// SPDX-License-Identifier: MIT OR Apache-2.0

use bellperson::{ConstraintSystem as _, gadgets::num::AllocatedNum};
use filecoin_hashers::{HashFunction as _, poseidon::PoseidonFunction};
use generic_array::typenum::{U2, U4, U8, U11};
use neptune::{
    Arity,
    circuit::poseidon_hash,
    poseidon::{Poseidon as Native, PoseidonConstants},
};
use rand_core::SeedableRng;
use rand_xorshift::XorShiftRng;

use super::*;
use crate::circuit::straight::Straight;

fn check<A: Arity<Scalar>>(constants: &PoseidonConstants<Scalar, A>) {
    let mut rng = XorShiftRng::from_seed([6; 16]);
    let random: Vec<_> = (0..A::to_usize()).map(|_| Scalar::random(&mut rng)).collect();
    for elements in [random, vec![Scalar::ZERO; A::to_usize()]] {
        let mut cs = Straight::default();
        cs.alloc_input(|| "", || Ok(Scalar::ONE)).unwrap();
        let mut preimage = Vec::new();
        for element in &elements {
            preimage.push(AllocatedNum::alloc(&mut cs, || Ok(*element)).unwrap());
        }
        poseidon_hash(&mut cs, preimage, constants).unwrap();
        assert_eq!(cs.first_violated(), None);
        let mut out = Writer::default();
        let hash = Poseidon::of(A::to_usize()).unwrap().write(&mut out, &elements);
        assert_eq!(hash, Native::new_with_preimage(&elements, constants).hash());
        assert_eq!(out.last_value(), Some(hash));
        assert!(out.aux() == cs.aux[elements.len()..], "arity {}", A::to_usize());
    }
}

#[test]
fn every_arity_is_neptunes() {
    check::<U2>(&POSEIDON_CONSTANTS_2);
    check::<U4>(&POSEIDON_CONSTANTS_4);
    check::<U8>(&POSEIDON_CONSTANTS_8);
    check::<U11>(&POSEIDON_CONSTANTS_11);
}

#[test]
fn other_arities_are_not_taken_for_one_of_these() {
    for arity in [0, 1, 3, 16] {
        assert!(Poseidon::of(arity).is_none());
    }
}

#[test]
fn two_commitments_hash_as_the_networks() {
    let [a, b] = [Scalar::from(3), Scalar::from(4)];
    let expected: Scalar = PoseidonFunction::hash2(&a.into(), &b.into()).into();
    assert_eq!(Poseidon::of(2).unwrap().write(&mut Writer::default(), &[a, b]), expected);
}
