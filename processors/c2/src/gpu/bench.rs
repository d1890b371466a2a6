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
};

/// Runs that are measured, after one that is not.
const RUNS: u32 = 5;

/// Measures transforms and quotients, and hands each result to `print`.
///
/// # Errors
/// Whatever the driver says.
pub fn transforms(context: &Arc<Context>, print: &mut dyn FnMut(&Value)) -> Result<(), GpuError> {
    let mut bench =
        Bench { context, staging: Staging::new(context)?, stream: context.stream()?, print };
    for digits in [
        &[9, 9, 9][..],
        &[9, 9, 4],
        &[11, 11],
        &[8, 7, 7],
        &[9, 9, 6],
        &[8, 8, 8],
        &[9, 9, 2 + 1],
        &[10, 10],
        &[9, 11],
        &[11, 9],
        &[9, 9, 7, 3],
        &[10, 10, 8],
    ] {
        bench.transform(digits)?;
    }
    [22, 24, 27].iter().try_for_each(|lg_m| bench.quotient(*lg_m))
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

    fn quotient(&mut self, lg_m: u32) -> Result<(), GpuError> {
        let quotient = Quotient::new(self.context, &mut self.staging, lg_m)?;
        let (a, b, c) =
            (self.scalars(1 << lg_m)?, self.scalars(1 << lg_m)?, self.scalars(1 << lg_m)?);
        let ms = self.measure(|stream| quotient.run(stream, &a, &b, &c))?;
        (self.print)(&json!({"quotient": "h", "lg_m": lg_m, "ms": ms}));
        Ok(())
    }
}
