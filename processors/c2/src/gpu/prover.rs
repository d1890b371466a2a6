// SPDX-License-Identifier: MIT OR Apache-2.0

//! The prover on a device: parameters and matrices that stay there, and lanes that compute side by side.
//!
//! The sums do not depend on each other but through the witness, so each lane takes some of them: one the
//! rows, the quotient and its sum, one the second group, and the others what is left of the first.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use blstrs::{G1Projective, G2Projective};
use sealpipe_gpu::{
    GpuError, Kind,
    device::Device,
    driver::{Context, DeviceMemory, Staging, Stream},
};
use sealpipe_protocol::TaskError;

use super::{
    budget, element,
    lane::Lane,
    msm::At,
    points::{Curve, G1, G2},
    quotient::Quotient,
    rows::{Coefficients, Columns, Matrix, RowKernels, order::Rows},
    sections::Sections,
};
use crate::{
    assignment::{Assignment, Variables},
    circuit::{self, Circuit},
    params::{Params, Section},
    prove::{Prover, Sums},
    watch::Watch,
};

/// Lanes that compute sums.
const N_LANES: usize = 4;

/// What each lane has points of.
const POINTS: [&[Section]; N_LANES] = [
    &[Section::H],
    &[Section::LValues, Section::LBits],
    &[Section::AValues, Section::ABits, Section::B1Values, Section::B1Bits],
    &[Section::B2Values, Section::B2Bits],
];

/// Memory for intermediate results of a lane, at most, in bytes: beyond it no sum of 2^27 gets faster.
const MAX_WORKSPACE_BYTES: usize = 12 << 30;

/// What a lane gets before points do, in bytes.
const MIN_WORKSPACE_BYTES: usize = 1 << 30;

/// What each sum needs, in bytes: with less a sum of a test size would take many passes.
const LEAST_WORKSPACE_BYTES: usize = 16 << 20;

/// Room of a lane for points that do not stay, in bytes.
const PASSING_BYTES: usize = 256 << 20;

/// Loads what stays on a device.
///
/// # Errors
/// [`Kind::OutOfMemory`] when not even the matrices fit, with the device's name; what the disk and the driver
/// say, and a stop.
pub fn load(
    device: &Device,
    circuit: &Circuit,
    params: Params,
    watch: &Watch<'_>,
) -> Result<Box<dyn Prover>, TaskError> {
    let least_bytes = budget::least_bytes(circuit, &params);
    match OnDevice::load(device, circuit, params, least_bytes, watch) {
        Ok(loaded) => Ok(Box::new(loaded)),
        Err(error) => Err(budget::explained(error, device, least_bytes)),
    }
}

/// A device in use.
struct OnDevice {
    name: String,
    staging: Staging,
    /// The stream of what comes before the sums.
    stream: Stream,
    parts: Parts,
}

/// Everything that stays on the device, and the lanes that use it.
struct Parts {
    rows: RowKernels,
    /// A, B and C.
    matrices: [Matrix; 3],
    coefficients: Coefficients,
    quotient: Quotient,
    sections: Sections,
    witness: Witness,
    /// Values of the rows, A, B and C; of A later the quotient.
    row_values: [DeviceMemory; 3],
    /// The stream of rows and quotient.
    quotient_stream: Mutex<Stream>,
    lanes: [Mutex<Lane>; N_LANES],
}

/// Where a witness goes.
struct Witness {
    values: DeviceMemory,
    bits: DeviceMemory,
    n_bits: u64,
    n_inputs: usize,
    /// The values of A's and of B's columns.
    of_a: DeviceMemory,
    of_b: DeviceMemory,
}

impl OnDevice {
    fn load(
        device: &Device,
        circuit: &Circuit,
        params: Params,
        least_bytes: usize,
        watch: &Watch<'_>,
    ) -> Result<Self, TaskError> {
        let context = super::open(device)?;
        let budget = budget::budget(&context)?;
        // Before any is taken: it may be somebody else's.
        if budget < least_bytes {
            let text = format!("{budget} bytes may be used");
            return Err(GpuError::new(Kind::OutOfMemory, text).into());
        }
        let before = context.free_bytes()?;
        let mut staging = Staging::new(&context)?;
        let mut matrix = |matrix| put_matrix(&context, &mut staging, matrix, watch);
        let matrices = [matrix(&circuit.a)?, matrix(&circuit.b)?, matrix(&circuit.c)?];
        let coefficients = Coefficients::new(&context, &mut staging, &circuit.coefficients)?;
        let n_rows = circuit.n_constraints().next_power_of_two();
        let quotient = Quotient::new(&context, &mut staging, n_rows.ilog2())?;
        let allocate_rows = || context.allocate(n_rows * element::BYTES);
        let row_values = [allocate_rows()?, allocate_rows()?, allocate_rows()?];
        let witness = Witness::allocate(&context, &circuit.variables, &params)?;
        let wanted = wanted(&params);
        let left = |taken: usize| budget.saturating_sub(taken);
        let taken = before.saturating_sub(context.free_bytes()?);
        let least = |wanted: &usize| MIN_WORKSPACE_BYTES.min(*wanted) + PASSING_BYTES;
        let lists = Sections::list_bytes(&params, &circuit.variables);
        let for_points = left(taken + lists).saturating_sub(wanted.iter().map(least).sum());
        let sections = Sections::load(
            &context,
            &mut staging,
            params,
            (&circuit.variables, for_points),
            watch,
        )?;
        let taken = before.saturating_sub(context.free_bytes()?);
        let passing = POINTS.map(|points| sections.largest_streamed(points).min(PASSING_BYTES));
        let share = left(taken).saturating_sub(passing.iter().sum()) / N_LANES;
        if share < LEAST_WORKSPACE_BYTES {
            let text = format!("of {budget} bytes that may be used {share} are left to each sum");
            return Err(GpuError::new(Kind::OutOfMemory, text).into());
        }
        let lane = |which: usize| {
            let workspace = wanted[which].min(share).min(MAX_WORKSPACE_BYTES);
            Lane::new(&context, device, workspace, passing[which]).map(Mutex::new)
        };
        let parts = Parts {
            rows: RowKernels::new(&context)?,
            matrices,
            coefficients,
            quotient,
            lanes: [lane(0)?, lane(1)?, lane(2)?, lane(3)?],
            sections,
            witness,
            row_values,
            quotient_stream: Mutex::new(context.stream()?),
        };
        Ok(Self { name: device.name.clone(), staging, stream: context.stream()?, parts })
    }

    /// Brings a witness onto the device, and each query's values together.
    fn upload(&mut self, assignment: &Assignment) -> Result<(), GpuError> {
        let Parts { sections, rows, witness, .. } = &self.parts;
        let Witness { values, bits, of_a, of_b, .. } = witness;
        self.staging.upload(values, 0, &element::to_bytes(&assignment.values))?;
        let words: Vec<u8> = assignment.bits.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.staging.upload(bits, 0, &words)?;
        for (columns, to) in [(Section::AValueColumns, of_a), (Section::BValueColumns, of_b)] {
            let columns = (sections.at(columns)?.memory, sections.n(columns) as usize);
            rows.gather_scalars(&mut self.stream, to, values, columns)?;
        }
        self.stream.finish()
    }
}

/// Brings a matrix onto the device, unless there is a stop.
fn put_matrix(
    context: &Arc<Context>,
    staging: &mut Staging,
    circuit::Matrix { ends, columns, coefficients }: &circuit::Matrix,
    watch: &Watch<'_>,
) -> Result<Matrix, TaskError> {
    watch.check()?;
    Ok(Matrix::new(context, staging, Rows { ends, columns, coefficients })?)
}

/// Bytes of workspace with which each lane is fastest.
fn wanted(params: &Params) -> [usize; N_LANES] {
    let a_and_b = [Section::AValues, Section::B1Values];
    [
        Sections::wanted_bytes::<G1>(params, &[Section::H], &[]),
        Sections::wanted_bytes::<G1>(params, &[Section::LValues], &[Section::LBits]),
        Sections::wanted_bytes::<G1>(params, &a_and_b, &[Section::ABits, Section::B1Bits]),
        Sections::wanted_bytes::<G2>(params, &[Section::B2Values], &[Section::B2Bits]),
    ]
}

impl Parts {
    /// The sum over the quotient's coefficients.
    fn h(&self, watch: &Watch<'_>) -> Result<G1Projective, TaskError> {
        watch.timed("quotient", || self.quotient())?;
        // The last coefficient is zero and has no point.
        let points = (Section::H, self.sections.n(Section::H) - 1);
        let scalars = at(&self.row_values[0]);
        lock(&self.lanes[0]).multiply::<G1>(&self.sections, points, scalars, watch)
    }

    /// Leaves the quotient's coefficients in the place of A's rows.
    fn quotient(&self) -> Result<(), GpuError> {
        let [a, b, c] = &self.row_values;
        let witness = &self.witness;
        let mut stream = lock(&self.quotient_stream);
        let n_values = witness.values.n_bytes() / element::BYTES;
        let z = Columns { values: &witness.values, n_values, bits: &witness.bits };
        let n_rows = self.quotient.n_rows() as usize;
        for (values, matrix) in self.row_values.iter().zip(&self.matrices) {
            let matrix = (matrix, &self.coefficients);
            self.rows.multiply(&mut stream, (values, n_rows), matrix, z)?;
        }
        self.quotient.run(&mut stream, a, b, c)?;
        stream.finish()
    }

    /// The sum of a query: of its values and of its bits.
    fn query<C: Curve>(
        &self,
        lane: &mut Lane,
        (of_values, scalars): (Section, At<'_>),
        of_bits: (Section, At<'_>),
        watch: &Watch<'_>,
    ) -> Result<C::Point, TaskError> {
        let sections = &self.sections;
        let points = (of_values, sections.n(of_values));
        let values = lane.multiply::<C>(sections, points, scalars, watch)?;
        let bits = (at(&self.witness.bits), self.witness.n_bits);
        Ok(values + lane.sum_of_bits::<C>(sections, of_bits, bits, watch)?)
    }

    fn l(&self, watch: &Watch<'_>) -> Result<G1Projective, TaskError> {
        let offset = self.witness.n_inputs * element::BYTES;
        let values = (Section::LValues, At { memory: &self.witness.values, offset });
        let bits = (Section::LBits, at(&self.sections.all_bits));
        self.query::<G1>(&mut lock(&self.lanes[1]), values, bits, watch)
    }

    fn a_and_b(&self, watch: &Watch<'_>) -> Result<(G1Projective, G1Projective), TaskError> {
        let mut lane = lock(&self.lanes[2]);
        let bits = (Section::ABits, self.sections.at(Section::ABitNumbers)?);
        let values = (Section::AValues, at(&self.witness.of_a));
        let a = self.query::<G1>(&mut lane, values, bits, watch)?;
        let bits = (Section::B1Bits, self.sections.at(Section::BBitNumbers)?);
        let values = (Section::B1Values, at(&self.witness.of_b));
        Ok((a, self.query::<G1>(&mut lane, values, bits, watch)?))
    }

    fn b_g2(&self, watch: &Watch<'_>) -> Result<G2Projective, TaskError> {
        let bits = (Section::B2Bits, self.sections.at(Section::BBitNumbers)?);
        let values = (Section::B2Values, at(&self.witness.of_b));
        self.query::<G2>(&mut lock(&self.lanes[3]), values, bits, watch)
    }
}

impl Prover for OnDevice {
    fn name(&self) -> &str {
        &self.name
    }

    fn sums(&mut self, assignment: &Assignment, watch: &Watch<'_>) -> Result<Sums, TaskError> {
        watch.timed("upload", || self.upload(assignment))?;
        watch.check()?;
        let this = &self.parts;
        thread::scope(|scope| {
            let h = scope.spawn(|| watch.timed("h", || this.h(watch)));
            let l = scope.spawn(|| watch.timed("l", || this.l(watch)));
            let a_and_b = scope.spawn(|| watch.timed("a and b_g1", || this.a_and_b(watch)));
            let b_g2 = scope.spawn(|| watch.timed("b_g2", || this.b_g2(watch)));
            // All are waited for, whatever the first of them says.
            let (h, l, a_and_b, b_g2) = (joined(h), joined(l), joined(a_and_b), joined(b_g2));
            let (a, b_g1) = a_and_b?;
            Ok(Sums { h: h?, l: l?, a, b_g1, b_g2: b_g2? })
        })
    }
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T, TaskError>>) -> Result<T, TaskError> {
    let panicked = |_| Err(GpuError::new(Kind::Defect, "a lane panicked").into());
    thread.join().unwrap_or_else(panicked)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn at(memory: &DeviceMemory) -> At<'_> {
    At { memory, offset: 0 }
}

impl Witness {
    fn allocate(
        context: &Arc<Context>,
        variables: &Variables,
        params: &Params,
    ) -> Result<Self, GpuError> {
        let scalars = |n: usize| context.allocate(n * element::BYTES);
        let n_bits = u64::from(variables.n_bits());
        Ok(Self {
            values: scalars(variables.n_values() as usize)?,
            bits: context.allocate(n_bits.div_ceil(64) as usize * 8)?,
            n_bits,
            n_inputs: variables.n_inputs as usize,
            of_a: scalars(params.len(Section::AValues))?,
            of_b: scalars(params.len(Section::B1Values))?,
        })
    }
}
