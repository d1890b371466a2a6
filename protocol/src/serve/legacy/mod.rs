// SPDX-License-Identifier: MIT OR Apache-2.0

//! Serves a processor through the [line protocol of vc-processors](crate::legacy), so that a
//! damocles-worker can run it.
//!
//! Placement comes in variables: this process pins itself and makes no control group. Each request
//! has a thread. A panic is an answer, and so is a request that makes no sense as long as its id can
//! be read. When stdin ends, open tasks are stopped, leave their checkpoints, and the process ends.

mod environment;
mod files;
mod job;

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use self::{files::WorkDir, job::Task};
use super::{
    Descriptors, Processor,
    context::{Stop, TaskContext},
    exit,
    session::panic_error,
};
use crate::{
    Code, Stage, TaskError, TaskId,
    legacy::{self, MAX_LINE_BYTES, Request, Response},
    method::{Identity, InitializeParams, WorkerLimits},
    placement,
    version::Version,
};

/// Requests that may be open at a time; each has a thread. damocles counts an entry without a limit
/// as 64.
const MAX_OPEN: usize = 1_024;

/// How long tasks may take to stop once stdin has ended.
const GRACE: Duration = Duration::from_secs(10);

/// Serves `processor` for one stage on this process' stdin and stdout until stdin ends.
pub(super) fn serve(stage: Stage, processor: impl Processor) -> ExitCode {
    let descriptors = match Descriptors::take_over() {
        Ok(descriptors) => descriptors,
        Err(error) => {
            eprintln!("error: cannot take over stdin and stdout: {error}");
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = begin(stage, &processor) {
        let hint = error.data.hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
        eprint!("error: {}\n{hint}", error.message);
        return ExitCode::from(exit::REFUSED);
    }
    let Descriptors { input, mut output } = descriptors;
    if let Err(error) = writeln!(output, "{}", legacy::ready_line(stage)) {
        eprintln!("error: nobody reads what this processor says: {error}");
        return ExitCode::from(exit::ABANDONED);
    }
    let open = Mutex::default();
    let (output, idle) = (Mutex::new(output), Condvar::new());
    let session = Arc::new(Session { stage, processor, output, open, idle });
    if let Err(error) = session.listen(&mut BufReader::new(input)) {
        eprintln!("error: cannot read from stdin: {error}");
    }
    session.stop();
    // Threads of tasks that did not stop within the grace must not keep the process.
    std::process::exit(exit::ABANDONED.into())
}

/// Pins this process and asks the processor for what it offers, as `initialize` would.
fn begin(stage: Stage, processor: &impl Processor) -> Result<(), TaskError> {
    if !legacy::STAGES.contains(&stage) {
        let known: Vec<_> = legacy::STAGES.iter().map(|stage| stage.name()).collect();
        return Err(TaskError::new(
            Code::UnsupportedStage,
            format!("the line protocol of vc-processors has no tasks of `{stage}`"),
        )
        .hint(format!(
            "it has {}; with {}=1.0 in the environment this processor speaks its own protocol",
            known.join(", "),
            crate::PROTOCOL_ENV
        )));
    }
    let granted = InitializeParams {
        protocol_versions: Version::SUPPORTED.to_vec(),
        worker: Identity { name: "damocles-worker".to_owned(), version: String::new() },
        entry: None,
        limits: WorkerLimits::default(),
        placement: environment::placement(|name| std::env::var(name).ok())?,
        capabilities: Default::default(),
    };
    placement::apply(&granted.placement)?;
    let offers = processor.offers(&granted)?;
    match offers.iter().any(|offer| offer.stage == stage.name()) {
        true => Ok(()),
        false => {
            let message = format!("`{stage}` is not served by this processor");
            Err(TaskError::new(Code::UnsupportedStage, message))
        }
    }
}

struct Session<P> {
    stage: Stage,
    processor: P,
    output: Mutex<File>,
    open: Mutex<Open>,
    idle: Condvar,
}

#[derive(Default)]
struct Open {
    stopping: bool,
    /// Requests by numbers of our own: nobody vouches for the parent's ids.
    tasks: HashMap<u64, Option<Arc<TaskContext>>>,
    next: u64,
}

impl<P: Processor> Session<P> {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes requests until stdin ends.
    fn listen(self: &Arc<Self>, input: &mut impl BufRead) -> io::Result<()> {
        while let Some(line) = next_line(input)? {
            let Ok(line) = line else {
                eprintln!("warning: a line of more than {MAX_LINE_BYTES} bytes was skipped");
                continue;
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Request>(&line) {
                Ok(request) => self.start(request),
                Err(error) => self.refuse(&line, &error),
            }
        }
        Ok(())
    }

    /// Answers what is no request, if it has an id: whoever asked waits without a limit.
    fn refuse(&self, line: &[u8], error: &serde_json::Error) {
        #[derive(Deserialize)]
        struct Id {
            id: u64,
            #[serde(default, rename = "task")]
            _task: Option<IgnoredAny>,
        }
        eprintln!("warning: a line from the parent is no request: {error}");
        if let Ok(Id { id, .. }) = serde_json::from_slice(line) {
            let message = format!("the request: {error}");
            self.answer(id, Err(TaskError::new(Code::InvalidRequest, message)));
        }
    }

    fn start(self: &Arc<Self>, Request { id, task }: Request) {
        let number = {
            let mut open = self.open();
            let number = open.next;
            if open.tasks.len() < MAX_OPEN {
                open.next += 1;
                open.tasks.insert(number, None);
                Ok(number)
            } else {
                Err(TaskError::new(Code::Busy, format!("{MAX_OPEN} requests are open")))
            }
        };
        let number = match number {
            Ok(number) => number,
            Err(error) => return self.answer(id, Err(error)),
        };
        let session = self.clone();
        let name = self.stage.name().to_owned();
        let spawned = thread::Builder::new().name(name).spawn(move || {
            let run = AssertUnwindSafe(|| session.run(number, id, &task));
            let outcome = catch_unwind(run).unwrap_or_else(|panic| Err(panic_error(&*panic)));
            session.answer(id, outcome);
            session.end(number);
        });
        if let Err(error) = spawned {
            let error = TaskError::io(Code::ResourceExhausted, "cannot start a thread", &error);
            self.answer(id, Err(error));
            self.end(number);
        }
    }

    fn run(&self, number: u64, id: u64, task: &RawValue) -> Result<Box<RawValue>, TaskError> {
        let task = Task::parse(self.stage, task)?;
        let is_stopping = || self.open().stopping;
        let work = task.needs_work_in().map(|dir| WorkDir::take(dir, is_stopping)).transpose()?;
        let (work, lock) = work.map(WorkDir::into_parts).unzip();
        let name = format!("{}/{number}/{id}", self.stage);
        let task_id =
            TaskId::try_from(name).map_err(|error| TaskError::new(Code::InvalidParams, error))?;
        let context = Arc::new(TaskContext::unheard(task_id, lock));
        {
            let mut open = self.open();
            if open.stopping {
                context.request_stop(Stop::Interrupt);
            }
            open.tasks.insert(number, Some(context.clone()));
        }
        let outcome = task.run(&self.processor, &context, work.as_deref());
        if let (Some(work), Ok(_)) = (&work, &outcome) {
            files::remove_work(work);
        }
        // The lock is given back before the parent hears of the end.
        self.open().tasks.insert(number, None);
        outcome
    }

    fn answer(&self, id: u64, outcome: Result<Box<RawValue>, TaskError>) {
        let response = match outcome {
            Ok(output) => Response { id, err_msg: None, output: Some(output) },
            Err(error) => {
                let text = one_text(&error);
                eprintln!("error: request {id}: {text}");
                Response { id, err_msg: Some(text), output: None }
            }
        };
        let mut line = serde_json::to_vec(&response).unwrap_or_default();
        line.push(b'\n');
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = output.write_all(&line) {
            // The parent is gone: the end of stdin says so too.
            eprintln!("warning: the answer to request {id} was not read: {error}");
        }
    }

    fn end(&self, number: u64) {
        self.open().tasks.remove(&number);
        self.idle.notify_all();
    }

    /// Has all tasks stop and leave their checkpoints.
    fn stop(&self) {
        let mut open = self.open();
        open.stopping = true;
        open.tasks.values().flatten().for_each(|task| task.request_stop(Stop::Interrupt));
        let _ = self.idle.wait_timeout_while(open, GRACE, |open| !open.tasks.is_empty());
    }
}

/// An error as one text: the protocol has no other.
fn one_text(error: &TaskError) -> String {
    let hint = error.data.hint.iter().map(|hint| format!("hint: {hint}"));
    let causes = error.data.causes.iter().map(|cause| format!("cause: {cause}"));
    let parts = [error.message.clone()].into_iter().chain(hint).chain(causes);
    parts.collect::<Vec<_>>().join("; ")
}

/// The next line without its end; `Err` inside for one that is too long, `None` at the end. A line
/// that the end cuts off is none.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<Result<Vec<u8>, ()>>> {
    let mut line = Vec::new();
    let limit = MAX_LINE_BYTES as u64 + 1;
    input.by_ref().take(limit).read_until(b'\n', &mut line)?;
    if line.pop_if(|byte| *byte == b'\n').is_some() {
        return Ok(Some(Ok(line)));
    }
    if (line.len() as u64) < limit {
        return Ok(None);
    }
    drop(line);
    match input.skip_until(b'\n')? {
        0 => Ok(None),
        _ => Ok(Some(Err(()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_a_line_end() {
        let mut input = &b"one\n\ntw"[..];
        assert_eq!(next_line(&mut input).unwrap(), Some(Ok(b"one".to_vec())));
        assert_eq!(next_line(&mut input).unwrap(), Some(Ok(Vec::new())));
        assert_eq!(next_line(&mut input).unwrap(), None);
    }

    #[test]
    fn an_error_keeps_what_helps() {
        let mut error = TaskError::new(Code::InvalidInput, "no file").hint("make it");
        error.data.causes.push("os error 2".into());
        assert_eq!(one_text(&error), "no file; hint: make it; cause: os error 2");
    }
}
