// SPDX-License-Identifier: MIT OR Apache-2.0

//! Measurements of what runs on the device, by its own clock. One JSON object a line.

use std::sync::Arc;

use blstrs::Scalar;
use sealpipe_gpu::{
    GpuError,
    driver::{Context, DeviceMemory, Staging, Stream},
};
use serde_json::{Value, json};

use super::{
    element,
    ntt::{Fused, Ntt},
    quotient::Quotient,
    rows::{Coefficients, Columns, Matrix, RowKernels, order::Rows},
};

/// Runs that are measured, after one that is not.
const RUNS: u32 = 5;

/// What is measured when nothing is asked for: the digits of transforms.
const DIGITS: &[&[u32]] = &[
    &[10, 10],
    &[9, 8, 3],
    &[11, 11],
    &[9, 9, 4],
    &[8, 7, 7],
    &[9, 9, 6],
    &[8, 8, 8],
    &[9, 9, 9],
    &[10, 10, 7],
    &[10, 10, 8],
];

/// Measures transforms of given digits, or, without any, those of several sizes, products of matrices and
/// quotients, and hands each result to `print`.
///
/// # Errors
/// Whatever the driver says; [`Kind::Defect`](sealpipe_gpu::Kind::Defect) for digits that no pass can have.
pub fn run(
    context: &Arc<Context>,
    digits: &[Vec<u32>],
    print: &mut dyn FnMut(&Value),
) -> Result<(), GpuError> {
    let staging = Staging::new(context)?;
    let mut bench = Bench { context, staging, stream: context.stream()?, print };
    if !digits.is_empty() {
        return digits.iter().try_for_each(|digits| bench.transform(digits));
    }
    DIGITS.iter().try_for_each(|digits| bench.transform(digits))?;
    bench.rows()?;
    [22, 24, 27].iter().try_for_each(|lg_m| bench.quotient(*lg_m))
}

/// Rows, columns that are values and columns that are bits of a made-up circuit, as many as a 2 KiB sector has.
const N_ROWS: usize = 2_687_961;
const N_VALUES: usize = 43_000;
const N_BITS: usize = 2_640_000;

/// The lengths of row i of A, B and C: mostly sums of two bits, one and the other bit, and one in 64 the sum of
/// a word's bits.
fn lengths(i: usize) -> [usize; 3] {
    match i % 64 {
        0 => [160, 1, 0],
        1..=9 => [1, 1, 0],
        n if n % 2 == 0 => [1, 1, 2],
        _ => [2, 2, 3],
    }
}

struct Bench<'c> {
    context: &'c Arc<Context>,
    staging: Staging,
    stream: Stream,
    print: &'c mut dyn FnMut(&Value),
}

impl Bench<'_> {
    /// Milliseconds of a run, the median.
    fn measure(
        &mut self,
        mut run: impl FnMut(&mut Stream) -> Result<(), GpuError>,
    ) -> Result<f32, GpuError> {
        let (before, after) = (self.context.event()?, self.context.event()?);
        let mut times = Vec::new();
        for i in 0..=RUNS {
            self.stream.record(&before)?;
            run(&mut self.stream)?;
            self.stream.record(&after)?;
            self.stream.finish()?;
            if i > 0 {
                times.push(after.ms_since(&before)?);
            }
        }
        times.sort_by(f32::total_cmp);
        Ok(times[times.len() / 2])
    }

    /// Memory of n scalars: numbers below r, all different. Their values do not change the time.
    fn scalars(&mut self, n: u64) -> Result<DeviceMemory, GpuError> {
        const PART: u64 = 1 << 16;
        let part: Vec<_> = (1..=PART.min(n)).map(|i| Scalar::from(i << 40 | i)).collect();
        let part = element::to_bytes(&part);
        let memory = self.context.allocate(n as usize * element::BYTES)?;
        for at in 0..n.div_ceil(PART) {
            self.staging.upload(&memory, at as usize * part.len(), &part)?;
        }
        Ok(memory)
    }

    fn transform(&mut self, digits: &[u32]) -> Result<(), GpuError> {
        let ntt = Ntt::with_digits(self.context, digits)?;
        let data = self.scalars(ntt.n())?;
        let one = Scalar::from(1);
        for (name, transform) in [
            ("inverse", ntt.interpolate(&mut self.staging, one)?),
            ("forward", ntt.evaluate(&mut self.staging, one)?),
            ("inverse from coset", ntt.interpolate(&mut self.staging, Scalar::from(7))?),
        ] {
            let ms = self.measure(|stream| ntt.run(stream, &transform, &data, Fused::default()))?;
            let lg_n = ntt.n().ilog2();
            (self.print)(&json!({"ntt": name, "lg_n": lg_n, "digits": digits, "ms": ms}));
        }
        Ok(())
    }

    /// All three matrices of a made-up circuit.
    fn rows(&mut self) -> Result<(), GpuError> {
        let kernels = RowKernels::new(self.context)?;
        let table: Vec<_> = (0..64).map(|i| Scalar::from(1 << (i % 63))).collect();
        let table = Coefficients::new(self.context, &mut self.staging, &table)?;
        let (mut matrices, mut n_entries) = (Vec::new(), 0);
        for which in 0..3 {
            let (mut ends, mut columns, mut coefficients) = (Vec::new(), Vec::new(), Vec::new());
            for i in 0..N_ROWS {
                for j in 0..lengths(i)[which] {
                    // One in 50 is a value; bits are near those of the rows before.
                    let (place, is_value) = (7 * i + 11 * j, (i + j) % 50 == 7);
                    let value = place % N_VALUES;
                    let bit = N_VALUES + (i + 31 * j + 13 * which) % N_BITS;
                    columns.push(if is_value { value } else { bit } as u32);
                    coefficients.push(if j > 2 { j % 64 } else { 0 } as u16);
                }
                ends.push(columns.len() as u32);
            }
            n_entries += columns.len();
            let rows = Rows { ends: &ends, columns: &columns, coefficients: &coefficients };
            matrices.push(Matrix::new(self.context, &mut self.staging, rows)?);
        }
        let values = self.scalars(N_VALUES as u64)?;
        let bits = vec![0x5a; N_BITS.next_multiple_of(64) / 8];
        let on_device = self.context.allocate(bits.len())?;
        self.staging.upload(&on_device, 0, &bits)?;
        let z = Columns { values: &values, n_values: N_VALUES, bits: &on_device };
        let n_out = N_ROWS.next_power_of_two();
        let out = self.context.allocate(n_out * element::BYTES)?;
        let all = self.measure(|stream| {
            let each = |matrix| kernels.multiply(stream, (&out, n_out), (matrix, &table), z);
            matrices.iter().try_for_each(each)
        })?;
        (self.print)(
            &json!({"rows": "A, B and C", "n_rows": N_ROWS, "entries": n_entries, "ms": all}),
        );
        for (name, matrix) in ["A", "B", "C"].iter().zip(&matrices) {
            let ms = self
                .measure(|stream| kernels.multiply(stream, (&out, n_out), (matrix, &table), z))?;
            (self.print)(&json!({"rows": name, "ms": ms}));
        }
        Ok(())
    }

    fn quotient(&mut self, lg_m: u32) -> Result<(), GpuError> {
        let quotient = Quotient::new(self.context, &mut self.staging, lg_m)?;
        let (a, b, c) =
            (self.scalars(1 << lg_m)?, self.scalars(1 << lg_m)?, self.scalars(1 << lg_m)?);
        let ms = self.measure(|stream| quotient.run(stream, &a, &b, &c))?;
        (self.print)(&json!({"quotient": "h", "lg_m": lg_m, "ms": ms}));
        Ok(())
    }
}
