// SPDX-License-Identifier: MIT OR Apache-2.0

//! Plays the acts of a life.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    process::{Signal, getpid, getppid, kill_process},
};
use sealpipe_protocol::{method::Placement, placement};
use serde_json::{Value, json};

use super::{
    diary::{self, Diary},
    work,
};
use crate::{
    proc,
    worker::script::{Act, Life, MAX_CONCURRENT, Pin},
};

/// Between the rounds of a flood, and between two looks at something that is waited for.
const PAUSE: Duration = Duration::from_millis(50);

/// The grace where `initialize` has none, in milliseconds (initialize.params.schema.json).
const DEFAULT_GRACE_MS: u64 = 10_000;

/// The longest that a share of the grace is waited for.
const MOST_OF_GRACE: Duration = Duration::from_secs(2);

/// For runs to come to the end of their acts, when all is to end.
const LAST_ACTS: Duration = Duration::from_secs(1);

/// For a child to ignore what would end it.
const CHILD_STARTS: Duration = Duration::from_secs(10);

/// Most of what is written at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// A line of the worker's.
#[derive(Clone, Debug, Default)]
pub struct Request {
    message: Value,
}

impl Request {
    /// What is in a line.
    pub fn read(line: &[u8]) -> Self {
        Self { message: serde_json::from_slice(line).unwrap_or_default() }
    }

    fn id(&self) -> &Value {
        &self.message["id"]
    }

    fn params(&self) -> &Value {
        &self.message["params"]
    }

    fn fill(&self, text: &str) -> String {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        text.replace("$ID", &self.id().to_string())
            .replace("$TASK", &word(&self.params()["taskId"]))
            .replace("$ATTEMPT", &self.params()["attempt"].to_string())
    }
}

#[derive(Default)]
struct State {
    /// The ids of the runs that are open, by their tasks.
    open: BTreeMap<String, Value>,
    runs: usize,
    answered: usize,
    /// Runs whose acts are being played.
    playing: usize,
    shutdown: bool,
    /// What is no request of the worker's.
    heard: Vec<String>,
    carriage_return: bool,
    granted: Value,
    grace_ms: Option<u64>,
}

/// The processor.
pub struct Player {
    pub(super) life: Life,
    diary: Diary,
    stage: String,
    dir: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
    reads: Mutex<bool>,
    /// Held while a line is written.
    writing: Mutex<()>,
}

impl Player {
    /// A processor that lives this life.
    pub fn new(diary: Diary, stage: String, life: Life, dir: &Path) -> Self {
        Self {
            life,
            diary,
            stage,
            dir: dir.to_owned(),
            state: Mutex::default(),
            changed: Condvar::new(),
            reads: Mutex::new(true),
            writing: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it may read.
    pub fn reads(&self) -> MutexGuard<'_, bool> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down an event.
    pub fn note(&self, event: &str, what: Value) {
        self.diary.note(event, what);
    }

    /// Runs where it was told to, as far as the script has it.
    pub fn pin(&self, initialize: &Request) {
        let params = initialize.params();
        let mut granted: Placement =
            serde_json::from_value(params["placement"].clone()).unwrap_or_default();
        let mut state = self.state();
        state.granted = params["placement"].clone();
        state.grace_ms = params["limits"]["graceMs"].as_u64();
        drop(state);
        match self.life.pin {
            Pin::Never => return,
            Pin::Granted => {}
            Pin::CpusOnly => (granted.memory_node, granted.memory_policy) = (None, None),
            // Its cpus are those of this thread now, and stay so.
            Pin::Halfway => drop(thread::spawn(thread::park)),
        }
        if let Err(error) = placement::apply(&granted) {
            self.note("unpinned", json!(error.to_string()));
        }
    }

    /// Deals with a line of the worker's.
    pub fn take(self: &Arc<Self>, request: &Request) {
        match request.message["method"].as_str() {
            Some("initialize") => {
                self.drain();
                self.play(&self.life.initialize, request);
            }
            Some("task/run") => self.begin(request),
            Some("shutdown") => {
                self.state().shutdown = true;
                self.play(&self.life.shutdown, request);
                if request.params()["mode"] == "interrupt" && !self.life.eof.is_empty() {
                    self.end_runs(1011, "temporary", |_| true);
                }
            }
            Some("task/cancel") => {
                let task = &request.params()["taskId"];
                let open = self.state().open.keys().any(|open| task == open);
                self.reply(request, &json!({"result": {"cancelled": open}}));
                self.end_runs(-32800, "abort", |open| task == open);
            }
            Some("ping") => {
                let open = self.state().open.len();
                self.reply(request, &json!({"result": {"openTasks": open}}));
            }
            // Not a request, or one that there is not.
            Some(_) if !request.id().is_null() => {
                let error = json!({"error": {"code": -32601, "message": "no such method"}});
                self.reply(request, &error);
            }
            _ => {
                self.state().heard.push(request.message.to_string());
                self.changed.notify_all();
            }
        }
    }

    /// Waits until all that the worker has said so far is read, and so written down.
    fn drain(&self) {
        let stdin = rustix::stdio::stdin();
        loop {
            let reads = self.reads();
            let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
            let none = Timespec { tv_sec: 0, tv_nsec: 0 };
            let ready = poll(&mut fds, Some(&none)).is_ok_and(|_| {
                // At its end there is nothing more to read.
                fds[0].revents().contains(PollFlags::IN)
            });
            if !ready || !*reads {
                return;
            }
            drop(reads);
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn begin(self: &Arc<Self>, request: &Request) {
        let mut state = self.state();
        let task = request.fill("$TASK");
        state.open.insert(task, request.id().clone());
        self.note("run", request.id().clone());
        let nth = state.runs;
        state.runs += 1;
        state.playing += 1;
        drop(state);
        self.changed.notify_all();
        let acts = self.life.runs.get(nth).or(self.life.runs.last()).cloned().unwrap_or_default();
        let (player, request) = (self.clone(), request.clone());
        thread::spawn(move || {
            player.play(&acts, &request);
            player.state().playing -= 1;
            player.changed.notify_all();
        });
    }

    /// Answers open runs with an error.
    fn end_runs(&self, code: i64, class: &str, which: impl Fn(&str) -> bool) {
        let ended: Vec<_> = self.state().open.extract_if(.., |task, _| which(task)).collect();
        for (_, id) in ended {
            let error = json!({"code": code, "message": "stopped", "data": {"class": class}});
            self.write_line(&json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string());
        }
    }

    /// stdin has ended.
    pub fn end_of_input(&self) {
        if !self.life.eof.is_empty() {
            self.end_runs(1011, "temporary", |_| true);
        }
        self.play(&self.life.eof, &Request::default());
    }

    /// SIGTERM has come.
    pub fn terminate(&self) {
        self.note("sigterm", Value::Null);
        self.play(&self.life.term, &Request::default());
    }

    /// Plays acts one after another.
    pub fn play(&self, acts: &[Act], request: &Request) {
        for act in acts {
            self.act(act, request);
        }
    }

    fn act(&self, act: &Act, request: &Request) {
        match act {
            Act::Answer => self.reply(request, &self.honest(request, &Value::Null)),
            Act::Claim => {
                let claimed = json!({"placement": self.state().granted});
                self.reply(request, &self.honest(request, &claimed));
            }
            Act::Patch(patch) => self.reply(request, &self.honest(request, patch)),
            Act::Reply(reply) => self.reply(request, reply),
            Act::Padded { reply, bytes } => self.padded(request, reply.as_ref(), *bytes),
            Act::Say(line) => self.write_line(&request.fill(line)),
            Act::SayOtherType(reply) => {
                let mut frame = frame(request, reply);
                frame["id"] = match request.id() {
                    Value::String(id) => id.parse::<u64>().map_or(json!(0), Value::from),
                    id => json!(id.to_string()),
                };
                self.write_line(&frame.to_string());
            }
            Act::CutAnswer => {
                let answer = frame(request, &self.honest(request, &Value::Null));
                self.write(answer.to_string().as_bytes());
            }
            Act::Cut(text) => self.write(request.fill(text).as_bytes()),
            Act::Bytes(bytes) => self.write(bytes),
            Act::CrLf => self.state().carriage_return = true,
            Act::Junk { bytes } => self.junk(*bytes),
            Act::Flood { line, times, rounds } => {
                let lines = format!("{}\n", request.fill(line)).repeat(*times);
                for _ in 0..*rounds {
                    self.write(lines.as_bytes());
                    thread::sleep(PAUSE);
                }
            }
            Act::Stderr { bytes } => self.complain(&vec![b'e'; *bytes]),
            Act::StderrLine(line) => self.complain(format!("{line}\n").as_bytes()),
            Act::Sleep(ms) => thread::sleep(Duration::from_millis(*ms)),
            Act::SleepOfGrace(percent) => {
                let grace = self.state().grace_ms.unwrap_or(DEFAULT_GRACE_MS);
                let share = Duration::from_millis(grace.saturating_mul(*percent) / 100);
                thread::sleep(share.min(MOST_OF_GRACE));
            }
            Act::Exit(code) => self.exit(*code),
            Act::Die => {
                self.note("dies", Value::Null);
                // The signal that nothing survives; the thread goes no further.
                let _ = kill_process(getpid(), Signal::KILL);
                thread::park();
            }
            Act::CloseStdout => self.close_stdout(),
            Act::StopReading => *self.reads() = false,
            Act::Read => *self.reads() = true,
            Act::FillStdin => self.fill_stdin(),
            Act::Child => self.child(),
            Act::AwaitRuns { runs, within } => {
                let state = self.state();
                let within = Duration::from_millis(*within);
                drop(self.changed.wait_timeout_while(state, within, |state| state.runs < *runs));
            }
            Act::AwaitAnswered { runs, within } => {
                let state = self.state();
                let within = Duration::from_millis(*within);
                let fewer = |state: &mut State| state.answered < *runs;
                drop(self.changed.wait_timeout_while(state, within, fewer));
            }
            Act::AwaitLine(text, within) => {
                let state = self.state();
                let within = Duration::from_millis(*within);
                let heard = |state: &mut State| state.heard.iter().any(|line| line.contains(text));
                drop(self.changed.wait_timeout_while(state, within, |state| !heard(state)));
            }
            Act::AwaitGone { life, within } => self.await_gone(*life, *within),
            Act::Peak(name) => {
                let parent = getppid().map(|pid| pid.as_raw_nonzero().get());
                let bytes = parent.and_then(proc::peak_resident_bytes);
                self.note("peak", json!({"name": name, "bytes": bytes}));
            }
            Act::Mark(name) => self.note("mark", json!(name)),
        }
    }

    /// The reply of an honest processor, with members merged into its result.
    fn honest(&self, request: &Request, patch: &Value) -> Value {
        let mut result = match request.message["method"].as_str() {
            Some("initialize") => json!({
                "protocolVersion": "1.0",
                "processor": {"name": "sealpipe-conformance", "version": env!("CARGO_PKG_VERSION")},
                "stages": [{
                    "stage": self.stage, "schemaVersion": "1.0",
                    "maxConcurrent": MAX_CONCURRENT, "device": "cpu",
                }],
                "placement": placement::observe(),
            }),
            Some("task/run") => match work::run(&self.stage, &request.params()["params"]) {
                Ok(output) => json!({"output": output}),
                Err(why) => {
                    self.note("cannot", json!(why));
                    let data = json!({"class": "permanent"});
                    return json!({"error": {"code": 1006, "message": why, "data": data}});
                }
            },
            _ => json!({"openTasks": self.state().open.len()}),
        };
        merge(&mut result, patch);
        json!({"result": result})
    }

    /// Answers; a run is no longer open then.
    fn reply(&self, request: &Request, reply: &Value) {
        if request.message["method"] == "task/run" {
            self.state().open.remove(&request.fill("$TASK"));
            self.note("answered", request.id().clone());
        }
        self.write_line(&frame(request, reply).to_string());
        if request.message["method"] == "task/run" {
            self.state().answered += 1;
            self.changed.notify_all();
        }
    }

    fn padded(&self, request: &Request, reply: Option<&Value>, bytes: usize) {
        let honest = reply.is_none();
        let reply = reply.cloned().unwrap_or_else(|| self.honest(request, &Value::Null));
        let mut frame = frame(request, &reply);
        frame["padding"] = json!("");
        let missing = bytes.saturating_sub(frame.to_string().len());
        frame["padding"] = json!("x".repeat(missing));
        if honest && request.message["method"] == "task/run" {
            self.state().open.remove(&request.fill("$TASK"));
        }
        self.write_line(&frame.to_string());
    }

    fn junk(&self, bytes: usize) {
        let guard = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let chunk = vec![b'x'; CHUNK_BYTES];
        let mut left = bytes;
        while left > 0 {
            let n = left.min(chunk.len());
            self.write_all(&chunk[..n]);
            left -= n;
        }
        self.write_all(b"\n");
        drop(guard);
    }

    fn write_line(&self, line: &str) {
        let end = if self.state().carriage_return { "\r\n" } else { "\n" };
        self.write(format!("{line}{end}").as_bytes());
    }

    fn write(&self, bytes: &[u8]) {
        let guard = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_all(bytes);
        drop(guard);
    }

    fn write_all(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match rustix::io::write(rustix::stdio::stdout(), bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    self.note("unwritten", json!(error.to_string()));
                    return;
                }
            }
        }
    }

    fn complain(&self, bytes: &[u8]) {
        if let Err(error) = std::io::stderr().write_all(bytes) {
            self.note("stderr", json!(error.to_string()));
        }
    }

    fn exit(&self, code: Option<u8>) {
        let mut state = self.state();
        let right = u8::from(!state.shutdown);
        if code.is_none() {
            // What is still to be said is said.
            let waited =
                self.changed.wait_timeout_while(state, LAST_ACTS, |state| state.playing > 0);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        let code = code.unwrap_or(right);
        self.note("exit", json!(code));
        std::process::exit(code.into());
    }

    fn close_stdout(&self) {
        // Nobody reads what goes there from now on.
        let opened = rustix::fs::open("/dev/null", OFlags::WRONLY, Mode::empty());
        let closed = opened.and_then(rustix::stdio::dup2_stdout);
        self.note("closed", json!(closed.is_ok()));
    }

    fn fill_stdin(&self) {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(pipe) = rustix::fs::open("/proc/self/fd/0", flags, Mode::empty()) else {
            return self.note("unfilled", Value::Null);
        };
        // First by pages, then what is left of the last one.
        for lines in [vec![b'\n'; 4096], vec![b'\n']] {
            while rustix::io::write(&pipe, &lines).is_ok_and(|n| n > 0) {}
        }
        self.note("filled", Value::Null);
    }

    fn child(&self) {
        let mut command = Command::new("sh");
        // What is ignored stays ignored by what is executed.
        command.args(["-c", "trap '' TERM HUP INT; exec sleep 600"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => {
                let pid = i32::try_from(child.id()).unwrap_or_default();
                // Until then SIGTERM would end it.
                let ignores = || {
                    let name = fs::read_to_string(format!("/proc/{pid}/comm"));
                    name.is_ok_and(|name| name.trim() == "sleep")
                };
                let since = Instant::now();
                while !ignores() && since.elapsed() < CHILD_STARTS {
                    thread::sleep(Duration::from_millis(5));
                }
                self.note("child", json!({"pid": pid, "born": proc::born(pid)}));
            }
            Err(error) => self.note("childless", json!(error.to_string())),
        }
    }

    fn await_gone(&self, life: usize, within: u64) {
        let text = fs::read_to_string(diary::path(&self.dir, life)).unwrap_or_default();
        let start: Value = text
            .lines()
            .next()
            .and_then(|line| serde_json::from_str(line).ok())
            .unwrap_or_default();
        let pid = start["what"]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        let born = start["what"]["born"].as_u64();
        let is_there = || pid.is_some_and(|pid| born.is_some() && proc::born(pid) == born);
        let deadline = Instant::now() + Duration::from_millis(within);
        while is_there() && Instant::now() < deadline {
            thread::sleep(PAUSE);
        }
        let state = pid.filter(|_| is_there()).and_then(proc::state);
        self.note("gone", json!({"life": life, "gone": !is_there(), "state": state}));
    }
}

/// A response.
fn frame(request: &Request, reply: &Value) -> Value {
    let mut frame = json!({"jsonrpc": "2.0", "id": request.id()});
    merge(&mut frame, reply);
    frame
}

/// Puts members into an object, and into the objects within it.
fn merge(into: &mut Value, from: &Value) {
    let (Value::Object(into), Value::Object(from)) = (&mut *into, from) else { return };
    for (name, value) in from {
        match into.get_mut(name) {
            Some(inner) if inner.is_object() && value.is_object() => merge(inner, value),
            _ => drop(into.insert(name.clone(), value.clone())),
        }
    }
}
