// SPDX-License-Identifier: MIT OR Apache-2.0

//! The connection to one running process, whichever protocol it speaks.

use std::sync::Arc;

use sealpipe_protocol::method::{ShutdownMode, TaskRunParams, TaskRunResult};
use tokio::sync::watch;

use super::{
    ProcessorSpec,
    legacy::Session,
    link::{Link, Lost, TaskReport},
    stall::StalledTask,
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

/// Why the results of a process can no longer be trusted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condemned {
    /// What happened.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

#[derive(Clone)]
enum Speech {
    /// The protocol of this worker.
    Protocol(Arc<Link>),
    /// The line protocol of vc-processors.
    Legacy(Arc<Session>),
}

/// A connection.
#[derive(Clone)]
pub struct Connection {
    speech: Speech,
    condemned: watch::Sender<Option<Condemned>>,
}

impl Connection {
    /// A connection to a process of this worker's protocol.
    pub(super) fn protocol(link: Arc<Link>) -> Self {
        Self { speech: Speech::Protocol(link), condemned: watch::Sender::default() }
    }

    /// A connection to a process of vc-processors.
    pub(super) fn legacy(session: Arc<Session>) -> Self {
        Self { speech: Speech::Legacy(session), condemned: watch::Sender::default() }
    }

    /// Runs a task. Dropping the future cancels it. A process that is condemned is given none.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn run(
        &self,
        params: &TaskRunParams,
        report: Arc<TaskReport>,
    ) -> Result<TaskRunResult, Lost> {
        if let Some(Condemned { message, .. }) = &*self.condemned.borrow() {
            return Err(Lost::Gone(message.clone()));
        }
        match &self.speech {
            Speech::Protocol(link) => link.run(params, report).await,
            Speech::Legacy(session) => session.run(params, report).await,
        }
    }

    /// Trusts the process no more: from this moment on it is given no task, and it is stopped. The
    /// first reason counts.
    pub fn condemn(&self, why: Condemned) {
        self.condemned.send_if_modified(|known| {
            let is_first = known.is_none();
            known.get_or_insert(why);
            is_first
        });
    }

    /// Whether it is trusted no more.
    pub fn is_condemned(&self) -> bool {
        self.condemned.borrow().is_some()
    }

    /// Waits until it is trusted no more, and says why.
    pub async fn condemned(&self) -> Condemned {
        let mut condemned = self.condemned.subscribe();
        loop {
            if let Some(why) = &*condemned.borrow_and_update() {
                return why.clone();
            }
            // It cannot close: a sender is here.
            let _ = condemned.changed().await;
        }
    }

    /// Takes over the times of a spec.
    pub fn tune(&self, spec: &ProcessorSpec) {
        match &self.speech {
            Speech::Protocol(link) => link.tune(spec),
            Speech::Legacy(session) => session.tune(spec),
        }
    }

    /// The tasks whose progress stands still for longer than is to be reported. A process of
    /// vc-processors says nothing of its progress, so that none is known.
    pub fn stalled(&self) -> Vec<StalledTask> {
        match &self.speech {
            Speech::Protocol(link) => link.stalled(),
            Speech::Legacy(_) => Vec::new(),
        }
    }

    /// Asks the process to stop, as far as it can be asked.
    pub async fn shut_down(&self, mode: ShutdownMode) {
        match &self.speech {
            Speech::Protocol(link) => drop(link.shut_down(mode).await),
            Speech::Legacy(session) => session.shut_down(mode),
        }
    }

    /// Waits until no task is open.
    pub async fn idle(&self) {
        match &self.speech {
            Speech::Protocol(link) => link.idle().await,
            Speech::Legacy(session) => session.idle().await,
        }
    }

    /// Closes the process' stdin.
    pub fn close(&self) {
        match &self.speech {
            Speech::Protocol(link) => link.peer().close(),
            Speech::Legacy(session) => session.close(),
        }
    }

    /// Ends the connection of a process that is gone: open tasks are lost, and nothing is written any
    /// more.
    pub fn abandon(&self) {
        match &self.speech {
            Speech::Protocol(link) => link.peer().abandon(),
            Speech::Legacy(session) => session.abandon(),
        }
    }

    /// Waits until the process has to be given up, and says why.
    pub async fn defect(&self) -> String {
        match &self.speech {
            Speech::Protocol(link) => link.defect().await,
            Speech::Legacy(session) => session.defect().await,
        }
    }

    /// Tasks that ended well.
    pub fn tasks_done(&self) -> u64 {
        match &self.speech {
            Speech::Protocol(link) => link.tasks_done(),
            Speech::Legacy(session) => session.tasks_done(),
        }
    }
}
