// SPDX-License-Identifier: MIT OR Apache-2.0

//! From bellperson's file to ours: every point is read once, checked, and put where it belongs.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Mutex, PoisonError},
};

use blstrs::{G1Affine, G2Affine};
use rayon::prelude::*;
use sealpipe_params::Layout;
use sealpipe_protocol::{Code, TaskError, durable, failure};

use super::{
    file::{Header, Out, Section},
    points::{Point, Sums},
    queries::Queries,
};
use crate::{
    circuit::Circuit,
    gpu::points::Curve as _,
    watch::{Phase, Watch},
};

/// Points that a thread converts at a time: 1.5 or 3 MiB.
const CHUNK: usize = 1 << 14;

/// Chunks a thread, between two writes.
const CHUNKS_PER_THREAD: usize = 4;

/// In the place of a source: there is no point.
const NONE: u32 = u32::MAX;

/// The order in which the coefficients of the quotient come from whoever computes them.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// A number for it, which is in the file; 0 is the natural order.
    pub id: u32,
    /// Where coefficient `i` of `2^lg` is.
    pub position: fn(lg: u32, i: u32) -> u32,
}

impl Order {
    /// Coefficient `i` is at `i`.
    pub const NATURAL: Self = Self { id: 0, position: |_, i| i };
}

/// What is converted.
pub struct Source<'a> {
    /// bellperson's file.
    pub path: &'a Path,
    /// Its digest.
    pub digest: [u8; 16],
    /// Whether that is the network's, so that its points are known to be right.
    pub is_network: bool,
    /// Its counts.
    pub layout: Layout,
}

/// Writes the converted file to `target`, complete or not at all.
///
/// # Errors
/// Parameters of another circuit, a point that is none, what the disk says, and a stop.
pub fn convert(
    source: &Source<'_>,
    target: &Path,
    circuit: &Circuit,
    order: Order,
    watch: &Watch<'_>,
) -> Result<(), TaskError> {
    let queries = Queries::of(&circuit.variables, &circuit.densities);
    watch.check()?;
    check_counts(source, circuit, &queries)?;
    let header = header(source, circuit, order, &queries);
    let (_, n_bytes) = header.offsets();
    if let Some(dir) = target.parent() {
        durable::require_space(dir, n_bytes)?;
    }
    let file = File::open(source.path)
        .map_err(|error| failure::input("the parameters", source.path, &error))?;
    durable::write_file(target, |to| {
        let conversion = Conversion { source, from: &file, n_bytes, watch };
        let mut out = Out::begin(to, target, &header)?;
        conversion.sections(&mut out, circuit, order, &queries)
    })
}

/// Refuses the parameters of another circuit.
fn check_counts(
    source: &Source<'_>,
    circuit: &Circuit,
    queries: &Queries,
) -> Result<(), TaskError> {
    let Layout { ic, h, l, a, b_g1, .. } = source.layout;
    let domain = (circuit.n_constraints() as u64).next_power_of_two();
    let expected = [
        ("ic", u64::from(ic), u64::from(circuit.variables.n_inputs)),
        ("h", u64::from(h), domain - 1),
        ("l", u64::from(l), queries.l.len() as u64),
        ("a", u64::from(a), queries.a.len() as u64),
        ("b", u64::from(b_g1), queries.b.len() as u64),
    ];
    for (name, found, wanted) in expected {
        if found != wanted {
            let why = format!("it has {found} points in {name}, the circuit asks for {wanted}");
            return Err(corrupt(source.path, &why));
        }
    }
    Ok(())
}

fn corrupt(path: &Path, why: &str) -> TaskError {
    TaskError::new(Code::ParametersMissing, format!("{} is corrupt: {why}", path.display()))
        .hint("remove that file, then fetch or make it again")
}

fn header(source: &Source<'_>, circuit: &Circuit, order: Order, queries: &Queries) -> Header {
    let (key, domain) = (source.layout.verifying_key_n_bytes(), u64::from(source.layout.h) + 1);
    let count = |section| queries.count(section, key, domain);
    let counts = Section::ALL.map(count);
    Header { order: order.id, circuit: circuit.digest, source: source.digest, counts }
}

struct Conversion<'c> {
    source: &'c Source<'c>,
    from: &'c File,
    n_bytes: u64,
    watch: &'c Watch<'c>,
}

impl Conversion<'_> {
    fn sections(
        &self,
        out: &mut Out<'_>,
        circuit: &Circuit,
        order: Order,
        queries: &Queries,
    ) -> Result<(), TaskError> {
        let key = sealpipe_params::verifying_key(self.source.path)
            .map_err(|error| corrupt(self.source.path, &error.to_string()))?;
        out.section()?;
        out.write(&key)?;
        let [_, h, l, a, b_g1, b_g2] = self.source.layout.first_points();
        let n_domain = circuit.n_constraints().next_power_of_two();
        let permuted = permuted(n_domain, order);
        let Queries { l: of_l, a: of_a, b: of_b } = queries;
        self.points::<G1Affine>(
            out,
            &[
                (h, &permuted),
                (l, &of_l.values.sources),
                (l, &of_l.bits.sources),
                (a, &of_a.values.sources),
                (a, &of_a.bits.sources),
                (b_g1, &of_b.values.sources),
                (b_g1, &of_b.bits.sources),
            ],
        )?;
        drop(permuted);
        let in_g2 = [(b_g2, &of_b.values.sources[..]), (b_g2, &of_b.bits.sources)];
        self.points::<G2Affine>(out, &in_g2)?;
        for numbers in
            [&of_a.values.numbers, &of_a.bits.numbers, &of_b.values.numbers, &of_b.bits.numbers]
        {
            out.section()?;
            for part in numbers.chunks(CHUNK) {
                self.watch.check()?;
                let bytes: Vec<u8> = part.iter().flat_map(|number| number.to_le_bytes()).collect();
                out.write(&bytes)?;
            }
        }
        Ok(())
    }

    /// Converts sections of one group, each a place in the source and which of the points from there on.
    fn points<P: Point>(
        &self,
        out: &mut Out<'_>,
        sections: &[(u64, &[u32])],
    ) -> Result<(), TaskError> {
        let n_threads = rayon::current_num_threads().max(1);
        let sums: Vec<_> =
            (0..n_threads).map(|_| Mutex::new(Sums::<P>::new(random_seed()))).collect();
        for (first, sources) in sections {
            out.section()?;
            for group in sources.chunks(CHUNK * CHUNKS_PER_THREAD * n_threads) {
                self.watch.check()?;
                let chunks: Vec<_> = group.chunks(CHUNK).collect();
                let converted: Result<Vec<_>, TaskError> =
                    chunks.into_par_iter().map(|chunk| self.chunk(*first, chunk, &sums)).collect();
                for bytes in converted? {
                    out.write(&bytes)?;
                }
                self.watch.report(Phase::Converting, out.n_bytes(), self.n_bytes);
            }
        }
        self.watch.check()?;
        let mut all = Sums::<P>::new(0);
        sums.iter().for_each(|of_thread| all.merge(&lock(of_thread)));
        match self.source.is_network || all.are_good() {
            true => Ok(()),
            false => Err(corrupt(self.source.path, "a point is not in the group of prime order")),
        }
    }

    fn chunk<P: Point>(
        &self,
        first: u64,
        sources: &[u32],
        sums: &[Mutex<Sums<P>>],
    ) -> Result<Vec<u8>, TaskError> {
        let mut to = Vec::with_capacity(sources.len() * P::Group::POINT_BYTES);
        let mut read = Vec::new();
        let mut points = Vec::with_capacity(sources.len());
        for run in
            sources.chunk_by(|this, next| this.checked_add(1) == Some(*next) && *next != NONE)
        {
            if run[0] == NONE {
                to.resize(to.len() + P::Group::POINT_BYTES, 0);
                continue;
            }
            read.resize(run.len() * P::Group::POINT_BYTES, 0);
            let at = first + u64::from(run[0]) * P::Group::POINT_BYTES as u64;
            self.from
                .read_exact_at(&mut read, at)
                .map_err(|error| failure::input("the parameters", self.source.path, &error))?;
            for (i, bytes) in read.chunks_exact(P::Group::POINT_BYTES).enumerate() {
                let point = P::read(bytes).ok_or_else(|| {
                    let at = at + (i * P::Group::POINT_BYTES) as u64;
                    corrupt(self.source.path, &format!("there is no point at byte {at}"))
                })?;
                P::Group::write(&point, &mut to);
                points.push(point);
            }
        }
        if !self.source.is_network {
            let mine = rayon::current_thread_index().unwrap_or(0) % sums.len();
            let mut sums = lock(&sums[mine]);
            points.iter().for_each(|point| sums.add(point));
        }
        Ok(to)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which coefficient's point is at each place; the last coefficient is zero and has none.
fn permuted(n_domain: usize, order: Order) -> Vec<u32> {
    let mut sources = vec![NONE; n_domain];
    let lg = n_domain.ilog2();
    for i in 0..n_domain as u32 - 1 {
        sources[(order.position)(lg, i) as usize] = i;
    }
    sources
}

/// A number that whoever made a file could not have known.
fn random_seed() -> u64 {
    use rand_core::RngCore as _;
    rand_core::OsRng.next_u64()
}
