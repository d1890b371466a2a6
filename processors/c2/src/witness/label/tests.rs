// SPDX-License-Identifier: MIT OR Apache-2.0

use bellperson::{
    ConstraintSystem as _,
    gadgets::{num::AllocatedNum, uint32::UInt32},
};
use ff::Field as _;
use rand_core::{RngCore, SeedableRng};
use rand_xorshift::XorShiftRng;
use storage_proofs_core::{gadgets::uint64::UInt64, util::reverse_bit_numbering};
use storage_proofs_porep::stacked::create_label_circuit;

use super::*;
use crate::circuit::straight::Straight;

/// A label of `n_parents`, each as often as the circuit takes it.
fn check(layer: u32, n_parents: usize) {
    let mut rng = XorShiftRng::from_seed([12; 16]);
    let replica_id = Scalar::random(&mut rng);
    let parents: Vec<_> = (0..n_parents).map(|_| Scalar::random(&mut rng)).collect();
    let node = rng.next_u64();

    let mut cs = Straight::default();
    cs.alloc_input(|| "", || Ok(Scalar::ONE)).unwrap();
    let booleans = |cs: &mut Straight, number: &Scalar| {
        let number = AllocatedNum::alloc(&mut *cs, || Ok(*number)).unwrap();
        let n_before = cs.aux.len();
        (n_before, reverse_bit_numbering(number.to_bits_le(cs).unwrap()))
    };
    let (_, id) = booleans(&mut cs, &replica_id);
    let theirs: Vec<_> = parents.iter().map(|parent| booleans(&mut cs, parent)).collect();
    let mut expected = Vec::new();
    for (n_before, _) in &theirs {
        expected.extend_from_slice(&cs.aux[*n_before..][..node::N_BITS]);
    }
    let position = UInt64::alloc(&mut cs, Some(node)).unwrap();
    let n_before = cs.aux.len();
    let bits = theirs.into_iter().map(|(_, bits)| bits);
    let repeated = bits.cycle().take(N_PARENTS).collect();
    create_label_circuit(&mut cs, &id, repeated, UInt32::constant(layer), position).unwrap();
    expected.extend_from_slice(&cs.aux[n_before..]);

    let replica_id = node::write_bits(&mut Writer::default(), &replica_id);
    let mut out = Writer::default();
    write(&mut out, &replica_id, layer, node, &parents);
    assert!(out.aux() == expected, "layer {layer}");
    assert!(out.bits.len() <= super::N_BITS);
}

#[test]
fn labels_of_the_first_and_of_later_layers_are_the_gadgets() {
    check(1, 6);
    check(2, 14);
    check(11, 14);
}
