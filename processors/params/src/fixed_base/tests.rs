// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our multiples against blstrs' own, and the sums that the affine formula cannot take.

use blstrs::{G1Projective, G2Projective};
use ff::Field as _;
use group::{Curve, Group};
use rand_core::SeedableRng;
use rand_xorshift::XorShiftRng;

use super::*;

use std::hint::black_box;
use std::time::Instant;

fn rng() -> XorShiftRng {
    XorShiftRng::from_seed([7; 16])
}

/// Scalars where digits carry, turn, or vanish, and random ones to fill more than a block.
fn edge_scalars(n_random: usize) -> Vec<Scalar> {
    let mut out = vec![Scalar::ZERO, Scalar::ONE, -Scalar::ONE, Scalar::from(2), -Scalar::from(2)];
    let half = Scalar::from(2).invert().unwrap();
    // (r + 1) / 2 and (r - 1) / 2 are where a scalar turns into its opposite.
    out.extend([half, half - Scalar::ONE, -half, half + Scalar::ONE]);
    for k in 0..256 {
        let power = Scalar::from(2).pow_vartime([k]);
        out.extend([power, power - Scalar::ONE, power + Scalar::ONE, -power]);
    }
    for lg_window in 2..=20 {
        // All digits at their largest, 100...0, one more, and one less, with and without carries.
        let step = Scalar::from(1 << lg_window);
        let half_window = Scalar::from(1 << (lg_window - 1));
        for digit in [half_window - Scalar::ONE, half_window, half_window + Scalar::ONE] {
            let n_digits = 254 / lg_window;
            out.push((0..n_digits).fold(Scalar::ZERO, |sum, _| sum * step + digit));
        }
    }
    let mut rng = rng();
    out.extend((0..n_random).map(|_| Scalar::random(&mut rng)));
    out
}

fn check_g1(lg_window: u32, scalars: &[Scalar]) {
    let base = G1Projective::random(rng());
    let table = Table::<Fp>::new((&base.to_affine()).into(), lg_window);
    let mut out = vec![Affine::INFINITY; scalars.len()];
    table.multiply(scalars, &mut out, &mut Scratch::new());
    for (scalar, actual) in scalars.iter().zip(&out) {
        let expected = (base * scalar).to_affine().to_uncompressed();
        let mut bytes = [0; Affine::<Fp>::N_BYTES];
        actual.write(&mut bytes);
        assert_eq!(bytes, expected, "window {lg_window}, scalar {scalar:?}");
    }
}

fn check_g2(lg_window: u32, scalars: &[Scalar]) {
    let base = G2Projective::random(rng());
    let table = Table::<Fp2>::new((&base.to_affine()).into(), lg_window);
    let mut out = vec![Affine::INFINITY; scalars.len()];
    table.multiply(scalars, &mut out, &mut Scratch::new());
    for (scalar, actual) in scalars.iter().zip(&out) {
        let expected = (base * scalar).to_affine().to_uncompressed();
        let mut bytes = [0; Affine::<Fp2>::N_BYTES];
        actual.write(&mut bytes);
        assert_eq!(bytes, expected, "window {lg_window}, scalar {scalar:?}");
    }
}

#[test]
fn multiples_equal_those_of_blstrs() {
    for lg_window in [2, 3, 5, 8, 13, 15, 16, 17] {
        check_g1(lg_window, &edge_scalars(0));
        check_g2(lg_window, &edge_scalars(0));
    }
    check_g1(9, &edge_scalars(2 * N_BLOCK));
    check_g2(9, &edge_scalars(N_BLOCK));
}

#[test]
fn every_length_up_to_a_few_blocks_works() {
    let scalars = edge_scalars(N_BLOCK);
    for n in [0, 1, 2, N_BLOCK - 1, N_BLOCK, N_BLOCK + 1] {
        check_g1(6, &scalars[scalars.len() - n..]);
    }
}

#[test]
fn digits_are_small_and_sum_to_the_scalar() {
    for lg_window in 2..=22 {
        let n_windows = N_DIGIT_BITS.div_ceil(lg_window) as usize;
        let step = Scalar::from(1 << lg_window);
        for scalar in edge_scalars(64) {
            let mut digits = vec![0; n_windows];
            recode(&scalar, lg_window, digits.iter_mut());
            let sum = digits.iter().rev().fold(Scalar::ZERO, |sum, &digit| {
                let size = Scalar::from(u64::from(digit.unsigned_abs()));
                sum * step + if digit < 0 { -size } else { size }
            });
            assert_eq!(sum, scalar, "window {lg_window}");
            assert!(digits.iter().all(|digit| digit.unsigned_abs() <= 1 << (lg_window - 1)));
        }
    }
}

/// Adds every digit to every small multiple, the neutral element included, in one block: sums
/// with equal points, opposite points and infinity lie between ordinary ones.
fn check_sums<F: Field + std::fmt::Debug>(base: Affine<F>, expected: impl Fn(i64) -> Affine<F>) {
    let mut table = [Affine::INFINITY; 8];
    fill_multiples(&mut table, base);
    let (mut sums, mut digits, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for left in -8i64..=8 {
        for digit in -8i32..=8 {
            sums.push(expected(left));
            digits.push(digit);
            values.push(left + i64::from(digit));
        }
    }
    let mut products = vec![F::ZERO; sums.len()];
    add_multiples(&mut sums, &digits, &table, &mut products);
    for (sum, value) in sums.iter().zip(values) {
        assert_eq!(*sum, expected(value), "the multiple {value}");
    }
    // The same with nothing but exceptions, so that the shared product is empty.
    let mut sums = vec![Affine::INFINITY, table[2], table[2].neg_if(true), table[4]];
    add_multiples(&mut sums, &[3, 3, 3, 0], &table, &mut [F::ZERO; 4]);
    assert_eq!(sums, [expected(3), expected(6), Affine::INFINITY, expected(5)]);
}

fn scalar(value: i64) -> Scalar {
    let size = Scalar::from(value.unsigned_abs());
    if value < 0 { -size } else { size }
}

#[test]
fn equal_opposite_and_infinite_points_add_up() {
    let (g1, g2) = (G1Projective::random(rng()), G2Projective::random(rng()));
    check_sums::<Fp>((&g1.to_affine()).into(), |value| (&(g1 * scalar(value)).to_affine()).into());
    check_sums::<Fp2>((&g2.to_affine()).into(), |value| (&(g2 * scalar(value)).to_affine()).into());
}

#[test]
fn entries_at_infinity_add_nothing() {
    let base: Affine<Fp> = (&G1Projective::random(rng()).to_affine()).into();
    let table = [Affine::INFINITY, base];
    let mut sums = [base, Affine::INFINITY, base, base];
    add_multiples(&mut sums, &[1, 1, -1, -2], &table, &mut [Fp::ZERO; 4]);
    assert_eq!(sums, [base, Affine::INFINITY, base, Affine::INFINITY]);
}

#[test]
fn a_point_with_x_zero_is_not_infinity() {
    // (0, 2) is on y^2 = x^3 + 4, of order 3 and outside G1: 3 P = infinity.
    let point = Affine { x: Fp::ZERO, y: Fp::ONE.add(&Fp::ONE) };
    assert!(!point.is_infinity());
    let double = point.add(&point);
    assert_eq!(double, point.neg_if(true));
    assert_eq!(double.add(&point), Affine::INFINITY);
    let mut sums = [point, double, Affine::INFINITY];
    add_multiples(&mut sums, &[1, 1, 1], &[point], &mut [Fp::ZERO; 3]);
    assert_eq!(sums, [double, Affine::INFINITY, point]);
}

#[test]
fn windows_grow_with_the_number_of_points_and_stay_in_memory() {
    assert_eq!(lg_window::<Fp>(10_240_486, 128 << 20), 17);
    assert_eq!(lg_window::<Fp2>(685_522, 128 << 20), 16);
    assert!(lg_window::<Fp>(100, 128 << 20) < 8);
    for max_bytes in [1 << 16, 1 << 20, 1 << 27] {
        let w = lg_window::<Fp>(1 << 24, max_bytes);
        assert!((255u32.div_ceil(w) as usize) << (w - 1) <= max_bytes / 96);
    }
}

/// Nanoseconds of one call, the fastest of a few rounds.
fn ns_each(n_calls: usize, mut calls: impl FnMut()) -> f64 {
    let round = |_| {
        let started = Instant::now();
        calls();
        started.elapsed().as_secs_f64() * 1e9 / n_calls as f64
    };
    (0..5).map(round).fold(f64::INFINITY, f64::min)
}

/// Prints what a multiple takes on one thread, and the field multiplications in it alone.
fn measure<F: Field>(name: &str, base: Affine<F>, lg_window: u32) {
    let mut rng = rng();
    let scalars: Vec<_> = (0..1 << 16).map(|_| Scalar::random(&mut rng)).collect();
    let mut out = vec![Affine::INFINITY; scalars.len()];
    let table = Table::new(base, lg_window);
    let mut scratch = Scratch::new();
    let multiple = ns_each(out.len(), || table.multiply(&scalars, &mut out, &mut scratch));

    let mut elements: Vec<_> = out[..256].iter().map(|point| point.x).collect();
    let mul = ns_each(256 * 1024, || {
        for _ in 0..1024 {
            elements.iter_mut().for_each(|x| x.mul_assign(&base.x));
            black_box(&elements);
        }
    });
    let square = ns_each(256 * 1024, || {
        for _ in 0..1024 {
            elements.iter_mut().for_each(|x| *x = x.square());
            black_box(&elements);
        }
    });
    let n_additions = N_DIGIT_BITS.div_ceil(lg_window) - 1;
    let floor = f64::from(n_additions) * (5.0 * mul + square);
    println!(
        "{name}, {lg_window} bits: mul {mul:.1} ns, square {square:.1} ns, {n_additions} additions \
         are {floor:.0} ns of them, measured {multiple:.0} ns, ratio {:.2}",
        multiple / floor
    );
}

/// `cargo test --release -p sealpipe-params --lib -- --ignored --nocapture the_ratio`
#[test]
#[ignore = "a measurement, with nothing to pass or fail"]
fn the_ratio_to_the_floor_is_printed() {
    for lg_window in [8, 13, 15, 16, 17, 18, 20] {
        measure::<Fp>("G1", (&G1Projective::random(rng()).to_affine()).into(), lg_window);
    }
    for lg_window in [13, 15, 16] {
        measure::<Fp2>("G2", (&G2Projective::random(rng()).to_affine()).into(), lg_window);
    }
}
