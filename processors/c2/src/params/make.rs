// SPDX-License-Identifier: MIT OR Apache-2.0

//! Converted parameters of a test set-up, their points computed by a device: seconds, where a CPU takes
//! minutes, and no file of bellperson's in between.
//!
//! The set-up's secrets are known to the process that makes it, so its proofs convince nobody else. Such a
//! file says so: its source is [`TEST_SOURCE`].

use std::{path::Path, sync::atomic::AtomicBool};

use bellperson::Index;
use blstrs::Scalar;
use ff::Field as _;
use rand_core::SeedableRng;
use rand_xorshift::XorShiftRng;
use sealpipe_gpu::{GpuError, Kind, device::Device, driver::Staging};
use sealpipe_params::{Assembly, ParameterSet, Progress, Queries as Scalars, Rows, SetUp, Term};
use sealpipe_protocol::{Code, TaskError, durable};

use super::{
    convert::Order,
    file::{Header, Out, Section, TEST_SOURCE},
    queries::Queries,
};
use crate::{
    circuit::{Circuit, Matrix},
    gpu::{
        self,
        fixed_base::{FixedBase, MAX_BATCH},
        points::{Curve, G1, G2},
    },
};

/// What is told while it is made: a phase, how much of it is done, of how much.
pub type Tell<'t> = &'t (dyn Fn(&str, u64, u64) + Sync);

/// Writes the converted parameters of a circuit to `target`, complete or not at all, and the key beside them
/// where filecoin-proofs looks for it. The secrets are drawn from `seed`, as `sealpipe-reference params make`
/// draws them: with the same seed the points are the same.
///
/// # Errors
/// What the device and the disk say, the network's key where the test's is to be, and a stop.
pub fn make(
    set: &ParameterSet,
    target: &Path,
    circuit: &Circuit,
    order: Order,
    device: &Device,
    seed: [u8; 16],
    tell: Tell<'_>,
) -> Result<(), TaskError> {
    let cancel = AtomicBool::new(false);
    let progress = |progress: Progress| {
        tell("evaluating the constraints", progress.done, progress.total);
    };
    let set_up =
        SetUp::draw(assembly(circuit, &progress, &cancel), &mut XorShiftRng::from_seed(seed))
            .map_err(|e| TaskError::new(Code::InternalError, "the set-up").caused_by(&e))?;
    let queries = Queries::of(&circuit.variables, &circuit.densities);
    check_counts(&set_up.queries, &queries)?;
    let header = header(circuit, order, &set_up, &queries);
    if let Some(dir) = target.parent() {
        durable::require_space(dir, header.offsets().1)?;
    }
    durable::write_file(target, |file| {
        let mut out = Out::begin(file, target, &header)?;
        out.section()?;
        out.write(&set_up.key)?;
        let tell = |n_bytes| tell("computing points", n_bytes, header.offsets().1);
        write_points(&mut out, circuit, order, device, &set_up, &queries, &tell)?;
        for part in [&queries.a.values, &queries.a.bits, &queries.b.values, &queries.b.bits] {
            let bytes: Vec<u8> = part.numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
            out.section()?;
            out.write(&bytes)?;
        }
        set.write_companions(&set_up.key).map_err(|error| {
            TaskError::new(Code::ResourceExhausted, "the verifying key").caused_by(&error)
        })
    })
}

/// The constraints as the set-up takes them, the variables in the order of the columns.
fn assembly<'a>(
    circuit: &Circuit,
    progress: &'a (dyn Fn(Progress) + Sync),
    cancel: &'a AtomicBool,
) -> Assembly<'a> {
    let n_inputs = circuit.variables.n_inputs;
    let rows = |matrix: &Matrix| {
        let variable = |column: u32| match column.checked_sub(n_inputs) {
            None => Index::Input(column as usize),
            Some(aux) => Index::Aux(aux as usize),
        };
        let terms = matrix.columns.iter().zip(&matrix.coefficients);
        let terms = terms
            .map(|(column, coefficient)| Term::new(variable(*column), u32::from(*coefficient)));
        Rows::new(matrix.ends.clone(), terms.collect())
    };
    let counts = (n_inputs as usize, circuit.variables.n_aux as usize);
    let rows = [&circuit.a, &circuit.b, &circuit.c].map(rows);
    Assembly::from_rows(counts, rows, circuit.coefficients.clone(), progress, cancel)
}

/// A scalar that is zero by chance has no point, which the densities do not know.
fn check_counts(scalars: &Scalars, queries: &Queries) -> Result<(), TaskError> {
    let found = [scalars.l.len(), scalars.a.len(), scalars.b.len()];
    let wanted = [queries.l.len(), queries.a.len(), queries.b.len()];
    match found == wanted {
        true => Ok(()),
        false => Err(TaskError::new(
            Code::InternalError,
            format!(
                "the set-up has {found:?} points in l, a and b, the circuit asks for {wanted:?}"
            ),
        )
        .hint("take another seed")),
    }
}

fn header(circuit: &Circuit, order: Order, set_up: &SetUp, queries: &Queries) -> Header {
    let n_h = set_up.queries.h.len as u64 + 1;
    let count = |section| queries.count(section, set_up.key.len() as u64, n_h);
    let counts = Section::ALL.map(count);
    Header { order: order.id, circuit: circuit.digest, source: TEST_SOURCE, counts }
}

fn write_points(
    out: &mut Out<'_>,
    circuit: &Circuit,
    order: Order,
    device: &Device,
    set_up: &SetUp,
    queries: &Queries,
    tell: &dyn Fn(u64),
) -> Result<(), TaskError> {
    let Scalars { h, l, a, b, .. } = &set_up.queries;
    let context = gpu::open(device)?;
    let mut staging = Staging::new(&context)?;
    // Columns are values, then bits, and the scalars are in the order of the columns.
    let (l_values, l_bits) = l.split_at(queries.l.values.numbers.len());
    let (a_values, a_bits) = a.split_at(queries.a.values.numbers.len());
    let (b_values, b_bits) = b.split_at(queries.b.values.numbers.len());
    let n_domain = circuit.n_constraints().next_power_of_two();
    let mut quotient = vec![Scalar::ZERO; n_domain];
    let mut powers = vec![Scalar::ZERO; h.len];
    h.fill(0, &mut powers);
    for (i, power) in (0..).zip(powers) {
        quotient[(order.position)(n_domain.ilog2(), i) as usize] = power;
    }
    let mut g1 = FixedBase::<G1>::new(&context, device, &mut staging, set_up.g1)?;
    for scalars in [&quotient, l_values, l_bits, a_values, a_bits, b_values, b_bits] {
        write_section(out, &mut g1, &mut staging, scalars, tell)?;
    }
    drop(g1);
    let mut g2 = FixedBase::<G2>::new(&context, device, &mut staging, set_up.g2)?;
    for scalars in [b_values, b_bits] {
        write_section(out, &mut g2, &mut staging, scalars, tell)?;
    }
    Ok(())
}

/// Computes the points of a section and writes them.
fn write_section<C: Curve>(
    out: &mut Out<'_>,
    base: &mut FixedBase<C>,
    staging: &mut Staging,
    scalars: &[Scalar],
    tell: &dyn Fn(u64),
) -> Result<(), TaskError>
where
    C::Point: group::Curve<AffineRepr = C::Affine>,
    C::Affine: Default,
{
    out.section()?;
    let mut bytes = vec![0; MAX_BATCH.min(scalars.len()) * C::POINT_BYTES];
    for part in scalars.chunks(MAX_BATCH) {
        let bytes = &mut bytes[..part.len() * C::POINT_BYTES];
        base.multiply(staging, part, bytes)?;
        out.write(bytes)?;
        tell(out.n_bytes());
    }
    Ok(())
}

/// The first GPU.
///
/// # Errors
/// [`Kind::NoDevice`] and [`Kind::NoDriver`].
pub fn first_device() -> Result<Device, GpuError> {
    let devices = sealpipe_gpu::device::all()?;
    devices.into_iter().next().ok_or_else(|| GpuError::new(Kind::NoDevice, "there is no GPU"))
}
