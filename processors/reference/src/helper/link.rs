// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the front and a helper process say to each other: one JSON object a line, one assignment
//! there and events back. Both are this program, so the form is nobody else's business.

use std::io::{self, ErrorKind, Read, Write};

use sealpipe_protocol::{
    DEFAULT_FRAME_BYTES, TaskError, error::ErrorData, method::LogLevel, stage::Job,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::report::Progress;

/// Longest line, in bytes: a frame of the protocol and what is put around it.
pub const MAX_LINE_BYTES: usize = DEFAULT_FRAME_BYTES + (1 << 20);

/// What a helper process is to do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// The stage's name.
    pub stage: String,
    /// Its parameters.
    pub params: Box<RawValue>,
}

impl Assignment {
    /// The assignment of a job.
    ///
    /// # Errors
    /// A path that JSON cannot carry.
    pub fn of(job: &Job) -> Result<Self, TaskError> {
        Ok(Self { stage: job.stage().name().to_owned(), params: job.to_raw()? })
    }
}

/// What a helper process tells. `Done` and `Failed` are the last.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// How far the task is.
    Progress(Progress),
    /// A line for the log.
    Log {
        /// How bad it is.
        level: LogLevel,
        /// The line.
        message: String,
    },
    /// The task has ended well.
    Done {
        /// The stage's result values.
        output: Box<RawValue>,
        /// What was not repeated.
        resumed_from: Option<String>,
    },
    /// The task has failed.
    Failed {
        /// The error's code.
        code: i32,
        /// Its message.
        message: String,
        /// Class, causes and hints.
        data: ErrorData,
    },
}

impl Event {
    /// The event of an error.
    pub fn failed(error: TaskError) -> Self {
        Self::Failed { code: error.code, message: error.message, data: error.data }
    }
}

/// Writes a value as one line.
///
/// # Errors
/// What the socket says.
pub fn write_line(target: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    target.write_all(&line)
}

/// Reads a value from the first line of a source on which nothing more follows.
///
/// # Errors
/// What the socket says; [`ErrorKind::InvalidData`] when the line is too long or not such a value.
pub fn read_line<T: DeserializeOwned>(source: &mut impl Read) -> io::Result<T> {
    let mut lines = Lines::default();
    let mut chunk = [0; 4096];
    loop {
        let n = source.read(&mut chunk)?;
        if n == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        lines.push(&chunk[..n])?;
        if let Some(line) = lines.next_line() {
            return Ok(serde_json::from_slice(&line)?);
        }
    }
}

/// Bytes that become lines, of bounded length.
#[derive(Debug, Default)]
pub struct Lines(Vec<u8>);

impl Lines {
    /// Adds what was read.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] when a line grows too long.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.0.len() + bytes.len() > MAX_LINE_BYTES {
            return Err(io::Error::new(ErrorKind::InvalidData, "a line is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// The next complete line, without its end.
    pub fn next_line(&mut self) -> Option<Vec<u8>> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let mut line: Vec<u8> = self.0.drain(..=end).collect();
        line.pop();
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealpipe_protocol::Code;

    #[test]
    fn events_survive_the_socket() {
        let check = |event: Event| {
            let mut bytes = Vec::new();
            write_line(&mut bytes, &event).unwrap();
            let read: Event = read_line(&mut bytes.as_slice()).unwrap();
            assert_eq!(format!("{read:?}"), format!("{event:?}"));
        };
        check(Event::Log { level: LogLevel::Warn, message: "a\nb".into() });
        let output = RawValue::from_string("{\"payload\":1.50}".into()).unwrap();
        check(Event::Done { output, resumed_from: Some("layer 1".into()) });
        check(Event::failed(TaskError::new(Code::InvalidInput, "no").hint("do")));
    }

    #[test]
    fn lines_are_cut_where_they_end_and_nowhere_else() {
        let mut lines = Lines::default();
        lines.push(b"one\ntw").unwrap();
        assert_eq!(lines.next_line().unwrap(), b"one");
        assert_eq!(lines.next_line(), None);
        lines.push(b"o\n").unwrap();
        assert_eq!(lines.next_line().unwrap(), b"two");
        lines.push(&vec![b'x'; MAX_LINE_BYTES]).unwrap();
        lines.push(b"x").unwrap_err();
    }

    #[test]
    fn an_end_before_the_line_is_an_error() {
        let error = read_line::<Event>(&mut &b"{\"done\""[..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}
