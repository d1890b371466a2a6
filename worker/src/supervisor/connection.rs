// SPDX-License-Identifier: MIT OR Apache-2.0

//! The connection to one running process, whichever protocol it speaks.

use std::sync::Arc;

use sealpipe_protocol::method::{ShutdownMode, TaskRunParams, TaskRunResult};

use super::{
    legacy::Session,
    link::{Link, Lost, TaskReport},
};

/// What the processes of an entry speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dialect {
    /// The protocol of this worker.
    #[default]
    Protocol,
    /// The line protocol of vc-processors.
    Legacy,
}

/// A connection.
#[derive(Clone)]
pub enum Connection {
    /// Through the protocol of this worker.
    Protocol(Arc<Link>),
    /// Through the line protocol of vc-processors.
    Legacy(Arc<Session>),
}

impl Connection {
    /// Runs a task. Dropping the future cancels it.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn run(
        &self,
        params: &TaskRunParams,
        report: Arc<TaskReport>,
    ) -> Result<TaskRunResult, Lost> {
        match self {
            Self::Protocol(link) => link.run(params, report).await,
            Self::Legacy(session) => session.run(params, report).await,
        }
    }

    /// Asks the process to stop, as far as it can be asked.
    pub async fn shut_down(&self, mode: ShutdownMode) {
        match self {
            Self::Protocol(link) => drop(link.shut_down(mode).await),
            Self::Legacy(session) => session.shut_down(mode),
        }
    }

    /// Waits until no task is open.
    pub async fn idle(&self) {
        match self {
            Self::Protocol(link) => link.idle().await,
            Self::Legacy(session) => session.idle().await,
        }
    }

    /// Closes the process' stdin.
    pub fn close(&self) {
        match self {
            Self::Protocol(link) => link.peer().close(),
            Self::Legacy(session) => session.close(),
        }
    }

    /// Waits until the process has to be given up, and says why.
    pub async fn defect(&self) -> String {
        match self {
            Self::Protocol(link) => link.defect().await,
            Self::Legacy(session) => session.defect().await,
        }
    }

    /// Tasks that ended well.
    pub fn tasks_done(&self) -> u64 {
        match self {
            Self::Protocol(link) => link.tasks_done(),
            Self::Legacy(session) => session.tasks_done(),
        }
    }
}
