// SPDX-License-Identifier: MIT OR Apache-2.0

//! What has to hold of the codec, of messages and of a peer, whatever bytes come.
//!
//! The fuzz targets and the test `fuzz_seeds` both include this file. Each function panics where a
//! rule is broken. The rules are checked against a second, slower description of the protocol, not
//! against the code under test.

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use jsonrpsee::{RpcModule, types::Id};
use sealpipe_protocol::{
    Code, TaskError,
    codec::{Frame, FrameCodec, FrameLimit},
    message::{self, Message},
    method::{
        Initialize, Ping, PingResult, Request, Shutdown, TaskCancel, TaskCancelParams,
        TaskCancelResult, TaskRun, TaskRunParams, TaskRunResult,
    },
    peer::{Call, Oddity, Options, Peer},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Runtime,
    task::yield_now,
};
use tokio_util::codec::{Decoder, Encoder};

/// Nothing here takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Reads settings from the front of the input, and leaves the stream.
fn settings<const N: usize>(data: &[u8]) -> ([u8; N], &[u8]) {
    data.split_first_chunk().map_or(([0; N], data), |(first, rest)| (*first, rest))
}

/// Splits a stream into pieces of 1 to `most` bytes, or leaves it whole for 0.
fn pieces(stream: &[u8], most: u8) -> Vec<&[u8]> {
    if most == 0 {
        return vec![stream];
    }
    let (mut pieces, mut rest, mut random) = (Vec::new(), stream, u32::from(most));
    while !rest.is_empty() {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let bytes = 1 + (random >> 16) as usize % usize::from(most);
        let (piece, tail) = rest.split_at(bytes.min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

/// What a stream holds, by R-003 and R-005, from the whole of it.
fn frames_of(stream: &[u8], limit: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut lines = stream.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        if lines.peek().is_none() {
            if !line.is_empty() {
                frames.push(Frame::CutOff { bytes: line.len() });
            }
            break;
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.len() {
            0 => {}
            bytes if bytes > limit => frames.push(Frame::TooLong { bytes }),
            _ => frames.push(Frame::Line(Bytes::copy_from_slice(line))),
        }
    }
    frames
}

/// Decodes what comes in pieces, and holds the buffer to its bound. `change` is the piece before
/// which the limit changes, and to what.
fn decode(pieces: &[&[u8]], limit: usize, change: Option<(usize, usize)>) -> Vec<Frame> {
    let shared = FrameLimit::new(limit);
    let mut codec = FrameCodec::new(shared.clone());
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for (index, piece) in pieces.iter().enumerate() {
        if let Some((_, limit)) = change.filter(|(at, _)| *at == index) {
            shared.set(limit);
        }
        buffer.extend_from_slice(piece);
        while let Some(frame) = codec.decode(&mut buffer).expect("decoding never fails") {
            frames.push(frame);
        }
        assert!(buffer.len() <= shared.get() + 1, "{} bytes are kept of a line", buffer.len());
    }
    while let Some(frame) = codec.decode_eof(&mut buffer).expect("decoding never fails") {
        frames.push(frame);
    }
    assert!(buffer.is_empty(), "the end of the stream is the end of all");
    frames
}

/// The codec: the same frames whatever the split, a bounded buffer, and lines that come back.
pub fn codec(data: &[u8]) {
    let ([limit, most, changed], stream) = settings(data);
    let limit = usize::from(limit);
    let pieces = pieces(stream, most);
    let expected = frames_of(stream, limit);
    assert_eq!(decode(&pieces, limit, None), expected, "in {} pieces", pieces.len());
    assert_eq!(decode(&[stream], limit, None), expected, "in one piece");
    // With another limit from the middle on only the bounds are known, and the number of bytes.
    let frames = decode(&pieces, limit, Some((pieces.len() / 2, usize::from(changed))));
    let bytes: usize = frames.iter().map(length).sum();
    assert!(bytes <= stream.len(), "{bytes} bytes of {}", stream.len());

    let mut codec = FrameCodec::new(FrameLimit::new(limit));
    let mut written = BytesMut::new();
    let lines = expected.into_iter().filter_map(|frame| match frame {
        Frame::Line(line) => Some(line),
        Frame::TooLong { .. } | Frame::CutOff { .. } => None,
    });
    // A carriage return at the end of a line is taken for a part of the line's end.
    let lines: Vec<_> = lines.filter(|line| !line.ends_with(b"\r")).collect();
    for line in &lines {
        codec.encode(line.clone(), &mut written).expect("encoding never fails");
    }
    let again: Vec<_> = lines.into_iter().map(Frame::Line).collect();
    assert_eq!(decode(&[&written], limit, None), again, "written and read again");
}

fn length(frame: &Frame) -> usize {
    match frame {
        Frame::Line(line) => line.len(),
        Frame::TooLong { bytes } | Frame::CutOff { bytes } => *bytes,
    }
}

/// A message, owned and comparable. Absent parameters are `{}`.
#[derive(PartialEq, Debug)]
enum Read {
    Request(Id<'static>, String, String),
    Notification(String, String),
    Result(Id<'static>, String),
    Error(Id<'static>, TaskError),
}

fn read(message: &Message<'_>) -> Read {
    let text = |params: &Option<&serde_json::value::RawValue>| {
        params.map_or("{}", serde_json::value::RawValue::get).to_owned()
    };
    match message {
        Message::Request { id, method, params } => {
            Read::Request(id.clone().into_owned(), method.to_string(), text(params))
        }
        Message::Notification { method, params } => {
            Read::Notification(method.to_string(), text(params))
        }
        Message::Response { id, outcome: Ok(result) } => {
            Read::Result(id.clone().into_owned(), result.get().to_owned())
        }
        Message::Response { id, outcome: Err(error) } => {
            Read::Error(id.clone().into_owned(), TaskError::from(error))
        }
    }
}

/// The frame that says the same.
fn write(read: &Read) -> Vec<u8> {
    let raw = |text: &String| -> Box<serde_json::value::RawValue> {
        serde_json::from_str(text).expect("what was read as JSON is JSON")
    };
    match read {
        Read::Request(id, method, params) => message::request_frame(id, method, &raw(params)),
        Read::Notification(method, params) => message::notification_frame(method, &raw(params)),
        Read::Result(id, result) => message::result_frame(id, &raw(result)),
        Read::Error(id, error) => message::error_frame(id, error.clone()),
    }
}

/// A message: reading never panics, what is read can be written and read again, and a response is
/// taken for one even if it is malformed, so that it is never answered (R-006).
pub fn message(data: &[u8]) {
    let parsed = message::parse(data);
    if let Ok(message) = &parsed {
        let first = read(message);
        let frame = write(&first);
        assert!(data.contains(&b'\n') || !frame.contains(&b'\n'), "a frame is one line");
        let again = message::parse(&frame).expect("what was written is a message");
        assert_eq!(read(&again), first);
    }
    let value = serde_json::from_slice::<Value>(data);
    let members = match &value {
        Ok(Value::Object(members)) => members,
        Ok(_) => return assert!(is_malformed(&parsed, Code::InvalidRequest), "{parsed:?}"),
        // No JSON, or nested too deeply or with too large a number for `Value`.
        Err(_) => return,
    };
    assert!(!is_malformed(&parsed, Code::ParseError), "{parsed:?}");
    let has = |name| members.contains_key(name);
    let taken_for_response = match &parsed {
        Ok(message) => matches!(message, Message::Response { .. }),
        Err(malformed) => malformed.is_response,
    };
    let is_response = !has("method") && (has("result") || has("error"));
    assert_eq!(taken_for_response, is_response, "{parsed:?}");
    // An id that can be read is the one that is answered to.
    if let (Err(malformed), Some(id)) = (&parsed, members.get("id")) {
        let known = match id {
            Value::String(id) => Id::Str(id.into()),
            Value::Number(id) => id.as_u64().map_or(Id::Null, Id::Number),
            _ => Id::Null,
        };
        assert_eq!(malformed.id, known);
    }
}

fn is_malformed(parsed: &Result<Message<'_>, Box<message::Malformed>>, code: Code) -> bool {
    parsed.as_ref().is_err_and(|malformed| malformed.error.code == code.number())
}

/// Methods like the SDK's: four that answer at once, and one that takes its time.
fn methods(running: Arc<AtomicUsize>) -> RpcModule<Arc<AtomicUsize>> {
    let mut module = RpcModule::new(running);
    let unfit = |error| TaskError::new(Code::InvalidParams, format!("{error}"));
    let registered = [
        module
            .register_method(Initialize::METHOD, |_, _, _| {
                Err::<(), _>(TaskError::new(Code::InvalidRequest, "answered already"))
            })
            .map(drop),
        module
            .register_method(Ping::METHOD, |_, running, _| {
                let open_tasks = running.load(Ordering::SeqCst).try_into().unwrap_or(u32::MAX);
                Ok::<_, TaskError>(PingResult { open_tasks })
            })
            .map(drop),
        module
            .register_method(TaskCancel::METHOD, move |params, _, _| {
                let params: Result<TaskCancelParams, _> = params.parse();
                params.map(|_| TaskCancelResult { open: false }).map_err(unfit)
            })
            .map(drop),
        module.register_method(Shutdown::METHOD, |params, _, _| params.parse::<Value>()).map(drop),
        module
            .register_async_method(TaskRun::METHOD, move |params, running, _| async move {
                running.fetch_add(1, Ordering::SeqCst);
                let params: Result<TaskRunParams, _> = params.parse();
                // Responses may overtake one another: tasks take as long as their attempt says.
                for _ in 0..params.as_ref().map_or(0, |params| params.attempt % 8) {
                    yield_now().await;
                }
                running.fetch_sub(1, Ordering::SeqCst);
                params
                    .map(|params| TaskRunResult { output: params.params, resumed_from: None })
                    .map_err(unfit)
            })
            .map(drop),
    ];
    registered.into_iter().collect::<Result<(), _>>().expect("five names, all different");
    module
}

/// A peer and the far end of its connection.
struct Connection {
    peer: Peer,
    running: Arc<AtomicUsize>,
    oddities: Arc<Mutex<Vec<Oddity>>>,
    reader: tokio::io::DuplexStream,
    writer: tokio::io::DuplexStream,
}

fn connect(limit: usize, pipe_bytes: usize, answer_oddities: bool) -> Connection {
    let (their_reader, writer) = tokio::io::duplex(pipe_bytes);
    let (reader, their_writer) = tokio::io::duplex(pipe_bytes);
    let oddities = Arc::new(Mutex::new(Vec::new()));
    let running = Arc::new(AtomicUsize::new(0));
    let seen = oddities.clone();
    let options = Options {
        limit: FrameLimit::new(limit),
        outgoing_limit: FrameLimit::default(),
        answer_oddities,
        on_oddity: Box::new(move |oddity| seen.lock().expect("no panic").push(oddity)),
        already_read: BytesMut::new(),
    };
    let peer = Peer::spawn(their_reader, their_writer, methods(running.clone()), options);
    Connection { peer, running, oddities, reader, writer }
}

/// What a stream has to bring about.
#[derive(Default, Debug, PartialEq)]
struct Effects {
    /// Responses by the text of their ids.
    responses: BTreeMap<String, usize>,
    /// Lines that are no messages.
    stray: usize,
    /// Lengths of what was too long.
    too_long: Vec<usize>,
    /// Bytes of what was cut off.
    cut_off: Vec<usize>,
}

/// What `stream` has to bring about: one response for each request, and one for each line that is
/// no message, if those are answered. Nothing else is answered.
fn effects_of(stream: &[u8], limit: usize, answer_oddities: bool) -> Effects {
    let mut effects = Effects::default();
    for frame in frames_of(stream, limit) {
        let answered_to = match frame {
            Frame::Line(line) => match message::parse(&line) {
                Ok(Message::Request { id, .. }) => Some(id.into_owned()),
                Ok(Message::Notification { .. } | Message::Response { .. }) => None,
                Err(malformed) => {
                    effects.stray += 1;
                    let is_answered = answer_oddities && !malformed.is_response;
                    is_answered.then_some(malformed.id)
                }
            },
            Frame::TooLong { bytes } => {
                effects.too_long.push(bytes);
                answer_oddities.then_some(Id::Null)
            }
            Frame::CutOff { bytes } => {
                effects.cut_off.push(bytes);
                None
            }
        };
        if let Some(id) = answered_to {
            *effects.responses.entry(id_text(&id)).or_default() += 1;
        }
    }
    effects
}

fn id_text(id: &Id<'_>) -> String {
    serde_json::to_string(id).expect("an id is plain data")
}

thread_local! {
    /// One runtime for all inputs: starting one takes longer than most of them.
    static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
}

/// A peer: every request gets exactly one response with its id, whatever surrounds it; stray lines
/// get one where they are answered, and nothing else does; calls end; and nothing hangs, even if
/// the far end reads only after it has written all.
pub fn peer(data: &[u8]) {
    let ([flags, limit, most], stream) = settings(data);
    let (answer_oddities, reads_late) = (flags & 1 != 0, flags & 2 != 0);
    let n_calls = usize::from(flags >> 2 & 3);
    let limit = 16 + 4 * usize::from(limit);
    let pipe_bytes = 8 << (flags >> 4);
    RUNTIME.with(|runtime| {
        let runtime = runtime.get_or_init(|| {
            let built = tokio::runtime::Builder::new_current_thread().enable_time().build();
            built.expect("a runtime needs memory only")
        });
        runtime.block_on(async {
            let connection = connect(limit, pipe_bytes, answer_oddities);
            let pieces = pieces(stream, most);
            let told = talk(connection, &pieces, n_calls, reads_late);
            let told = tokio::time::timeout(PATIENCE, told).await.expect("the peer hangs");
            assert_eq!(told, effects_of(stream, limit, answer_oddities));
        });
    });
}

/// Writes `pieces` to a peer that makes `n_calls` of its own, until both sides have nothing left
/// to say.
async fn talk(
    connection: Connection,
    pieces: &[&[u8]],
    n_calls: usize,
    reads_late: bool,
) -> Effects {
    let Connection { peer, running, oddities, mut reader, mut writer } = connection;
    let calls: Vec<Call> = (0..n_calls)
        .map(|_| peer.call(Ping::METHOD, &Value::Object(Default::default())).expect("it is open"))
        .collect();
    let mut heard = Vec::new();
    let say = async {
        for piece in pieces {
            writer.write_all(piece).await.expect("the peer reads to the end");
            yield_now().await;
        }
        drop(writer);
        peer.closed().await;
        while running.load(Ordering::SeqCst) > 0 {
            yield_now().await;
        }
        // A handler that has ended answers before anything else runs.
        yield_now().await;
        peer.close();
    };
    if reads_late {
        say.await;
        reader.read_to_end(&mut heard).await.expect("the peer closes");
    } else {
        let (_, read) = tokio::join!(say, reader.read_to_end(&mut heard));
        read.expect("the peer closes");
    }
    for mut call in calls {
        // Answered by the stream, or ended with it.
        let _ = call.answer().await;
    }
    let mut effects = Effects::default();
    let mut n_requests = 0;
    for frame in frames_of(&heard, usize::MAX) {
        let Frame::Line(line) = frame else { panic!("the peer wrote {frame:?}") };
        match message::parse(&line).expect("the peer writes messages") {
            Message::Request { .. } => n_requests += 1,
            Message::Response { id, .. } => {
                *effects.responses.entry(id_text(&id)).or_default() += 1;
            }
            Message::Notification { .. } => panic!("nobody notified"),
        }
    }
    assert_eq!(n_requests, n_calls);
    for oddity in oddities.lock().expect("no panic").drain(..) {
        match oddity {
            Oddity::NotAMessage { .. } => effects.stray += 1,
            Oddity::TooLong { bytes } => effects.too_long.push(bytes),
            Oddity::CutOff { bytes } => effects.cut_off.push(bytes),
            Oddity::UnexpectedResponse { .. } | Oddity::BadNotification { .. } => {}
        }
    }
    effects
}
