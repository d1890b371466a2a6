// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe unseal DIR -o FILE`: gets the pieces back out of the replica.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use clap::Args;
use sealpipe_protocol::{
    Stage,
    stage::{
        Job,
        piece::{Source, unpadded},
        unseal,
    },
};

use super::{
    Failure, exit,
    session::{self, load_config},
    show::{self, Detail},
    verify::write_out,
};
use crate::pipeline::{
    sector::Sector,
    store::SectorDir,
    task::{Driver, Passing, Task, run_task, task_id},
};

/// Get the data of a sealed sector back
///
/// Writes the pieces one after another, without padding: of a sector with one piece the file that
/// was sealed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealpipe unseal sector/ -o car.bin
  sealpipe unseal sector/ --piece 2 -o second.bin
  sealpipe unseal sector/ --whole -o everything.bin")]
pub struct UnsealArgs {
    /// The sector's directory, as `seal --out` made it
    dir: PathBuf,

    /// Where the data goes; an existing file is replaced once the data is complete
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Only this piece, counted from 1
    #[arg(long, value_name = "N", conflicts_with = "whole")]
    piece: Option<usize>,

    /// The whole sector with the zeros between and after the pieces
    #[arg(long)]
    whole: bool,

    /// Configuration with the processors
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// A run of unpadded bytes: where it begins, and how long it is.
type Range = (u64, u64);

/// Runs the command.
pub fn run(args: UnsealArgs) -> Result<u8, Failure> {
    let config = load_config(args.config.as_deref())?;
    let dir = SectorDir::open(&args.dir)?;
    let ranges = ranges(&dir.record.sector, args.piece, args.whole)?;
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
        return Err(
            Failure::new("the sector holds no piece, only zeros").hint("`--whole` writes them all")
        );
    };
    // One run of the stage covers everything: it costs as much as a whole pc1, whatever the range.
    let (offset, size) = (first.0, last.0 + last.1 - first.0);
    let output = std::path::absolute(&args.output)
        .map_err(|error| Failure::new(format!("cannot use {}: {error}", args.output.display())))?;
    let parent = output.parent().unwrap_or(Path::new("/"));
    let parent = parent.canonicalize().map_err(|error| {
        Failure::new(format!("cannot write into {}: {error}", parent.display()))
            .hint("make the directory first")
    })?;
    let name = output.file_name().ok_or_else(|| Failure::new("--output is no file"))?;
    let output = parent.join(name);
    let raw = if ranges.len() == 1 { output.clone() } else { beside(&output) };
    let params = unseal_params(&dir, raw.clone(), offset, size)?;
    let observer = show::on_stderr(if args.json { Detail::Quiet } else { Detail::Normal });
    let sector = dir.record.sector.name();
    session::run(&config, &observer, async |fleet| {
        let id = task_id(&sector, Stage::Unseal).map_err(|e| Failure::new(e.to_string()))?;
        let task = Task { sector: &sector, id, journey: None, job: Job::Unseal(params) };
        let driver = Driver::attended(fleet, &observer);
        run_task(&driver, &task, None, &mut Passing::<unseal::Output>::new(Stage::Unseal)).await?;
        Ok(())
    })?;
    if raw != output {
        let gathered = gather(&raw, &output, offset, &ranges);
        let _ = fs::remove_file(&raw);
        gathered.map_err(|e| Failure::new(format!("cannot write {}: {e}", output.display())))?;
    }
    let bytes: u64 = ranges.iter().map(|range| range.1).sum();
    let shown = output.display().to_string();
    write_out(&if args.json {
        format!("{}\n", serde_json::json!({ "path": shown, "bytes": bytes }))
    } else {
        format!("{bytes} bytes written to {shown}\n")
    })?;
    Ok(exit::OK)
}

fn unseal_params(
    dir: &SectorDir,
    out_path: PathBuf,
    offset: u64,
    size: u64,
) -> Result<unseal::Params, Failure> {
    let record = &dir.record;
    let sealed_path = dir.layout.sealed();
    let known = record.results.comm_d.zip(record.sector.ticket);
    let (Some((comm_d, ticket)), true) = (known, sealed_path.exists()) else {
        return Err(Failure::new(format!("{} holds no replica yet", dir.layout.dir().display()))
            .hint("run the `sealpipe seal` command that began it to go on"));
    };
    Ok(unseal::Params {
        proof: record.sector.proof,
        prover_id: record.sector.prover.id(),
        sector_number: record.sector.number,
        ticket,
        comm_d,
        sealed_path,
        cache_dir: dir.layout.cache(),
        out_path,
        offset,
        size,
    })
}

/// The runs of bytes that are asked for.
fn ranges(sector: &Sector, piece: Option<usize>, whole: bool) -> Result<Vec<Range>, Failure> {
    if whole {
        return Ok(vec![(0, unpadded(sector.proof.sector_bytes()))]);
    }
    let mut offset = 0;
    let mut found = Vec::new();
    for piece in &sector.pieces {
        if piece.source != Source::Zero {
            found.push((offset, piece.payload_size));
        }
        offset += unpadded(piece.piece_size);
    }
    let Some(number) = piece else { return Ok(found) };
    let range = number.checked_sub(1).and_then(|index| found.get(index)).copied();
    range.map(|range| vec![range]).ok_or_else(|| {
        Failure::new(format!("there is no piece {number}: the sector holds {}", found.len()))
    })
}

fn beside(output: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(output.file_name().unwrap_or_default());
    name.push(".unsealed");
    output.with_file_name(name)
}

/// Copies the ranges out of `raw`, which begins at `offset`, one after another.
fn gather(raw: &Path, output: &Path, offset: u64, ranges: &[Range]) -> io::Result<()> {
    let mut input = File::open(raw)?;
    let gathering = raw.with_extension("gathered");
    let mut file = File::create(&gathering)?;
    for (start, size) in ranges {
        input.seek(SeekFrom::Start(start - offset))?;
        io::copy(&mut (&mut input).take(*size), &mut file)?;
    }
    file.sync_all()?;
    fs::rename(&gathering, output)
}
