// SPDX-License-Identifier: MIT OR Apache-2.0

//! What passes between the worker and the reference processor, line by line. Of tasks it is known what
//! was asked, so that the answer can be spoiled.

use std::{
    collections::HashMap,
    ffi::OsString,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use serde_json::Value;

use super::{deeds::Deeds, faults::StageFault};

/// What a fault makes of a task that comes.
pub enum Begin {
    /// It goes on to the reference processor, with these parameters.
    Pass(Value),
    /// It is answered at once: the result or the error, by its name.
    Answer(Value),
}

/// Both ends.
struct Relay {
    child: Mutex<Option<ChildStdin>>,
    open: Mutex<HashMap<String, Value>>,
    deeds: Deeds,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves as `reference` would, but for the fault; gives the exit code.
///
/// # Errors
/// When the reference processor cannot be started.
pub fn serve(reference: &[OsString], fault: Option<StageFault>) -> io::Result<u8> {
    let [program, arguments @ ..] = reference else { return Err(io::ErrorKind::NotFound.into()) };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().ok_or(io::ErrorKind::NotFound)?;
    let relay = Arc::new(Relay {
        child: Mutex::new(child.stdin.take()),
        open: Mutex::default(),
        deeds: Deeds::new(fault),
    });
    let back = Arc::clone(&relay);
    let answers = thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            say(&back.spoiled(line));
        }
    });
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        relay.take(line);
    }
    *lock(&relay.child) = None;
    let _ = answers.join();
    end_of(&mut child)
}

fn end_of(child: &mut Child) -> io::Result<u8> {
    let code = child.wait()?.code();
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Writes a line. With stdout gone there is nobody to tell.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

impl Relay {
    /// Passes a line of the worker on, unless a fault answers it.
    fn take(&self, line: String) {
        let Some(mut frame) = run_of(&line) else { return self.pass(&line) };
        let id = frame["id"].clone();
        lock(&self.open).insert(id.to_string(), frame["params"].clone());
        match self.deeds.begin(&frame["params"]) {
            Begin::Pass(params) => {
                frame["params"] = params;
                self.pass(&frame.to_string());
            }
            Begin::Answer(mut answer) => {
                answer["jsonrpc"] = "2.0".into();
                answer["id"] = id;
                say(&answer.to_string());
            }
        }
    }

    fn pass(&self, line: &str) {
        if let Some(child) = lock(&self.child).as_mut() {
            // When it is gone its stdout ends, and so does this process.
            let _ = writeln!(child, "{line}").and_then(|()| child.flush());
        }
    }

    /// A line of the reference processor, spoiled if it ends a task.
    fn spoiled(&self, line: String) -> String {
        let Ok(mut frame) = serde_json::from_str::<Value>(&line) else { return line };
        if frame.get("method").is_some() {
            return line;
        }
        let Some(params) = lock(&self.open).remove(&frame["id"].to_string()) else { return line };
        self.deeds.end(&params, &mut frame);
        frame.to_string()
    }
}

/// The frame, if it is a run.
fn run_of(line: &str) -> Option<Value> {
    let frame: Value = serde_json::from_str(line).ok()?;
    (frame["method"] == "task/run").then_some(frame)
}
