// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::atomic::AtomicBool;

use bellperson::{
    Circuit, ConstraintSystem, SynthesisError,
    gadgets::{
        boolean::{AllocatedBit, Boolean},
        num::AllocatedNum,
    },
};
use ff::Field as _;

use super::*;

/// To begin with: no constraints.
struct Empty;

impl Circuit<Scalar> for Empty {
    fn synthesize<CS: ConstraintSystem<Scalar>>(self, _: &mut CS) -> Result<(), SynthesisError> {
        Ok(())
    }
}

fn check(make: impl FnOnce(&mut Assembly<'_>), expected: &[u32]) {
    let cancel = AtomicBool::new(false);
    let mut assembly = Assembly::of(Empty, &|_| {}, &cancel).unwrap();
    make(&mut assembly);
    assert_eq!(full(&assembly), expected);
}

fn bit(cs: &mut Assembly<'_>) -> AllocatedBit {
    AllocatedBit::alloc(cs, None).unwrap()
}

#[test]
fn gadgets_over_bits_make_bits() {
    check(
        |cs| {
            let (a, b, c) = (bit(cs), bit(cs), bit(cs));
            AllocatedBit::xor(&mut *cs, &a, &b).unwrap();
            AllocatedBit::and(&mut *cs, &a, &b).unwrap();
            AllocatedBit::and_not(&mut *cs, &a, &b).unwrap();
            AllocatedBit::nor(&mut *cs, &a, &b).unwrap();
            let [a, b, c] = [a, b, c].map(Boolean::from);
            for (a, b, c) in [(&a, &b, &c), (&a.not(), &b, &c), (&a, &b.not(), &c.not())] {
                Boolean::sha256_ch(&mut *cs, a, b, c).unwrap();
                Boolean::sha256_maj(&mut *cs, a, b, c).unwrap();
            }
            Boolean::sha256_ch(&mut *cs, &Boolean::constant(true), &b, &c).unwrap();
        },
        &[],
    );
}

#[test]
fn numbers_are_no_bits() {
    check(
        |cs| {
            let number = AllocatedNum::alloc(&mut *cs, || Ok(Scalar::ONE)).unwrap();
            let bit = bit(cs);
            number.square(&mut *cs).unwrap();
            // A bit, less one: always 0 or -1.
            let less = cs.alloc(|| "", || Ok(Scalar::ONE)).unwrap();
            cs.enforce(
                || "",
                |lc| lc + bit.get_variable() - Assembly::one(),
                |lc| lc + Assembly::one(),
                |lc| lc + less,
            );
            // The sum of two bits.
            let sum = cs.alloc(|| "", || Ok(Scalar::ONE)).unwrap();
            let one = Assembly::one();
            cs.enforce(|| "", |lc| lc + bit.get_variable() + one, |lc| lc + one, |lc| lc + sum);
            // Not decided by its constraint: it may be anything when the bit is 0.
            let free = cs.alloc(|| "", || Ok(Scalar::ONE)).unwrap();
            cs.enforce(|| "", |lc| lc + bit.get_variable(), |lc| lc + free, |lc| lc);
        },
        &[0, 2, 3, 4, 5],
    );
}

#[test]
fn x_times_two_less_x_is_no_bit() {
    check(
        |cs| {
            let x = cs.alloc(|| "", || Ok(Scalar::ONE)).unwrap();
            let two = Scalar::from(2);
            cs.enforce(|| "", |lc| lc + (two, Assembly::one()) - x, |lc| lc + x, |lc| lc);
        },
        &[0],
    );
}
