// SPDX-License-Identifier: MIT OR Apache-2.0

//! One process' life, from `initialize` to its end.

use std::{
    sync::{atomic::Ordering, mpsc::RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Settings,
    faults::{Fault, has},
    process::{Heard, Process},
    say,
    task::{Status, Task},
    told_to_end,
};

/// The frames that it takes once `initialize` is answered, in bytes.
const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// The grace that it grants.
const GRACE: Duration = Duration::from_secs(3);

/// For the answer to `shutdown`.
const SHUTDOWN_ANSWER: Duration = Duration::from_secs(1);

/// Lines that are no messages: before `initialize` is answered, and altogether.
const FIRST_BUDGET: u32 = 20;
const BUDGET: u32 = 1_000;

/// For a process whose stdout has ended to be gone, and for the last lines of one that is gone.
const SETTLED: Duration = Duration::from_secs(2);

/// How often it looks at its clock.
const LOOK: Duration = Duration::from_millis(20);

/// The wait of one that has a fixed one.
const FIXED_WAIT: Duration = Duration::from_secs(5);

/// How a life ended.
pub enum End {
    /// All is done, or it was told to end.
    Over,
    /// It cannot be used, and another one neither.
    Refused(String),
    /// It is gone.
    Died(String),
}

/// What an answer is to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Call {
    Initialize,
    Run(usize),
    Shutdown,
    Other,
}

/// A conversation with a process.
pub struct Session<'a> {
    settings: &'a Settings,
    tasks: &'a mut Vec<Task>,
    process: Process,
    next_id: u64,
    calls: Vec<(u64, Call)>,
    answered: Vec<(u64, Call)>,
    oddities: u32,
    ready: bool,
    /// What is sent together with the next line.
    held: String,
    /// Tasks at a time.
    most: usize,
    /// The frames that the processor takes, in bytes.
    its_limit: usize,
    heard_at: Instant,
    /// Why it cannot go on.
    defect: Option<String>,
    refused: Option<String>,
    at_end: bool,
    /// When it was seen that it is gone.
    ended_at: Option<Instant>,
}

impl<'a> Session<'a> {
    /// Starts a process and has it do what there is to do.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn live(settings: &'a Settings, tasks: &'a mut Vec<Task>) -> Result<End, String> {
        let cannot = |e| format!("cannot start {}: {e}", settings.processor.display());
        let process = Process::start(settings).map_err(cannot)?;
        let mut session = Self {
            settings,
            tasks,
            process,
            next_id: 1,
            calls: Vec::new(),
            answered: Vec::new(),
            oddities: 0,
            ready: false,
            held: String::new(),
            most: 1,
            its_limit: usize::MAX,
            heard_at: Instant::now(),
            defect: None,
            refused: None,
            at_end: false,
            ended_at: None,
        };
        Ok(session.work())
    }

    fn work(&mut self) -> End {
        let settings = self.settings;
        if has(Fault::PingsFirst) {
            self.ask("ping", json!({}), Call::Other);
        }
        self.initialize();
        let wait = if has(Fault::FixedStableWait) { FIXED_WAIT } else { settings.stable_wait };
        let began = Instant::now();
        while !self.ready {
            if has(Fault::DoesNotWait) && self.open() == 0 {
                self.begin_tasks();
            }
            let late = began.elapsed() > wait && !has(Fault::WaitsForEver);
            let why = match self.turn() {
                Some(why) => why,
                None if told_to_end() => return self.stop("interrupt"),
                None if late => "it did not answer `initialize`".to_owned(),
                None => continue,
            };
            let why = self.bury(why);
            if has(Fault::AnyEndIsGood) && self.at_end {
                self.tasks.iter_mut().for_each(|task| task.status = Status::Done);
                return End::Over;
            }
            return End::Refused(why);
        }
        while !self.tasks.iter().all(Task::is_over) {
            if told_to_end() {
                return self.stop("interrupt");
            }
            self.begin_tasks();
            if let Some(why) = self.turn().or_else(|| self.is_stalled()) {
                return self.die(why);
            }
        }
        self.stop("drain")
    }

    /// The process has to be given up, or is gone.
    fn die(&mut self, why: String) -> End {
        let since = Instant::now();
        while has(Fault::ExitZeroIsSuccess) && self.at_end && since.elapsed() < SETTLED {
            if self.process.ended().is_some() {
                break;
            }
            thread::sleep(LOOK);
        }
        let status = self.process.ended();
        if has(Fault::ExitZeroIsSuccess) && status.is_some_and(|status| status.success()) {
            self.tasks.iter_mut().for_each(|task| task.status = Status::Done);
        }
        let why = self.bury(why);
        self.tasks.iter_mut().for_each(Task::lose);
        End::Died(why)
    }

    /// Sees to it that nothing is left; what is to be said about it.
    fn bury(&mut self, why: String) -> String {
        let by_itself = self.process.ended().is_some();
        if !(by_itself && has(Fault::LeavesOrphans)) {
            self.process.kill();
        }
        let words = self.process.last_words();
        match has(Fault::HidesLastWords) || words.is_empty() {
            true => why,
            false => format!("{why}, last words: {words}"),
        }
    }

    /// Lets the process go.
    fn stop(&mut self, mode: &str) -> End {
        if has(Fault::KillsAtOnce) {
            self.process.kill();
            return End::Over;
        }
        if !has(Fault::ClosesWithoutAWord) {
            let params =
                if has(Fault::ParamsAreArrays) { json!([]) } else { json!({"mode": mode}) };
            self.ask("shutdown", params, Call::Shutdown);
            let asked = Instant::now();
            let waits = || asked.elapsed() < SHUTDOWN_ANSWER || has(Fault::WaitsForShutdown);
            while self.calls.iter().any(|(_, call)| *call == Call::Shutdown) && waits() {
                if self.turn().is_some() {
                    break;
                }
            }
        }
        if has(Fault::RunsDoneTasksAgain) && mode == "drain" && self.at_end {
            self.tasks.iter_mut().for_each(|task| task.status = Status::Waiting(Instant::now()));
            return self.die("it ended unasked".into());
        }
        if has(Fault::TermsAtOnce) {
            self.process.terminate();
        }
        if has(Fault::EndsWithinALine) {
            self.process.send(b"{\"jsonrpc\":\"2.0\"".to_vec());
        }
        if !has(Fault::KeepsStdinOpen) {
            self.process.close();
        }
        let closed = Instant::now();
        while self.process.ended().is_none() && closed.elapsed() < GRACE {
            if self.turn().is_some() {
                // Nothing more is heard; it may take its time to end.
                thread::sleep(LOOK);
            }
        }
        let by_itself = self.process.ended().is_some();
        if !(has(Fault::KillsNobody) || by_itself && has(Fault::LeavesOrphans)) {
            self.process.kill();
        }
        End::Over
    }

    fn open(&self) -> usize {
        self.tasks.iter().filter(|task| task.status == Status::Open).count()
    }

    fn begin_tasks(&mut self) {
        let now = Instant::now();
        for index in 0..self.tasks.len() {
            let due = matches!(self.tasks[index].status, Status::Waiting(from) if from <= now);
            if due && self.open() < self.most {
                self.begin(index);
            }
        }
    }

    fn begin(&mut self, index: usize) {
        let task = &mut self.tasks[index];
        task.begin();
        let params = json!({
            "taskId": task.name, "attempt": task.attempt, "stage": self.settings.stage,
            "schemaVersion": "1.0", "params": task.params,
        });
        self.heard_at = Instant::now();
        if has(Fault::CancelsFirst) {
            self.ask("task/cancel", json!({"taskId": params["taskId"]}), Call::Other);
        }
        if has(Fault::ReusesIds) {
            self.next_id = 500;
        }
        self.ask("task/run", params, Call::Run(index));
    }

    fn initialize(&mut self) {
        let settings = self.settings;
        let grace = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
        let mut params = json!({
            "protocolVersions": ["1.0"],
            "worker": {"name": "sealpipe-misbehaving", "version": env!("CARGO_PKG_VERSION")},
            "limits": {"maxFrameBytes": MAX_FRAME_BYTES, "graceMs": grace},
        });
        if has(Fault::WritesFractions) {
            params["limits"]["graceMs"] = json!(3000.0);
        }
        let grants = match settings.pinning.as_str() {
            "worker" => has(Fault::GrantsAndPins),
            "off" => has(Fault::GrantsWhereOff),
            _ => !has(Fault::GrantsNothing),
        };
        if let Some(cpus) = settings.cpus.as_ref().filter(|_| grants) {
            params["placement"]["cpus"] = json!(cpus);
        }
        if let Some(node) = settings.memory_node.filter(|_| grants) {
            params["placement"]["memoryNode"] = json!(node);
        }
        self.ask("initialize", params, Call::Initialize);
    }

    fn ask(&mut self, method: &str, params: Value, call: Call) {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let line = request.to_string();
        if line.len() > self.its_limit && !has(Fault::IgnoresLimit) {
            if let Call::Run(index) = call {
                let why = format!("{} bytes are over the limit of its processor", line.len());
                self.tasks[index].status = Status::Failed(why);
            }
            return;
        }
        self.calls.push((id, call));
        self.held.push_str(&(line + "\n"));
        if call != Call::Initialize || !has(Fault::DoesNotWait) {
            self.process.send(std::mem::take(&mut self.held).into_bytes());
        }
    }

    /// Takes what comes next, if something does; why it is over.
    fn turn(&mut self) -> Option<String> {
        match self.process.heard.recv_timeout(LOOK) {
            Ok(Heard::Line(line)) => self.take_line(line),
            Ok(Heard::TooLong) if has(Fault::DiesOfLongLines) => {
                self.defect = Some("a line is too long".into());
            }
            Ok(Heard::TooLong) => self.odd("a line over the limit", b""),
            Ok(Heard::End) | Err(RecvTimeoutError::Disconnected) => self.at_end = true,
            Err(RecvTimeoutError::Timeout) => {
                // One that does not hear the end sees it, once what was said before has come.
                if has(Fault::IgnoresTheEnd) && self.process.ended().is_some() {
                    let since = *self.ended_at.get_or_insert_with(Instant::now);
                    self.at_end |= since.elapsed() > SETTLED;
                }
            }
        }
        let budget = if self.ready { BUDGET } else { FIRST_BUDGET };
        if self.oddities > budget && !has(Fault::TakesAnyRubbish) {
            self.defect = Some(format!("{} lines are no messages", self.oddities));
        }
        let ended = self.at_end.then(|| "it has ended".to_owned());
        self.refused.take().or(self.defect.take()).or(ended)
    }

    fn is_stalled(&self) -> Option<String> {
        let open = || self.tasks.iter().filter(|task| task.status == Status::Open);
        let silence = self.heard_at.elapsed();
        if open().next().is_some()
            && silence > self.settings.stalled
            && !has(Fault::WaitsForTheSilent)
        {
            return Some(format!("it was silent for {silence:?}"));
        }
        let stuck = |task: &Task| task.advanced.elapsed() > self.settings.stuck;
        (open().any(stuck) && !has(Fault::LetsItStandStill))
            .then(|| "a task does not advance".to_owned())
    }

    fn odd(&mut self, what: &str, line: &[u8]) {
        self.oddities += 1;
        if has(Fault::DiesOfRubbish) && what == "no message" {
            self.defect = Some("it prints rubbish".into());
        }
        if has(Fault::AnswersRubbish) && what == "no message" {
            let error = json!({"code": -32700, "message": what});
            let answer = json!({"jsonrpc": "2.0", "id": null, "error": error});
            self.process.send(format!("{answer}\n").into_bytes());
        }
        if self.oddities <= 3 {
            say(&format!("{what}: {}", String::from_utf8_lossy(&line[..line.len().min(80)])));
        }
    }

    fn take_line(&mut self, mut line: Vec<u8>) {
        if line.last() == Some(&b'\r') {
            if has(Fault::DiesOfCarriageReturns) {
                self.defect = Some("a carriage return".into());
            }
            line.pop();
        }
        if line.is_empty() {
            self.at_end |= has(Fault::EmptyLineEnds);
            return;
        }
        let message: Value = serde_json::from_slice(&line).unwrap_or_default();
        if message["jsonrpc"] != "2.0" {
            return self.odd("no message", &line);
        }
        let params = message.get("params").cloned().unwrap_or_else(|| json!({}));
        let id = message.get("id").cloned();
        match (message["method"].as_str(), id) {
            (Some(_), Some(id)) if id.is_u64() || id.is_string() => {
                if has(Fault::SilentOnRequests) {
                    return;
                }
                let id = match id {
                    Value::Number(id) if has(Fault::IdsBecomeTexts) => json!(id.to_string()),
                    id => id,
                };
                let error = json!({"code": -32601, "message": "this worker has no methods"});
                let answer = json!({"jsonrpc": "2.0", "id": id, "error": error});
                self.process.send(format!("{answer}\n").into_bytes());
            }
            (Some(method), None) => self.take_notification(method, &params),
            (None, id) if message.get("result").is_some() || message.get("error").is_some() => {
                self.take_answer(&id.unwrap_or_default(), &message);
            }
            _ => self.odd("no message", &line),
        }
    }

    fn take_notification(&mut self, method: &str, params: &Value) {
        if has(Fault::CountsNotifications) {
            self.oddities += 1;
        }
        let words = |member: &str, known: &[&str]| {
            params[member].as_str().is_none_or(|word| known.contains(&word))
        };
        match method {
            "log/message" => {
                if !has(Fault::LogsAreNoSign) {
                    self.heard_at = Instant::now();
                }
                if has(Fault::RefusesUnknownWords)
                    && !words("level", &["error", "warn", "info", "debug", "trace"])
                {
                    self.defect = Some(format!("a log of another level: {params}"));
                }
            }
            "processor/status" => {
                self.heard_at = Instant::now();
                let states = ["warming", "ready", "degraded", "draining"];
                if has(Fault::RefusesUnknownWords) && !words("state", &states) {
                    self.defect = Some(format!("another state: {params}"));
                }
            }
            "task/progress" => self.take_progress(params),
            _ if has(Fault::AnswersNotifications) => {
                let error = json!({"code": -32601, "message": "no such notification"});
                let answer = json!({"jsonrpc": "2.0", "id": null, "error": error});
                self.process.send(format!("{answer}\n").into_bytes());
            }
            _ => self.odd("an unknown notification", method.as_bytes()),
        }
    }

    fn take_progress(&mut self, params: &Value) {
        let of = |task: &&mut Task| {
            params["taskId"] == task.name.as_str() && params["attempt"] == task.attempt
        };
        let done = params["done"].as_u64();
        let task = self.tasks.iter_mut().find(of);
        let falls = task.as_ref().is_some_and(|task| done < task.done);
        let is_odd = task.is_none() || done.is_none() || done > params["total"].as_u64() || falls;
        let advances = task.as_ref().is_some_and(|task| task.done != done);
        if let Some(task) = task.filter(|_| advances) {
            (task.done, task.advanced) = (done, Instant::now());
        }
        if advances || !has(Fault::StandingStillIsNoSign) {
            self.heard_at = Instant::now();
        }
        if is_odd {
            self.odd("odd progress", params.to_string().as_bytes());
            if has(Fault::OddProgressFails) {
                let failed = Status::Failed(format!("odd progress: {params}"));
                self.tasks.iter_mut().for_each(|task| task.status = failed.clone());
            }
        }
    }

    fn take_answer(&mut self, id: &Value, message: &Value) {
        self.heard_at = Instant::now();
        let mut number = id.as_u64();
        if has(Fault::IdsBecomeNumbers) {
            number = number.or_else(|| id.as_str()?.parse().ok());
        }
        let first = has(Fault::NullAnswersAll) && id.is_null()
            || has(Fault::FirstInFirstOut)
                && self.calls.iter().any(|(open, _)| Some(*open) == number);
        let found = match first {
            true => (!self.calls.is_empty()).then_some(0),
            false => self.calls.iter().position(|(open, _)| Some(*open) == number),
        };
        let call = match found {
            Some(index) => self.calls.remove(index),
            None => {
                let again = self.answered.iter().find(|(old, _)| Some(*old) == number).copied();
                match again.filter(|_| has(Fault::LastOutcomeWins)) {
                    Some(call) => call,
                    None if has(Fault::DiesOfStrayAnswers) => {
                        self.tasks.iter_mut().for_each(|task| {
                            task.status = Status::Failed("a stray answer".into());
                        });
                        self.defect = Some("a stray answer".into());
                        return;
                    }
                    None => return self.odd("nobody waits for it", id.to_string().as_bytes()),
                }
            }
        };
        self.answered.push(call);
        match (call.1, message.get("result"), message.get("error")) {
            (Call::Initialize, Some(result), _) => match self.accept(result) {
                Ok(()) => self.ready = true,
                Err(why) => self.refused = Some(why),
            },
            (Call::Initialize, None, error) if !has(Fault::IgnoresRefusals) => {
                self.refused = Some(format!("refused: {}", error.unwrap_or(&Value::Null)));
            }
            (Call::Initialize, ..) => self.ready = true,
            (Call::Run(index), Some(result), _) => {
                let null = result.get("resumedFrom").is_some_and(Value::is_null);
                if null && has(Fault::NullIsAValue) {
                    self.defect = Some("null is no text".into());
                }
                self.tasks[index].take_result(result);
            }
            (Call::Run(index), None, error) => {
                self.tasks[index].take_error(error.unwrap_or(&Value::Null));
            }
            (Call::Shutdown | Call::Other, ..) => {}
        }
    }

    /// Whether the processor can be used.
    fn accept(&mut self, result: &Value) -> Result<(), String> {
        let limit = MAX_FRAME_BYTES - usize::from(has(Fault::LimitIsLess));
        self.process.limit.store(limit, Ordering::Relaxed);
        let bytes = result["limits"]["maxFrameBytes"].as_u64();
        self.its_limit = bytes.and_then(|n| usize::try_from(n).ok()).unwrap_or(MAX_FRAME_BYTES);
        if result["protocolVersion"] != "1.0" && !has(Fault::SpeaksAnything) {
            return Err(format!("it speaks {}", result["protocolVersion"]));
        }
        let policies = ["default", "preferred", "bind"];
        let policy = result["placement"]["memoryPolicy"].as_str();
        if has(Fault::RefusesUnknownWords) && policy.is_some_and(|p| !policies.contains(&p)) {
            return Err("another memory policy".into());
        }
        if has(Fault::NullIsAValue) && result["placement"].get("gpus").is_some_and(Value::is_null) {
            return Err("null is no list".into());
        }
        if has(Fault::RefusesUnknownMembers) && result.get("later").is_some() {
            return Err("an unknown member".into());
        }
        let stages = result["stages"].as_array().cloned().unwrap_or_default();
        if has(Fault::RefusesOtherStages) && stages.len() > 1 {
            return Err("another stage".into());
        }
        let own = stages.iter().find(|offer| offer["stage"] == self.settings.stage.as_str());
        let offer = own.or(stages.first().filter(|_| has(Fault::AnyStage)));
        let offer = offer.ok_or("it does not serve the stage")?;
        let version = offer["schemaVersion"].as_str().unwrap_or_default();
        let reads = match has(Fault::WantsExactly10) {
            true => version == "1.0",
            false => version.starts_with("1.") || has(Fault::SendsAnyMajor),
        };
        if !reads {
            return Err(format!("it reads {version}"));
        }
        let offered = offer["maxConcurrent"].as_u64().and_then(|n| usize::try_from(n).ok());
        let (offered, own) = (offered.unwrap_or(1), self.settings.concurrent);
        self.most = match (has(Fault::IgnoresOfferedConcurrency), has(Fault::IgnoresOwnConcurrency))
        {
            (true, _) => own,
            (_, true) => offered,
            _ => own.min(offered),
        };
        let looks = self.settings.pinning != "off" && !has(Fault::Believes);
        let (cpus, node) = (self.settings.cpus.as_ref(), self.settings.memory_node);
        match self.process.mismatch(cpus, node).filter(|_| looks) {
            Some(mismatch) => Err(mismatch),
            None => Ok(()),
        }
    }
}
