// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a circuit to a file: what is computed when, by which threads, and in how much memory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use bellperson::Circuit;
use blstrs::{G1Projective, G2Projective, Scalar};
use ff::Field as _;
use group::Curve;
use rand_core::RngCore;
use rayon::prelude::*;

use crate::assembly::Assembly;
use crate::error::{Error, Kind};
use crate::evaluate::{Queries, Trapdoor, evaluate};
use crate::field::{Field, Fp, Fp2};
use crate::file::{Claim, Staged, check_target, claim, write_all};
use crate::fixed_base::{Affine, N_BLOCK, Scratch, Table, lg_window};
use crate::format::Layout;
use crate::progress::{Progress, Step, Watch, time_left};

/// Memory for a table of multiples, at most: windows of 17 bits in G1 and of 16 in G2. Five times
/// as much would save one or two of G1's 14 additions, and lose them again in misses of the cache.
const MAX_TABLE_BYTES: usize = 128 << 20;

/// Blocks of points a thread computes between two reports; the last of them leaves a thread idle
/// for a thirtieth of the time.
const N_BLOCKS_PER_THREAD: usize = 16;

/// Bytes of points that wait for the disk, at most, in buffers of one report each.
const MAX_WAITING_BYTES: usize = 64 << 20;

/// What [`make`] did.
#[derive(Clone, Debug)]
pub struct Made {
    /// The parameter file.
    pub path: PathBuf,
    /// Its counts; [`Layout::n_bytes`] is its length.
    pub layout: Layout,
    /// Whether the file was already there, or another process made it while this one waited.
    pub found: bool,
}

/// A test set-up whose points are yet to be computed: a point is a scalar times its group's generator.
pub struct SetUp {
    /// The generator of the first group.
    pub g1: G1Projective,
    /// The generator of the second group.
    pub g2: G2Projective,
    /// The verifying key, as its file has it.
    pub key: Vec<u8>,
    /// The scalars.
    pub queries: Queries,
}

impl SetUp {
    /// Draws the secrets and evaluates the constraints.
    ///
    /// **The set-up is a test set-up**, as in [`make`].
    ///
    /// # Errors
    /// As [`make`], without those of files.
    pub fn draw<R: RngCore>(assembly: Assembly<'_>, rng: &mut R) -> Result<Self, Error> {
        let watch = assembly.watch();
        let trapdoor = Trapdoor::draw(rng);
        let queries = evaluate(assembly, &trapdoor, watch)?;
        watch.report(Step::Tables, 0);
        let g1 = table::<Fp>((&trapdoor.g1.to_affine()).into(), queries.ic.len());
        let key = key_bytes(&trapdoor, &queries.ic, &g1);
        Ok(Self { g1: trapdoor.g1, g2: trapdoor.g2, key, queries })
    }
}

/// Makes Groth16 parameters for `circuit` in the file `target`, byte for byte those of bellperson
/// 0.27's `generate_random_parameters(circuit, rng)` followed by `Parameters::write`.
///
/// **The set-up is a test set-up.** Its secrets come from `rng` and are known to this process;
/// proofs made with it prove nothing to anybody else.
///
/// The file appears under its name complete and synced, or not at all: it is written to
/// `<target>.part` and renamed. A file that is already there is left as it is, after a look at its
/// length. Of several processes (or threads) with the same target one makes the file, and the
/// others report [`Step::Waiting`] and find it made. When `cancel` becomes true the call returns
/// within a second or two and leaves no file. The remains of a killed process are reused.
///
/// Work runs on the rayon pool that the caller is in, and on one thread that writes; `progress` is
/// called from the calling thread.
///
/// # Errors
/// [`Error::is_cancelled`], [`Error::is_damaged`] where the target is there but cut short,
/// [`Error::is_io`], and [`Error::synthesis`] with bellperson's error for the same circuit.
pub fn make<C, R>(
    circuit: C,
    rng: &mut R,
    target: &Path,
    progress: &(dyn Fn(Progress) + Sync),
    cancel: &std::sync::atomic::AtomicBool,
) -> Result<Made, Error>
where
    C: Circuit<Scalar>,
    R: RngCore,
{
    make_and(circuit, rng, target, Watch::new(progress, cancel), |_| Ok(()))
}

/// As [`make`], and calls `before_publishing` with the verifying key's bytes when the parameters
/// are complete but not yet visible, under the target's lock.
pub(crate) fn make_and<C, R>(
    circuit: C,
    rng: &mut R,
    target: &Path,
    watch: Watch<'_>,
    before_publishing: impl FnOnce(&[u8]) -> Result<(), Error>,
) -> Result<Made, Error>
where
    C: Circuit<Scalar>,
    R: RngCore,
{
    check_target(target)?;
    let staged = match claim(target, watch)? {
        Claim::Found => {
            let layout = Layout::read(target)?;
            return Ok(Made { path: target.to_owned(), layout, found: true });
        }
        Claim::Ours(staged) => staged,
    };
    let trapdoor = Trapdoor::draw(rng);
    let assembly = Assembly::synthesize(circuit, watch)?;
    let queries = evaluate(assembly, &trapdoor, watch)?;
    watch.check()?;
    let layout = layout(&queries)?;
    let key = write_points(&staged, &trapdoor, &queries, &layout, watch)?;
    watch.check()?;
    watch.report(Step::Publishing, 0);
    before_publishing(&key)?;
    staged.publish()?;
    Ok(Made { path: target.to_owned(), layout, found: false })
}

fn layout(queries: &Queries) -> Result<Layout, Error> {
    let count = |n: usize| {
        let limit = u64::from(u32::MAX);
        u32::try_from(n).map_err(|_| Error::from(Kind::TooLarge { what: "points", limit }))
    };
    let b = count(queries.b.len())?;
    Ok(Layout {
        ic: count(queries.ic.len())?,
        h: count(queries.h.len)?,
        l: count(queries.l.len())?,
        a: count(queries.a.len())?,
        b_g1: b,
        b_g2: b,
    })
}

/// Computes all points and writes them in the file's order; returns the verifying key's bytes.
fn write_points(
    staged: &Staged,
    trapdoor: &Trapdoor,
    queries: &Queries,
    layout: &Layout,
    watch: Watch<'_>,
) -> Result<Vec<u8>, Error> {
    watch.report(Step::Tables, 0);
    let n_g1 = layout.ic as usize + queries.h.len + queries.l.len() + queries.a.len();
    let g1 = table::<Fp>((&trapdoor.g1.to_affine()).into(), n_g1 + queries.b.len());
    watch.check()?;
    let (file, part) = staged.file();
    let key = key_bytes(trapdoor, &queries.ic, &g1);
    let slice = |scalars: &[Scalar], start: usize, out: &mut [Scalar]| {
        out.copy_from_slice(&scalars[start..start + out.len()]);
    };
    thread::scope(|scope| {
        let n_buffers = MAX_WAITING_BYTES / (chunk_len() * Affine::<Fp>::N_BYTES);
        let (sender, receiver) = sync_channel(n_buffers.max(1));
        let writer = scope.spawn(move || write_all(file, receiver.into_iter()));
        let mut output = Output::new(sender, layout.n_bytes(), watch);
        // The producer stops when the writer has failed; then the writer's error is the cause.
        let produced = (|| {
            output.push(key.clone())?;
            output.section(&g1, queries.h.len, |start, out| queries.h.fill(start, out))?;
            output.section(&g1, queries.l.len(), |start, out| slice(&queries.l, start, out))?;
            output.section(&g1, queries.a.len(), |start, out| slice(&queries.a, start, out))?;
            output.section(&g1, queries.b.len(), |start, out| slice(&queries.b, start, out))?;
            drop(g1);
            let g2 = table::<Fp2>((&trapdoor.g2.to_affine()).into(), queries.b.len());
            output.section(&g2, queries.b.len(), |start, out| slice(&queries.b, start, out))
        })();
        drop(output);
        let written =
            writer.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread panicked")));
        written.map_err(Error::io("write", part))?;
        produced
    })?;
    Ok(key)
}

fn table<F: Field>(base: Affine<F>, n_points: usize) -> Table<F> {
    Table::new(base, lg_window::<F>(n_points, MAX_TABLE_BYTES))
}

/// The head of the file, which is the whole of the verifying key.
fn key_bytes(trapdoor: &Trapdoor, ic: &[Scalar], g1: &Table<Fp>) -> Vec<u8> {
    let Trapdoor { alpha, beta, gamma, delta, .. } = trapdoor;
    let g1_bytes = |scalar: &Scalar| -> [u8; 96] {
        G1Projective::to_affine(&(trapdoor.g1 * scalar)).to_uncompressed()
    };
    let g2_bytes = |scalar: &Scalar| -> [u8; 192] {
        G2Projective::to_affine(&(trapdoor.g2 * scalar)).to_uncompressed()
    };
    let mut out = Vec::new();
    out.extend(g1_bytes(alpha));
    out.extend(g1_bytes(beta));
    out.extend(g2_bytes(beta));
    out.extend(g2_bytes(gamma));
    out.extend(g1_bytes(delta));
    out.extend(g2_bytes(delta));
    out.extend((ic.len() as u32).to_be_bytes());
    let n_head = out.len();
    out.resize(n_head + ic.len() * Affine::<Fp>::N_BYTES, 0);
    points_into(
        g1,
        &|start, part| part.copy_from_slice(&ic[start..][..part.len()]),
        0,
        &mut out[n_head..],
    );
    out
}

/// Points between two reports.
fn chunk_len() -> usize {
    N_BLOCK * N_BLOCKS_PER_THREAD * rayon::current_num_threads()
}

/// Computes the multiples by scalars `start..` and writes them into `bytes`, on all threads.
fn points_into<F: Field>(
    table: &Table<F>,
    scalars: &(impl Fn(usize, &mut [Scalar]) + Sync),
    start: usize,
    bytes: &mut [u8],
) {
    // On the heap: rayon nests calls, the deeper the more threads there are, and 200 KiB in each of
    // them were too much for a stack.
    let scratch =
        || (Scratch::new(), vec![Scalar::ZERO; N_BLOCK], vec![Affine::<F>::INFINITY; N_BLOCK]);
    bytes.par_chunks_mut(N_BLOCK * Affine::<F>::N_BYTES).enumerate().for_each_init(
        scratch,
        |(scratch, block, points), (block_idx, bytes)| {
            let n = bytes.len() / Affine::<F>::N_BYTES;
            let (block, points) = (&mut block[..n], &mut points[..n]);
            scalars(start + block_idx * N_BLOCK, block);
            table.multiply(block, points, scratch);
            for (point, bytes) in points.iter().zip(bytes.chunks_mut(Affine::<F>::N_BYTES)) {
                point.write(bytes);
            }
        },
    );
}

/// Buffers on their way to the writing thread, counted for the reports.
struct Output<'a> {
    sender: SyncSender<Vec<u8>>,
    n_done: u64,
    n_total: u64,
    started: Instant,
    watch: Watch<'a>,
}

impl<'a> Output<'a> {
    fn new(sender: SyncSender<Vec<u8>>, n_total: u64, watch: Watch<'a>) -> Self {
        Output { sender, n_done: 0, n_total, started: Instant::now(), watch }
    }

    /// Computes and sends one section: its count, then its points.
    fn section<F: Field>(
        &mut self,
        table: &Table<F>,
        n_points: usize,
        scalars: impl Fn(usize, &mut [Scalar]) + Sync,
    ) -> Result<(), Error> {
        self.push((n_points as u32).to_be_bytes().to_vec())?;
        for start in (0..n_points).step_by(chunk_len()) {
            let n = chunk_len().min(n_points - start);
            let mut bytes = vec![0; n * Affine::<F>::N_BYTES];
            points_into(table, &scalars, start, &mut bytes);
            self.push(bytes)?;
        }
        Ok(())
    }

    /// Sends a buffer, reports, and looks at the cancel flag. A writer that has stopped counts as
    /// cancelled; its own error says why.
    fn push(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        self.watch.check()?;
        self.n_done += bytes.len() as u64;
        self.sender.send(bytes).map_err(|_| Error::from(Kind::Cancelled))?;
        let left = time_left(self.started.elapsed(), self.n_done, self.n_total);
        self.watch.report_of(Step::Points, self.n_done, self.n_total, left);
        Ok(())
    }
}
