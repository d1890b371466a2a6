// SPDX-License-Identifier: MIT OR Apache-2.0

//! Multiples of one point on the device, against blst, and the parameters made of them, against bellperson's.
//! Skipped, loudly, where there is no GPU; `REQUIRE_GPU=1` makes that a failure.

use std::{fs, path::Path, sync::atomic::AtomicBool};

use blstrs::Scalar;
use ff::Field as _;
use group::{Curve as _, Group as _};
use rand_core::SeedableRng as _;
use rand_xorshift::XorShiftRng;
use sealpipe_c2::{
    circuit::Circuit,
    gpu::{
        self,
        fixed_base::FixedBase,
        points::{Curve, G1, G2},
    },
    params::{kept::Kept, make},
    watch::Watch,
};
use sealpipe_gpu::{
    device::{self, Device},
    driver::Staging,
};
use sealpipe_params::{DEFAULT_SEED, ParameterSet};
use sealpipe_protocol::stage::proof::SealProof;

/// The first GPU.
fn device() -> Option<Device> {
    match device::all() {
        Ok(devices) => devices.into_iter().next(),
        Err(error) => {
            assert!(std::env::var_os("REQUIRE_GPU").is_none(), "{error}");
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

fn check<C: Curve>(n: usize, seed: u64)
where
    C::Point: group::Curve<AffineRepr = C::Affine>,
    C::Affine: Default,
{
    let Some(device) = device() else { return };
    let context = gpu::open(&device).unwrap();
    let mut staging = Staging::new(&context).unwrap();
    let mut random = XorShiftRng::seed_from_u64(seed);
    let point = C::Point::random(&mut random);
    let mut scalars = vec![Scalar::ZERO, Scalar::ONE, -Scalar::ONE, Scalar::from(0xffff_0000)];
    scalars.extend((4..n).map(|_| Scalar::random(&mut random)));
    let mut base = FixedBase::<C>::new(&context, &device, &mut staging, point).unwrap();
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

/// A file without its header, which says where it comes from.
fn sections(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap().split_off(4096)
}

#[test]
fn parameters_are_those_of_bellperson_with_the_same_seed() {
    let Some(device) = device() else { return };
    let proof = SealProof::StackedDrg2KiBV1_1;
    let circuit = Circuit::extract(proof, &AtomicBool::new(false)).unwrap();
    let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let set = |dir: &Path| ParameterSet::new(proof.sector_bytes(), dir).unwrap();
    let (theirs, ours) = (set(theirs.path()), set(ours.path()));
    fs::create_dir_all(ours.params_path().parent().unwrap()).unwrap();
    theirs.make(DEFAULT_SEED, &|_| {}, &AtomicBool::new(false)).unwrap();
    let kept = Kept::beside(&theirs.params_path(), None);
    kept.ensure(&circuit, gpu::ORDER, &Watch::nobody()).unwrap();
    let target = Kept::beside(&ours.params_path(), None).converted().to_owned();
    let tell = |_: &str, _, _| {};
    make::make(&ours, &target, &circuit, gpu::ORDER, &device, DEFAULT_SEED, &tell).unwrap();
    assert!(sections(&target) == sections(kept.converted()), "points or columns differ");
    let key = |set: &ParameterSet| fs::read(set.verifying_key_path()).unwrap();
    assert!(key(&ours) == key(&theirs), "the keys differ");
}
