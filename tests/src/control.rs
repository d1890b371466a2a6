// SPDX-License-Identifier: MIT OR Apache-2.0

//! A client of a daemon's control channel as anybody would write one, from its documentation.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
};

use serde_json::{Value, json};

/// A connection.
pub struct Control(BufReader<UnixStream>);

/// A request as a line.
pub fn request(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
}

impl Control {
    /// Connects to a socket.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn connect(socket: &str) -> io::Result<Self> {
        UnixStream::connect(socket).map(|stream| Self(BufReader::new(stream)))
    }

    /// Sends a line and reads the answer.
    #[track_caller]
    pub fn exchange(&mut self, line: &str) -> Value {
        writeln!(self.0.get_mut(), "{line}").unwrap();
        let mut answer = String::new();
        self.0.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{answer:?}: {error}"))
    }

    /// Sends a request and reads the answer.
    #[track_caller]
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        self.exchange(&request(method, &params))
    }

    /// The stream itself.
    pub fn into_stream(self) -> UnixStream {
        self.0.into_inner()
    }
}
