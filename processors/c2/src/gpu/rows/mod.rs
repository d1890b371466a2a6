// SPDX-License-Identifier: MIT OR Apache-2.0

//! Products of a circuit's matrices and an assignment on the device, and scalars and bits picked by number.
//!
//! [`order`] sorts a matrix's rows for the device, `cuda/rows.cuh` computes.

pub mod order;

use std::sync::Arc;

use blstrs::Scalar;
use sealpipe_gpu::{
    GpuError,
    driver::{Argument, Context, DeviceMemory, Kernel, Staging, Stream, blocks},
};

use self::order::{Ordered, Rows};
use super::element;

/// `ROWS_BLOCK` of `cuda/rows.cuh`.
const BLOCK: u32 = 256;

/// The kernels of this part.
#[derive(Debug)]
pub struct RowKernels {
    short: Kernel,
    long: Kernel,
    gather_scalars: Kernel,
    gather_bits: Kernel,
}

/// A table of coefficients on the device; the first is one.
#[derive(Debug)]
pub struct Coefficients(DeviceMemory);

/// A matrix on the device.
#[derive(Debug)]
pub struct Matrix {
    n_rows: usize,
    n_slices: usize,
    n_long: usize,
    n_entries: usize,
    short_rows: DeviceMemory,
    slices: DeviceMemory,
    long_rows: DeviceMemory,
    begins: DeviceMemory,
    columns: DeviceMemory,
    coefficients: DeviceMemory,
}

/// An assignment on the device, split as [`Assignment`](crate::assignment::Assignment) is.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'m> {
    /// The values.
    pub values: &'m DeviceMemory,
    /// How many.
    pub n_values: usize,
    /// The bits, in words of 64.
    pub bits: &'m DeviceMemory,
}

impl Coefficients {
    /// Copies a table to the device.
    ///
    /// # Errors
    /// [`OutOfMemory`](sealpipe_gpu::Kind::OutOfMemory).
    pub fn new(
        context: &Arc<Context>,
        staging: &mut Staging,
        table: &[Scalar],
    ) -> Result<Self, GpuError> {
        Ok(Self(put(context, staging, &element::to_bytes(table))?))
    }
}

impl Matrix {
    /// Sorts a matrix and copies it to the device: 6 bytes an entry and 4 a row.
    ///
    /// # Errors
    /// [`OutOfMemory`](sealpipe_gpu::Kind::OutOfMemory).
    pub fn new(
        context: &Arc<Context>,
        staging: &mut Staging,
        rows: Rows<'_>,
    ) -> Result<Self, GpuError> {
        let Ordered { short_rows, slices, long_rows, begins, columns, coefficients } = rows.order();
        let mut put = |bytes: &[u8]| put(context, staging, bytes);
        Ok(Self {
            n_rows: rows.ends.len(),
            n_slices: slices.len(),
            n_long: long_rows.len(),
            n_entries: columns.len(),
            short_rows: put(&words(&short_rows, u32::to_le_bytes))?,
            slices: put(&words(&slices, u64::to_le_bytes))?,
            long_rows: put(&words(&long_rows, u32::to_le_bytes))?,
            begins: put(&words(&begins, u64::to_le_bytes))?,
            columns: put(&words(&columns, u32::to_le_bytes))?,
            coefficients: put(&words(&coefficients, u16::to_le_bytes))?,
        })
    }
}

impl RowKernels {
    /// Finds them in a context.
    ///
    /// # Errors
    /// [`Defect`](sealpipe_gpu::Kind::Defect) when the image lacks one.
    pub fn new(context: &Arc<Context>) -> Result<Self, GpuError> {
        Ok(Self {
            short: context.kernel("rows_short", 0)?,
            long: context.kernel("rows_long", 0)?,
            gather_scalars: context.kernel("gather_scalars", 0)?,
            gather_bits: context.kernel("gather_bits", 0)?,
        })
    }

    /// `out` = the matrix times the assignment, and zeros from the last row on until `n_out`. The matrix's
    /// columns and coefficients must be those of `z` and of `table`.
    ///
    /// # Errors
    /// [`Defect`](sealpipe_gpu::Kind::Defect) when `out` has no place for all rows,
    /// [`Lost`](sealpipe_gpu::Kind::Lost).
    pub fn multiply(
        &self,
        stream: &mut Stream,
        (out, n_out): (&DeviceMemory, usize),
        (matrix, table): (&Matrix, &Coefficients),
        z: Columns<'_>,
    ) -> Result<(), GpuError> {
        let rows_bytes = matrix.n_rows * element::BYTES;
        let rest = (n_out * element::BYTES).saturating_sub(rows_bytes);
        stream.fill(out, rows_bytes, rest, 0)?;
        let whole = |memory: &DeviceMemory| memory.range(0, memory.n_bytes());
        let of = |rows: &DeviceMemory, places: &DeviceMemory, n: usize| {
            Ok::<[Argument; 10], GpuError>([
                out.range(0, rows_bytes)?,
                whole(rows)?,
                whole(places)?,
                (n as u64).into(),
                matrix.columns.range(0, matrix.n_entries * 4)?,
                matrix.coefficients.range(0, matrix.n_entries * 2)?,
                whole(&table.0)?,
                z.values.range(0, z.n_values * element::BYTES)?,
                whole(z.bits)?,
                (z.n_values as u64).into(),
            ])
        };
        let warps = |n: usize| blocks((n * order::WARP) as u64, BLOCK);
        // The long ones first: the others fill up what they leave idle.
        if matrix.n_long > 0 {
            let mut arguments = of(&matrix.long_rows, &matrix.begins, matrix.n_long)?;
            stream.launch(&self.long, warps(matrix.n_long)?, BLOCK, &mut arguments)?;
        }
        if matrix.n_slices > 0 {
            let mut arguments = of(&matrix.short_rows, &matrix.slices, matrix.n_slices)?;
            stream.launch(&self.short, warps(matrix.n_slices)?, BLOCK, &mut arguments)?;
        }
        Ok(())
    }

    /// `out[i] = from[indices[i]]` for n scalars; the indices, 4 bytes each, must be inside of `from`.
    ///
    /// # Errors
    /// [`Defect`](sealpipe_gpu::Kind::Defect) for memory that is too short,
    /// [`Lost`](sealpipe_gpu::Kind::Lost).
    pub fn gather_scalars(
        &self,
        stream: &mut Stream,
        out: &DeviceMemory,
        from: &DeviceMemory,
        (indices, n): (&DeviceMemory, usize),
    ) -> Result<(), GpuError> {
        let out = out.range(0, n * element::BYTES)?;
        gather(stream, &self.gather_scalars, out, from, (indices, n))
    }

    /// Bit i of `out` = bit `indices[i]` of `from`, for n bits; both are words with the first bit lowest, and
    /// the last 32 bits of `out` that are begun are filled up with zeros.
    ///
    /// # Errors
    /// As [`gather_scalars`](Self::gather_scalars).
    pub fn gather_bits(
        &self,
        stream: &mut Stream,
        out: &DeviceMemory,
        from: &DeviceMemory,
        (indices, n): (&DeviceMemory, usize),
    ) -> Result<(), GpuError> {
        let out = out.range(0, n.div_ceil(32) * 4)?;
        gather(stream, &self.gather_bits, out, from, (indices, n))
    }
}

fn gather(
    stream: &mut Stream,
    kernel: &Kernel,
    out: Argument,
    from: &DeviceMemory,
    (indices, n): (&DeviceMemory, usize),
) -> Result<(), GpuError> {
    if n == 0 {
        return Ok(());
    }
    let from = from.range(0, from.n_bytes())?;
    let mut arguments = [out, from, indices.range(0, n * 4)?, (n as u64).into()];
    stream.launch(kernel, blocks(n as u64, BLOCK)?, BLOCK, &mut arguments)
}

fn words<const N: usize, T: Copy>(words: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    words.iter().flat_map(|word| bytes(*word)).collect()
}

fn put(
    context: &Arc<Context>,
    staging: &mut Staging,
    bytes: &[u8],
) -> Result<DeviceMemory, GpuError> {
    let memory = context.allocate(bytes.len())?;
    staging.upload(&memory, 0, bytes)?;
    Ok(memory)
}
