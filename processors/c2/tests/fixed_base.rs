// SPDX-License-Identifier: MIT OR Apache-2.0

//! Multiples of one point on the device, against blst. Skipped, loudly, where there is no GPU;
//! `REQUIRE_GPU=1` makes that a failure.

use blstrs::Scalar;
use ff::Field as _;
use group::{Curve as _, Group as _};
use rand_core::SeedableRng as _;
use rand_xorshift::XorShiftRng;
use sealpipe_c2::gpu::{
    self,
    fixed_base::FixedBase,
    points::{Curve, G1, G2},
};
use sealpipe_gpu::{device, driver::Staging};

fn check<C: Curve>(n: usize, seed: u64)
where
    C::Point: group::Curve<AffineRepr = C::Affine>,
    C::Affine: Default,
{
    let devices = match device::all() {
        Ok(devices) => devices,
        Err(error) => {
            assert!(std::env::var_os("REQUIRE_GPU").is_none(), "{error}");
            eprintln!("SKIPPED: {error}");
            return;
        }
    };
    let context = gpu::open(&devices[0]).unwrap();
    let mut staging = Staging::new(&context).unwrap();
    let mut random = XorShiftRng::seed_from_u64(seed);
    let point = C::Point::random(&mut random);
    let mut scalars = vec![Scalar::ZERO, Scalar::ONE, -Scalar::ONE, Scalar::from(0xffff_0000)];
    scalars.extend((4..n).map(|_| Scalar::random(&mut random)));
    let mut base = FixedBase::<C>::new(&context, &devices[0], &mut staging, point).unwrap();
    for n in [1, 5, n] {
        let mut bytes = vec![0; n * C::POINT_BYTES];
        base.multiply(&mut staging, &scalars[..n], &mut bytes).unwrap();
        let mut expected = Vec::new();
        for scalar in &scalars[..n] {
            C::write(&(point * scalar).to_affine(), &mut expected);
        }
        assert!(bytes == expected, "{} {n}", C::NAME);
    }
}

#[test]
fn multiples_are_those_of_blst() {
    check::<G1>(5_000, 1);
    check::<G2>(2_000, 2);
}
