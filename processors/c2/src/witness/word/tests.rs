// SPDX-License-Identifier: MIT OR Apache-2.0

use bellperson::{
    ConstraintSystem as _,
    gadgets::{
        boolean::{AllocatedBit, Boolean},
        multieq::MultiEq,
        uint32::UInt32,
    },
};
use rand_core::{RngCore, SeedableRng};
use rand_xorshift::XorShiftRng;

use super::*;
use crate::{circuit::straight::Straight, witness::bits::Writer};

/// A word in both forms, of variables, negations and constants as the masks say.
fn word(cs: &mut Straight, value: u32, constant: u32, negated: u32) -> (Word, UInt32) {
    let boolean = |i: u32| {
        let bit = |word: u32| word >> i & 1 == 1;
        if bit(constant) {
            Boolean::constant(bit(value))
        } else if bit(negated) {
            Boolean::from(AllocatedBit::alloc(&mut *cs, Some(!bit(value))).unwrap()).not()
        } else {
            Boolean::from(AllocatedBit::alloc(&mut *cs, Some(bit(value))).unwrap())
        }
    };
    let bits: Vec<_> = (0..32).map(boolean).collect();
    (Word { value, constant, negated: negated & !constant }, UInt32::from_bits(&bits))
}

/// A word as it may come: all, none or some of it constant.
fn random(rng: &mut XorShiftRng, cs: &mut Straight) -> (Word, UInt32) {
    let constant = [0, u32::MAX, rng.next_u32(), 0xe000_0000][rng.next_u32() as usize % 4];
    let negated = [0, rng.next_u32()][rng.next_u32() as usize % 2];
    word(cs, rng.next_u32(), constant, negated)
}

fn check_same(word: Word, gadget: &UInt32) {
    for (i, boolean) in gadget.clone().into_bits().iter().enumerate() {
        let bit = |word: u32| word >> i & 1 == 1;
        assert_eq!(boolean.get_value(), Some(bit(word.value)), "value of bit {i}");
        assert_eq!(boolean.is_constant(), bit(word.constant), "whether bit {i} is constant");
        let is_negated = matches!(boolean, Boolean::Not(_));
        assert_eq!(is_negated, bit(word.negated), "whether bit {i} is negated");
    }
}

/// Runs a gadget and its shadow on random words many times.
fn check<const N: usize>(
    ours: impl Fn(&mut Bits, [Word; N]) -> Word,
    gadget: impl Fn(&mut Straight, [UInt32; N]) -> UInt32,
) {
    let mut rng = XorShiftRng::from_seed([3; 16]);
    for _ in 0..1_000 {
        let mut cs = Straight::default();
        cs.alloc_input(|| "", || Ok(1.into())).unwrap();
        let pairs: [_; N] = std::array::from_fn(|_| random(&mut rng, &mut cs));
        let n_before = cs.aux.len();
        let theirs = gadget(&mut cs, pairs.each_ref().map(|pair| pair.1.clone()));
        let mut out = Writer::default();
        let made = ours(&mut out.bits, pairs.each_ref().map(|pair| pair.0));
        check_same(made, &theirs);
        assert_eq!(out.aux(), cs.aux[n_before..]);
        assert_eq!(cs.first_violated(), None);
    }
}

#[test]
fn rotations_and_shifts_move_constants_along() {
    for by in [2, 6, 7, 10, 31] {
        check(|_, [a]: [Word; 1]| a.rotate(by), |_, [a]| a.rotr(by as usize));
        check(|_, [a]: [Word; 1]| a.shift(by), |_, [a]| a.shr(by as usize));
    }
}

#[test]
fn exclusive_or_is_the_gadgets() {
    check(|bits, [a, b]: [Word; 2]| xor(bits, a, b), |cs, [a, b]| a.xor(cs, &b).unwrap());
}

#[test]
fn choose_is_the_gadgets() {
    check(
        |bits, [a, b, c]: [Word; 3]| ch(bits, a, b, c),
        |cs, [a, b, c]| UInt32::sha256_ch(cs, &a, &b, &c).unwrap(),
    );
}

#[test]
fn majority_is_the_gadgets() {
    check(
        |bits, [a, b, c]: [Word; 3]| maj(bits, a, b, c),
        |cs, [a, b, c]| UInt32::sha256_maj(cs, &a, &b, &c).unwrap(),
    );
}

#[test]
fn sums_are_the_gadgets() {
    fn gadget<const N: usize>(cs: &mut Straight, words: [UInt32; N]) -> UInt32 {
        let mut equations = MultiEq::new(cs);
        UInt32::addmany(equations.namespace(|| ""), &words).unwrap()
    }
    check(|bits, words: [Word; 2]| Sum::of(words).make(bits), gadget);
    check(|bits, words: [Word; 4]| Sum::of(words).make(bits), gadget);
    check(
        |bits, [a, b, c, d, e, f, g]: [Word; 7]| {
            Sum::of([a, b, c, d]).plus_all(Sum::of([e, f])).plus(g).make(bits)
        },
        gadget,
    );
    check(|bits, words: [Word; 8]| Sum::of(words).make(bits), gadget);
}
