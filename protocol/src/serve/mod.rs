// SPDX-License-Identifier: MIT OR Apache-2.0

//! The SDK: everything of a processor but the computation.
//!
//! [`serve`] moves the frames away from fd 1, since libraries print; reads `initialize` and pins the
//! process before it starts any thread; then answers the worker while each task runs on a plain
//! thread of its own. Limits, attempts, sector locks, cancelling, progress at the right pace, panics
//! and shutdown are dealt with here.
//!
//! ```no_run
//! use sealpipe_protocol::{
//!     Code, Stage, TaskError,
//!     method::{Identity, InitializeParams, StageOffer},
//!     serve::{self, Done, Processor, TaskContext},
//!     stage::{Job, echo},
//! };
//!
//! struct Echo;
//!
//! impl Processor for Echo {
//!     fn identity(&self) -> Identity {
//!         Identity { name: "my-echo".into(), version: "1".into() }
//!     }
//!
//!     fn offers(&self, _: &InitializeParams) -> Result<Vec<StageOffer>, TaskError> {
//!         Ok(vec![serve::offer(Stage::Echo, 4)])
//!     }
//!
//!     fn run(&self, job: Job, _: &TaskContext) -> Result<Done, TaskError> {
//!         match job {
//!             Job::Echo(params) => Ok(Done::new(&echo::Output { payload: params.payload })),
//!             other => Err(TaskError::new(
//!                 Code::UnsupportedStage,
//!                 format!("`{}` is not served here", other.stage()),
//!             )),
//!         }
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     serve::serve(Echo)
//! }
//! ```

mod context;
mod descriptors;
mod handshake;
mod legacy;
mod session;

use std::process::ExitCode;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

pub use self::context::{Progress, Stop, TaskContext};
use self::{descriptors::Descriptors, handshake::Handshake};
use crate::{
    Stage, TaskError, Version,
    method::{Identity, InitializeParams, StageOffer},
    stage::Job,
};

/// What a processor is, apart from the protocol.
pub trait Processor: Send + Sync + 'static {
    /// Name and version, for people.
    fn identity(&self) -> Identity;

    /// The stages served. Called once, after this process has pinned itself and before any thread
    /// exists: look at cores, memory and devices here, and start nothing.
    ///
    /// # Errors
    /// What keeps this process from serving at all; the worker shows it and does not start it.
    fn offers(&self, granted: &InitializeParams) -> Result<Vec<StageOffer>, TaskError>;

    /// What [`warm_up`](Self::warm_up) is about to do, for people, such as `loading parameters`; nothing when
    /// there is nothing to be done. Asked once, after [`offers`](Self::offers).
    fn warming(&self) -> Option<String> {
        None
    }

    /// Gets ready for tasks ahead of the first, on a thread of its own, while the worker is told that this
    /// process is `warming`. Tasks may come meanwhile; what both need they have to share.
    ///
    /// # Errors
    /// What did not work out; the process goes on as `degraded` and says why.
    fn warm_up(&self) -> Result<(), TaskError> {
        Ok(())
    }

    /// Runs a task, on a thread of its own. Looks at [`TaskContext::stop`] often: a cancelled task
    /// ends within ten seconds.
    ///
    /// # Errors
    /// Why there is no result. After a stop any error will do: the worker gets the right one.
    fn run(&self, job: Job, task: &TaskContext) -> Result<Done, TaskError>;
}

/// How a task ended well.
#[derive(Debug)]
pub struct Done {
    pub(crate) output: Box<RawValue>,
    pub(crate) resumed_from: Option<String>,
}

impl Done {
    /// With the stage's output.
    ///
    /// # Panics
    /// If `output` has map keys that are not strings; the outputs of the stages have none.
    pub fn new(output: &impl Serialize) -> Self {
        let output = to_raw_value(output).expect("outputs are plain data with string keys");
        Self { output, resumed_from: None }
    }

    /// With an output that is JSON already.
    pub fn from_raw(output: Box<RawValue>) -> Self {
        Self { output, resumed_from: None }
    }

    /// Says what an earlier attempt had left and this one did not repeat, such as `layer 1`.
    #[must_use]
    pub fn resumed_from(mut self, checkpoint: Option<String>) -> Self {
        self.resumed_from = checkpoint;
        self
    }
}

/// What somebody is told who starts a processor's program at a terminal, where no worker speaks to it.
///
/// ```
/// let text = sealpipe_protocol::serve::greeting("my-pc2");
/// assert!(text.ends_with(
///     "  my-pc2 --help     what else it can do\n  \
///        sealpipe seal     seals sectors, and starts this program when it needs it\n"
/// ));
/// ```
pub fn greeting(program: &str) -> String {
    let (help, seal) = (format!("{program} --help"), "sealpipe seal");
    let width = help.len().max(seal.len());
    format!(
        "This is a processor of sealpipe: a worker starts it and speaks to it over its stdin and stdout, one\n\
         JSON object a line. There is nothing to type here.\n\
         \n  {help:width$}     what else it can do\
         \n  {seal:width$}     seals sectors, and starts this program when it needs it\n"
    )
}

/// An offer of a stage of 1.0, computed on the cpu.
pub fn offer(stage: Stage, max_concurrent: u32) -> StageOffer {
    StageOffer {
        stage: stage.name().to_owned(),
        schema_version: Version::V1_0,
        max_concurrent: max_concurrent.max(1),
        device: Some("cpu".to_owned()),
        implementation: None,
    }
}

/// Exit codes of a processor.
pub mod exit {
    /// The worker asked for it.
    pub const SHUTDOWN: u8 = 0;
    /// Stdin ended without `shutdown`, or SIGTERM came.
    pub const ABANDONED: u8 = 1;
    /// No version is spoken by both sides.
    pub const UNSUPPORTED_VERSION: u8 = 3;
    /// `initialize` was refused for another reason: the placement, or what the processor needs.
    pub const REFUSED: u8 = 4;
}

/// Serves `processor` as a process that was started for one stage: by a sealpipe worker, or, without
/// its [variable](crate::PROTOCOL_ENV), by a damocles-worker through the [line protocol](crate::legacy)
/// of vc-processors.
///
/// Call it first thing in `main`: before it no thread may exist.
pub fn serve_stage(stage: Stage, processor: impl Processor) -> ExitCode {
    match std::env::var_os(crate::PROTOCOL_ENV) {
        Some(_) => serve(processor),
        None => legacy::serve(stage, processor),
    }
}

/// Serves `processor` on this process' stdin and stdout until the worker has had enough.
///
/// Call it first thing in `main`: before it no thread may exist.
pub fn serve(processor: impl Processor) -> ExitCode {
    let descriptors = match Descriptors::take_over() {
        Ok(descriptors) => descriptors,
        Err(error) => {
            eprintln!("error: cannot take over stdin and stdout: {error}");
            return ExitCode::FAILURE;
        }
    };
    match handshake::run(&descriptors, &processor) {
        Ok(Handshake { granted, offers, already_read }) => {
            session::run(descriptors, processor, granted, offers, already_read)
        }
        Err(code) => ExitCode::from(code),
    }
}
