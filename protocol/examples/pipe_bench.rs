// SPDX-License-Identifier: MIT OR Apache-2.0

//! How fast the pipe is: a worker's peer and a processor of the SDK, two processes, two pipes.
//!
//! Each measurement is set against its floor, taken right after it: two processes that pass the
//! same bytes through two pipes and do nothing else. The ratio is what the protocol costs, and
//! depends less on the machine than the rates do. `docs/benchmarks.md` has the results.
//!
//! ```text
//! cargo run --release -p sealpipe-protocol --example pipe_bench -- [--json] [--rounds N] [--only NAME]
//! ```

use std::{
    collections::VecDeque,
    env,
    error::Error,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    os::fd::OwnedFd,
    pin::Pin,
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use jsonrpsee::{Extensions, RpcModule, types::Params};
use sealpipe_protocol::{
    Code, DEFAULT_FRAME_BYTES, Stage, TaskError, Version,
    codec::FrameLimit,
    method::{
        Empty, Identity, Initialize, InitializeParams, Ping, Request, StageOffer, TaskRun,
        TaskRunParams,
    },
    peer::{Call, Options, Peer, widen_pipe},
    serve::{self, Done, Processor, TaskContext},
    stage::{Job, echo},
};
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};
use tokio::{net::unix::pipe, runtime::Runtime};

/// Round trips of a round.
const N_ROUND_TRIPS: usize = 2_000;

/// Pings of a round that do not wait for one another.
const N_PIPELINED: usize = 20_000;

/// Pings on their way at a time: under the peer's limit of open requests.
const WINDOW: usize = 1_000;

/// Bulk frames of a round.
const N_BULK: usize = 4;

/// What a request for a task has around its payload, at most, in bytes.
const AROUND_PAYLOAD: usize = 256;

/// Rounds unless told otherwise.
const ROUNDS: usize = 9;

/// A ping as it is on the wire: the frames of the floor are as long.
const PING_LINE: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1000,\"method\":\"ping\",\"params\":{}}\n";

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments.as_slice() {
        ["processor"] => return serve::serve(Echo),
        ["peer"] => give_frames_back(),
        ["lines"] => give_lines_back(),
        ["bytes", count] => count.parse().map_err(io::Error::other).and_then(give_bytes_back),
        options => return bench(options),
    };
    ended.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

/// The processor: gives each payload back.
struct Echo;

impl Processor for Echo {
    fn identity(&self) -> Identity {
        Identity { name: "pipe-bench".into(), version: env!("CARGO_PKG_VERSION").into() }
    }

    fn offers(&self, _: &InitializeParams) -> Result<Vec<StageOffer>, TaskError> {
        Ok(vec![serve::offer(Stage::Echo, 1)])
    }

    fn run(&self, job: Job, _: &TaskContext) -> Result<Done, TaskError> {
        match job {
            Job::Echo(params) => Ok(Done::new(&echo::Output { payload: params.payload })),
            other => Err(TaskError::new(
                Code::UnsupportedStage,
                format!("`{}` is not served here", other.stage()),
            )),
        }
    }
}

/// The far end for bulk frames: a peer alone, whose one method gives back what it gets, unread.
fn give_frames_back() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut methods = RpcModule::new(());
    let echo = |params: Params<'_>, _: &(), _: &Extensions| params.parse::<Box<RawValue>>();
    methods.register_method("echo", echo).map_err(io::Error::other)?;
    runtime.block_on(async {
        let peer = spawn_peer(stdin()?.into(), stdout()?.into(), methods)?;
        peer.closed().await;
        Ok(())
    })
}

/// A peer on both ends of pipes, with the limits that are usual after `initialize`.
fn spawn_peer(input: OwnedFd, output: OwnedFd, methods: RpcModule<()>) -> io::Result<Peer> {
    let options = Options {
        limit: FrameLimit::new(DEFAULT_FRAME_BYTES),
        outgoing_limit: FrameLimit::new(DEFAULT_FRAME_BYTES),
        answer_oddities: false,
        // There is one: nobody here knows `processor/status`.
        on_oddity: Box::new(|_| {}),
        already_read: Default::default(),
    };
    widen_pipe(&input);
    widen_pipe(&output);
    let reader = pipe::Receiver::from_owned_fd(input)?;
    let writer = pipe::Sender::from_owned_fd(output)?;
    Ok(Peer::spawn(reader, writer, methods, options))
}

/// The far end of the floor for small frames: a write for each line.
fn give_lines_back() -> io::Result<()> {
    let (mut input, mut output) = (BufReader::new(stdin()?), stdout()?);
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        output.write_all(&line)?;
        line.clear();
    }
    Ok(())
}

/// The far end of the floor for bulk frames: takes all of one before it gives it back.
fn give_bytes_back(count: usize) -> io::Result<()> {
    let (mut input, mut output) = (stdin()?, stdout()?);
    let mut frame = vec![0; count];
    while input.read_exact(&mut frame).is_ok() {
        output.write_all(&frame)?;
    }
    Ok(())
}

// Without the standard library's own buffers.
fn stdin() -> io::Result<std::fs::File> {
    Ok(rustix::io::dup(rustix::stdio::stdin())?.into())
}

fn stdout() -> io::Result<std::fs::File> {
    Ok(rustix::io::dup(rustix::stdio::stdout())?.into())
}

/// Another process of this program.
fn start(arguments: &[&str]) -> io::Result<(Child, ChildStdin, ChildStdout)> {
    let mut command = Command::new(env::current_exe()?);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let ends = child.stdin.take().zip(child.stdout.take());
    let (stdin, stdout) = ends.ok_or_else(|| io::Error::other("the child has no pipes"))?;
    Ok((child, stdin, stdout))
}

/// A process that gives back what it gets, and nothing else.
struct Plain {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Plain {
    fn start(arguments: &[&str]) -> io::Result<Self> {
        let (child, input, output) = start(arguments)?;
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    fn round_trips(&mut self) -> io::Result<Duration> {
        let began = Instant::now();
        let mut line = Vec::new();
        for _ in 0..N_ROUND_TRIPS {
            self.input.write_all(PING_LINE)?;
            line.clear();
            self.output.read_until(b'\n', &mut line)?;
        }
        Ok(began.elapsed())
    }

    fn pipelined(&mut self) -> io::Result<Duration> {
        let began = Instant::now();
        let (input, output) = (&mut self.input, &mut self.output);
        thread::scope(|scope| {
            let writer =
                scope.spawn(|| (0..N_PIPELINED).try_for_each(|_| input.write_all(PING_LINE)));
            let mut line = Vec::new();
            for _ in 0..N_PIPELINED {
                line.clear();
                output.read_until(b'\n', &mut line)?;
            }
            writer.join().expect("writing does not panic")
        })?;
        Ok(began.elapsed())
    }

    fn bulk(&mut self, frame: &mut [u8]) -> io::Result<Duration> {
        let began = Instant::now();
        for _ in 0..N_BULK {
            self.input.write_all(frame)?;
            self.output.read_exact(frame)?;
        }
        Ok(began.elapsed())
    }

    fn end(self) -> io::Result<()> {
        let Self { mut child, input, output } = self;
        drop((input, output));
        child.wait().map(drop)
    }
}

/// A worker's end, with a processor at the other.
struct Piped {
    child: Child,
    peer: Peer,
}

impl Piped {
    async fn start() -> Outcome<Self> {
        let (child, input, output) = start(&["processor"])?;
        let peer = spawn_peer(output.into(), input.into(), RpcModule::new(()))?;
        let params = InitializeParams {
            protocol_versions: vec![Version::V1_0],
            worker: Identity { name: "pipe-bench".into(), version: "1".into() },
            entry: None,
            limits: Default::default(),
            placement: Default::default(),
            capabilities: Default::default(),
        };
        peer.request::<Initialize>(&params).await?;
        Ok(Self { child, peer })
    }

    /// Of a peer without the SDK.
    async fn start_peer() -> Outcome<Self> {
        let (child, input, output) = start(&["peer"])?;
        let peer = spawn_peer(output.into(), input.into(), RpcModule::new(()))?;
        Ok(Self { child, peer })
    }

    fn end(self) -> io::Result<()> {
        let Self { mut child, peer } = self;
        peer.close();
        drop(peer);
        child.kill()?;
        child.wait().map(drop)
    }
}

async fn round_trips(peer: Peer) -> Outcome<Duration> {
    let began = Instant::now();
    for _ in 0..N_ROUND_TRIPS {
        peer.request::<Ping>(&Empty {}).await?;
    }
    Ok(began.elapsed())
}

async fn pipelined(peer: Peer) -> Outcome<Duration> {
    let began = Instant::now();
    let mut calls = VecDeque::with_capacity(WINDOW);
    for _ in 0..N_PIPELINED {
        if calls.len() == WINDOW
            && let Some(mut first) = calls.pop_front()
        {
            answered(&mut first).await?;
        }
        calls.push_back(peer.call(Ping::METHOD, &Empty {})?);
    }
    for mut call in calls {
        answered(&mut call).await?;
    }
    Ok(began.elapsed())
}

async fn bulk(peer: Peer, params: Arc<RawValue>) -> Outcome<Duration> {
    let began = Instant::now();
    for _ in 0..N_BULK {
        let result = peer.call("echo", &&*params)?.answer().await?;
        if result.get().len() != params.get().len() {
            return Err("the payload came back changed".into());
        }
    }
    Ok(began.elapsed())
}

async fn tasks(peer: Peer, params: Arc<RawValue>) -> Outcome<Duration> {
    let began = Instant::now();
    for index in 0..N_BULK {
        let params = TaskRunParams {
            task_id: format!("bulk-{index}").try_into()?,
            attempt: 1,
            stage: Stage::Echo.name().to_owned(),
            schema_version: Version::V1_0,
            params: (*params).to_owned(),
        };
        let result = peer.request::<TaskRun>(&params).await?;
        if result.output.get().len() != params.params.get().len() {
            return Err("the payload came back changed".into());
        }
    }
    Ok(began.elapsed())
}

async fn answered(call: &mut Call) -> Outcome<()> {
    call.answer().await?;
    Ok(())
}

/// What is measured: its name, what one round does, and the unit of that.
struct Subject {
    name: &'static str,
    amount: f64,
    unit: &'static str,
    /// Seconds of each round, with the protocol and without.
    seconds: Vec<(f64, f64)>,
}

impl Subject {
    fn new(name: &'static str, amount: f64, unit: &'static str) -> Self {
        Self { name, amount, unit, seconds: Vec::new() }
    }

    fn add(&mut self, protocol: Duration, plain: Duration) {
        self.seconds.push((protocol.as_secs_f64(), plain.as_secs_f64()));
    }

    fn median(&self, of: impl Fn(&(f64, f64)) -> f64) -> f64 {
        let mut values: Vec<f64> = self.seconds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    fn show(&self, as_json: bool, output: &mut impl Write) -> io::Result<()> {
        let rate = self.amount / self.median(|(protocol, _)| *protocol);
        let floor = self.amount / self.median(|(_, plain)| *plain);
        let ratio = self.median(|(protocol, plain)| protocol / plain);
        let Self { name, unit, seconds, .. } = self;
        if as_json {
            let rounds = seconds.len();
            let line = json!({
                "name": name, "unit": unit, "rate": rate, "floor": floor, "ratio": ratio,
                "rounds": rounds,
            });
            return writeln!(output, "{line}");
        }
        writeln!(
            output,
            "{name:<12} {rate:>10.0} {unit:<14} plain {floor:>10.0} {unit:<14} ratio {ratio:.2}"
        )
    }
}

/// What is asked for on the command line.
struct Settings {
    as_json: bool,
    rounds: usize,
    only: Option<String>,
}

fn read_settings(options: &[&str]) -> Option<Settings> {
    let mut settings = Settings { as_json: false, rounds: ROUNDS, only: None };
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--json" => settings.as_json = true,
            "--rounds" => settings.rounds = options.next()?.parse().ok().filter(|n| *n > 0)?,
            "--only" => settings.only = Some((*options.next()?).to_owned()),
            _ => return None,
        }
    }
    Some(settings)
}

fn bench(options: &[&str]) -> ExitCode {
    let Some(settings) = read_settings(options) else {
        eprintln!("usage: pipe_bench [--json] [--rounds N] [--only NAME], N at least 1");
        return ExitCode::from(2);
    };
    match measure(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(settings: &Settings) -> Outcome<()> {
    let runtime: Runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // On the runtime's own tasks, as the worker's calls are.
    let run = |round: Pin<Box<dyn Future<Output = Outcome<Duration>> + Send>>| {
        runtime.block_on(runtime.spawn(round))?
    };
    let piped = runtime.block_on(Piped::start())?;
    let plain_peer = runtime.block_on(Piped::start_peer())?;
    let mut lines = Plain::start(&["lines"])?;
    let mut bytes = Plain::start(&["bytes", &DEFAULT_FRAME_BYTES.to_string()])?;
    let payload = "0123456789abcdef".repeat((DEFAULT_FRAME_BYTES - AROUND_PAYLOAD) / 16);
    let payload: Arc<RawValue> = Arc::from(to_raw_value(&json!({ "payload": payload }))?);
    let mut frame = vec![b'x'; DEFAULT_FRAME_BYTES];
    let mib = (2 * N_BULK * DEFAULT_FRAME_BYTES) as f64 / (1024.0 * 1024.0);
    let mut subjects = vec![
        Subject::new("round-trips", N_ROUND_TRIPS as f64, "round trips/s"),
        Subject::new("pipelined", N_PIPELINED as f64, "round trips/s"),
        Subject::new("bulk", mib, "MiB/s"),
        Subject::new("bulk-tasks", mib, "MiB/s"),
    ];
    if let Some(only) = &settings.only {
        subjects.retain(|subject| subject.name == only);
    }
    // The round before the first is for warming up.
    for round in 0..=settings.rounds {
        for subject in &mut subjects {
            let peer = piped.peer.clone();
            let (protocol, plain) = match subject.name {
                "round-trips" => (run(Box::pin(round_trips(peer)))?, lines.round_trips()?),
                "pipelined" => (run(Box::pin(pipelined(peer)))?, lines.pipelined()?),
                "bulk" => (
                    run(Box::pin(bulk(plain_peer.peer.clone(), payload.clone())))?,
                    bytes.bulk(&mut frame)?,
                ),
                _ => (run(Box::pin(tasks(peer, payload.clone())))?, bytes.bulk(&mut frame)?),
            };
            if round > 0 {
                subject.add(protocol, plain);
            }
        }
    }
    let mut output = BufWriter::new(io::stdout().lock());
    subjects.iter().try_for_each(|subject| subject.show(settings.as_json, &mut output))?;
    output.flush()?;
    lines.end()?;
    bytes.end()?;
    plain_peer.end()?;
    Ok(piped.end()?)
}
