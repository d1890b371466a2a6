// SPDX-License-Identifier: MIT OR Apache-2.0

//! A processor as damocles' users write them: the consumer of the vc-processors crate around code of
//! their own. It knows nothing of sealpipe's protocol.
//!
//! `tree_d` is computed here. Every other stage is handed on, through the crate's producer, to
//! `sealpipe-reference` beside this program. The environment has it misbehave: `LEGACY_NOISE`
//! (lines before the first), `LEGACY_DIE_ONCE` (a file: die in the first task, while it is absent),
//! `LEGACY_FAIL_ONCE` (the same, with an error), `LEGACY_SLEEP_MS` (before each task).

use std::{env, fs, path::Path, sync::Arc, thread, time::Duration};

use anyhow::{Context, Result, bail};
use sealpipe_legacy_tests::{AddPieces, C2, Parent, Pc1, Pc2, TreeD, Unseal};
use sha2::{Digest, Sha256};
use vc_processors::core::{
    Processor, Task,
    ext::{ProducerBuilder, run_consumer_with_proc},
};

fn main() -> Result<()> {
    let stage = env::args().nth(2).context("usage: sealpipe-test-legacy processor STAGE")?;
    for number in 0..env::var("LEGACY_NOISE").map_or(0, |n| n.parse().unwrap_or(0)) {
        println!("a library greets the world, {number}");
    }
    match stage.as_str() {
        "tree_d" => run_consumer_with_proc::<TreeD, _>(OwnTreeD),
        "add_pieces" => serve::<AddPieces>(),
        "pc1" => serve::<Pc1>(),
        "pc2" => serve::<Pc2>(),
        "c2" => serve::<C2>(),
        "unseal" => serve::<Unseal>(),
        // Ready for what there are no tasks of.
        "c1" => {
            println!("c1 processor ready");
            thread::sleep(Duration::from_secs(60));
            Ok(())
        }
        _ => bail!("no stage is called {stage}"),
    }
}

/// Whether the file that a variable names was absent; it is made then.
fn once(variable: &str) -> bool {
    let Ok(path) = env::var(variable) else { return false };
    !Path::new(&path).exists() && fs::write(path, "").is_ok()
}

fn misbehave() -> Result<()> {
    if let Ok(ms) = env::var("LEGACY_SLEEP_MS") {
        thread::sleep(Duration::from_millis(ms.parse()?));
    }
    if once("LEGACY_FAIL_ONCE") {
        bail!("the device is busy");
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct OwnTreeD;

impl Processor<TreeD> for OwnTreeD {
    fn process(&self, task: TreeD) -> Result<bool> {
        misbehave()?;
        let data = fs::read(&task.staged_file).context("the data")?;
        let path = task.cache_dir.join("sc-02-data-tree-d.dat");
        if once("LEGACY_DIE_ONCE") {
            // As a crash of filecoin-proofs leaves it: the full length, half of it empty.
            fs::write(&path, vec![0; 2 * data.len() - 32])?;
            std::process::abort();
        }
        // What is found there is trusted, as filecoin-proofs does.
        if !path.exists() {
            fs::write(&path, tree(&data))?;
        }
        Ok(true)
    }
}

/// All rows of the binary tree over nodes of 32 bytes, leaves first: SHA-256 with two bits off.
fn tree(data: &[u8]) -> Vec<u8> {
    let mut rows = data.to_vec();
    let mut row = data.to_vec();
    while row.len() > 32 {
        let parent = |pair: &[u8]| {
            let mut node: [u8; 32] = Sha256::digest(pair).into();
            node[31] &= 0x3f;
            node
        };
        row = row.chunks(64).flat_map(parent).collect();
        rows.extend_from_slice(&row);
    }
    rows
}

/// Hands tasks on to the reference.
struct Through<T: Task>(Arc<Parent<T>>);

impl<T: Task> Clone for Through<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Task> Processor<T> for Through<T> {
    fn process(&self, task: T) -> Result<T::Output> {
        misbehave()?;
        if once("LEGACY_DIE_ONCE") {
            let parent = self.0.clone();
            thread::spawn(move || parent.process(task));
            thread::sleep(Duration::from_millis(200));
            std::process::abort();
        }
        self.0.process(task)
    }
}

fn serve<T: Task>() -> Result<()> {
    let reference = env::current_exe()?.with_file_name("sealpipe-reference");
    // When a sealpipe worker looks what this program speaks, its offer is inherited.
    let args = ["-u", "SEALPIPE_PROTOCOL", &reference.display().to_string(), "processor", T::STAGE];
    let parent = ProducerBuilder::new("env".into(), args.map(str::to_owned).into());
    let parent: Parent<T> = parent.spawn::<T>().context("the reference")?;
    run_consumer_with_proc::<T, _>(Through(Arc::new(parent)))
}
