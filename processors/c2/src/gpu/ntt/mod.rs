// SPDX-License-Identifier: MIT OR Apache-2.0

//! Transforms of a device's scalars, in place.
//!
//! [`plan`] is the arithmetic of passes and tables, `cuda/ntt.cuh` computes.

pub mod plan;

use std::sync::Arc;

use blstrs::Scalar;
use ff::Field;
use sealpipe_gpu::{
    GpuError, Kind,
    driver::{Argument, Context, DeviceMemory, Kernel, Staging, Stream},
};

use self::plan::{Direction, Pass, Tables};
use super::element;

/// Transforms of one size on one device.
#[derive(Debug)]
pub struct Ntt {
    context: Arc<Context>,
    inverse: Kernel,
    forward: Kernel,
    passes: Vec<Pass>,
    lg_n: u32,
}

/// A transform with its tables on the device.
#[derive(Debug)]
pub struct Transform {
    direction: Direction,
    memory: DeviceMemory,
    /// In the order of [`Direction::Inverse`].
    passes: Vec<(Pass, [Place; 3])>,
}

/// Where a table is in a [`Transform`]'s memory, first byte and bytes; nowhere if it is empty.
type Place = Option<(usize, usize)>;

/// What a transform reads and writes besides the elements that it works on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fused<'m> {
    /// The elements are multiplied by these first; of [`Direction::Inverse`] only.
    pub factor: Option<&'m DeviceMemory>,
    /// These are added to the result, in its order.
    pub addend: Option<&'m DeviceMemory>,
}

impl Ntt {
    /// Transforms of 2^`lg_n` elements, 1 to 32.
    ///
    /// # Errors
    /// [`Kind::Defect`] for another size; whatever the driver says.
    pub fn new(context: &Arc<Context>, lg_n: u32) -> Result<Self, GpuError> {
        Self::with_digits(context, &plan::digits(lg_n))
    }

    /// The same, in given passes: to be measured.
    ///
    /// # Errors
    /// [`Kind::Defect`] for digits that a pass cannot have; whatever the driver says.
    pub fn with_digits(context: &Arc<Context>, digits: &[u32]) -> Result<Self, GpuError> {
        let lg_n: u32 = digits.iter().sum();
        let least = if lg_n < 3 { 1 } else { 3 };
        let fits = digits.iter().all(|digit| (least..=plan::MAX_LG_RADIX).contains(digit));
        if !fits || !(1..=32).contains(&lg_n) {
            return Err(GpuError::new(Kind::Defect, format!("a transform of digits {digits:?}")));
        }
        let passes = plan::passes(digits);
        let lg_tile = passes.iter().map(Pass::lg_tile).max().unwrap_or(0);
        let shared_bytes = (element::BYTES as u32) << lg_tile;
        Ok(Self {
            inverse: context.kernel("ntt_inverse", shared_bytes)?,
            forward: context.kernel("ntt_forward", shared_bytes)?,
            context: Arc::clone(context),
            passes,
            lg_n,
        })
    }

    /// Elements.
    pub fn n(&self) -> u64 {
        1 << self.lg_n
    }

    /// Where coefficient `k` is: `k` with its bits reversed.
    pub fn position(&self, k: u64) -> u64 {
        plan::reverse(k, self.lg_n)
    }

    /// The transform that multiplies coefficient `k` by `constant * scale^k`: of the results of
    /// [`Direction::Inverse`], where the customary constant is 1 / n; of what [`Direction::Forward`] reads,
    /// where it is one.
    ///
    /// # Errors
    /// [`Kind::OutOfMemory`].
    pub fn transform(
        &self,
        staging: &mut Staging,
        direction: Direction,
        constant: Scalar,
        scale: Scalar,
    ) -> Result<Transform, GpuError> {
        let (mut bytes, mut passes) = (Vec::new(), Vec::new());
        for pass in &self.passes {
            let Tables { rounds, low, high } = pass.tables(direction, constant, scale);
            let places = [rounds, low, high].map(|table| {
                let at = (bytes.len(), table.len() * element::FIXED_BYTES);
                bytes.extend(element::fixed_to_bytes(&table));
                (!table.is_empty()).then_some(at)
            });
            passes.push((*pass, places));
        }
        let memory = self.context.allocate(bytes.len())?;
        staging.upload(&memory, 0, &bytes)?;
        Ok(Transform { direction, memory, passes })
    }

    /// Evaluations to coefficients, divided by n.
    ///
    /// # Errors
    /// As [`transform`](Self::transform).
    pub fn interpolate(&self, staging: &mut Staging, scale: Scalar) -> Result<Transform, GpuError> {
        let n_inverse = Scalar::from(self.n()).invert().unwrap_or(Scalar::ONE);
        self.transform(staging, Direction::Inverse, n_inverse, scale)
    }

    /// Coefficients to evaluations at `scale` times the powers of the root.
    ///
    /// # Errors
    /// As [`transform`](Self::transform).
    pub fn evaluate(&self, staging: &mut Staging, scale: Scalar) -> Result<Transform, GpuError> {
        self.transform(staging, Direction::Forward, Scalar::ONE, scale)
    }

    /// Transforms the first n elements of `data`.
    ///
    /// # Errors
    /// [`Kind::Defect`] when there are fewer, [`Kind::Lost`].
    pub fn run(
        &self,
        stream: &mut Stream,
        transform: &Transform,
        data: &DeviceMemory,
        fused: Fused<'_>,
    ) -> Result<(), GpuError> {
        let (kernel, is_inverse) = match transform.direction {
            Direction::Inverse => (&self.inverse, true),
            Direction::Forward => (&self.forward, false),
        };
        if !is_inverse && fused.factor.is_some() {
            return Err(GpuError::new(Kind::Defect, "a factor of what forward reads"));
        }
        let n_bytes = element::BYTES << self.lg_n;
        let null = Argument::from(0);
        let optional = |memory: Option<&DeviceMemory>| {
            memory.map_or(Ok(null), |memory| memory.range(0, n_bytes))
        };
        let (data, factor) = (data.range(0, n_bytes)?, optional(fused.factor)?);
        let addend = optional(fused.addend)?;
        let n = transform.passes.len();
        for turn in 0..n {
            let (pass, tables) = &transform.passes[if is_inverse { turn } else { n - 1 - turn }];
            let table = |which: usize| {
                let range = |(at, bytes)| transform.memory.range(at, bytes);
                tables[which].map_or(Ok(null), range)
            };
            let mut arguments = [
                data,
                data,
                if turn == 0 { factor } else { null },
                if turn == n - 1 { addend } else { null },
                table(0)?,
                table(1)?,
                table(2)?,
                pass.layout().into(),
            ];
            stream.launch(kernel, pass.blocks(), pass.threads(), &mut arguments)?;
        }
        Ok(())
    }
}
