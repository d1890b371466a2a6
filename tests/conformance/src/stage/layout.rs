// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the files of a stage lie, by what SPEC.md's table of stages says: which it reads, which it
//! owns, and its parameters.
//!
//! Paths are relative to a directory of the suite's that has the sector and what lies around it:
//! `pieces/`, `sector/` and `beside/`, which belongs to nobody.

use std::path::Path;

use sealpipe_protocol::stage::{Stage, files};
use serde_json::{Value, json};

use super::facts::{Facts, Source};

/// The sector's directory.
pub const SECTOR: &str = "sector";

/// The sector's cache directory.
pub const CACHE: &str = "sector/cache";

/// How a task of a stage differs from others of the same sector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Variant {
    /// As the worker has it.
    Plain,
    /// `pc1` without tree-d, which it makes.
    WithoutTreeD,
    /// `unseal` of a range, in bytes without fr32 padding.
    Range {
        /// First byte.
        offset: u64,
        /// Bytes.
        size: u64,
    },
}

/// The path of a file of the cache directory.
pub fn cached(name: &str) -> String {
    format!("{CACHE}/{name}")
}

fn layers(facts: &Facts) -> Vec<String> {
    (1..=facts.proof.n_layers()).map(|layer| cached(&files::layer(layer))).collect()
}

fn trees(facts: &Facts) -> Vec<String> {
    let names = [files::tree_c(facts.proof), files::tree_r_last(facts.proof)].concat();
    names.iter().map(|name| cached(name)).collect()
}

/// The files that are there before the stage runs.
pub fn inputs(stage: Stage, variant: Variant, facts: &Facts) -> Vec<String> {
    let unsealed = || vec![format!("{SECTOR}/unsealed")];
    let sealed = || vec![format!("{SECTOR}/sealed")];
    let tree_d = || vec![cached(files::TREE_D)];
    let aux = || vec![cached(files::P_AUX), cached(files::T_AUX)];
    match stage {
        Stage::Echo | Stage::Verify => Vec::new(),
        Stage::AddPieces => {
            let from_files = |(i, piece): (usize, &super::facts::Piece)| {
                matches!(piece.source, Source::File { .. }).then(|| format!("pieces/piece-{i}"))
            };
            facts.pieces.iter().enumerate().filter_map(from_files).collect()
        }
        Stage::TreeD => unsealed(),
        Stage::Pc1 if variant == Variant::WithoutTreeD => unsealed(),
        Stage::Pc1 => [unsealed(), tree_d()].concat(),
        Stage::Pc2 => [unsealed(), tree_d(), layers(facts)].concat(),
        Stage::C1 => [sealed(), tree_d(), layers(facts), trees(facts), aux()].concat(),
        Stage::C2 => vec![format!("{SECTOR}/c1.json")],
        Stage::Unseal => {
            let kept = files::tree_r_last(facts.proof).iter().map(|name| cached(name)).collect();
            [sealed(), aux(), kept].concat()
        }
    }
}

/// Those inputs without which the stage cannot give a right answer. `t_aux` is not among them, for
/// nobody but filecoin-proofs needs it, nor is data that pc1 does not read.
pub fn needed(stage: Stage, variant: Variant, facts: &Facts) -> Vec<String> {
    let mut needed = inputs(stage, variant, facts);
    needed.retain(|path| match stage {
        Stage::Pc1 => variant == Variant::WithoutTreeD || !path.ends_with("unsealed"),
        Stage::Unseal => path.ends_with("sealed"),
        _ => !path.ends_with(files::T_AUX),
    });
    needed
}

/// The files that the stage owns.
pub fn outputs(stage: Stage, variant: Variant, facts: &Facts) -> Vec<String> {
    let one = |path: &str| vec![path.to_owned()];
    match stage {
        Stage::Echo | Stage::C2 | Stage::Verify => Vec::new(),
        Stage::AddPieces => one("sector/unsealed"),
        Stage::TreeD => vec![cached(files::TREE_D)],
        Stage::Pc1 if variant == Variant::WithoutTreeD => {
            [layers(facts), vec![cached(files::TREE_D)]].concat()
        }
        Stage::Pc1 => layers(facts),
        Stage::Pc2 => {
            let aux = [cached(files::P_AUX), cached(files::T_AUX)];
            [one("sector/sealed"), trees(facts), aux.to_vec()].concat()
        }
        Stage::C1 => one("sector/c1.json"),
        Stage::Unseal => one("sector/data"),
    }
}

/// The scratch of the stage, where it has one.
pub fn work_dir(stage: Stage) -> Option<String> {
    matches!(stage, Stage::Pc1 | Stage::Pc2).then(|| format!("{SECTOR}/work/{stage}"))
}

/// Whether the stage writes files, under the sector's lock.
pub fn has_files(stage: Stage) -> bool {
    !matches!(stage, Stage::Echo | Stage::C2 | Stage::Verify)
}

/// The stage's parameters for a sector whose directories lie in `root`.
pub fn params(stage: Stage, variant: Variant, facts: &Facts, root: &Path) -> Value {
    let path = |name: &str| root.join(name).display().to_string();
    let mut params = json!({ "proof": facts.proof });
    let mut set = |name: &str, value: Value| params[name] = value;
    if matches!(stage, Stage::Pc1 | Stage::C1 | Stage::C2 | Stage::Verify | Stage::Unseal) {
        set("proverId", facts.prover_id.to_string().into());
        set("sectorNumber", facts.sector_number.into());
    }
    if matches!(stage, Stage::Pc1 | Stage::C1 | Stage::Verify | Stage::Unseal) {
        set("ticket", facts.ticket.to_string().into());
    }
    if matches!(stage, Stage::Pc1 | Stage::Pc2 | Stage::C1 | Stage::Verify | Stage::Unseal) {
        set("commD", facts.value(Stage::TreeD, "commD"));
    }
    if matches!(stage, Stage::C1 | Stage::Verify) {
        set("seed", facts.seed.to_string().into());
        set("commR", facts.value(Stage::Pc2, "commR"));
    }
    if matches!(stage, Stage::Pc1 | Stage::C1) {
        set("pieces", facts.value(Stage::AddPieces, "pieces"));
    }
    if matches!(stage, Stage::AddPieces | Stage::TreeD | Stage::Pc1 | Stage::Pc2) {
        set("unsealedPath", path("sector/unsealed").into());
    }
    if matches!(stage, Stage::TreeD | Stage::Pc1 | Stage::Pc2 | Stage::C1 | Stage::Unseal) {
        set("cacheDir", path(CACHE).into());
    }
    if matches!(stage, Stage::Pc2 | Stage::C1 | Stage::Unseal) {
        set("sealedPath", path("sector/sealed").into());
    }
    if let Some(dir) = work_dir(stage) {
        set("workDir", path(&dir).into());
    }
    match stage {
        Stage::AddPieces => set("pieces", sources(facts, root)),
        Stage::Pc2 => set("replicaId", facts.value(Stage::Pc1, "replicaId")),
        Stage::C1 => set("outPath", path("sector/c1.json").into()),
        Stage::C2 => {
            let mut file = facts.value(Stage::C1, "file");
            file["path"] = path("sector/c1.json").into();
            set("c1", file);
        }
        Stage::Verify => set("proofBytes", facts.value(Stage::C2, "proof")),
        Stage::Unseal => {
            let Variant::Range { offset, size } = variant else { return params };
            set("outPath", path("sector/data").into());
            set("offset", offset.into());
            set("size", size.into());
        }
        _ => {}
    }
    params
}

fn sources(facts: &Facts, root: &Path) -> Value {
    let source = |(i, piece): (usize, &super::facts::Piece)| match &piece.source {
        Source::Zero => {
            json!({"source": "zero", "payloadSize": 0, "pieceSize": piece.piece_bytes})
        }
        Source::File { payload_bytes, .. } => json!({
            "source": {"path": root.join(format!("pieces/piece-{i}")).display().to_string()},
            "payloadSize": payload_bytes,
            "pieceSize": piece.piece_bytes,
        }),
    };
    facts.pieces.iter().enumerate().map(source).collect()
}
