// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arithmetic in Fp and Fp2, the coordinate fields of BLS12-381's G1 and G2.
//!
//! Products, squares, inverses and the change to bytes are `blst`'s; sums and differences are
//! plain Rust, because a call costs as much as the six additions. Elements are in Montgomery
//! form, `a * 2^384 mod p`, and always reduced below p, so that equal numbers have equal limbs.
//!
//! This is the crate's only file with `unsafe`: calls into `blst`, and at the end two hints about
//! memory that change no value. All are behind safe functions.
#![expect(unsafe_code, reason = "blst's field functions take raw pointers, as do memory hints")]

use blst::{
    blst_bendian_from_fp, blst_fp, blst_fp_from_bendian, blst_fp_inverse, blst_fp_mul, blst_fp_sqr,
    blst_fp2, blst_fp2_inverse, blst_fp2_mul, blst_fp2_sqr,
};

/// The modulus p of Fp, least significant limb first (draft-irtf-cfrg-pairing-friendly-curves).
const MODULUS: [u64; 6] = [
    0xb9fe_ffff_ffff_aaab,
    0x1eab_fffe_b153_ffff,
    0x6730_d2a0_f6b0_f624,
    0x6477_4b84_f385_12bf,
    0x4b1b_a7b6_434b_acd7,
    0x1a01_11ea_397f_e69a,
];

/// 2^384 mod p: the number one in Montgomery form.
const ONE: [u64; 6] = [
    0x7609_0000_0002_fffd,
    0xebf4_000b_c40c_0002,
    0x5f48_9857_53c7_58ba,
    0x77ce_5853_7052_5745,
    0x5c07_1a97_a256_ec6d,
    0x15f6_5ec3_fa80_e493,
];

/// What the fixed-base code needs of a coordinate field. Nothing here runs in constant time.
pub(crate) trait Field: Copy + PartialEq + Send + Sync + 'static {
    /// The bytes of one element in the file: 48 for Fp, 96 for Fp2.
    const N_BYTES: usize;
    /// The neutral element of addition.
    const ZERO: Self;
    /// The neutral element of multiplication.
    const ONE: Self;

    fn add(&self, rhs: &Self) -> Self;
    fn sub(&self, rhs: &Self) -> Self;
    /// Sets `self` to `a * b`. In place, because a product that is copied right after blst stored
    /// it waits for the stores to reach the cache.
    fn set_mul(&mut self, a: &Self, b: &Self);
    /// Sets `self` to `self * rhs`.
    fn mul_assign(&mut self, rhs: &Self);
    /// Sets `self` to `a * a`.
    fn set_square(&mut self, a: &Self);
    /// The inverse; zero for zero.
    fn inverse(&self) -> Self;

    fn neg(&self) -> Self {
        Self::ZERO.sub(self)
    }

    fn is_zero(&self) -> bool;

    fn mul(&self, rhs: &Self) -> Self {
        let mut out = Self::ZERO;
        out.set_mul(self, rhs);
        out
    }

    fn square(&self) -> Self {
        let mut out = Self::ZERO;
        out.set_square(self);
        out
    }

    /// Writes the canonical number, most significant byte first; Fp2 as c1 then c0.
    ///
    /// # Panics
    /// If `out` is not `N_BYTES` long.
    fn write_be(&self, out: &mut [u8]);

    /// Reads what [`Field::write_be`] wrote; a number not below p is reduced.
    ///
    /// # Panics
    /// If `bytes` is not `N_BYTES` long.
    fn read_be(bytes: &[u8]) -> Self;
}

/// An element of Fp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fp(blst_fp);

/// An element c0 + c1 u of Fp2 = Fp[u]/(u^2 + 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fp2(blst_fp2);

/// a + b mod p. The sum of two reduced numbers is below 2^382, so no carry leaves the top limb.
#[inline]
fn add_limbs(a: &[u64; 6], b: &[u64; 6]) -> [u64; 6] {
    let (mut sum, mut reduced) = ([0; 6], [0; 6]);
    let (mut carry, mut borrow) = (false, false);
    for i in 0..6 {
        (sum[i], carry) = a[i].carrying_add(b[i], carry);
    }
    for i in 0..6 {
        (reduced[i], borrow) = sum[i].borrowing_sub(MODULUS[i], borrow);
    }
    if borrow { sum } else { reduced }
}

/// a - b mod p, for reduced a and b.
#[inline(always)]
fn sub_limbs(a: &[u64; 6], b: &[u64; 6]) -> [u64; 6] {
    let mut out = [0; 6];
    let (mut carry, mut borrow) = (false, false);
    for i in 0..6 {
        (out[i], borrow) = a[i].borrowing_sub(b[i], borrow);
    }
    let mask = 0u64.wrapping_sub(u64::from(borrow));
    for i in 0..6 {
        (out[i], carry) = out[i].carrying_add(MODULUS[i] & mask, carry);
    }
    out
}

impl Field for Fp {
    const N_BYTES: usize = 48;
    const ZERO: Self = Fp(blst_fp { l: [0; 6] });
    const ONE: Self = Fp(blst_fp { l: ONE });

    #[inline]
    fn add(&self, rhs: &Self) -> Self {
        Fp(blst_fp { l: add_limbs(&self.0.l, &rhs.0.l) })
    }

    #[inline(always)]
    fn sub(&self, rhs: &Self) -> Self {
        Fp(blst_fp { l: sub_limbs(&self.0.l, &rhs.0.l) })
    }

    #[inline]
    fn set_mul(&mut self, a: &Self, b: &Self) {
        // SAFETY: the three pointers come from references to `blst_fp`, so each is aligned and
        // valid for six limbs, and blst lets them overlap.
        unsafe { blst_fp_mul(&mut self.0, &a.0, &b.0) };
    }

    #[inline]
    fn mul_assign(&mut self, rhs: &Self) {
        let out: *mut blst_fp = &mut self.0;
        // SAFETY: both pointers come from references to `blst_fp`; blst reads its operands before
        // it writes the result, so the first operand may be the result.
        unsafe { blst_fp_mul(out, out, &rhs.0) };
    }

    #[inline]
    fn set_square(&mut self, a: &Self) {
        // SAFETY: both pointers come from references to `blst_fp`.
        unsafe { blst_fp_sqr(&mut self.0, &a.0) };
    }

    #[inline]
    fn is_zero(&self) -> bool {
        self.0.l.iter().fold(0, |bits, limb| bits | limb) == 0
    }

    fn inverse(&self) -> Self {
        let mut out = Self::ZERO;
        // SAFETY: both pointers come from references to `blst_fp`, and `out` is a local; blst
        // maps zero to zero.
        unsafe { blst_fp_inverse(&mut out.0, &self.0) };
        out
    }

    fn write_be(&self, out: &mut [u8]) {
        assert_eq!(out.len(), Self::N_BYTES, "an element of Fp is 48 bytes");
        // SAFETY: blst writes 48 bytes, and `out` was just checked to be that long.
        unsafe { blst_bendian_from_fp(out.as_mut_ptr(), &self.0) };
    }

    fn read_be(bytes: &[u8]) -> Self {
        assert_eq!(bytes.len(), Self::N_BYTES, "an element of Fp is 48 bytes");
        let mut out = Self::ZERO;
        // SAFETY: blst reads 48 bytes, and `bytes` was just checked to be that long.
        unsafe { blst_fp_from_bendian(&mut out.0, bytes.as_ptr()) };
        out
    }
}

impl Field for Fp2 {
    const N_BYTES: usize = 96;
    const ZERO: Self = Fp2(blst_fp2 { fp: [Fp::ZERO.0, Fp::ZERO.0] });
    const ONE: Self = Fp2(blst_fp2 { fp: [Fp::ONE.0, Fp::ZERO.0] });

    #[inline]
    fn add(&self, rhs: &Self) -> Self {
        let [a, b] = [&self.0.fp, &rhs.0.fp];
        Fp2(blst_fp2 { fp: [0, 1].map(|i| blst_fp { l: add_limbs(&a[i].l, &b[i].l) }) })
    }

    #[inline]
    fn sub(&self, rhs: &Self) -> Self {
        let [a, b] = [&self.0.fp, &rhs.0.fp];
        Fp2(blst_fp2 { fp: [0, 1].map(|i| blst_fp { l: sub_limbs(&a[i].l, &b[i].l) }) })
    }

    #[inline]
    fn set_mul(&mut self, a: &Self, b: &Self) {
        // SAFETY: the three pointers come from references to `blst_fp2`, so each is aligned and
        // valid for twelve limbs, and blst lets them overlap.
        unsafe { blst_fp2_mul(&mut self.0, &a.0, &b.0) };
    }

    #[inline]
    fn mul_assign(&mut self, rhs: &Self) {
        let out: *mut blst_fp2 = &mut self.0;
        // SAFETY: both pointers come from references to `blst_fp2`; blst reads its operands before
        // it writes the result, so the first operand may be the result.
        unsafe { blst_fp2_mul(out, out, &rhs.0) };
    }

    #[inline]
    fn set_square(&mut self, a: &Self) {
        // SAFETY: both pointers come from references to `blst_fp2`.
        unsafe { blst_fp2_sqr(&mut self.0, &a.0) };
    }

    #[inline]
    fn is_zero(&self) -> bool {
        self.0.fp.iter().all(|fp| Fp(*fp).is_zero())
    }

    fn inverse(&self) -> Self {
        let mut out = Self::ZERO;
        // SAFETY: both pointers come from references to `blst_fp2`, and `out` is a local; blst
        // maps zero to zero.
        unsafe { blst_fp2_inverse(&mut out.0, &self.0) };
        out
    }

    fn write_be(&self, out: &mut [u8]) {
        let (c1, c0) = out.split_at_mut(Fp::N_BYTES);
        Fp(self.0.fp[1]).write_be(c1);
        Fp(self.0.fp[0]).write_be(c0);
    }

    fn read_be(bytes: &[u8]) -> Self {
        let (c1, c0) = bytes.split_at(Fp::N_BYTES);
        Fp2(blst_fp2 { fp: [Fp::read_be(c0).0, Fp::read_be(c1).0] })
    }
}

/// Asks the processor to bring `item`, line after line from its start, into its cache. It changes no result, and does nothing on
/// processors other than x86-64.
#[inline]
pub(crate) fn prefetch<T>(item: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = std::ptr::from_ref(item).cast::<i8>();
        let mut offset = 0;
        while offset < size_of::<T>() {
            // SAFETY: a prefetch reads and faults on nothing, and SSE is part of every x86-64;
            // the address lies inside `item`.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(offset)) };
            offset += 64;
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = item;
}

/// A vector of `n` copies of `item`, on huge pages where the system gives them on request:
/// accesses all over a table of tens of MiB otherwise wait for the address translation.
pub(crate) fn vec_on_huge_pages<T: Copy>(item: T, n: usize) -> Vec<T> {
    let mut out: Vec<T> = Vec::with_capacity(n);
    #[cfg(target_os = "linux")]
    {
        use rustix::mm::{Advice, madvise};
        let page = rustix::param::page_size();
        let start = out.as_mut_ptr().map_addr(|address: usize| address.next_multiple_of(page));
        let end = (out.as_ptr().addr() + n * size_of::<T>()) / page * page;
        let n_bytes = end.saturating_sub(start.addr());
        // SAFETY: whole pages inside the vector's own allocation; this advice changes no contents
        // and no access rights. A system that refuses leaves the pages as they are.
        let _ = unsafe { madvise(start.cast(), n_bytes, Advice::LinuxHugepage) };
    }
    out.resize(n, item);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Elements at the edges of the field: 0, 1, p - 1, and some in between.
    fn samples<F: Field>() -> Vec<F> {
        let two = F::ONE.add(&F::ONE);
        let mut out = vec![F::ZERO, F::ONE, F::ONE.neg(), two, two.neg(), two.inverse()];
        let mut seed = F::read_be(&(1..=F::N_BYTES as u8).collect::<Vec<_>>());
        for _ in 0..8 {
            out.push(seed);
            seed = seed.square().add(&two);
        }
        out
    }

    fn check_laws<F: Field + std::fmt::Debug>() {
        for a in samples::<F>() {
            assert_eq!(a.square(), a.mul(&a));
            assert_eq!(a.add(&a.neg()), F::ZERO);
            assert_eq!(a.mul(&F::ONE), a);
            assert_eq!(a.mul(&a.inverse()), if a.is_zero() { F::ZERO } else { F::ONE });
            let mut bytes = vec![0; F::N_BYTES];
            a.write_be(&mut bytes);
            assert_eq!(F::read_be(&bytes), a);
            for b in samples::<F>() {
                assert_eq!(a.sub(&b).add(&b), a);
                assert_eq!(a.add(&b), b.add(&a));
                // (a + b)(a - b) = a^2 - b^2 ties our sums to blst's products.
                assert_eq!(a.add(&b).mul(&a.sub(&b)), a.square().sub(&b.square()));
            }
        }
    }

    #[test]
    fn field_laws_hold_at_the_edges() {
        check_laws::<Fp>();
        check_laws::<Fp2>();
    }

    #[test]
    fn minus_one_is_the_modulus_less_one() {
        let mut bytes = [0; 48];
        Fp::ONE.neg().write_be(&mut bytes);
        let expected: Vec<u8> = MODULUS.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect();
        assert_eq!(bytes[..47], expected[..47]);
        assert_eq!(bytes[47] + 1, expected[47]);
    }
}
