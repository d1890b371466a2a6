// SPDX-License-Identifier: MIT OR Apache-2.0

//! A client of the control channel.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use sealpipe_protocol::{
    TaskError,
    codec::FrameLimit,
    method::Request,
    peer::{CallError, Options, Peer},
};
use tokio::{net::UnixStream, time::timeout};

use super::{Hello, HelloParams, HelloResult, MAX_FRAME_BYTES, VERSION};

/// How long a daemon may take to answer, but where it is asked to wait: longer than a disk stalls.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A connection to a daemon.
pub struct Client {
    peer: Peer,
    socket: PathBuf,
    /// What it said first.
    pub daemon: HelloResult,
}

/// Why a daemon was not reached or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no daemon listens on {}: {error}", socket.display())]
    Nobody {
        /// Where.
        socket: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It does not answer.
    #[error("the daemon on {} does not answer in {} s", socket.display(), ANSWER_WITHIN.as_secs())]
    Silent {
        /// Where.
        socket: PathBuf,
    },
    /// The connection ended, or what came was no answer.
    #[error("the daemon on {}: {why}", socket.display())]
    Broken {
        /// Where.
        socket: PathBuf,
        /// What happened.
        why: String,
    },
    /// It refused.
    #[error("{0}")]
    Refused(TaskError),
}

impl Client {
    /// Connects to a daemon and says the first words.
    ///
    /// # Errors
    /// Nobody listens, or it is none that this client can speak to.
    pub async fn connect(socket: &Path) -> Result<Self, ClientError> {
        let nobody = |error| ClientError::Nobody { socket: socket.to_owned(), error };
        let (reader, writer) = UnixStream::connect(socket).await.map_err(nobody)?.into_split();
        let options = Options {
            limit: FrameLimit::new(MAX_FRAME_BYTES),
            outgoing_limit: FrameLimit::new(MAX_FRAME_BYTES),
            answer_oddities: false,
            on_oddity: Box::new(|_| {}),
            already_read: Default::default(),
        };
        let peer = Peer::spawn(reader, writer, jsonrpsee::RpcModule::new(()), options);
        let daemon = HelloResult { version: 0, program: String::new(), pid: 0 };
        let mut client = Self { peer, socket: socket.to_owned(), daemon };
        client.daemon = client.ask::<Hello>(&HelloParams { versions: vec![VERSION] }).await?;
        Ok(client)
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// There is none, or it is an error.
    pub async fn ask<R: Request>(&self, params: &R::Params) -> Result<R::Result, ClientError> {
        let answered = timeout(ANSWER_WITHIN, self.peer.request::<R>(params)).await;
        answered
            .map_err(|_| ClientError::Silent { socket: self.socket.clone() })?
            .map_err(|error| self.error(error))
    }

    /// Waits until the daemon is gone.
    pub async fn gone(&self) {
        self.peer.closed().await;
    }

    fn error(&self, error: CallError) -> ClientError {
        match error {
            CallError::Answered(error) => ClientError::Refused(error),
            other => ClientError::Broken { socket: self.socket.clone(), why: other.to_string() },
        }
    }
}
