// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe submit`: sectors for the daemon, one by options or many as JSON lines.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use sealpipe_protocol::Bytes32;

use super::{
    Failure,
    daemon::{SocketArgs, json, with_daemon},
    exit,
    verify::write_out,
};
use crate::{
    control::{
        MAX_FRAME_BYTES, MAX_ORDERS, Problem, SectorsParams, Submit, SubmitParams, SubmitResult,
        Wait,
        client::Client,
        order::{EchoOrder, Order, SectorOrder},
    },
    daemon::job::Source,
    pipeline::sector::{Keep, Prover},
};

/// Problems that are shown; more of them hide the first ones.
const MAX_SHOWN: usize = 20;

/// Submit sectors to the daemon
///
/// One sector by options, as `seal` takes them; several with --count; or any number as JSON lines with
/// --file. What is submitted twice is there once. When something is wrong with one of them, nothing is
/// submitted.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealpipe submit --size 2KiB --piece car.bin --sector 7 --out sectors/t01000-7
  sealpipe submit --size 2KiB --count 50 --until c1 --out sectors/
  sealpipe submit --size 32GiB --miner f01000 --sector 7 --out /mnt/t01000-7 \\
      --ticket-command './ticket.sh' --seed wait
  sealpipe submit --file sectors.jsonl
  echo '{\"sector\":{\"size\":\"2KiB\",\"number\":8,\"dir\":\"sectors/8\"}}' | sealpipe submit --file -
  sealpipe submit --echo --steps 3 --ticks 10 --interval 500ms --wait")]
pub struct SubmitArgs {
    /// Size of the sector: 2KiB, 8MiB, 512MiB, 32GiB or 64GiB
    #[arg(long, value_name = "SIZE", required_unless_present_any = ["file", "echo"])]
    size: Option<String>,

    /// A file to seal; may be given several times
    #[arg(long = "piece", value_name = "FILE", requires = "size")]
    pieces: Vec<PathBuf>,

    /// The miner's ID address; f01000 for the test sizes
    #[arg(long, value_name = "ADDRESS", requires = "size", conflicts_with = "prover_id")]
    miner: Option<String>,

    /// A prover id as 64 hex digits, instead of --miner
    #[arg(long, value_name = "HEX", requires = "size")]
    prover_id: Option<Bytes32>,

    /// Number of the sector, and of the first one with --count
    #[arg(long, value_name = "N", default_value_t = 1)]
    sector: u64,

    /// The ticket as 64 hex digits; for the test sizes a fixed one for practice
    #[arg(long, value_name = "HEX", requires = "size", conflicts_with = "ticket_command")]
    ticket: Option<Bytes32>,

    /// A shell's command that prints the ticket once pc1 needs it
    #[arg(long, value_name = "CMD", requires = "size")]
    ticket_command: Option<String>,

    /// The seed as 64 hex digits, or `wait` for `sealpipe seed` to say it; for the test sizes a fixed
    /// one for practice
    #[arg(long, value_name = "HEX|wait", requires = "size", conflicts_with = "seed_command")]
    #[arg(value_parser = parse_seed)]
    seed: Option<Source>,

    /// A shell's command that prints the seed once c1 needs it; asked again until it does
    #[arg(long, value_name = "CMD", requires = "size")]
    seed_command: Option<String>,

    /// Which files to keep once the sector is proven
    #[arg(long, value_name = "WHAT", default_value = "needed")]
    keep: Keep,

    /// The last stage to run
    #[arg(long, value_name = "STAGE", requires = "size")]
    until: Option<String>,

    /// The sector's directory; with --count each gets one of its own below it
    #[arg(long, value_name = "DIR", requires = "size", required_unless_present_any = ["file", "echo"])]
    out: Option<PathBuf>,

    /// So many sectors, or demonstrations, with numbers that follow one another
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=MAX_ORDERS as u64))]
    count: u64,

    /// Orders as JSON lines; `-` is stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["size", "echo"])]
    file: Option<PathBuf>,

    /// A demonstration instead of a sector: runs of the stage `echo`, one after another
    #[arg(long, conflicts_with = "size")]
    echo: bool,

    /// Its name; with --count a number follows it
    #[arg(long, value_name = "NAME", requires = "echo")]
    name: Option<String>,

    /// Runs of the stage
    #[arg(long, value_name = "N", requires = "echo", default_value_t = 1)]
    steps: u32,

    /// What each run gives back, as JSON
    #[arg(long, value_name = "JSON", requires = "echo", default_value = "null")]
    payload: serde_json::Value,

    /// Signs of progress that each run gives
    #[arg(long, value_name = "N", requires = "echo", default_value_t = 0)]
    ticks: u64,

    /// The time before each of them
    #[arg(long, value_name = "TIME", requires = "echo", default_value = "0s")]
    interval: humantime::Duration,

    /// Only say what is wrong
    #[arg(long)]
    dry_run: bool,

    /// Wait until all of them are done; code 1 if one is not
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    socket: SocketArgs,
}

fn parse_seed(text: &str) -> Result<Source, String> {
    match text {
        "wait" => Ok(Source::Awaited),
        hex => hex.parse().map(Source::Given).map_err(|error| format!("{error}, or `wait`")),
    }
}

/// An order, and the line where it was read.
type Numbered = (usize, Order);

/// What is wrong, and the line where it stands.
type Wrong = (usize, String);

/// Runs the command.
pub fn run(args: SubmitArgs) -> Result<u8, Failure> {
    let here = std::env::current_dir()
        .map_err(|error| Failure::new(format!("cannot tell the current directory: {error}")))?;
    let (orders, wrong) = match &args.file {
        Some(file) => read_lines(file)?,
        None => (by_options(&args)?.into_iter().map(|order| (1, order)).collect(), Vec::new()),
    };
    if orders.is_empty() && wrong.is_empty() {
        return Err(Failure::new("there is nothing to submit"));
    }
    let orders: Vec<Numbered> =
        orders.into_iter().map(|(line, order)| (line, order.from_dir(&here))).collect();
    with_daemon(&args.socket, async |client| submit(&args, &client, orders, wrong).await)
}

async fn submit(
    args: &SubmitArgs,
    client: &Client,
    orders: Vec<Numbered>,
    mut wrong: Vec<Wrong>,
) -> Result<u8, Failure> {
    let (lines, orders): (Vec<usize>, Vec<Order>) = orders.into_iter().unzip();
    // Lines that are no orders: what is wrong with the others is asked for, to be said at once.
    let dry_run = args.dry_run || !wrong.is_empty();
    let result = client.ask::<Submit>(&SubmitParams { orders, dry_run }).await?;
    wrong.extend(result.problems.iter().map(|problem| {
        let line = lines.get(problem.order).copied().unwrap_or(0);
        (line, with_hint(problem))
    }));
    if !wrong.is_empty() {
        wrong.sort();
        return Err(refused(args, &wrong));
    }
    if !args.wait {
        write_out(&if args.json { json(&result) } else { told(&result, args.dry_run) })?;
        return Ok(exit::OK);
    }
    if !args.json {
        write_out(&told(&result, false))?;
    }
    let sectors: Vec<String> = result.sectors.into_iter().map(|sector| sector.name).collect();
    wait(client, sectors, args.json).await
}

fn with_hint(problem: &Problem) -> String {
    match &problem.hint {
        Some(hint) => format!("{} (hint: {hint})", problem.message),
        None => problem.message.clone(),
    }
}

fn refused(args: &SubmitArgs, wrong: &[Wrong]) -> Failure {
    let n = wrong.len();
    let title = match (args.dry_run, n) {
        (true, 1) => "one thing is wrong".to_owned(),
        (true, n) => format!("{n} things are wrong"),
        (false, 1) => "nothing was submitted: one thing is wrong".to_owned(),
        (false, n) => format!("nothing was submitted: {n} things are wrong"),
    };
    let mut lines: Vec<String> = wrong
        .iter()
        .take(MAX_SHOWN)
        .map(|(line, what)| match args.file {
            Some(_) => format!("line {line}: {what}"),
            None => what.clone(),
        })
        .collect();
    if n > MAX_SHOWN {
        lines.push(format!("and {} more", n - MAX_SHOWN));
    }
    Failure::new(title).lines(lines)
}

/// What was submitted, for people.
fn told(result: &SubmitResult, dry_run: bool) -> String {
    let mut text = String::new();
    for sector in result.sectors.iter().filter(|sector| sector.known) {
        text += &format!("{} is there already: {}\n", sector.name, sector.state);
    }
    let new: Vec<_> = result.sectors.iter().filter(|sector| !sector.known).collect();
    let what = if dry_run { "could be submitted" } else { "submitted" };
    match new.as_slice() {
        [] => {}
        [one] => text += &format!("{} {what}\n", one.name),
        [first, .., last] => {
            text += &format!("{} sectors {what}: {} to {}\n", new.len(), first.name, last.name);
        }
    }
    text
}

/// Waits until sectors are over.
async fn wait(client: &Client, sectors: Vec<String>, as_json: bool) -> Result<u8, Failure> {
    let params = SectorsParams { sectors, failed: false };
    let result = loop {
        let result = client.ask::<Wait>(&params).await?;
        if result.over {
            break result;
        }
    };
    let undone: Vec<_> = result.sectors.iter().filter(|s| s.state != "done").collect();
    if as_json {
        write_out(&json(&result))?;
    } else {
        for sector in &undone {
            write_out(&format!("{} {}\n", sector.name, sector.state))?;
        }
        if undone.is_empty() {
            write_out("all done\n")?;
        }
    }
    Ok(if undone.is_empty() { exit::OK } else { exit::FAILED })
}

/// The orders that the options describe.
fn by_options(args: &SubmitArgs) -> Result<Vec<Order>, Failure> {
    if args.echo {
        return Ok((1..=args.count).map(|n| Order::Echo(echo(args, n))).collect());
    }
    let (Some(size), Some(out)) = (&args.size, &args.out) else {
        return Err(Failure::new("a sector needs --size and --out"));
    };
    let prover = match (&args.miner, args.prover_id) {
        (_, Some(id)) => Prover::Raw(id),
        (Some(miner), None) => Prover::parse_miner(miner).map_err(Failure::new)?,
        (None, None) => Prover::Miner(1000),
    };
    let command = |command: &Option<String>| command.as_deref().map(Source::command).transpose();
    let ticket = command(&args.ticket_command).map_err(Failure::new)?;
    let seed = command(&args.seed_command).map_err(Failure::new)?;
    let order = |number: u64| SectorOrder {
        size: size.clone(),
        miner: args.miner.clone(),
        prover_id: args.prover_id,
        number,
        dir: match args.count {
            1 => out.clone(),
            _ => out.join(format!("{prover}-{number}")),
        },
        pieces: args.pieces.clone(),
        ticket: ticket.clone().or_else(|| args.ticket.map(Source::Given)),
        seed: seed.clone().or_else(|| args.seed.clone()),
        until: args.until.clone(),
        keep: args.keep,
    };
    let numbers = args.sector..args.sector.saturating_add(args.count);
    Ok(numbers.map(|number| Order::Sector(order(number))).collect())
}

fn echo(args: &SubmitArgs, number: u64) -> EchoOrder {
    let name = args.name.as_ref().map(|name| match args.count {
        1 => name.clone(),
        _ => format!("{name}-{number}"),
    });
    EchoOrder {
        name,
        steps: args.steps,
        payload: args.payload.clone(),
        ticks: args.ticks,
        interval_ms: crate::event::millis(*args.interval),
        fail: None,
    }
}

/// The orders of a file, and the lines that are none.
fn read_lines(path: &Path) -> Result<(Vec<Numbered>, Vec<Wrong>), Failure> {
    let cannot =
        |error: io::Error| Failure::new(format!("cannot read {}: {error}", path.display()));
    let mut text = String::new();
    let limit = MAX_FRAME_BYTES as u64;
    let length = match path.to_str() {
        Some("-") => io::stdin().take(limit + 1).read_to_string(&mut text),
        _ => File::open(path).and_then(|file| file.take(limit + 1).read_to_string(&mut text)),
    };
    if length.map_err(cannot)? > MAX_FRAME_BYTES {
        return Err(Failure::new(format!("{} has more than {limit} bytes", path.display()))
            .hint("submit it in parts"));
    }
    let (mut orders, mut wrong) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match serde_json::from_str::<Order>(line) {
            Ok(order) => orders.push((index + 1, order)),
            // Each line is read by itself, as its first.
            Err(error) => {
                wrong.push((
                    index + 1,
                    error.to_string().replace(" at line 1 column ", " at column "),
                ));
            }
        }
    }
    Ok((orders, wrong))
}
