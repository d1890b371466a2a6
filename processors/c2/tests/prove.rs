// SPDX-License-Identifier: MIT OR Apache-2.0

//! From parameters and a witness to a proof, bit for bit bellperson's.

mod common;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use bellperson::{
    ConstraintSystem, SynthesisError,
    groth16::{self, Parameters},
};
use blstrs::{Bls12, Scalar};
use common::Book;
use ff::Field as _;
use rand_core::SeedableRng as _;
use rand_xorshift::XorShiftRng;
use sealpipe_c2::{
    assignment::Assignment,
    circuit::{Circuit, straight::Straight},
    gpu,
    params::{Section, convert::Order, kept::Kept},
    prove::{Blinding, Keys, Prover, Sums, assemble},
    watch::Watch,
};
use sealpipe_protocol::{Code, TaskError};

/// The bits of a number, and the product of the number with itself and with a public one: variables that
/// are bits and others, some in B and some not.
#[derive(Clone, Default)]
struct Bits {
    number: Option<u64>,
}

const N_BITS: usize = 40;

impl bellperson::Circuit<Scalar> for Bits {
    fn synthesize<CS: ConstraintSystem<Scalar>>(self, cs: &mut CS) -> Result<(), SynthesisError> {
        let value = || self.number.ok_or(SynthesisError::AssignmentMissing);
        let public = cs.alloc_input(|| "public", || Ok(Scalar::from(value()?).square()))?;
        let whole = cs.alloc(|| "whole", || Ok(Scalar::from(value()?)))?;
        let mut bits = Vec::new();
        for i in 0..N_BITS {
            let bit = cs.alloc(|| "bit", || Ok(Scalar::from(value()? >> i & 1)))?;
            cs.enforce(|| "is a bit", |lc| lc + bit, |lc| lc + CS::one() - bit, |lc| lc);
            bits.push(bit);
        }
        cs.enforce(
            || "bits",
            |lc| bits.iter().enumerate().fold(lc, |lc, (i, bit)| lc + (Scalar::from(1 << i), *bit)),
            |lc| lc + CS::one(),
            |lc| lc + whole,
        );
        cs.enforce(|| "square", |lc| lc + whole, |lc| lc + whole, |lc| lc + public);
        Ok(())
    }
}

/// Parameters of a circuit in a directory; bellperson's own view of them.
fn make(dir: &Path) -> (std::path::PathBuf, Parameters<Bls12>) {
    let path = dir.join("test.params");
    let mut rng = XorShiftRng::from_seed([7; 16]);
    let never = AtomicBool::new(false);
    sealpipe_params::make(Bits::default(), &mut rng, &path, &|_| {}, &never).unwrap();
    let params = Parameters::read(&fs::read(&path).unwrap()[..], true).unwrap();
    (path, params)
}

fn circuit() -> Circuit {
    Circuit::from_blank(Bits::default(), &AtomicBool::new(false)).unwrap()
}

/// The order of a transform that leaves its result with the bits of the places turned around.
const REVERSED: Order = Order { id: 7, position: |lg, i| i.reverse_bits() >> (32 - lg) };

#[test]
fn proofs_are_bellpersons_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bellpersons) = make(dir.path());
    let circuit = circuit();
    assert!(circuit.variables.n_bits() as usize >= N_BITS, "{:?}", circuit.variables);
    let order = gpu::ORDER;
    let params = Kept::beside(&path, None).ensure(&circuit, order, &Watch::nobody()).unwrap();
    let mut rng = XorShiftRng::from_seed([9; 16]);
    let key = groth16::prepare_verifying_key(&bellpersons.vk);
    for number in [0, 1, 0x5a_1234_5678, (1 << N_BITS) - 1] {
        let blinding = Blinding { r: Scalar::random(&mut rng), s: Scalar::random(&mut rng) };
        let with_values = Bits { number: Some(number) };
        let expected =
            groth16::create_proof(with_values.clone(), &bellpersons, blinding.r, blinding.s)
                .unwrap();
        let straight = Straight::of(with_values).unwrap();
        let assignment = straight.assignment(&circuit.variables).unwrap();
        let mut book = Book { circuit: &circuit, params: &params, order };
        let sums = book.sums(&assignment, &Watch::nobody()).unwrap();
        let proof = assemble(&bellpersons.vk, &sums, blinding).unwrap();
        assert!(proof == expected, "{number}");
        let inputs = [Scalar::from(number).square()];
        assert!(groth16::verify_proof(&key, &proof, &inputs).unwrap(), "{number}");
    }
}

#[test]
fn a_device_has_the_sums_of_the_book() {
    let required = std::env::var_os("REQUIRE_GPU").is_some();
    let devices = match sealpipe_gpu::device::all() {
        Err(error) if !required => {
            println!("skipped: {error}");
            return;
        }
        devices => devices.unwrap(),
    };
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = make(dir.path());
    let circuit = circuit();
    let (order, watch) = (gpu::ORDER, Watch::nobody());
    let params = Kept::beside(&path, None).ensure(&circuit, order, &watch).unwrap();
    let mut device = gpu::prover::load(&devices[0], &circuit, params.clone(), &watch).unwrap();
    let mut book = Book { circuit: &circuit, params: &params, order };
    for number in [0, 1, 0x5a_1234_5678, (1 << N_BITS) - 1] {
        let straight = Straight::of(Bits { number: Some(number) }).unwrap();
        let assignment = straight.assignment(&circuit.variables).unwrap();
        let expected = book.sums(&assignment, &watch).unwrap();
        assert!(device.sums(&assignment, &watch).unwrap() == expected, "{number}");
    }
}

/// A device that computes wrong sums so many times.
struct Faulty<'a> {
    book: Book<'a>,
    faults: usize,
    calls: usize,
}

impl Prover for Faulty<'_> {
    fn name(&self) -> &str {
        "a faulty device"
    }

    fn sums(&mut self, assignment: &Assignment, watch: &Watch<'_>) -> Result<Sums, TaskError> {
        let mut sums = self.book.sums(assignment, watch)?;
        self.calls += 1;
        if self.calls <= self.faults {
            sums.l += sums.a;
        }
        Ok(sums)
    }
}

#[test]
fn a_proof_that_does_not_verify_is_made_again_once() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bellpersons) = make(dir.path());
    let circuit = circuit();
    let (order, watch) = (gpu::ORDER, Watch::nobody());
    let params = Kept::beside(&path, None).ensure(&circuit, order, &watch).unwrap();
    let keys = Keys::new(bellpersons.vk);
    let straight = Straight::of(Bits { number: Some(77) }).unwrap();
    let assignment = straight.assignment(&circuit.variables).unwrap();
    let prove = |faults, input: u64| {
        let book = Book { circuit: &circuit, params: &params, order };
        let mut device = Faulty { book, faults, calls: 0 };
        let proved = keys.prove(&mut device, &assignment, &[Scalar::from(input)], &watch);
        (proved.map(drop), device.calls)
    };
    assert_eq!(prove(0, 77 * 77), (Ok(()), 1));
    assert_eq!(prove(1, 77 * 77), (Ok(()), 2));
    for (faults, input) in [(2, 77 * 77), (0, 78)] {
        let (proved, calls) = prove(faults, input);
        let error = proved.unwrap_err();
        assert_eq!((error.known_code(), calls), (Some(Code::VerificationFailed), 2), "{error}");
        assert!(error.message.contains("a faulty device"), "{error}");
    }
}

#[test]
fn coefficients_in_another_order_have_their_points_in_that_order() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = make(dir.path());
    let circuit = circuit();
    let points = |order: Order| -> Vec<Vec<u8>> {
        let params = Kept::beside(&path, None).ensure(&circuit, order, &Watch::nobody()).unwrap();
        assert_eq!(params.header().order, order.id);
        let mut bytes = vec![0; params.len(Section::H) * 96];
        params.read_bytes(Section::H, 0, &mut bytes).unwrap();
        bytes.chunks_exact(96).map(<[u8]>::to_vec).collect()
    };
    let natural = points(Order::NATURAL);
    let reversed = points(REVERSED);
    let lg = natural.len().ilog2();
    for (i, point) in natural.iter().enumerate() {
        assert_eq!(*point, reversed[(REVERSED.position)(lg, i as u32) as usize], "{i}");
    }
    assert_eq!(natural.last().unwrap(), &[0; 96], "the last coefficient has no point");
}

#[test]
fn what_was_checked_is_not_read_again_and_what_changed_is() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = make(dir.path());
    let circuit = circuit();
    let ensure = || {
        let params = Kept::beside(&path, None).ensure(&circuit, Order::NATURAL, &Watch::nobody());
        params.map(|params| params.header().source)
    };
    let first = ensure().unwrap();
    let converted = path.with_extension("keys");
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let made = inode(&converted);
    assert_eq!((ensure().unwrap(), inode(&converted)), (first, made));
    // Touched and the same: the digest is taken again, and nothing is converted.
    fs::write(&path, fs::read(&path).unwrap()).unwrap();
    assert_eq!((ensure().unwrap(), inode(&converted)), (first, made));
    // Cut short, it is converted anew.
    let whole = fs::read(&converted).unwrap();
    fs::write(&converted, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(ensure().unwrap(), first);
    assert!(fs::read(&converted).unwrap() == whole);
    // A point that is none is refused.
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() - 1;
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = ensure().unwrap_err();
    assert_eq!(error.known_code(), Some(Code::ParametersMissing), "{error}");
    assert!(error.message.contains("no point at byte"), "{error}");
}

/// Set by [`STOPPING`].
static IS_OVER: AtomicBool = AtomicBool::new(false);

/// An order that is asked for while a conversion runs, and has it stopped.
const STOPPING: Order = Order {
    id: 8,
    position: |_, i| {
        IS_OVER.store(true, Ordering::Relaxed);
        i
    },
};

#[test]
fn a_conversion_that_is_stopped_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = make(dir.path());
    let names = || -> BTreeSet<_> {
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let before = names();
    let watch = Watch::nobody().until(&IS_OVER);
    let error = Kept::beside(&path, None).ensure(&circuit(), STOPPING, &watch).unwrap_err();
    assert_eq!(error.known_code(), Some(Code::Cancelled), "{error}");
    assert_eq!(names(), before);
}

#[test]
fn parameters_of_another_circuit_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = make(dir.path());
    let mut circuit = circuit();
    circuit.densities.a_aux[0] ^= 1;
    let error =
        Kept::beside(&path, None).ensure(&circuit, Order::NATURAL, &Watch::nobody()).unwrap_err();
    assert!(error.message.contains("points in a,"), "{error}");
}
