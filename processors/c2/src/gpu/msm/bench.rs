// SPDX-License-Identifier: MIT OR Apache-2.0

//! Measurements of multiplications with points and scalars that are on the device, each compared with what
//! the points' known logarithms say.

use std::{
    io::{self, Write as _},
    sync::Arc,
    time::Instant,
};

use blstrs::Scalar;
use ff::Field as _;
use group::{Curve as _, Group};
use sealpipe_gpu::{
    GpuError,
    device::Device,
    driver::{Context, DeviceMemory, Staging},
};
use serde_json::json;

use super::{At, Msm, Workspace};
use crate::gpu::{
    element,
    points::{Curve, G1, G2},
};

type Result<T> = std::result::Result<T, GpuError>;

/// Different bases of a measurement, as a power of two: more of them repeat these.
const LG_TABLE: u32 = 16;

/// Points of a sum of selected ones, as a power of two; half of them are.
const LG_SELECTED: u32 = 22;

/// Runs of each measurement, the first of which warms up.
const RUNS: usize = 4;

/// 2^256 mod r.
fn montgomery() -> Scalar {
    Scalar::from(2).pow_vartime([256])
}

/// splitmix64.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*seed ^ (*seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The points 7 + 5 i times the generator, for i below n.
fn table<C: Curve>(n: usize) -> Vec<u8>
where
    C::Point: group::Curve<AffineRepr = C::Affine>,
    C::Affine: Default,
{
    let step = C::Point::generator() * Scalar::from(5);
    let mut point = C::Point::generator() * Scalar::from(7);
    let mut points = Vec::with_capacity(n);
    for _ in 0..n {
        points.push(point);
        point += step;
    }
    let mut affine = vec![C::Affine::default(); n];
    C::Point::batch_normalize(&points, &mut affine);
    let mut bytes = Vec::with_capacity(n * C::POINT_BYTES);
    affine.iter().for_each(|point| C::write(point, &mut bytes));
    bytes
}

/// Prints one JSON object a line for each measurement on a device: G1 and G2, up to 2^lg points.
///
/// # Errors
/// Whatever the driver says.
pub fn bench(context: &Arc<Context>, device: &Device, (lg_g1, lg_g2): (u32, u32)) -> Result<()> {
    one::<G1>(context, device, &[20, 22, 24].map(|lg: u32| lg.min(lg_g1)))?;
    one::<G2>(context, device, &[20, 22].map(|lg: u32| lg.min(lg_g2)))
}

fn one<C: Curve>(context: &Arc<Context>, device: &Device, lgs: &[u32]) -> Result<()>
where
    C::Point: group::Curve<AffineRepr = C::Affine>,
    C::Affine: Default,
{
    let most = 1_usize << lgs.iter().max().copied().unwrap_or(0);
    let n_table = most.min(1 << LG_TABLE);
    let mut staging = Staging::new(context)?;
    let bases = context.allocate(most * C::POINT_BYTES)?;
    let scalars = context.allocate(most * element::BYTES)?;
    let mut msm = Msm::new(context, device)?;
    staging.upload(&bases, 0, &table::<C>(n_table))?;
    let mut there = n_table;
    while there < most {
        let bytes = there * C::POINT_BYTES;
        msm.stream().copy((&bases, bytes), (&bases, 0), bytes)?;
        there *= 2;
    }
    msm.stream().finish()?;
    let mut seed = 1;
    // Any number below r is the Montgomery form of some scalar.
    let mut numbers = vec![0_u8; most * element::BYTES];
    for chunk in numbers.chunks_exact_mut(8) {
        chunk.copy_from_slice(&random(&mut seed).to_le_bytes());
    }
    numbers.iter_mut().skip(31).step_by(32).for_each(|byte| *byte &= 0x3f);
    staging.upload(&scalars, 0, &numbers)?;
    let wanted = lgs.iter().map(|lg| Msm::wanted_bytes::<C>(1 << lg)).max().unwrap_or(0);
    let budget = wanted.min(context.free_bytes()? as u64 / 10 * 9);
    let workspace = context.allocate(budget as usize)?;
    let inputs = Inputs { bases: &bases, scalars: &scalars, workspace: &workspace, n_table };
    lgs.iter().try_for_each(|lg| multiplications::<C>(&mut msm, &inputs, &numbers, 1 << lg))?;
    let n = most.min(1 << LG_SELECTED);
    let indices: Vec<u8> = (0..n as u32).flat_map(u32::to_le_bytes).collect();
    let (list, bits) = (context.allocate(4 * n)?, context.allocate(n.div_ceil(64) * 8)?);
    staging.upload(&list, 0, &indices)?;
    staging.upload(&bits, 0, &numbers[..n.div_ceil(64) * 8])?;
    sums::<C>(&mut msm, &inputs, (&list, &bits), &numbers, n)
}

/// The sum of `(7 + 5 (i mod n_table)) numbers[i]`, by places: each is below 2^(64 + 20 + 25).
fn logarithm(numbers: &[u8], n_table: usize) -> Scalar {
    let mut places = [0_u128; element::BYTES / 8];
    let (numbers, _) = numbers.as_chunks::<{ element::BYTES }>();
    for (i, number) in numbers.iter().enumerate() {
        let (limbs, _) = number.as_chunks::<8>();
        for (place, limb) in places.iter_mut().zip(limbs) {
            *place += u128::from(u64::from_le_bytes(*limb)) * (7 + 5 * (i % n_table)) as u128;
        }
    }
    let shift = Scalar::from(1 << 32).square();
    places.iter().rev().fold(Scalar::ZERO, |sum, place| {
        sum * shift + Scalar::from((place >> 64) as u64) * shift + Scalar::from(*place as u64)
    })
}

struct Inputs<'m> {
    bases: &'m DeviceMemory,
    scalars: &'m DeviceMemory,
    workspace: &'m DeviceMemory,
    n_table: usize,
}

/// Times some runs; gives the last result and a line with the best time.
fn measure<P: Group>(
    (what, curve, n): (&str, &str, usize),
    expected: P,
    mut run: impl FnMut() -> Result<P>,
) -> Result<()> {
    let mut found = P::identity();
    let mut ms = Vec::new();
    for _ in 0..RUNS {
        let began = Instant::now();
        found = run()?;
        ms.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let best = ms.iter().skip(1).copied().fold(f64::INFINITY, f64::min);
    let line = json!({
        what: curve, "n": n, "lg": n.ilog2(), "ms": best, "first_ms": ms[0],
        "right": found == expected,
    });
    // A closed stdout ends the measurements' use, not this program's.
    let _ = writeln!(io::stdout(), "{line}");
    Ok(())
}

impl Inputs<'_> {
    fn workspace(&self) -> Workspace<'_> {
        Workspace { at: at(self.workspace), bytes: self.workspace.n_bytes() as u64 }
    }
}

fn at(memory: &DeviceMemory) -> At<'_> {
    At { memory, offset: 0 }
}

/// A multiplication of n random scalars.
fn multiplications<C: Curve>(
    msm: &mut Msm,
    inputs: &Inputs<'_>,
    numbers: &[u8],
    n: usize,
) -> Result<()> {
    let logarithm = logarithm(&numbers[..n * element::BYTES], inputs.n_table);
    let inverse: Scalar = Option::from(montgomery().invert()).unwrap_or(Scalar::ONE);
    let expected = C::Point::generator() * (logarithm * inverse);
    measure(("msm", C::NAME, n), expected, || {
        msm.multiply::<C>(at(inputs.bases), at(inputs.scalars), n as u64, inputs.workspace())
    })
}

/// The sum of the points whose bit of `numbers` is set, of n.
fn sums<C: Curve>(
    msm: &mut Msm,
    inputs: &Inputs<'_>,
    (list, bits): (&DeviceMemory, &DeviceMemory),
    numbers: &[u8],
    n: usize,
) -> Result<()> {
    let is_set = |i: &usize| numbers[i / 8] >> (i % 8) & 1 == 1;
    let logarithm: u64 = (0..n).filter(is_set).map(|i| (7 + 5 * (i % inputs.n_table)) as u64).sum();
    let expected = C::Point::generator() * Scalar::from(logarithm);
    let n_bits = n as u64;
    measure(("sum_of_bits", C::NAME, n), expected, || {
        let (list, bits) = ((at(list), n_bits), (at(bits), n_bits));
        msm.sum_of_bits::<C>(at(inputs.bases), list, bits, inputs.workspace())
    })
}
