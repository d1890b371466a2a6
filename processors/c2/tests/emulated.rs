// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernels' own code on the host, compiled by the C++ compiler: what a machine without a GPU can test.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use blstrs::Scalar;
use ff::Field;
use sealpipe_c2::gpu::{
    element,
    ntt::plan::{self, Direction, Pass, Tables},
    rows::order::WARP,
};
use tempfile::TempDir;

mod reference;

use reference::{Product, Random, evaluate, lengths};

/// No address.
const NONE: u64 = u64::MAX;

/// The emulator, compiled once, in a directory that lives as long.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let compile = || {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("emulator");
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let compiled = Command::new(&compiler)
            .args(["-std=c++17", "-O2", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-I"])
            .arg(here.join("../gpu/cuda"))
            .arg("-o")
            .args([&program, &here.join("tests/emulator.cpp")])
            .output()
            .unwrap_or_else(|error| panic!("{compiler}: {error}; a C++ compiler is needed"));
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        (dir, program)
    };
    &PROGRAM.get_or_init(compile).1
}

/// Memory and launches of the emulated device.
#[derive(Default)]
struct Device {
    memory: Vec<u8>,
    n_launches: u64,
    launches: Vec<u8>,
}

impl Device {
    fn put(&mut self, bytes: &[u8]) -> u64 {
        let at = self.memory.len();
        self.memory.extend(bytes);
        self.memory.resize(self.memory.len().next_multiple_of(32), 0);
        at as u64
    }

    fn put_scalars(&mut self, scalars: &[Scalar]) -> u64 {
        if scalars.is_empty() { NONE } else { self.put(&element::to_bytes(scalars)) }
    }

    fn put_factors(&mut self, factors: &[Scalar]) -> u64 {
        if factors.is_empty() { NONE } else { self.put(&element::fixed_to_bytes(factors)) }
    }

    fn launch(&mut self, kernel: u64, blocks: u32, threads: u32, arguments: &[u64]) {
        self.n_launches += 1;
        let first = [kernel, blocks.into(), threads.into()];
        let arguments = arguments.iter().copied().chain(std::iter::repeat(NONE)).take(10);
        for word in first.into_iter().chain(arguments) {
            self.launches.extend(word.to_le_bytes());
        }
    }

    /// Runs the launches; the memory afterwards.
    fn run(self) -> Vec<u8> {
        let mut child =
            Command::new(program()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let length = self.memory.len() as u64;
        let parts = [
            &length.to_le_bytes()[..],
            &self.memory,
            &self.n_launches.to_le_bytes(),
            &self.launches,
        ]
        .concat();
        let writer = std::thread::spawn(move || input.write_all(&parts).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success());
        output.stdout
    }
}

struct Ntt {
    passes: Vec<Pass>,
    direction: Direction,
    constant: Scalar,
    scale: Scalar,
}

impl Ntt {
    fn launch(&self, device: &mut Device, data: u64, factor: u64, addend: u64) {
        let n = self.passes.len();
        for turn in 0..n {
            let (kernel, at) = match self.direction {
                Direction::Inverse => (0, turn),
                Direction::Forward => (1, n - 1 - turn),
            };
            let pass = &self.passes[at];
            let Tables { rounds, low, high } =
                pass.tables(self.direction, self.constant, self.scale);
            let [rounds, low, high] = [rounds, low, high].map(|table| device.put_factors(&table));
            let factor = if turn == 0 { factor } else { NONE };
            let addend = if turn == n - 1 { addend } else { NONE };
            let arguments = [data, data, factor, addend, rounds, low, high, pass.layout()];
            device.launch(kernel, pass.blocks(), pass.threads(), &arguments);
        }
    }
}

fn scalars(memory: &[u8], at: u64, n: usize) -> Vec<Scalar> {
    element::from_bytes(&memory[at as usize..][..n * element::BYTES])
}

fn reversed(coefficients: &[Scalar]) -> Vec<Scalar> {
    let bits = coefficients.len().ilog2();
    (0..coefficients.len() as u64).map(|i| coefficients[plan::reverse(i, bits) as usize]).collect()
}

/// Forward and inverse of given coefficients, in given digits, on a coset and off it.
fn check(digits: &[u32], coefficients: &[Scalar]) {
    let n = coefficients.len();
    let passes = plan::passes(digits);
    let n_inverse = Scalar::from(n as u64).invert().unwrap();
    for shift in [Scalar::ONE, Scalar::from(7)] {
        let values = evaluate(coefficients, shift);
        let mut device = Device::default();
        let forward = device.put_scalars(&reversed(coefficients));
        let inverse = device.put_scalars(&values);
        let direction = Direction::Forward;
        let to_values =
            Ntt { passes: passes.clone(), direction, constant: Scalar::ONE, scale: shift };
        to_values.launch(&mut device, forward, NONE, NONE);
        let (direction, scale) = (Direction::Inverse, shift.invert().unwrap());
        let back = Ntt { passes: passes.clone(), direction, constant: n_inverse, scale };
        back.launch(&mut device, inverse, NONE, NONE);
        let memory = device.run();
        assert_eq!(scalars(&memory, forward, n), values, "forward {digits:?}");
        assert_eq!(scalars(&memory, inverse, n), reversed(coefficients), "inverse {digits:?}");
    }
}

#[test]
fn transforms_of_every_small_size_are_those_of_the_definition() {
    let mut random = Random(1);
    for lg_n in 1..=13 {
        check(&plan::digits(lg_n), &random.scalars(1 << lg_n));
    }
}

#[test]
fn any_digits_give_the_same_transform() {
    let mut random = Random(2);
    for digits in
        [&[3, 3][..], &[6, 3, 4], &[4, 5, 3], &[8, 3], &[3, 9], &[7, 7], &[3, 10], &[5, 3, 3, 3]]
    {
        check(digits, &random.scalars(1 << digits.iter().sum::<u32>()));
    }
}

#[test]
fn special_inputs_are_transformed_as_any() {
    for lg_n in [1, 3, 9, 12] {
        let n = 1 << lg_n;
        let r_minus_1 = -Scalar::ONE;
        let mut sparse = vec![Scalar::ZERO; n];
        sparse[n / 2] = r_minus_1;
        for coefficients in
            [vec![Scalar::ZERO; n], vec![Scalar::ONE; n], vec![r_minus_1; n], sparse]
        {
            check(&plan::digits(lg_n), &coefficients);
        }
    }
}

#[test]
fn two_factors_do_what_one_table_does() {
    // The size of the table decides: 9 + 10 bits are the least that are split.
    let mut random = Random(3);
    check(&[9, 10], &random.scalars(1 << 19));
}

/// Threads of a block of the kernels of rows.
const ROWS_BLOCK: usize = 256;

#[test]
fn rows_are_multiplied_whatever_their_length() {
    let mut random = Random(4);
    for n in [1, 31, 32, 33, 1000] {
        let lengths = lengths(&mut random, n);
        let product = Product::random(&mut random, &lengths, 50, 3000);
        let ordered = product.rows().order();
        let mut device = Device::default();
        let out = device.put_scalars(&vec![-Scalar::ONE; n]);
        let mut put = |bytes: Vec<u8>| device.put(&bytes);
        let u32s = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let u64s = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let columns = put(u32s(&ordered.columns));
        let coefficients =
            put(ordered.coefficients.iter().flat_map(|word| word.to_le_bytes()).collect());
        let table = put(element::to_bytes(&product.table));
        let values = put(element::to_bytes(&product.z.values));
        let bits = put(u64s(&product.z.bits));
        let short = (put(u32s(&ordered.short_rows)), put(u64s(&ordered.slices)));
        let long = (put(u32s(&ordered.long_rows)), put(u64s(&ordered.begins)));
        let launches = [(2, short, ordered.slices.len()), (3, long, ordered.long_rows.len())];
        for (kernel, (rows, places), n) in launches {
            let n_values = product.z.values.len() as u64;
            let matrix = [out, rows, places, n as u64, columns, coefficients, table];
            let arguments = [&matrix[..], &[values, bits, n_values]].concat();
            let blocks = (n * WARP).div_ceil(ROWS_BLOCK) as u32;
            device.launch(kernel, blocks, ROWS_BLOCK as u32, &arguments);
        }
        let memory = device.run();
        assert_eq!(scalars(&memory, out, n), product.y(), "{n} rows");
    }
}

#[test]
fn scalars_are_gathered() {
    let mut random = Random(5);
    for n in [1, 32, 33, 255, 257, 1000] {
        let from = random.scalars(100);
        let indices: Vec<_> = (0..n).map(|_| random.word() as u32 % 100).collect();
        let mut device = Device::default();
        let out = device.put(&vec![0xff; n * element::BYTES]);
        let from_at = device.put_scalars(&from);
        let bytes: Vec<_> = indices.iter().flat_map(|index| index.to_le_bytes()).collect();
        let indices_at = device.put(&bytes);
        let blocks = n.div_ceil(ROWS_BLOCK) as u32;
        device.launch(4, blocks, ROWS_BLOCK as u32, &[out, from_at, indices_at, n as u64]);
        let memory = device.run();
        let expected: Vec<_> = indices.iter().map(|index| from[*index as usize]).collect();
        assert_eq!(scalars(&memory, out, n), expected);
    }
}
