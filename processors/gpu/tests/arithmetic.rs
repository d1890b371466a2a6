// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device's arithmetic in the scalar field, and its hashes, against blstrs and neptune, on the host.

mod host;

use std::sync::OnceLock;

use blstrs::Scalar;
use ff::{Field, PrimeField};
use generic_array::typenum::{U2, U8, U11};
use neptune::{Arity, Poseidon, poseidon::PoseidonConstants};

use host::{Program, Random, Words};

/// r, least significant word first.
const R: [u32; 8] = [
    0x0000_0001,
    0xffff_ffff,
    0xfffe_5bfe,
    0x53bd_a402,
    0x09a1_d805,
    0x3339_d808,
    0x299d_7d48,
    0x73ed_a753,
];

/// The host program's answers.
fn ask(questions: &[(&str, Words)]) -> Vec<Words> {
    static PROGRAM: OnceLock<Program> = OnceLock::new();
    PROGRAM.get_or_init(|| Program::compile("poseidon")).ask(questions)
}

/// The value of words in the field.
fn value(words: &[u32]) -> Scalar {
    let shift = Scalar::from(1 << 32);
    words.iter().rev().fold(Scalar::ZERO, |sum, word| sum * shift + Scalar::from(u64::from(*word)))
}

fn is_below_r(words: &[u32]) -> bool {
    words.iter().rev().lt(R.iter().rev())
}

/// R^-1, where R = 2^256.
fn inverse_power(bits: u64) -> Scalar {
    Scalar::from(2).pow_vartime([bits]).invert().unwrap()
}

/// floor(b 2^256 / r) for b below r, a bit at a time.
fn ratio(b: &[u32]) -> Words {
    let at_least = |a: &[u32]| !a.iter().rev().lt(R.iter().rev());
    let (mut left, mut quotient) = (b.to_vec(), vec![0; 8]);
    for bit in (0..256).rev() {
        let mut carry = 0;
        for word in &mut left {
            (*word, carry) = (*word << 1 | carry, *word >> 31);
        }
        if at_least(&left) {
            let mut borrow = false;
            for (word, r) in left.iter_mut().zip(R) {
                (*word, borrow) = word.borrowing_sub(r, borrow);
            }
            quotient[bit / 32] |= 1 << (bit % 32);
        }
    }
    quotient
}

#[test]
fn products_with_a_known_factor_are_products() {
    let mut random = Random(2);
    let mut r_minus_1 = R.to_vec();
    r_minus_1[0] = 0;
    let ones = vec![u32::MAX; 8];
    let mut twice_r_minus_1: Words =
        (0..8).map(|i| R[i] << 1 | if i > 0 { R[i - 1] >> 31 } else { 0 }).collect();
    twice_r_minus_1[0] -= 1;
    let mut one = vec![0; 8];
    one[0] = 1;
    let mut factors = vec![vec![0; 8], one, r_minus_1.clone()];
    factors.extend((0..200).map(|_| random.words(8, 255)).filter(|words| is_below_r(words)));
    let mut elements = vec![vec![0; 8], R.to_vec(), r_minus_1, twice_r_minus_1.clone(), ones];
    elements.extend((0..40).map(|_| random.words(8, 256)));
    let mut questions = Vec::new();
    for (b, a) in factors.iter().flat_map(|b| elements.iter().map(move |a| (b, a))) {
        let words = [&a[..], b, &ratio(b)].concat();
        let is_below_2r = !a.iter().rev().gt(twice_r_minus_1.iter().rev());
        questions.extend(is_below_2r.then(|| ("mul_fixed", words.clone())));
        questions.push(("mul_fixed_wide", words));
    }
    for ((name, words), answer) in questions.iter().zip(ask(&questions)) {
        let expected = value(&words[..8]) * value(&words[8..16]);
        assert_eq!(value(&answer), expected, "{name} {words:x?}");
        assert!(*name != "mul_fixed" || is_below_r(&answer), "{name} {words:x?}: {answer:x?}");
    }
}

#[test]
fn field_functions_do_what_blstrs_does() {
    let mut random = Random(1);
    let mut questions = Vec::new();
    let r_minus_1 = {
        let mut words = R.to_vec();
        words[0] = 0;
        words
    };
    let mut elements = vec![vec![0; 8], R.to_vec(), r_minus_1, vec![u32::MAX; 7]];
    elements[3].push(u32::MAX >> 1);
    elements.extend((0..300).map(|_| random.words(8, 255)));
    for (i, a) in elements.iter().enumerate() {
        for b in [&elements[(i * 7 + 3) % elements.len()], a] {
            questions.push(("mul", [a.as_slice(), b].concat()));
        }
        questions.push(("square", a.clone()));
        questions.push(("subtract_r", a.clone()));
        if is_below_r(a) {
            questions.push(("fifth_power", a.clone()));
        }
        let b = &elements[(i * 5 + 1) % elements.len()];
        if is_below_r(a) && is_below_r(b) {
            for name in ["add_mod", "sub_mod", "add_wide", "sub_wide"] {
                questions.push((name, [a.as_slice(), b].concat()));
            }
        }
    }
    for bits in [1, 32, 33, 64, 65, 128, 256, 300, 318] {
        questions.extend((0..40).map(|_| ("reduce10", random.words(10, bits))));
    }
    for bits in [1, 64, 65, 129, 256, 257, 500, 510] {
        questions.extend((0..40).map(|_| ("reduce16", random.words(16, bits))));
    }
    for ((name, words), answer) in questions.iter().zip(ask(&questions)) {
        let (a, b) = words.split_at(words.len().min(8));
        let (expected, canonical) = match *name {
            "mul" => (value(a) * value(b) * inverse_power(256), is_below_r(a) || is_below_r(b)),
            "square" => (value(a).square() * inverse_power(256), is_below_r(a)),
            "fifth_power" => (value(a).pow_vartime([5]) * inverse_power(4 * 256), true),
            "add_mod" => (value(a) + value(b), true),
            "sub_mod" => (value(a) - value(b), true),
            "add_wide" => (value(a) + value(b), false),
            "sub_wide" => (value(a) - value(b), false),
            "subtract_r" => (value(a), true),
            "reduce10" => (value(words) * inverse_power(64), false),
            _ => (value(words) * inverse_power(256), false),
        };
        assert_eq!(value(&answer), expected, "{name} {words:x?}");
        assert!(!canonical || is_below_r(&answer), "{name} {words:x?}: {answer:x?}");
    }
}

fn check_hash<A: Arity<Scalar>>(name: &'static str) {
    let arity = A::to_usize();
    let mut random = Random(arity as u64);
    let mut r_minus_1 = R.to_vec();
    r_minus_1[0] = 0;
    let mut preimages = vec![vec![0; 8 * arity], r_minus_1.repeat(arity)];
    preimages
        .extend((0..30).map(|_| (0..arity).flat_map(|_| random.words(8, 254)).collect::<Words>()));
    let constants = PoseidonConstants::<Scalar, A>::new();
    let questions: Vec<_> = preimages.into_iter().map(|preimage| (name, preimage)).collect();
    for ((_, preimage), answer) in questions.iter().zip(ask(&questions)) {
        let elements: Vec<_> = preimage.chunks_exact(8).map(value).collect();
        let expected = Poseidon::<Scalar, A>::new_with_preimage(&elements, &constants).hash();
        let bytes: Vec<u8> = answer.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(bytes, expected.to_repr(), "{name} {preimage:x?}");
    }
}

#[test]
fn hashes_are_those_of_neptune() {
    check_hash::<U2>("hash2");
    check_hash::<U8>("hash8");
    check_hash::<U11>("hash11");
}
