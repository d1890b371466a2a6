// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe seal`: one sector, or several side by side, through the whole pipeline.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use sealpipe_protocol::{Bytes32, Stage, stage::proof::SealProof};
use tokio::task::JoinSet;

use super::{
    Failure, exit,
    report::{self, Report},
    session::{self, load_config},
    show::{self, Detail},
    verify::write_out,
    worker_dir,
};
use crate::{
    config::Config,
    event::Observer,
    fleet::{Fleet, Patience},
    journal::Journals,
    pipeline::{
        drive::{Plain, drive},
        parameters,
        piece_file::piece_file,
        sector::{Keep, Prover, Randomness, Sector, lay_out, practice_randomness},
        steps::STAGES,
        store::{self, SectorDir},
        task::{DriveError, Driver},
    },
};

/// Sectors that may be sealed side by side by one command.
const MAX_COUNT: u64 = 1_000;

/// Seal a sector and show its verified proof
///
/// Runs a sector through add_pieces, tree_d, pc1, pc2, c1, c2 and verify, each in a processor of its
/// own. Without pieces it seals committed capacity. Run again on the same directory it goes on where
/// it was.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealpipe seal --size 2KiB --piece car.bin --out sector/
  sealpipe seal --size 8MiB --piece a.car --piece b.car --until c1 --out sector/
  sealpipe seal --size 2KiB --count 4 --out sectors/
  sealpipe seal --size 32GiB --config worker.toml --miner f01000 --sector 7 \\
      --ticket HEX --seed HEX --out /mnt/sealing/t01000-7")]
pub struct SealArgs {
    /// Size of the sector: 2KiB, 8MiB, 512MiB, 32GiB or 64GiB
    #[arg(long, value_name = "SIZE")]
    size: SealProof,

    /// A file to seal; may be given several times
    #[arg(long = "piece", value_name = "FILE")]
    pieces: Vec<PathBuf>,

    /// The miner's ID address
    #[arg(long, value_name = "ADDRESS", default_value = "f01000", value_parser = Prover::parse_miner)]
    miner: Prover,

    /// A prover id as 64 hex digits, instead of --miner
    #[arg(long, value_name = "HEX", conflicts_with = "miner")]
    prover_id: Option<Bytes32>,

    /// Number of the sector, and of the first one with --count
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(..=sealpipe_protocol::MAX_INTEGER))]
    sector: u64,

    /// The ticket as 64 hex digits; without it a fixed one for practice
    #[arg(long, value_name = "HEX")]
    ticket: Option<Bytes32>,

    /// The seed of the challenges as 64 hex digits; without it a fixed one for practice
    #[arg(long, value_name = "HEX")]
    seed: Option<Bytes32>,

    /// Configuration with the processors: a damocles worker.toml will do
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Which files to keep once the sector is proven
    #[arg(long, value_name = "WHAT", default_value = "needed")]
    keep: Keep,

    /// The last stage to run
    #[arg(long, value_name = "STAGE", default_value = "verify", value_parser = parse_until)]
    until: Stage,

    /// Seal so many sectors side by side, each in a directory of its own below --out
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=MAX_COUNT))]
    count: u64,

    /// The sector's directory: a new or empty one, or that of this sector, to go on
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,

    /// Also show the processors and what they say
    #[arg(short, long)]
    verbose: bool,
}

fn parse_until(text: &str) -> Result<Stage, String> {
    STAGES.iter().copied().find(|stage| stage.name() == text).ok_or_else(|| {
        let names: Vec<_> = STAGES.iter().map(|stage| stage.name()).collect();
        format!("the stages of sealing are {}", names.join(", "))
    })
}

/// Runs the command.
pub fn run(args: SealArgs) -> Result<u8, Failure> {
    let sectors = sectors(&args)?;
    let config = load_config(args.config.as_deref())?;
    let detail = if args.verbose { Detail::Verbose } else { Detail::Normal };
    let shown = show::on_stderr(detail);
    let journals = Arc::new(Journals::default());
    let observer = journals.observer(shown);
    let dirs = session::run(&config, &observer, async |fleet| {
        seal_all(&args, &config, sectors, fleet, &observer, &journals).await
    })?;
    let reports: Vec<_> = dirs.iter().map(Report::new).collect();
    let text = match args.json {
        true => report::json(&reports),
        false => reports.iter().map(Report::render).collect(),
    };
    write_out(&text)?;
    Ok(if reports.iter().any(Report::is_invalid) { exit::PROOF_INVALID } else { exit::OK })
}

/// What is to be sealed, and where. Everything that can be wrong with the command line or the
/// pieces is found here, before anything is started or made.
fn sectors(args: &SealArgs) -> Result<Vec<(Sector, PathBuf)>, Failure> {
    if !args.size.is_test_size() && (args.ticket.is_none() || args.seed.is_none()) {
        return Err(Failure::new(format!(
            "a {} sector is the network's: --ticket and --seed are the chain's to give",
            args.size.size_name()
        ))
        .hint("for practice there are 2KiB, 8MiB and 512MiB"));
    }
    let files = args.pieces.iter().map(|path| piece_file(path));
    let files: Vec<_> = files.collect::<Result<_, _>>().map_err(Failure::new)?;
    let pieces = lay_out(args.size, &files).map_err(|message| {
        Failure::new(message).hint(
            "a piece takes the next power of two of 128/127 of its size; a larger --size holds more",
        )
    })?;
    let numbers = args.sector..args.sector.saturating_add(args.count);
    let make = |number: u64| {
        let sector = Sector {
            proof: args.size,
            prover: args.prover_id.map_or(args.miner, Prover::Raw),
            number,
            ticket: args.ticket.or_else(|| Some(practice_randomness(Randomness::Ticket))),
            seed: args.seed.or_else(|| Some(practice_randomness(Randomness::Seed))),
            pieces: pieces.clone(),
        };
        let dir = match args.count {
            1 => args.out.clone(),
            _ => args.out.join(sector.name()),
        };
        (sector, dir)
    };
    Ok(numbers.map(make).collect())
}

async fn seal_all(
    args: &SealArgs,
    config: &Config,
    sectors: Vec<(Sector, PathBuf)>,
    fleet: Arc<Fleet>,
    observer: &Observer,
    journals: &Arc<Journals>,
) -> Result<Vec<SectorDir>, Failure> {
    let proven = |dir: &Path| store::peek(dir).is_some_and(|r| r.results.proof.is_some());
    let unproven = sectors.iter().any(|(_, dir)| !proven(dir));
    if args.until >= Stage::C2 && unproven {
        parameters::ensure(args.size, &config.processors, &worker_dir()?, observer).await?;
    }
    let static_tree_d = config.processors.static_tree_d.clone();
    let patience = Patience::UntilGivenUp;
    let driver = Driver { fleet, observer: observer.clone(), patience, static_tree_d };
    let mut sealing = JoinSet::new();
    for (index, (sector, dir)) in sectors.into_iter().enumerate() {
        let mut dir = SectorDir::open_or_create(&dir, sector)?;
        let writing = journals.add(&dir)?;
        let driver = driver.clone();
        let (until, keep) = (args.until, args.keep);
        sealing.spawn(async move {
            let sealed = seal_one(&driver, &mut dir, until, keep).await;
            drop(writing);
            (index, sealed.map(|()| dir))
        });
    }
    let mut sealed = Vec::new();
    let mut failed = None;
    // A sector that fails does not stop the others.
    while let Some(joined) = sealing.join_next().await {
        match joined {
            Ok((index, Ok(dir))) => sealed.push((index, dir)),
            Ok((_, Err(error))) => failed = failed.or(Some(Failure::from(error))),
            Err(error) => failed = failed.or(Some(Failure::new(error.to_string()))),
        }
    }
    sealed.sort_by_key(|(index, _)| *index);
    match failed {
        Some(failure) => Err(failure),
        None => Ok(sealed.into_iter().map(|(_, dir)| dir).collect()),
    }
}

async fn seal_one(
    driver: &Driver,
    dir: &mut SectorDir,
    until: Stage,
    keep: Keep,
) -> Result<(), DriveError> {
    let journey = driver.fleet.begin_sector(&dir.record.sector.name(), None);
    drive(driver, dir, &journey, None, until, &mut Plain::default()).await?;
    Ok(dir.finish(keep)?)
}
