// SPDX-License-Identifier: MIT OR Apache-2.0

//! The loop of either side over any reader and writer.
//!
//! Both sides ask and answer. Incoming requests and notifications go to a registry of methods,
//! responses to whoever waits for them. Reading never waits for writing. A line that is no message
//! is reported as an [`Oddity`] and, on a processor's side, answered; the connection lives.
//!
//! jsonrpsee's own async client is not used on pipes: it closes the connection, and so fails every
//! open task, on a stray line, an empty line, an error with `id: null` or a late duplicate.

mod memory;
mod outbox;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    future::{Future, poll_fn},
    io,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{FutureExt as _, StreamExt as _};
use jsonrpsee::{
    Extensions, MethodCallback, MethodResponse, Methods,
    core::{
        client::{BatchResponse, ClientT, Error as ClientError},
        params::BatchRequestBuilder,
        traits::ToRpcParams,
    },
    types::{ErrorObjectOwned, Id, Params},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{oneshot, watch},
};
use tokio_util::codec::FramedRead;

pub use self::memory::widen_pipe;
use self::outbox::{Outbox, Outgoing, Refused};
use crate::{
    Code, TaskError,
    codec::{Frame, FrameCodec, FrameLimit, LINE_END},
    message::{self, Message},
    method::{NOTIFICATIONS, Notification, Request},
};

/// Requests of the other side that may be open at a time.
pub const MAX_OPEN_REQUESTS: usize = 4096;

/// Bytes of a stray line that are kept to show it.
const EXCERPT_BYTES: usize = 120;

/// What came in and was no message, or belonged to nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Oddity {
    /// A line that is no message of the protocol.
    NotAMessage {
        /// Why.
        reason: String,
        /// How it begins.
        excerpt: String,
    },
    /// A line over the limit.
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The stream ended within a line.
    CutOff {
        /// Bytes of the line.
        bytes: usize,
    },
    /// A response that nobody waits for: late, a duplicate, or with an unknown id.
    UnexpectedResponse {
        /// Its id.
        id: String,
    },
    /// A notification that is not known or whose parameters do not fit.
    BadNotification {
        /// Its method.
        method: String,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAMessage { reason, excerpt } => write!(f, "{reason}: {excerpt:?}"),
            Self::TooLong { bytes } => write!(f, "a line of {bytes} bytes is over the limit"),
            Self::CutOff { bytes } => write!(f, "the stream ended after {bytes} bytes of a line"),
            Self::UnexpectedResponse { id } => write!(f, "nobody waits for a response to {id}"),
            Self::BadNotification { method, reason } => {
                write!(f, "notification {method}: {reason}")
            }
        }
    }
}

/// Why nothing more is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Closed {
    /// The other side closed its end.
    Eof,
    /// Reading or writing failed, with what the system said.
    Io(String),
    /// The other side does not read, and too much waits for it.
    Overrun,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eof => f.write_str("the other side closed the connection"),
            Self::Io(error) => write!(f, "the connection broke: {error}"),
            Self::Overrun => write!(
                f,
                "the other side does not read: over {} bytes wait for it",
                outbox::MAX_WAITING_BYTES
            ),
        }
    }
}

/// Why a call has no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The other side answered with an error.
    #[error("{0}")]
    Answered(TaskError),
    /// The connection ended first.
    #[error("{0}")]
    Closed(Closed),
    /// The request is longer than the other side takes.
    #[error("the request of {bytes} bytes is over the other side's limit of {limit}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// What the other side announced.
        limit: usize,
    },
    /// The answer does not fit the method.
    #[error("the answer to `{method}` does not fit: {reason}")]
    Unreadable {
        /// The method.
        method: String,
        /// Why.
        reason: String,
    },
}

/// How a [`Peer`] behaves.
pub struct Options {
    /// Longest frame taken.
    pub limit: FrameLimit,
    /// Longest request and response sent: what the other side announced.
    pub outgoing_limit: FrameLimit,
    /// Whether lines that are no messages are answered: a processor does, a worker does not.
    pub answer_oddities: bool,
    /// Told of every oddity.
    pub on_oddity: Box<dyn Fn(Oddity) + Send + Sync>,
    /// Bytes that were read before the loop began.
    pub already_read: BytesMut,
}

type Answer = Result<Box<RawValue>, ErrorObjectOwned>;

struct Shared {
    outbox: Outbox,
    pending: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    open: Mutex<HashSet<Id<'static>>>,
    next_id: AtomicU64,
    closed: watch::Sender<Option<Closed>>,
    methods: Methods,
    options: Options,
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Answer>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, HashSet<Id<'static>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection for everybody who waits for it.
    fn close(&self, why: Closed) {
        self.closed.send_if_modified(|closed| {
            let first = closed.is_none();
            closed.get_or_insert(why);
            first
        });
        self.pending().clear();
    }

    fn send(&self, frame: Vec<u8>) -> Result<(), Refused> {
        self.outbox.push(Outgoing { frame: frame.into(), written: None })
    }

    /// Sends a response; one that cannot be sent ends the connection, since a request without its
    /// response would hang.
    fn respond(&self, frame: Vec<u8>) {
        if self.send(frame) == Err(Refused::Full) {
            self.outbox.abandon();
            self.close(Closed::Overrun);
        }
    }
}

/// A handle on a connection. Clones share it.
#[derive(Clone)]
pub struct Peer(Arc<Shared>);

/// A request that is on its way.
pub struct Call {
    peer: Peer,
    id: u64,
    written: oneshot::Receiver<()>,
    answer: oneshot::Receiver<Answer>,
}

impl Call {
    /// Waits until the request has been written, so that what is said about it comes after it.
    pub async fn written(&mut self) {
        // An error means that it never will be; the answer says so.
        let _ = (&mut self.written).await;
    }

    /// Waits for the answer. There is no time limit here: callers know theirs.
    ///
    /// # Errors
    /// The other side's error, or how the connection ended.
    pub async fn answer(&mut self) -> Result<Box<RawValue>, CallError> {
        match (&mut self.answer).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(CallError::Answered(TaskError::from(&error))),
            Err(_) => Err(CallError::Closed(self.peer.why_closed())),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.peer.0.pending().remove(&self.id);
    }
}

impl Peer {
    /// Starts reading and writing on the current tokio runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn<R, W>(reader: R, writer: W, methods: impl Into<Methods>, options: Options) -> Self
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        memory::keep_freed();
        let mut options = options;
        let already_read = std::mem::take(&mut options.already_read);
        let shared = Arc::new(Shared {
            outbox: Outbox::default(),
            pending: Mutex::default(),
            open: Mutex::default(),
            next_id: AtomicU64::new(1),
            closed: watch::Sender::new(None),
            methods: methods.into(),
            options,
        });
        tokio::spawn(write_loop(writer, shared.clone()));
        tokio::spawn(read_loop(reader, already_read, shared.clone()));
        Self(shared)
    }

    /// Sends a request.
    ///
    /// # Errors
    /// [`CallError::Closed`] when it cannot be sent.
    pub fn call<P: Serialize>(&self, method: &str, params: &P) -> Result<Call, CallError> {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let (answer_to, answer) = oneshot::channel();
        let (written_to, written) = oneshot::channel();
        self.0.pending().insert(id, answer_to);
        // From here on dropping the call removes its entry.
        let call = Call { peer: self.clone(), id, written, answer };
        let frame = Bytes::from(message::request_frame(&Id::Number(id), method, params));
        let (bytes, limit) = (frame.len(), self.0.options.outgoing_limit.get());
        if bytes > limit {
            return Err(CallError::TooLong { bytes, limit });
        }
        let pushed = self.0.outbox.push(Outgoing { frame, written: Some(written_to) });
        match pushed {
            Err(Refused::Full) => Err(CallError::Closed(Closed::Overrun)),
            Err(Refused::Closed) => Err(CallError::Closed(self.why_closed())),
            Ok(()) if self.0.closed.borrow().is_some() => Err(CallError::Closed(self.why_closed())),
            Ok(()) => Ok(call),
        }
    }

    /// Sends a request and reads its result.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn request<R: Request>(&self, params: &R::Params) -> Result<R::Result, CallError> {
        let answer = self.call(R::METHOD, params)?.answer().await?;
        read_result(R::METHOD, &answer)
    }

    /// Sends a notification. Where the other side reads too slowly it is dropped: a notification
    /// is worth less than what waits already.
    pub fn notify<N: Notification>(&self, notification: &N) -> bool {
        self.0.send(message::notification_frame(N::METHOD, notification)).is_ok()
    }

    /// Closes the writing end once everything that waits has been written.
    pub fn close(&self) {
        self.0.outbox.close();
    }

    /// Ends the connection at once, for whoever waits for an answer too: the other side is gone,
    /// although somebody may hold its ends open.
    pub fn abandon(&self) {
        self.0.close(Closed::Eof);
        self.0.outbox.close();
    }

    /// Waits until nothing more is read.
    pub async fn closed(&self) -> Closed {
        let mut closed = self.0.closed.subscribe();
        match closed.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or(Closed::Eof),
            Err(_) => Closed::Eof,
        }
    }

    /// Waits until everything that waits to be written has left.
    pub async fn flush(&self) {
        let (written_to, written) = oneshot::channel();
        let marker = Outgoing { frame: Bytes::new(), written: Some(written_to) };
        if self.0.outbox.push(marker).is_ok() {
            let _ = written.await;
        }
    }

    fn why_closed(&self) -> Closed {
        self.0.closed.borrow().clone().unwrap_or(Closed::Eof)
    }
}

/// Reads a result as the method's type.
///
/// # Errors
/// [`CallError::Unreadable`].
pub fn read_result<T: DeserializeOwned>(method: &str, raw: &RawValue) -> Result<T, CallError> {
    serde_json::from_str(raw.get())
        .map_err(|e| CallError::Unreadable { method: method.to_owned(), reason: e.to_string() })
}

/// jsonrpsee's client interface, so that its generated clients run over pipes as well.
impl ClientT for Peer {
    async fn notification<P: ToRpcParams + Send>(
        &self,
        method: &str,
        params: P,
    ) -> Result<(), ClientError> {
        let params = params.to_rpc_params()?.unwrap_or_else(empty_object);
        let frame = message::notification_frame(method, &params);
        self.0.send(frame).map_err(|_| ClientError::Custom(self.why_closed().to_string()))
    }

    async fn request<R: DeserializeOwned, P: ToRpcParams + Send>(
        &self,
        method: &str,
        params: P,
    ) -> Result<R, ClientError> {
        let params = params.to_rpc_params()?.unwrap_or_else(empty_object);
        let custom = |error: CallError| match error {
            CallError::Answered(error) => ClientError::Call(error.into()),
            other => ClientError::Custom(other.to_string()),
        };
        let answer = self.call(method, &params).map_err(custom)?.answer().await.map_err(custom)?;
        Ok(serde_json::from_str(answer.get())?)
    }

    async fn batch_request<'a, R: DeserializeOwned + fmt::Debug + 'a>(
        &self,
        _: BatchRequestBuilder<'a>,
    ) -> Result<BatchResponse<'a, R>, ClientError> {
        Err(ClientError::Custom("batches are not part of this protocol".into()))
    }
}

fn empty_object() -> Box<RawValue> {
    RawValue::from_string("{}".into()).expect("{} is JSON")
}

async fn write_loop<W: AsyncWrite + Unpin>(mut writer: W, shared: Arc<Shared>) {
    let mut small = Vec::new();
    let mut batch = Vec::new();
    while shared.outbox.next_batch(&mut batch).await {
        if let Err(error) = write_frames(&mut writer, &mut small, &batch).await {
            shared.outbox.abandon();
            // A reader that is gone is noticed by the read loop as well, which knows better why.
            if error.kind() != io::ErrorKind::BrokenPipe {
                shared.close(Closed::Io(error.to_string()));
            }
            return;
        }
        for written in batch.drain(..).filter_map(|outgoing| outgoing.written) {
            let _ = written.send(());
        }
    }
    let _ = writer.shutdown().await;
}

/// Writes frames that belong together: small ones by one write of their copies, a bulk one from
/// where it lies.
async fn write_frames<W: AsyncWrite + Unpin>(
    writer: &mut W,
    small: &mut Vec<u8>,
    batch: &[Outgoing],
) -> io::Result<()> {
    small.clear();
    for Outgoing { frame, .. } in batch {
        if frame.len() > outbox::SMALL_FRAME_BYTES {
            writer.write_all_buf(&mut frame.clone().chain(LINE_END)).await?;
        } else if !frame.is_empty() {
            small.extend_from_slice(frame);
            small.extend_from_slice(LINE_END);
        }
    }
    writer.write_all(small).await?;
    writer.flush().await
}

async fn read_loop<R: AsyncRead + Unpin>(reader: R, already_read: BytesMut, shared: Arc<Shared>) {
    let codec = FrameCodec::new(shared.options.limit.clone());
    // Not put into the buffer of `FramedRead`, which looks there only once more has been read.
    let reader = AsyncReadExt::chain(io::Cursor::new(already_read), reader);
    let mut frames = FramedRead::new(reader, codec);
    let why = loop {
        match frames.next().await {
            Some(Ok(Frame::Line(line))) => take_line(&shared, &line).await,
            Some(Ok(Frame::TooLong { bytes })) => {
                let limit = shared.options.limit.get();
                let message = format!("a line of {bytes} bytes is over the limit of {limit}");
                let answer = TaskError::new(Code::InvalidRequest, message);
                odd(&shared, Oddity::TooLong { bytes }, Some((Id::Null, answer)));
            }
            Some(Ok(Frame::CutOff { bytes })) => odd(&shared, Oddity::CutOff { bytes }, None),
            Some(Err(error)) => break Closed::Io(error.to_string()),
            None => break Closed::Eof,
        }
    };
    shared.close(why);
}

/// Reports an oddity, and answers it where this side does.
fn odd(shared: &Shared, oddity: Oddity, answer: Option<(Id<'_>, TaskError)>) {
    (shared.options.on_oddity)(oddity);
    if let Some((id, error)) = answer.filter(|_| shared.options.answer_oddities) {
        shared.respond(message::error_frame(&id, error));
    }
}

async fn take_line(shared: &Arc<Shared>, line: &[u8]) {
    match message::parse(line) {
        Ok(Message::Request { id, method, params }) => {
            take_request(shared, id.into_owned(), &method, params).await;
        }
        Ok(Message::Notification { method, params }) => {
            take_notification(shared, &method, params);
        }
        Ok(Message::Response { id, outcome }) => {
            let waiting = match &id {
                Id::Number(number) => shared.pending().remove(number),
                _ => None,
            };
            match waiting {
                // The caller may have given up in this very moment.
                Some(waiting) => drop(waiting.send(outcome.map(RawValue::to_owned))),
                None => odd(shared, Oddity::UnexpectedResponse { id: id.to_string() }, None),
            }
        }
        Err(malformed) => {
            let excerpt = String::from_utf8_lossy(&line[..line.len().min(EXCERPT_BYTES)]);
            let oddity = Oddity::NotAMessage {
                reason: malformed.error.message.clone(),
                excerpt: excerpt.into_owned(),
            };
            let answer = (!malformed.is_response).then_some((malformed.id, malformed.error));
            odd(shared, oddity, answer);
        }
    }
}

async fn take_request(
    shared: &Arc<Shared>,
    id: Id<'static>,
    method: &str,
    params: Option<&RawValue>,
) {
    let refuse = |code, message: String| {
        shared.respond(message::error_frame(&id, TaskError::new(code, message)));
    };
    let callback = shared.methods.method(method).filter(|_| !NOTIFICATIONS.contains(&method));
    let Some(callback) = callback else {
        return refuse(Code::MethodNotFound, format!("no method is called {method:?}"));
    };
    {
        let mut open = shared.open();
        if open.len() >= MAX_OPEN_REQUESTS {
            drop(open);
            return refuse(Code::Busy, format!("{MAX_OPEN_REQUESTS} requests are open"));
        }
        if !open.insert(id.clone()) {
            drop(open);
            return refuse(Code::InvalidRequest, format!("the request {id} is still open"));
        }
    }
    let params = Params::new(Some(params.map_or("{}", RawValue::get)));
    let limit = shared.options.outgoing_limit.get();
    match callback {
        MethodCallback::Sync(callback) => {
            let response = callback(id.clone(), params, limit, Extensions::new());
            shared.open().remove(&id);
            shared.respond(into_frame(response));
        }
        MethodCallback::Async(callback) => {
            let future =
                callback(id.clone(), params.into_owned(), 0_u32.into(), limit, Extensions::new());
            begin(shared, id, future).await;
        }
        MethodCallback::Subscription(_) | MethodCallback::Unsubscription(_) => {
            shared.open().remove(&id);
            refuse(Code::MethodNotFound, format!("{method:?} is a subscription"));
        }
    }
}

fn into_frame(response: MethodResponse) -> Vec<u8> {
    Box::<str>::from(response.into_json()).into_string().into_bytes()
}

/// Begins a handler, and leaves it to the runtime if it has to wait.
///
/// Handlers begin in the order in which their requests came, so that a cancel finds the task that
/// was asked for in the line before it. A request gets its one response whatever becomes of the
/// handler.
async fn begin(
    shared: &Arc<Shared>,
    id: Id<'static>,
    handler: impl Future<Output = MethodResponse> + Send + 'static,
) {
    let mut handler = Box::pin(AssertUnwindSafe(handler).catch_unwind());
    let shared = shared.clone();
    let finish = move |outcome: std::thread::Result<MethodResponse>| {
        let frame = outcome.map(into_frame).unwrap_or_else(|_| {
            let error = TaskError::new(Code::InternalError, "the handler panicked");
            message::error_frame(&id, error)
        });
        shared.open().remove(&id);
        shared.respond(frame);
    };
    match poll_fn(|context| Poll::Ready(handler.as_mut().poll(context))).await {
        Poll::Ready(outcome) => finish(outcome),
        Poll::Pending => drop(tokio::spawn(async move { finish(handler.await) })),
    }
}

fn take_notification(shared: &Arc<Shared>, method: &str, params: Option<&RawValue>) {
    let reason = match shared.methods.method(method) {
        Some(MethodCallback::Sync(callback)) if NOTIFICATIONS.contains(&method) => {
            let params = Params::new(Some(params.map_or("{}", RawValue::get)));
            let response = callback(Id::Null, params, usize::MAX, Extensions::new());
            if response.is_success() {
                return;
            }
            "its parameters do not fit".to_owned()
        }
        Some(_) => "it is a request and needs an id".to_owned(),
        None => "it is not known".to_owned(),
    };
    odd(shared, Oddity::BadNotification { method: method.to_owned(), reason }, None);
}

#[cfg(test)]
mod tests;
