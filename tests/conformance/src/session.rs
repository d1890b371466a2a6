// SPDX-License-Identifier: MIT OR Apache-2.0

//! A conversation with the processor: what is said, what is heard, and which answer belongs to which
//! request.

use std::{
    collections::VecDeque,
    process::ExitStatus,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    check::{Failure, Verdict, ensure},
    limits::Limits,
    subject::{Line, Subject},
};

/// Characters of a frame that are shown.
const EXCERPT_CHARS: usize = 160;

/// A frame that was read, or a line that is none.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The line.
    pub line: Line,
    /// What is in it; `Null` when it is no JSON.
    pub message: Value,
}

impl Heard {
    /// Whether it answers, whatever the id.
    pub fn is_response(&self) -> bool {
        let has = |member| self.message.get(member).is_some();
        !has("method") && (has("result") || has("error"))
    }

    /// Whether it answers this request.
    pub fn answers(&self, id: &Value) -> bool {
        self.is_response() && self.message.get("id") == Some(id)
    }

    /// Whether it is this notification.
    pub fn notifies(&self, method: &str) -> bool {
        self.message.get("method").and_then(Value::as_str) == Some(method)
    }

    /// Its code, if it is an error.
    pub fn code(&self) -> Option<i64> {
        self.message.pointer("/error/code")?.as_i64()
    }

    /// A value within it.
    pub fn at(&self, pointer: &str) -> &Value {
        self.message.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// As it is shown to people.
    pub fn excerpt(&self) -> String {
        excerpt(&self.line.bytes)
    }
}

/// The beginning of a frame.
pub fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * EXCERPT_CHARS)]);
    match text.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], bytes.len()),
        None => text.into_owned(),
    }
}

/// A conversation.
pub struct Session {
    /// The process.
    pub subject: Subject,
    /// How long to wait.
    pub limits: Limits,
    /// The result of `initialize`, once it has come.
    pub offer: Value,
    inbox: VecDeque<Heard>,
    next_id: u64,
}

impl Session {
    /// Nothing was said yet.
    pub fn new(subject: Subject, limits: Limits) -> Self {
        Self { subject, limits, offer: Value::Null, inbox: VecDeque::new(), next_id: 1 }
    }

    /// Sends bytes as they are.
    pub fn say_bytes(&mut self, bytes: &[u8]) -> Verdict {
        self.subject.write(bytes, self.limits.bulk(), false)
    }

    /// Sends a line.
    pub fn say_line(&mut self, line: impl AsRef<[u8]>) -> Verdict {
        let mut bytes = line.as_ref().to_vec();
        bytes.push(b'\n');
        self.say_bytes(&bytes)
    }

    /// Sends a message.
    pub fn say(&mut self, message: &Value) -> Verdict {
        self.say_line(message.to_string())
    }

    /// An id that was not used yet.
    pub fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Sends a request; its id.
    pub fn ask(&mut self, method: &str, params: Value) -> Verdict<Value> {
        let id = Value::from(self.fresh_id());
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))?;
        Ok(id)
    }

    /// Sends a notification.
    pub fn tell(&mut self, method: &str, params: Value) -> Verdict {
        self.say(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
    }

    /// The next of what was read that fits, leaving the rest for others; `None` when none comes.
    pub fn take(
        &mut self,
        within: Duration,
        mut fits: impl FnMut(&Heard) -> bool,
    ) -> Verdict<Option<Heard>> {
        if let Some(found) = self.inbox.iter().position(&mut fits) {
            return Ok(self.inbox.remove(found));
        }
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(line) = self.subject.read_line(left)? else { return Ok(None) };
            let message = serde_json::from_slice(&line.bytes).unwrap_or(Value::Null);
            let heard = Heard { line, message };
            if fits(&heard) {
                return Ok(Some(heard));
            }
            self.inbox.push_back(heard);
        }
    }

    /// Everything that came before what was taken last, and was not taken itself.
    pub fn earlier(&mut self) -> Vec<Heard> {
        self.inbox.drain(..).collect()
    }

    /// Everything that was read and not taken, and what comes within `more`.
    pub fn take_all(&mut self, more: Duration) -> Verdict<Vec<Heard>> {
        let deadline = Instant::now() + more;
        let mut all: Vec<_> = self.inbox.drain(..).collect();
        while let Some(heard) =
            self.take(deadline.saturating_duration_since(Instant::now()), |_| true)?
        {
            all.push(heard);
        }
        Ok(all)
    }

    /// The next of what was read that fits, which has to come: it answers `what`.
    pub fn hear(
        &mut self,
        what: &str,
        within: Duration,
        fits: impl FnMut(&Heard) -> bool,
    ) -> Verdict<Heard> {
        match self.take(within, fits)? {
            Some(heard) => Ok(heard),
            None => Err(self.silent(what, within)),
        }
    }

    /// What fits although nothing that fits may come: until the processor has had a while, and has
    /// nothing left to do.
    pub fn stray(&mut self, mut fits: impl FnMut(&Heard) -> bool) -> Verdict<Option<Heard>> {
        let early = self.take(self.limits.quiet(), &mut fits)?;
        if early.is_some() {
            return Ok(early);
        }
        self.subject.settle(self.limits.settle());
        self.take(Duration::ZERO, fits)
    }

    /// How long an answer may take that needs no computation. Before `initialize` is answered the
    /// process may not even have begun.
    pub fn prompt(&self) -> Duration {
        if self.offer.is_null() { self.limits.initialize() } else { self.limits.answer() }
    }

    /// The answer to a request.
    pub fn answer(&mut self, id: &Value, within: Duration) -> Verdict<Heard> {
        self.hear(&format!("the request with the id {id}"), within, |heard| heard.answers(id))
    }

    /// The result of a request, as it is in the answer.
    pub fn result(&mut self, id: &Value, within: Duration) -> Verdict<Value> {
        let heard = self.answer(id, within)?;
        match heard.message.get("result") {
            Some(result) => Ok(result.clone()),
            None => Err(Failure::Broken(format!("expected a result, got {}", heard.excerpt()))),
        }
    }

    /// The error of a request, with one of these codes.
    pub fn error(&mut self, id: &Value, codes: &[i64], within: Duration) -> Verdict<Heard> {
        let heard = self.answer(id, within)?;
        let expected = heard.code().is_some_and(|code| codes.contains(&code));
        ensure!(expected, "expected an error with the code {codes:?}, got {}", heard.excerpt());
        Ok(heard)
    }

    /// Asks and waits for the result, for as long as answers may take.
    pub fn ask_result(&mut self, method: &str, params: Value) -> Verdict<Value> {
        let id = self.ask(method, params)?;
        let result = self.result(&id, self.prompt());
        result.map_err(|failure| failure.within(method))
    }

    /// Asks and waits for an error with one of these codes.
    pub fn ask_error(&mut self, method: &str, params: Value, codes: &[i64]) -> Verdict<Heard> {
        let id = self.ask(method, params)?;
        let heard = self.error(&id, codes, self.prompt());
        heard.map_err(|failure| failure.within(method))
    }

    /// Initializes it, and keeps the offer.
    pub fn initialize(&mut self, params: Value) -> Verdict {
        let id = self.ask("initialize", params)?;
        let offer = self.result(&id, self.limits.initialize());
        self.offer = offer.map_err(|failure| failure.within("initialize"))?;
        Ok(())
    }

    /// How many tasks of a stage may be open.
    pub fn max_concurrent(&self, stage: &str) -> Verdict<usize> {
        let stages = self.offer.get("stages").and_then(Value::as_array);
        let offer = stages.and_then(|all| all.iter().find(|offer| offer["stage"] == stage));
        let most = offer.and_then(|offer| offer["maxConcurrent"].as_u64());
        match most.and_then(|most| usize::try_from(most).ok()) {
            Some(most) => Ok(most),
            None => Err(Failure::Broken(format!("does not offer `{stage}`: {}", self.offer))),
        }
    }

    /// The frames that it takes, in bytes.
    pub fn max_frame_bytes(&self) -> usize {
        // Written with a fraction it is wrong, which is for P-130 to see, and the same number.
        let announced = self.offer.pointer("/limits/maxFrameBytes").and_then(Value::as_f64);
        announced.map_or(sealpipe_protocol::DEFAULT_FRAME_BYTES, |bytes| bytes as usize)
    }

    /// Sends a line that it cannot take, and expects one error, with one of these codes and ids.
    pub fn refused(&mut self, line: &[u8], codes: &[i64], ids: &[Value]) -> Verdict {
        self.say_line(line)?;
        let what = format!("the line {}", excerpt(line));
        let heard = self.hear(&what, self.prompt(), |heard| {
            heard.is_response()
                && ids.iter().any(|id| heard.message.get("id").unwrap_or(&Value::Null) == id)
        })?;
        ensure!(
            heard.code().is_some_and(|code| codes.contains(&code)),
            "expected an error with the code {codes:?} to the line {}, got {}",
            excerpt(line),
            heard.excerpt()
        );
        Ok(())
    }

    /// It still answers.
    pub fn lives(&mut self) -> Verdict {
        let id = self.ask("ping", json!({}))?;
        let answer = self.answer(&id, self.prompt());
        answer.map(drop).map_err(|failure| failure.within("does it live"))
    }

    /// It still answers, and has said nothing else that nobody has asked for.
    pub fn lives_and_is_quiet(&mut self) -> Verdict {
        self.lives()?;
        self.is_quiet()
    }

    /// No answer comes that nobody has asked for.
    pub fn is_quiet(&mut self) -> Verdict {
        match self.stray(Heard::is_response)? {
            Some(stray) => Err(Failure::Broken(format!(
                "an answer that nobody waits for: {}",
                stray.excerpt()
            ))),
            None => Ok(()),
        }
    }

    /// Its end, and the code that it ends with.
    pub fn ends_with(&mut self, code: i32, within: Duration) -> Verdict {
        let status: Option<ExitStatus> = self.subject.wait_exit(within)?;
        match status {
            Some(status) if status.code() == Some(code) => Ok(()),
            Some(_) => {
                let text = self.subject.with_end(&format!("expected the exit code {code}"));
                Err(Failure::Broken(text))
            }
            None => Err(Failure::Untimely(format!(
                "expected the exit code {code}, but it lives on after {}",
                seconds(within)
            ))),
        }
    }

    /// What went wrong when there is no answer.
    fn silent(&mut self, to: &str, within: Duration) -> Failure {
        let last = self.inbox.iter().rev().find(|heard| heard.is_response());
        let but = last.map(|last| format!(", but {}", last.excerpt())).unwrap_or_default();
        if self.subject.is_at_end() {
            let text = format!("no answer to {to}, stdout is closed{but}");
            return Failure::Broken(self.subject.with_end(&text));
        }
        let text = format!("no answer to {to} within {}{but}", seconds(within));
        Failure::Untimely(self.subject.with_end(&text))
    }
}

/// A duration for people.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
