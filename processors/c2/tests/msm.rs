// SPDX-License-Identifier: MIT OR Apache-2.0

//! Multi-scalar multiplication and sums of selected points against blst. The bases are known multiples of the
//! generator, so that what is expected is one multiplication of blst's.

use std::{path::Path, process::Command, sync::Arc};

use blstrs::Scalar;
use ff::Field as _;
use group::{Curve as _, Group, prime::PrimeCurveAffine};
use sealpipe_c2::gpu::{
    self,
    msm::{At, Msm, Workspace},
    points::{Curve, G1, G2},
};
use sealpipe_gpu::{
    device::{self, Device},
    driver::{Context, DeviceMemory, Staging},
};

/// Workspace that holds every window of the largest case but one, so that both one and many passes happen.
const WORKSPACE_BYTES: usize = 768 << 20;

struct Gpu {
    context: Arc<Context>,
    device: Device,
}

/// The first GPU; none, loudly, where there is none.
fn gpu() -> Option<Gpu> {
    match device::all() {
        Ok(devices) => {
            let device = devices.into_iter().next().unwrap();
            Some(Gpu { context: gpu::open(&device).unwrap(), device })
        }
        Err(error) if std::env::var_os("REQUIRE_GPU").is_none() => {
            eprintln!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("REQUIRE_GPU is set: {error}"),
    }
}

/// Says to this program that its device is the emulation.
const EMULATED: &str = "EMULATED_GPU";

/// Sizes up to this power of two; the emulation is slow.
fn max_lg() -> u32 {
    if std::env::var_os(EMULATED).is_some() { 5 } else { 20 }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn scalar(&mut self) -> Scalar {
        let shift = Scalar::from(1 << 32).square();
        (0..4).fold(Scalar::ZERO, |sum, _| sum * shift + Scalar::from(self.next()))
    }
}

/// A curve as `group` knows it.
trait Known:
    Curve<
        Point: group::Curve<AffineRepr = <Self as Curve>::Affine>,
        Affine: PrimeCurveAffine<Curve = <Self as Curve>::Point>,
    >
{
}

impl Known for G1 {}
impl Known for G2 {}

/// Multiples of the generator, and their affine points.
struct Bases<C: Curve> {
    logarithms: Vec<Scalar>,
    points: Vec<C::Affine>,
}

impl<C: Known> Bases<C> {
    /// n different ones.
    fn new(n: usize) -> Self {
        let (first, step) = (Scalar::from(1_000_003), Scalar::from(0xfff1_2345));
        let by = C::Point::generator() * step;
        let mut point = C::Point::generator() * first;
        let mut points = Vec::with_capacity(n);
        let mut logarithms = Vec::with_capacity(n);
        let mut logarithm = first;
        for _ in 0..n {
            points.push(point);
            logarithms.push(logarithm);
            point += by;
            logarithm += step;
        }
        let mut affine = vec![C::Affine::identity(); n];
        C::Point::batch_normalize(&points, &mut affine);
        Self { logarithms, points: affine }
    }

    /// Makes some of them equal, opposite, or infinite.
    fn spoiled(mut self) -> Self {
        for i in 0..self.points.len() {
            let (from, kind) = (i - i % 7, i % 7);
            match kind {
                1 | 2 => self.set(i, self.points[from], self.logarithms[from]),
                3 => self.set(i, -self.points[from], -self.logarithms[from]),
                4 => self.set(i, C::Affine::identity(), Scalar::ZERO),
                _ => {}
            }
        }
        self
    }

    fn set(&mut self, i: usize, point: C::Affine, logarithm: Scalar) {
        self.points[i] = point;
        self.logarithms[i] = logarithm;
    }

    fn same(n: usize) -> Self {
        let one = Self::new(1);
        Self { logarithms: vec![one.logarithms[0]; n], points: vec![one.points[0]; n] }
    }
}

/// A device, and a place for everything.
struct Bench {
    gpu: Gpu,
    msm: Msm,
    staging: Staging,
    workspace: DeviceMemory,
}

impl Bench {
    fn new(gpu: Gpu) -> Self {
        let msm = Msm::new(&gpu.context, &gpu.device).unwrap();
        let staging = Staging::new(&gpu.context).unwrap();
        let workspace = gpu.context.allocate(WORKSPACE_BYTES).unwrap();
        Self { gpu, msm, staging, workspace }
    }

    fn upload(&mut self, bytes: &[u8]) -> DeviceMemory {
        let memory = self.gpu.context.allocate(bytes.len()).unwrap();
        self.staging.upload(&memory, 0, bytes).unwrap();
        memory
    }

    fn points<C: Curve>(&mut self, points: &[C::Affine]) -> DeviceMemory {
        let mut bytes = Vec::new();
        points.iter().for_each(|point| C::write(point, &mut bytes));
        self.upload(&bytes)
    }

    fn check<C: Curve>(&mut self, name: &str, bases: &Bases<C>, scalars: &[Scalar], bytes: usize) {
        let n = scalars.len();
        let points = self.points::<C>(&bases.points[..n]);
        let numbers: Vec<u8> = scalars.iter().flat_map(montgomery).collect();
        let numbers = self.upload(&numbers);
        let at = |memory| At { memory, offset: 0 };
        let workspace = Workspace { at: at(&self.workspace), bytes: bytes as u64 };
        let found = self.msm.multiply::<C>(at(&points), at(&numbers), n as u64, workspace).unwrap();
        let logarithm = bases.logarithms.iter().zip(scalars).map(|(a, b)| a * b).sum::<Scalar>();
        assert!(found == C::Point::generator() * logarithm, "{} {name}, n = {n}", C::NAME);
    }
}

/// A scalar as the device has it.
fn montgomery(scalar: &Scalar) -> Vec<u8> {
    blst::blst_fr::from(*scalar).l.iter().flat_map(|limb| limb.to_le_bytes()).collect()
}

fn scalars(kind: &str, n: usize) -> Vec<Scalar> {
    let mut random = Random(n as u64);
    let one = random.scalar();
    let of = |i: usize, random: &mut Random| match kind {
        "all zero" => Scalar::ZERO,
        "all one" => Scalar::ONE,
        "all minus one" => -Scalar::ONE,
        "all equal" => one,
        "sparse" if i % 97 != 3 => Scalar::ZERO,
        "bits" => Scalar::from(random.next() % 2),
        "small" => Scalar::from(random.next() % 1000),
        "repeated" => Scalar::from(i as u64 % 5) * one,
        _ => random.scalar(),
    };
    (0..n).map(|i| of(i, &mut random)).collect()
}

const KINDS: &[&str] = &[
    "random",
    "all zero",
    "all one",
    "all minus one",
    "all equal",
    "sparse",
    "bits",
    "small",
    "repeated",
];

/// A device, and bases for it: as many as there are at most, and some that are spoiled.
fn prepared<C: Known>() -> Option<(Bench, Bases<C>, Bases<C>)> {
    let bench = Bench::new(gpu()?);
    let most = 1 << max_lg();
    Some((bench, Bases::new(most), Bases::new(most.min(5000)).spoiled()))
}

fn multiplications<C: Known>() {
    let Some((mut bench, bases, spoiled)) = prepared::<C>() else { return };
    let most = bases.points.len();
    for n in [1, 2, 3, 5, 31, 32, 100, 257, 1000, 4099, 65_537, (1 << 18) + 12_345, 1 << 20] {
        if n > most {
            break;
        }
        for kind in KINDS {
            // The largest are for what is different there.
            if n < 5000 || ["random", "all one"].contains(kind) {
                bench.check(kind, &bases, &scalars(kind, n), WORKSPACE_BYTES);
            }
            if n <= spoiled.points.len() {
                let name = format!("{kind}, spoiled bases");
                bench.check(&name, &spoiled, &scalars(kind, n), WORKSPACE_BYTES);
            }
        }
    }
    let n = most.min(3000);
    bench.check("random, same bases", &Bases::<C>::same(n), &scalars("random", n), WORKSPACE_BYTES);
    bench.check(
        "all equal, same bases",
        &Bases::<C>::same(n),
        &scalars("all equal", n),
        WORKSPACE_BYTES,
    );
    // With so little, by windows, and by chunks of points.
    for bytes in [1 << 20, 1 << 18] {
        bench.check("random, little workspace", &bases, &scalars("random", n), bytes);
    }
}

#[test]
fn multiplications_in_g1_are_those_of_blst() {
    multiplications::<G1>();
}

#[test]
fn multiplications_in_g2_are_those_of_blst() {
    multiplications::<G2>();
}

fn sums<C: Known>() {
    let Some((mut bench, bases, spoiled)) = prepared::<C>() else { return };
    let mut random = Random(5);
    for n in [1, 2, 255, 256, 257, 1000, 65_537, 300_000] {
        for (kind, per_8) in [("none", 0), ("all", 8), ("half", 4), ("few", 1)] {
            for bases in [&bases, &spoiled].into_iter().filter(|bases| n <= bases.points.len()) {
                let n_bits = 2 * n as u64 + 13;
                let bits: Vec<u64> = (0..n_bits.div_ceil(64))
                    .map(|_| (0..64).map(|i| u64::from(random.next() % 8 < per_8) << i).sum())
                    .collect();
                let indices: Vec<u32> = (0..n).map(|_| (random.next() % n_bits) as u32).collect();
                let is_set = |index: u32| bits[index as usize / 64] >> (index % 64) & 1 == 1;
                let set = indices.iter().enumerate().filter(|(_, index)| is_set(**index));
                let logarithm = set.map(|(i, _)| bases.logarithms[i]).sum::<Scalar>();
                let points = bench.points::<C>(&bases.points[..n]);
                let words: Vec<u8> = bits.iter().flat_map(|word| word.to_le_bytes()).collect();
                let words = bench.upload(&words);
                let list: Vec<u8> = indices.iter().flat_map(|index| index.to_le_bytes()).collect();
                let list = bench.upload(&list);
                let at = |memory| At { memory, offset: 0 };
                for bytes in [WORKSPACE_BYTES, 1 << 18] {
                    if bytes < WORKSPACE_BYTES && n > 5000 {
                        continue;
                    }
                    let workspace = Workspace { at: at(&bench.workspace), bytes: bytes as u64 };
                    let found = bench
                        .msm
                        .sum_of_bits::<C>(
                            at(&points),
                            (at(&list), n as u64),
                            (at(&words), n_bits),
                            workspace,
                        )
                        .unwrap();
                    let expected = C::Point::generator() * logarithm;
                    assert!(found == expected, "{} {kind} of {n}, {bytes} bytes", C::NAME);
                }
            }
        }
    }
}

#[test]
fn sums_of_selected_points_in_g1_are_those_of_blst() {
    sums::<G1>();
}

#[test]
fn sums_of_selected_points_in_g2_are_those_of_blst() {
    sums::<G2>();
}

/// The kernels, compiled for the host, under the same launches: this program's tests again, with a libcuda.so
/// that runs them.
#[test]
#[cfg(target_arch = "x86_64")]
fn the_same_on_an_emulated_gpu() {
    if std::env::var_os(EMULATED).is_some() {
        return;
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let compiled = Command::new(&compiler)
        .args(["-std=c++17", "-O1", "-fPIC", "-shared", "-Wno-unknown-pragmas", "-I"])
        .arg(here.join("../gpu/cuda"))
        .arg("-o")
        .args([dir.path().join("libcuda.so"), here.join("tests/emulation/msm.cpp")])
        .output()
        .unwrap_or_else(|error| panic!("{compiler}: {error}; a C++ compiler is needed"));
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let again = Command::new(std::env::current_exe().unwrap())
        .env("LD_LIBRARY_PATH", dir.path())
        .env(EMULATED, "1")
        .env("REQUIRE_GPU", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success(), "{text}{}", String::from_utf8_lossy(&again.stderr));
}
