// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the device computes, against the CPU. Skipped, loudly, where there is no GPU; `REQUIRE_GPU=1` makes
//! that a failure.

use std::sync::Arc;

use blstrs::Scalar;
use ff::Field;
use sealpipe_c2::gpu::{
    self, element,
    ntt::{Fused, Ntt, plan},
    quotient::Quotient,
    rows::{Coefficients, Columns, Matrix, RowKernels},
};
use sealpipe_gpu::{
    device,
    driver::{Context, DeviceMemory, Staging, Stream},
};

mod reference;

use reference::{Product, Random, evaluate, interpolate, lengths};

/// The first GPU, in use.
struct Gpu {
    context: Arc<Context>,
    staging: Staging,
    stream: Stream,
}

impl Gpu {
    fn open() -> Option<Self> {
        let devices = match device::all() {
            Ok(devices) => devices,
            Err(error) => {
                assert!(std::env::var_os("REQUIRE_GPU").is_none(), "{error}");
                eprintln!("SKIPPED: {error}");
                return None;
            }
        };
        let context = gpu::open(&devices[0]).unwrap();
        let staging = Staging::new(&context).unwrap();
        let stream = context.stream().unwrap();
        Some(Self { context, staging, stream })
    }

    fn put_bytes(&mut self, bytes: &[u8]) -> DeviceMemory {
        let memory = self.context.allocate(bytes.len()).unwrap();
        self.staging.upload(&memory, 0, bytes).unwrap();
        memory
    }

    fn put(&mut self, scalars: &[Scalar]) -> DeviceMemory {
        self.put_bytes(&element::to_bytes(scalars))
    }

    fn get_bytes(&mut self, memory: &DeviceMemory) -> Vec<u8> {
        self.stream.finish().unwrap();
        let mut bytes = vec![0; memory.n_bytes()];
        self.staging.download(&mut bytes, memory, 0).unwrap();
        bytes
    }

    fn get(&mut self, memory: &DeviceMemory) -> Vec<Scalar> {
        element::from_bytes(&self.get_bytes(memory))
    }
}

fn reversed(coefficients: &[Scalar]) -> Vec<Scalar> {
    let bits = coefficients.len().ilog2();
    let at = |i| coefficients[plan::reverse(i, bits) as usize];
    (0..coefficients.len() as u64).map(at).collect()
}

/// All zero, all one, all -1, one that is not zero, two that alternate, and random ones.
fn inputs(random: &mut Random, n: usize) -> Vec<Vec<Scalar>> {
    let mut sparse = vec![Scalar::ZERO; n];
    sparse[random.word() as usize % n] = -Scalar::ONE;
    let two = random.scalars(2);
    let repeated = (0..n).map(|i| two[i % 2]).collect();
    let same = |scalar| vec![scalar; n];
    let ones = [Scalar::ZERO, Scalar::ONE, -Scalar::ONE].map(same);
    ones.into_iter().chain([sparse, repeated, random.scalars(n)]).collect()
}

fn check_transform(gpu: &mut Gpu, ntt: &Ntt, coefficients: &[Scalar], shift: Scalar) {
    let values = evaluate(coefficients, shift);
    let to_values = ntt.evaluate(&mut gpu.staging, shift).unwrap();
    let data = gpu.put(&reversed(coefficients));
    ntt.run(&mut gpu.stream, &to_values, &data, Fused::default()).unwrap();
    assert!(gpu.get(&data) == values, "forward, {} values, {ntt:?}", values.len());
    let scale = shift.invert().unwrap();
    let to_coefficients = ntt.interpolate(&mut gpu.staging, scale).unwrap();
    ntt.run(&mut gpu.stream, &to_coefficients, &data, Fused::default()).unwrap();
    let found = gpu.get(&data);
    assert!(found == reversed(coefficients), "inverse, {} values, {ntt:?}", values.len());
    let at = |k| found[ntt.position(k) as usize];
    assert!((0..coefficients.len() as u64).map(at).eq(coefficients.iter().copied()));
}

#[test]
fn transforms_of_every_size_are_those_of_the_cpu() {
    let Some(mut gpu) = Gpu::open() else { return };
    let mut random = Random(1);
    for lg_n in 1..=20 {
        let ntt = Ntt::new(&gpu.context, lg_n).unwrap();
        let all = inputs(&mut random, 1 << lg_n);
        // Only the last for the large ones: the CPU takes its time.
        let from = if lg_n <= 14 { 0 } else { all.len() - 1 };
        for coefficients in &all[from..] {
            for shift in [Scalar::ONE, Scalar::from(7)] {
                check_transform(&mut gpu, &ntt, coefficients, shift);
            }
        }
    }
}

#[test]
fn any_digits_give_the_same_transform() {
    let Some(mut gpu) = Gpu::open() else { return };
    let mut random = Random(2);
    for digits in [&[11, 9][..], &[9, 3, 3, 3], &[7, 7, 6], &[10, 6], &[4, 5, 8]] {
        let ntt = Ntt::with_digits(&gpu.context, digits).unwrap();
        let coefficients = random.scalars(ntt.n() as usize);
        check_transform(&mut gpu, &ntt, &coefficients, Scalar::from(7));
    }
}

#[test]
fn digits_that_no_block_can_do_are_refused() {
    let Some(gpu) = Gpu::open() else { return };
    for digits in [&[12][..], &[2, 9], &[], &[11, 11, 11]] {
        assert!(Ntt::with_digits(&gpu.context, digits).is_err(), "{digits:?}");
    }
}

/// As bellperson does it: on the coset, divided there, and back.
fn quotient(a: &[Scalar], b: &[Scalar], c: &[Scalar]) -> Vec<Scalar> {
    let shift = Scalar::from(7);
    let on_coset = |values: &[Scalar]| evaluate(&interpolate(values, Scalar::ONE), shift);
    let (a, b, c) = (on_coset(a), on_coset(b), on_coset(c));
    let vanishing = shift.pow_vartime([a.len() as u64]) - Scalar::ONE;
    let inverse = vanishing.invert().unwrap();
    let values: Vec<_> =
        a.iter().zip(&b).zip(&c).map(|((a, b), c)| (a * b - c) * inverse).collect();
    interpolate(&values, shift)
}

#[test]
fn quotients_are_those_of_the_cpu() {
    let Some(mut gpu) = Gpu::open() else { return };
    let mut random = Random(3);
    for lg_m in (1..=14).chain([17, 19]) {
        let m = 1 << lg_m;
        let quotients = Quotient::new(&gpu.context, &mut gpu.staging, lg_m).unwrap();
        let all = inputs(&mut random, m);
        let last = all.len() - 1;
        let mut cases = vec![(&all[last], &all[last - 1], &all[last - 2])];
        if lg_m <= 10 {
            cases.extend((0..last).map(|i| (&all[i], &all[(i + 1) % last], &all[(i + 3) % last])));
        }
        for (a, b, c) in cases {
            let expected = reversed(&quotient(a, b, c));
            let [a, b, c] = [a, b, c].map(|values| gpu.put(values));
            quotients.run(&mut gpu.stream, &a, &b, &c).unwrap();
            assert!(gpu.get(&a) == expected, "2^{lg_m} rows");
        }
    }
}

#[test]
fn rows_are_multiplied_whatever_their_length() {
    let Some(mut gpu) = Gpu::open() else { return };
    let kernels = RowKernels::new(&gpu.context).unwrap();
    let mut random = Random(4);
    for (n, n_out) in [(1, 2), (33, 64), (1 << 12, 1 << 12), (100_000, 1 << 17)] {
        let lengths = lengths(&mut random, n);
        let product = Product::random(&mut random, &lengths, 1000, 100_000);
        let matrix = Matrix::new(&gpu.context, &mut gpu.staging, product.rows()).unwrap();
        let table = Coefficients::new(&gpu.context, &mut gpu.staging, &product.table).unwrap();
        let out = gpu.put(&vec![-Scalar::ONE; n_out]);
        let values = gpu.put(&product.z.values);
        let bits: Vec<_> = product.z.bits.iter().flat_map(|word| word.to_le_bytes()).collect();
        let bits = gpu.put_bytes(&bits);
        let z = Columns { values: &values, n_values: product.z.values.len(), bits: &bits };
        kernels.multiply(&mut gpu.stream, (&out, n_out), (&matrix, &table), z).unwrap();
        let mut expected = product.y();
        expected.resize(n_out, Scalar::ZERO);
        assert!(gpu.get(&out) == expected, "{n} rows");
    }
}

#[test]
fn scalars_are_gathered() {
    let Some(mut gpu) = Gpu::open() else { return };
    let kernels = RowKernels::new(&gpu.context).unwrap();
    let mut random = Random(5);
    let from = random.scalars(6400);
    let from_memory = gpu.put(&from);
    for n in [1, 64, 255, 100_000] {
        let indices: Vec<_> = (0..n).map(|_| random.word() as u32 % 6400).collect();
        let bytes: Vec<_> = indices.iter().flat_map(|index| index.to_le_bytes()).collect();
        let at = gpu.put_bytes(&bytes);
        let out = gpu.context.allocate(n * element::BYTES).unwrap();
        kernels.gather_scalars(&mut gpu.stream, &out, &from_memory, (&at, n)).unwrap();
        let expected: Vec<_> = indices.iter().map(|index| from[*index as usize]).collect();
        assert!(gpu.get(&out) == expected, "{n} scalars");
    }
}
