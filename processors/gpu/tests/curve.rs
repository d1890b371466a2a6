// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device's arithmetic in the base field against big integers, and on the curves against blstrs, on the host.

mod host;

use std::sync::OnceLock;

use blstrs::{G1Affine, G1Projective, G2Affine, G2Projective, Scalar};
use group::{Curve as _, Group as _};
use host::{Program, Random, Words};
use num_bigint::BigUint;

/// Words of an element of the base field.
const N: usize = 12;

/// p, least significant word first.
const P: [u32; N] = [
    0xffff_aaab,
    0xb9fe_ffff,
    0xb153_ffff,
    0x1eab_fffe,
    0xf6b0_f624,
    0x6730_d2a0,
    0xf385_12bf,
    0x6477_4b84,
    0x434b_acd7,
    0x4b1b_a7b6,
    0x397f_e69a,
    0x1a01_11ea,
];

/// The host program's answers.
fn ask(questions: &[(&str, Words)]) -> Vec<Words> {
    static PROGRAM: OnceLock<Program> = OnceLock::new();
    PROGRAM.get_or_init(|| Program::compile("curve")).ask(questions)
}

/// a + small, with carries.
fn plus(a: &[u32; N], small: i64) -> Words {
    let mut carry = small;
    let words = a.iter().map(|word| {
        carry += i64::from(*word);
        let low = carry as u32;
        carry >>= 32;
        low
    });
    words.collect()
}

fn doubled(a: &[u32; N]) -> [u32; N] {
    std::array::from_fn(|i| a[i] << 1 | if i > 0 { a[i - 1] >> 31 } else { 0 })
}

fn is_below(words: &[u32], bound: &[u32]) -> bool {
    words.iter().rev().lt(bound.iter().rev())
}

/// Loose elements: below 2p, with those where carries and bounds matter.
fn elements(random: &mut Random) -> Vec<Words> {
    let twice = doubled(&P);
    let mut found = vec![vec![0; N], plus(&[0; N], 1)];
    found.extend([-1, 0, 1].map(|small| plus(&P, small)));
    found.extend([-1, -2].map(|small| plus(&twice, small)));
    while found.len() < 120 {
        let words = random.words(N, 382);
        if is_below(&words, &twice) {
            found.push(words);
        }
    }
    found
}

fn p() -> BigUint {
    BigUint::new(P.to_vec())
}

/// An element of the quadratic extension, c0 + c1 u with u^2 = -1; of the base field when c1 is zero.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Element([BigUint; 2]);

impl Element {
    /// Of the base field or of its extension, by the number of words.
    fn new(words: &[u32]) -> Self {
        let part = |i: usize| {
            let words = words.get(i * N..(i + 1) * N).unwrap_or_default();
            BigUint::new(words.to_vec()) % p()
        };
        Self([part(0), part(1)])
    }

    fn times(&self, n: &BigUint) -> Self {
        Self([0, 1].map(|i| &self.0[i] * n % p()))
    }

    fn plus(&self, other: &Self) -> Self {
        Self([0, 1].map(|i| (&self.0[i] + &other.0[i]) % p()))
    }

    fn negative(&self) -> Self {
        self.times(&(p() - 1_u32))
    }

    fn product(&self, other: &Self) -> Self {
        let [[a0, a1], [b0, b1]] = [&self.0, &other.0];
        Self([(a0 * b0 + (p() - 1_u32) * a1 * b1) % p(), (a0 * b1 + a1 * b0) % p()])
    }

    fn inverse(&self) -> Self {
        let [a0, a1] = &self.0;
        let norm = a0 * a0 + a1 * a1;
        Self([a0.clone(), (p() - a1) % p()]).times(&norm.modpow(&(p() - 2_u32), &p()))
    }
}

/// What a function should give.
fn expected(function: &str, a: &Element, b: &Element) -> Element {
    let r: BigUint = BigUint::from(1_u32) << 384;
    let inverse_r = r.modpow(&(p() - 2_u32), &p());
    match function {
        "mul" => a.product(b).times(&inverse_r),
        "square" => a.product(a).times(&inverse_r),
        "inverse" => a.inverse().times(&(&r * &r)),
        "add" => a.plus(b),
        "sub" => a.plus(&b.negative()),
        "twice" => a.plus(a),
        "negative" => a.negative(),
        "canonical" => a.clone(),
        other => panic!("{other}"),
    }
}

#[test]
fn base_field_functions_are_those_of_big_integers() {
    let elements = elements(&mut Random(1));
    let mut questions = Vec::new();
    for (i, a) in elements.iter().enumerate() {
        let b = &elements[(i * 7 + 3) % elements.len()];
        for name in ["fp.mul", "fp.square", "fp.inverse", "fp.add", "fp.sub", "fp.twice"] {
            questions.push((name, [a.as_slice(), b].concat()));
            questions.push((name, [a.as_slice(), a].concat()));
        }
        questions.push(("fp.canonical", a.clone()));
        if is_below(a, &P) {
            questions.push(("fp.negative", a.clone()));
        }
    }
    let loose = doubled(&P);
    for ((name, words), answer) in questions.iter().zip(ask(&questions)) {
        let function = &name[3..];
        let (a, b) = words.split_at(N);
        let expected = expected(function, &Element::new(a), &Element::new(b));
        assert_eq!(Element::new(&answer), expected, "{name} {words:x?}");
        let bound = if ["canonical", "negative"].contains(&function) { P } else { loose };
        assert!(is_below(&answer, &bound), "{name} {words:x?}: {answer:x?}");
    }
}

#[test]
fn quadratic_extension_functions_are_those_of_big_integers() {
    let elements = elements(&mut Random(2));
    let at = |i: usize| elements[i % elements.len()].as_slice();
    let names = ["fp2.mul", "fp2.square", "fp2.inverse", "fp2.add", "fp2.sub", "fp2.twice"];
    let mut questions = Vec::new();
    for i in 0..elements.len() {
        for name in names {
            let others = [at(i), at(i * 7 + 3), at(i * 11 + 5), at(i * 13 + 6)];
            questions.push((name, others.concat()));
            questions.push((name, [at(i), at(i), at(i), at(0)].concat()));
        }
    }
    for ((name, words), answer) in questions.iter().zip(ask(&questions)) {
        let (a, b) = words.split_at(2 * N);
        let expected = expected(&name[4..], &Element::new(a), &Element::new(b));
        assert_eq!(Element::new(&answer), expected, "{name} {words:x?}");
        let loose = doubled(&P);
        assert!(answer.chunks(N).all(|part| is_below(part, &loose)), "{name} {words:x?}");
    }
}

fn limbs<'a>(all: impl IntoIterator<Item = &'a [u64; 6]>) -> Words {
    all.into_iter().flatten().flat_map(|limb| [*limb as u32, (*limb >> 32) as u32]).collect()
}

/// Pairs of multiples of the generator: different, equal, opposite, and with infinity.
const PAIRS: [(i64, i64); 9] =
    [(1, 2), (3, 3), (5, -5), (0, 7), (7, 0), (0, 0), (-4, 9), (-1, -1), (1_000_003, 77)];

fn multiple(n: i64) -> Scalar {
    let size = Scalar::from(n.unsigned_abs());
    if n < 0 { -size } else { size }
}

fn words1(point: &G1Affine) -> Words {
    limbs([&point.as_ref().x.l, &point.as_ref().y.l])
}

fn words2(point: &G2Affine) -> Words {
    let raw = point.as_ref();
    limbs([&raw.x.fp[0].l, &raw.x.fp[1].l, &raw.y.fp[0].l, &raw.y.fp[1].l])
}

/// Six limbs for each element of the base field.
fn elements_of(answer: &[u32]) -> Vec<[u64; 6]> {
    let limb = |words: &[u32]| u64::from(words[0]) | u64::from(words[1]) << 32;
    answer.chunks(N).map(|part| std::array::from_fn(|i| limb(&part[2 * i..]))).collect()
}

/// Asks for a sum of each pair by affine addition, and for multiples of both by extended coordinates.
fn sums(field: &str, point: impl Fn(i64) -> Words) -> (Vec<Words>, Vec<(i64, Words)>) {
    let (sum, extended) = (format!("{field}.sum"), format!("{field}.extended"));
    let both = |a, b| [point(a), point(b)].concat();
    let questions = PAIRS.map(|(a, b)| (sum.as_str(), both(a, b)));
    let answers = ask(&questions);
    let times = [(0, 1), (1, 0), (1, 1), (2, 1), (2, 2), (5, 3), (0, 0)];
    let cases: Vec<_> = PAIRS.iter().flat_map(|pair| times.map(|times| (*pair, times))).collect();
    let asked = cases.iter().map(|((a, b), (m, n))| {
        (extended.as_str(), [both(*a, *b), vec![*m as u32, *n as u32]].concat())
    });
    let found = ask(&asked.collect::<Vec<_>>());
    let expected = cases.iter().map(|((a, b), (m, n))| m * a + n * b);
    (answers, expected.zip(found).collect())
}

#[test]
fn points_of_g1_add_as_in_blstrs() {
    let point = |n| G1Projective::generator() * multiple(n);
    let (affine, extended) = sums("fp", |n| words1(&point(n).to_affine()));
    for ((a, b), answer) in PAIRS.iter().zip(affine) {
        assert_eq!(answer, words1(&point(a + b).to_affine()), "{a} + {b}");
    }
    for (n, answer) in extended {
        let mut found = G1Projective::identity();
        let raw = found.as_mut();
        let parts = elements_of(&answer);
        (raw.x.l, raw.y.l, raw.z.l) = (parts[0], parts[1], parts[2]);
        assert_eq!(found, point(n), "{n}");
    }
}

#[test]
fn points_of_g2_add_as_in_blstrs() {
    let point = |n| G2Projective::generator() * multiple(n);
    let (affine, extended) = sums("fp2", |n| words2(&point(n).to_affine()));
    for ((a, b), answer) in PAIRS.iter().zip(affine) {
        assert_eq!(answer, words2(&point(a + b).to_affine()), "{a} + {b}");
    }
    for (n, answer) in extended {
        let mut found = G2Projective::identity();
        let raw = found.as_mut();
        let parts = elements_of(&answer);
        for i in 0..2 {
            (raw.x.fp[i].l, raw.y.fp[i].l, raw.z.fp[i].l) = (parts[i], parts[2 + i], parts[4 + i]);
        }
        assert_eq!(found, point(n), "{n}");
    }
}
