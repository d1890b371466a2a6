// SPDX-License-Identifier: MIT OR Apache-2.0

//! Measurements: kernels on random columns, and whole sectors of any shape from a directory.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::PoisonError,
    time::Instant,
};

use sealpipe_gpu::device;
use sealpipe_protocol::TaskError;
use serde_json::{Value, json};

use super::{Gpus, kernels::Nodes};
use crate::{
    NODE_BYTES, Node,
    cpu::Hashes,
    plan::{Shape, Tree},
    poseidon::encode,
    sector::{Inputs, Outputs},
    stage::{Backend, Settings, Watch, Work},
};

/// Launches of a kernel that are timed together.
const LAUNCHES: u32 = 10;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Nodes of a synthetic sector as a power of 8: 6, 7, 8 are 8 MiB, 64 MiB, 512 MiB; kernels alone without
    #[arg(long)]
    lg8_nodes: Option<u32>,
    /// Trees of the synthetic sector
    #[arg(long, default_value_t = 1)]
    trees: u32,
    /// Layers of the synthetic sector
    #[arg(long, default_value_t = 11)]
    layers: u32,
    /// Where the synthetic sector is: a RAM disk or the disk to be measured
    #[arg(long, default_value = "/dev/shm/sealpipe-pc2-bench")]
    dir: PathBuf,
    /// Runs of the whole sector
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Compute on the cpu instead
    #[arg(long)]
    cpu: bool,
    /// Columns to compare with the cpu's hash
    #[arg(long, default_value_t = 64)]
    samples: u64,
}

/// Measures and prints.
pub fn main(arguments: &Arguments) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(hint) = error.data.hint {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), TaskError> {
    let n_cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let hashes = Hashes::default();
    let backend = if arguments.cpu {
        Backend::Cpu
    } else {
        Backend::Cuda(Gpus::new(&device::all()?, n_cpus)?)
    };
    match (arguments.lg8_nodes, &backend) {
        (Some(lg8_nodes), _) => sector(arguments, lg8_nodes, &backend, &hashes)?,
        (None, Backend::Cuda(gpus)) => kernels(gpus, &hashes)?,
        (None, Backend::Cpu) => cpu_hashes(&hashes),
    }
    Ok(())
}

fn print(line: &Value) {
    // A closed stdout ends the measurements' use, not this program's.
    let _ = writeln!(io::stdout(), "{line}");
}

/// splitmix64 as nodes of 254 bits, from a node on.
fn random(seed: u64, n: usize) -> Vec<u8> {
    let word = |j: u64| {
        let z = (j + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let mut bytes = Vec::with_capacity(n * NODE_BYTES);
    for j in 0..4 * n as u64 {
        let mask = if j % 4 == 3 { u64::MAX >> 2 } else { u64::MAX };
        bytes.extend((word(seed.wrapping_mul(1 << 40).wrapping_add(j)) & mask).to_le_bytes());
    }
    bytes
}

/// Each kernel at the pipeline's own launch shape, on random nodes, compared with the cpu.
fn kernels(gpus: &Gpus, hashes: &Hashes) -> Result<(), TaskError> {
    let mut gpu = gpus.first().lock().unwrap_or_else(PoisonError::into_inner);
    let gpu = &mut *gpu;
    let n: u64 = 1 << 18;
    let bytes = n as usize * NODE_BYTES;
    let (input, out) = (gpu.context.allocate(11 * bytes)?, gpu.context.allocate(bytes)?);
    let mut stream = gpu.context.stream()?;
    let nodes = random(1, 11 * n as usize);
    let mut host = gpu.context.allocate_host(11 * bytes)?;
    host.as_mut_slice().copy_from_slice(&nodes);
    let lent = stream.lend(host);
    stream.upload((&input, 0), (lent, 0), 11 * bytes)?;
    let back = stream.lend(gpu.context.allocate_host(bytes)?);
    let (input, out) = (Nodes { memory: &input, at: 0 }, Nodes { memory: &out, at: 0 });
    let (all, _) = nodes.as_chunks::<NODE_BYTES>();
    for (name, hashed) in
        [("column_hash_11", n), ("column_hash_2", n), ("tree_row_8", n), ("tree_row_8", n / 8)]
    {
        let launch = |stream: &mut _| match name {
            "column_hash_11" => gpu.kernels.columns(stream, out, input, (11, hashed)),
            "column_hash_2" => gpu.kernels.columns(stream, out, input, (2, hashed)),
            _ => gpu.kernels.tree_row(stream, out, input, hashed),
        };
        launch(&mut stream)?;
        stream.mark()?;
        wait(&stream)?;
        let began = Instant::now();
        for _ in 0..LAUNCHES {
            launch(&mut stream)?;
        }
        stream.mark()?;
        wait(&stream)?;
        let seconds = began.elapsed().as_secs_f64() / f64::from(LAUNCHES);
        stream.download((back, 0), (out.memory, 0), hashed as usize * NODE_BYTES)?;
        let mut memories = stream.take_back()?;
        let result = memories.pop();
        let (found, _) =
            result.as_ref().map_or(&[][..], |r| r.as_slice()).as_chunks::<NODE_BYTES>();
        let column = |i: usize, n_layers: usize| {
            hashes.column(n_layers as u32, (0..n_layers).map(|l| &all[l * n as usize + i]))
        };
        let expected = |i: usize| match name {
            "column_hash_11" => column(i, 11),
            "column_hash_2" => column(i, 2),
            _ => hashes.octree.hash(&all[8 * i..][..8]),
        };
        let wrong =
            (0..100).map(|i| i * (hashed as usize - 1) / 99).filter(|i| found[*i] != expected(*i));
        print(&json!({
            "kernel": name, "hashes": hashed, "ms": seconds * 1e3,
            "mhashes_per_s": hashed as f64 / seconds / 1e6, "wrong_of_100": wrong.count(),
        }));
        memories.extend(result);
        for memory in memories {
            stream.lend(memory);
        }
    }
    Ok(())
}

fn wait(stream: &sealpipe_gpu::driver::Stream) -> Result<(), TaskError> {
    while !stream.is_done()? {
        std::hint::spin_loop();
    }
    Ok(())
}

/// Hashes a second of one thread.
fn cpu_hashes(hashes: &Hashes) {
    let nodes = random(1, 11 * 64);
    let (nodes, _) = nodes.as_chunks::<NODE_BYTES>();
    for (name, arity) in [("arity 2", 2), ("arity 8", 8), ("arity 11", 11)] {
        let began = Instant::now();
        let mut n = 0;
        while began.elapsed().as_secs_f64() < 1.0 {
            for chunk in nodes.chunks_exact(arity) {
                std::hint::black_box(match arity {
                    2 => hashes.pair.hash(chunk),
                    8 => hashes.octree.hash(chunk),
                    _ => hashes.eleven.hash(chunk),
                });
                n += 1;
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        print(&json!({"cpu": name, "us_per_hash": seconds * 1e6 / f64::from(n)}));
    }
}

fn disk(what: &Path, error: &io::Error) -> TaskError {
    TaskError::io(sealpipe_protocol::Code::InternalError, what.display().to_string(), error)
}

/// A synthetic sector, from files to files.
fn sector(
    arguments: &Arguments,
    lg8_nodes: u32,
    backend: &Backend,
    hashes: &Hashes,
) -> Result<(), TaskError> {
    let shape = Shape::new(arguments.layers, arguments.trees, 1 << (3 * lg8_nodes), 2);
    let dir = &arguments.dir;
    fs::create_dir_all(dir).map_err(|error| disk(dir, &error))?;
    let paths: Vec<_> = (0..=arguments.layers).map(|i| dir.join(format!("input-{i}"))).collect();
    std::thread::scope(|scope| {
        let made: Vec<_> = paths
            .iter()
            .zip(1..)
            .map(|(path, seed)| scope.spawn(move || synthesize(path, seed, shape.nodes())))
            .collect();
        made.into_iter().try_for_each(|one| one.join().unwrap_or(Ok(())))
    })
    .map_err(|error| disk(dir, &error))?;
    let settings = Settings::read(|name| std::env::var(name).ok())?;
    for run in 0..=arguments.runs {
        remove_outputs(shape, dir).map_err(|error| disk(dir, &error))?;
        let began = Instant::now();
        let inputs = Inputs::open_files(&paths, shape.nodes())?;
        let outputs = Outputs::create(shape, &dir.join("sealed"), dir)?;
        let work = Work { shape, settings, cache_dir: dir };
        let output = work.run(&inputs, outputs, backend, hashes, &Watch::nobody())?;
        let seconds = began.elapsed().as_secs_f64();
        // The first takes the memory.
        print(&json!({
            "sector_mib": (shape.nodes() * NODE_BYTES as u64) >> 20, "layers": shape.n_layers,
            "run": run, "warm": run > 0, "seconds": seconds,
            "mcolumns_per_s": shape.nodes() as f64 / seconds / 1e6, "comm_r": output.comm_r.to_string(),
        }));
    }
    let wrong = compare(shape, &paths, dir, hashes, arguments.samples)?;
    print(&json!({"samples": arguments.samples, "wrong": wrong}));
    Ok(())
}

/// So that no run pays for the removal of another's files.
fn remove_outputs(shape: Shape, dir: &Path) -> io::Result<()> {
    let trees = [Tree::C, Tree::RLast].into_iter().flat_map(|tree| shape.file_names(tree));
    for name in trees.chain(["sealed".to_owned()]) {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn synthesize(path: &Path, seed: u64, nodes: u64) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    // The same pattern again and again, moved: the hash does not care, and it is quick.
    let pattern = random(seed, 1 << 16);
    let mut left = nodes as usize * NODE_BYTES;
    let mut turn: u64 = 0;
    let mut part = pattern;
    while left > 0 {
        for node in part.chunks_exact_mut(NODE_BYTES) {
            node[..8].copy_from_slice(&turn.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
            turn += 1;
        }
        let n = left.min(part.len());
        file.write_all(&part[..n])?;
        left -= n;
    }
    file.flush()
}

/// How many of some columns, tree nodes and replica nodes differ from the cpu's.
fn compare(
    shape: Shape,
    paths: &[PathBuf],
    dir: &Path,
    hashes: &Hashes,
    samples: u64,
) -> Result<u64, TaskError> {
    use std::os::unix::fs::FileExt;
    let open = |path: &Path| File::open(path).map_err(|error| disk(path, &error));
    let inputs: Vec<_> = paths.iter().map(|path| open(path)).collect::<Result<_, _>>()?;
    let read = |file: &File, at: u64| -> Result<Node, TaskError> {
        let mut node = [0; NODE_BYTES];
        file.read_exact_at(&mut node, at).map_err(|error| disk(dir, &error))?;
        Ok(node)
    };
    let sealed = open(&dir.join("sealed"))?;
    let tree_c = open(&dir.join(&shape.file_names(Tree::C)[0]))?;
    let mut wrong = 0;
    for sample in 0..samples {
        let at = sample * (shape.leaves - 1) / samples.max(2);
        let column: Vec<_> =
            inputs.iter().map(|file| read(file, at * 32)).collect::<Result<_, _>>()?;
        let Some((data, labels)) = column.split_last() else { continue };
        let hash = hashes.column(shape.n_layers, labels);
        let replica = encode(data, &labels[labels.len() - 1]);
        wrong += u64::from(read(&tree_c, at * 32)? != hash);
        wrong += u64::from(read(&sealed, at * 32)? != replica);
        // A node of each row from the eight below it.
        for row in 1..=shape.depth() {
            let at = at >> (3 * row);
            let node = |row, at| {
                shape.offset(Tree::C, row, at).map(|offset| read(&tree_c, offset)).transpose()
            };
            let below: Vec<_> =
                (0..8).map(|i| node(row - 1, 8 * at + i)).collect::<Result<_, _>>()?;
            let below: Vec<_> = below.into_iter().flatten().collect();
            wrong += u64::from(node(row, at)? != Some(hashes.octree.hash(&below)));
        }
    }
    Ok(wrong)
}
