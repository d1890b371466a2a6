// SPDX-License-Identifier: MIT OR Apache-2.0

//! The prover on a device: parameters and matrices that stay there, and lanes that compute side by side.
//!
//! The sums do not depend on each other but through the witness, so each lane takes some of them: one the
//! rows, the quotient and its sum, one the second group, and the others what is left of the first. A lane has
//! a stream, and the thread that queues its work waits for nobody else's.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use blstrs::{G1Projective, G2Projective};
use group::Group as _;
use sealpipe_gpu::{
    GpuError, Kind,
    device::Device,
    driver::{Context, DeviceMemory, Staging, Stream},
};
use sealpipe_protocol::TaskError;

use super::{
    element,
    msm::{At, Msm, SCALAR_BYTES, Workspace},
    points::{Curve, G1, G2},
    quotient::Quotient,
    rows::{Coefficients, Columns, Matrix, RowKernels, order::Rows},
};
use crate::{
    assignment::Assignment,
    circuit::{self, Circuit},
    params::{Params, Section},
    prove::{Prover, Sums},
    watch::Watch,
};

/// Lanes that compute sums.
const N_LANES: usize = 4;

/// Memory for intermediate results of a lane, at most, in bytes: beyond it no sum of 2^27 gets faster.
const MAX_WORKSPACE_BYTES: usize = 12 << 30;

/// What is left to the driver and to others, in bytes.
const RESERVE_BYTES: usize = 256 << 20;

/// Bytes of parameters that are read and copied at a time.
const LOAD_BYTES: usize = 64 << 20;

/// Loads what stays on a device.
///
/// # Errors
/// [`Kind::OutOfMemory`] when the parameters do not fit, what the disk and the driver say, and a stop.
pub fn load(
    device: &Device,
    circuit: &Circuit,
    params: &Params,
    watch: &Watch<'_>,
) -> Result<Box<dyn Prover>, TaskError> {
    Ok(Box::new(OnDevice::load(device, circuit, params, watch)?))
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

/// The points and indices of the parameters.
struct Sections {
    memory: Vec<DeviceMemory>,
    counts: Vec<u64>,
    /// All bits, in order: the indices of L's.
    all_bits: DeviceMemory,
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

/// One of those that compute sums side by side.
struct Lane {
    msm: Msm,
    workspace: DeviceMemory,
}

impl OnDevice {
    fn load(
        device: &Device,
        circuit: &Circuit,
        params: &Params,
        watch: &Watch<'_>,
    ) -> Result<Self, TaskError> {
        let context = super::open(device)?;
        let mut staging = Staging::new(&context)?;
        let sections = Sections::load(&context, &mut staging, circuit, params, watch)?;
        let mut matrix = |matrix: &circuit::Matrix| {
            let circuit::Matrix { ends, columns, coefficients } = matrix;
            Matrix::new(&context, &mut staging, Rows { ends, columns, coefficients })
        };
        let matrices = [matrix(&circuit.a)?, matrix(&circuit.b)?, matrix(&circuit.c)?];
        let coefficients = Coefficients::new(&context, &mut staging, &circuit.coefficients)?;
        let n_rows = circuit.n_constraints().next_power_of_two();
        let quotient = Quotient::new(&context, &mut staging, n_rows.ilog2())?;
        let allocate_rows = || context.allocate(n_rows * element::BYTES);
        let row_values = [allocate_rows()?, allocate_rows()?, allocate_rows()?];
        let witness = Witness::allocate(&context, circuit, &sections)?;
        let share = context.free_bytes()?.saturating_sub(RESERVE_BYTES) / N_LANES;
        let lane = |wanted: usize| -> Result<_, GpuError> {
            let bytes = wanted.min(share).min(MAX_WORKSPACE_BYTES);
            let workspace = context.allocate(bytes)?;
            Ok(Mutex::new(Lane { msm: Msm::new(&context, device)?, workspace }))
        };
        let lanes = [
            lane(sections.wanted_bytes::<G1>(&[Section::H], &[]))?,
            lane(sections.wanted_bytes::<G1>(&[Section::LValues], &[Section::LBits]))?,
            lane(sections.wanted_bytes::<G1>(
                &[Section::AValues, Section::B1Values],
                &[Section::ABits, Section::B1Bits],
            ))?,
            lane(sections.wanted_bytes::<G2>(&[Section::B2Values], &[Section::B2Bits]))?,
        ];
        let parts = Parts {
            rows: RowKernels::new(&context)?,
            matrices,
            coefficients,
            quotient,
            sections,
            witness,
            row_values,
            quotient_stream: Mutex::new(context.stream()?),
            lanes,
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
            let columns = (sections.at(columns).memory, sections.n(columns) as usize);
            rows.gather_scalars(&mut self.stream, to, values, columns)?;
        }
        self.stream.finish()
    }
}

impl Parts {
    /// The sum over the quotient's coefficients.
    fn h(&self, watch: &Watch<'_>) -> Result<G1Projective, GpuError> {
        watch.timed("quotient", || self.quotient())?;
        // The last coefficient is zero and has no point.
        let n = self.sections.n(Section::H) - 1;
        let (points, scalars) = (self.sections.at(Section::H), at(&self.row_values[0]));
        lock(&self.lanes[0]).multiply::<G1>(points, scalars, n)
    }

    /// Leaves the quotient's coefficients in the place of A's rows.
    fn quotient(&self) -> Result<(), GpuError> {
        let [a, b, c] = &self.row_values;
        let witness = &self.witness;
        let mut stream = lock(&self.quotient_stream);
        let n_values = witness.values.n_bytes() / SCALAR_BYTES;
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
        (of_bits, numbers): (Section, At<'_>),
    ) -> Result<C::Point, GpuError> {
        let sections = &self.sections;
        let values = lane.multiply::<C>(sections.at(of_values), scalars, sections.n(of_values))?;
        let indices = (numbers, sections.n(of_bits));
        let bits = (at(&self.witness.bits), self.witness.n_bits);
        Ok(values + lane.sum_of_bits::<C>(sections.at(of_bits), indices, bits)?)
    }

    fn l(&self) -> Result<G1Projective, GpuError> {
        let offset = self.witness.n_inputs * SCALAR_BYTES;
        let values = (Section::LValues, At { memory: &self.witness.values, offset });
        let bits = (Section::LBits, at(&self.sections.all_bits));
        self.query::<G1>(&mut lock(&self.lanes[1]), values, bits)
    }

    fn a_and_b(&self) -> Result<(G1Projective, G1Projective), GpuError> {
        let mut lane = lock(&self.lanes[2]);
        let bits = (Section::ABits, self.sections.at(Section::ABitNumbers));
        let a = self.query::<G1>(&mut lane, (Section::AValues, at(&self.witness.of_a)), bits)?;
        let bits = (Section::B1Bits, self.sections.at(Section::BBitNumbers));
        let b = self.query::<G1>(&mut lane, (Section::B1Values, at(&self.witness.of_b)), bits)?;
        Ok((a, b))
    }

    fn b_g2(&self) -> Result<G2Projective, GpuError> {
        let bits = (Section::B2Bits, self.sections.at(Section::BBitNumbers));
        let values = (Section::B2Values, at(&self.witness.of_b));
        self.query::<G2>(&mut lock(&self.lanes[3]), values, bits)
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
            let l = scope.spawn(|| watch.timed("l", || this.l()));
            let a_and_b = scope.spawn(|| watch.timed("a and b_g1", || this.a_and_b()));
            let b_g2 = scope.spawn(|| watch.timed("b_g2", || this.b_g2()));
            // All are waited for, whatever the first of them says.
            let (h, l, a_and_b, b_g2) = (joined(h), joined(l), joined(a_and_b), joined(b_g2));
            let (a, b_g1) = a_and_b?;
            Ok(Sums { h: h?, l: l?, a, b_g1, b_g2: b_g2? })
        })
    }
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T, GpuError>>) -> Result<T, GpuError> {
    thread.join().unwrap_or_else(|_| Err(GpuError::new(Kind::Defect, "a lane panicked")))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn at(memory: &DeviceMemory) -> At<'_> {
    At { memory, offset: 0 }
}

impl Lane {
    fn multiply<C: Curve>(
        &mut self,
        bases: At<'_>,
        scalars: At<'_>,
        n: u64,
    ) -> Result<C::Point, GpuError> {
        if n == 0 {
            return Ok(C::Point::identity());
        }
        self.msm.multiply::<C>(bases, scalars, n, whole(&self.workspace))
    }

    fn sum_of_bits<C: Curve>(
        &mut self,
        bases: At<'_>,
        indices: (At<'_>, u64),
        bits: (At<'_>, u64),
    ) -> Result<C::Point, GpuError> {
        if indices.1 == 0 {
            return Ok(C::Point::identity());
        }
        self.msm.sum_of_bits::<C>(bases, indices, bits, whole(&self.workspace))
    }
}

fn whole(memory: &DeviceMemory) -> Workspace<'_> {
    Workspace { at: at(memory), bytes: memory.n_bytes() as u64 }
}

impl Sections {
    fn load(
        context: &Arc<Context>,
        staging: &mut Staging,
        circuit: &Circuit,
        params: &Params,
        watch: &Watch<'_>,
    ) -> Result<Self, TaskError> {
        let total = params.n_bytes();
        let free = context.free_bytes()? as u64;
        if total > free {
            let text = format!("the parameters take {total} bytes, the device has {free} free");
            return Err(GpuError::new(Kind::OutOfMemory, text).into());
        }
        let (mut memory, mut counts, mut done) = (Vec::new(), Vec::new(), 0);
        let mut buffer = vec![0; LOAD_BYTES];
        for section in Section::ALL {
            let (n, element_bytes) = (params.len(section), section.element_bytes());
            let to = context.allocate(n * element_bytes)?;
            let n_read = LOAD_BYTES / element_bytes;
            for first in (0..n).step_by(n_read) {
                watch.check()?;
                let bytes = n_read.min(n - first) * element_bytes;
                params.read(section, first, &mut buffer[..bytes])?;
                staging.upload(&to, first * element_bytes, &buffer[..bytes])?;
                done += bytes as u64;
                watch.report("loading parameters", done, total, "bytes");
            }
            memory.push(to);
            counts.push(n as u64);
        }
        let numbers = 0..circuit.variables.n_bits();
        let numbers: Vec<u8> = numbers.flat_map(u32::to_le_bytes).collect();
        let all_bits = context.allocate(numbers.len())?;
        staging.upload(&all_bits, 0, &numbers)?;
        Ok(Self { memory, counts, all_bits })
    }

    fn at(&self, section: Section) -> At<'_> {
        at(&self.memory[section as usize])
    }

    fn n(&self, section: Section) -> u64 {
        self.counts[section as usize]
    }

    /// Bytes of workspace for sums over values and over bits.
    fn wanted_bytes<C: Curve>(&self, values: &[Section], bits: &[Section]) -> usize {
        let of_values = values.iter().map(|section| Msm::wanted_bytes::<C>(self.n(*section)));
        let of_bits = bits.iter().map(|section| Msm::wanted_sum_bytes::<C>(self.n(*section)));
        let wanted = of_values.chain(of_bits).max().unwrap_or(0);
        usize::try_from(wanted).unwrap_or(usize::MAX)
    }
}

impl Witness {
    fn allocate(
        context: &Arc<Context>,
        circuit: &Circuit,
        sections: &Sections,
    ) -> Result<Self, GpuError> {
        let variables = &circuit.variables;
        let scalars = |n: u64| context.allocate(n as usize * SCALAR_BYTES);
        let n_bits = u64::from(variables.n_bits());
        Ok(Self {
            values: scalars(variables.n_values().into())?,
            bits: context.allocate(n_bits.div_ceil(64) as usize * 8)?,
            n_bits,
            n_inputs: variables.n_inputs as usize,
            of_a: scalars(sections.n(Section::AValues))?,
            of_b: scalars(sections.n(Section::B1Values))?,
        })
    }
}
