// SPDX-License-Identifier: MIT OR Apache-2.0

//! The first words, read and answered before any thread exists.

use std::io::{self, Read, Write};

use bytes::{Bytes, BytesMut};
use jsonrpsee::types::{ErrorObjectOwned, Id};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_util::codec::{Decoder, Encoder};

use super::{Descriptors, Processor, exit};
use crate::{
    Code, TaskError, Version,
    codec::{Frame, FrameCodec, FrameLimit},
    message::{self, Message},
    method::{
        Initialize, InitializeParams, InitializeResult, ProcessorLimits, Request, StageOffer,
        UnsupportedVersionData,
    },
    placement, version,
};

/// What both sides agreed on.
pub struct Handshake {
    pub granted: InitializeParams,
    pub offers: Vec<StageOffer>,
    /// Bytes that came after `initialize`.
    pub already_read: BytesMut,
}

/// Reads until `initialize` and answers it; `Err` is the exit code.
pub fn run(descriptors: &Descriptors, processor: &impl Processor) -> Result<Handshake, u8> {
    let mut input = &descriptors.input;
    let mut output = &descriptors.output;
    let mut codec = FrameCodec::new(FrameLimit::default());
    let mut buffer = BytesMut::new();
    loop {
        while let Some(frame) = codec.decode(&mut buffer).map_err(abandoned)? {
            let (reply, end) = match frame {
                Frame::Line(line) => answer(&line, processor),
                Frame::TooLong { bytes } => (Some(too_long(bytes)), Step::Wait),
                Frame::CutOff { .. } => (None, Step::Wait),
            };
            if let Some(reply) = reply {
                write(&mut output, reply).map_err(abandoned)?;
            }
            match end {
                Step::Wait => {}
                Step::Exit(code) => return Err(code),
                Step::Agreed(granted, offers) => {
                    return Ok(Handshake { granted: *granted, offers, already_read: buffer });
                }
            }
        }
        let mut chunk = [0; 16 * 1024];
        match input.read(&mut chunk) {
            Ok(0) => return Err(exit::ABANDONED),
            Ok(n) => buffer.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(abandoned(error)),
        }
    }
}

enum Step {
    Wait,
    Exit(u8),
    Agreed(Box<InitializeParams>, Vec<StageOffer>),
}

fn abandoned(error: io::Error) -> u8 {
    eprintln!("error: the worker is gone: {error}");
    exit::ABANDONED
}

fn too_long(bytes: usize) -> Vec<u8> {
    let text = format!(
        "a line of {bytes} bytes is over the limit of {} before `initialize`",
        crate::INITIAL_FRAME_BYTES
    );
    message::error_frame(&Id::Null, TaskError::new(Code::InvalidRequest, text))
}

fn write(output: &mut impl Write, frame: Vec<u8>) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    FrameCodec::new(FrameLimit::default()).encode(Bytes::from(frame), &mut buffer)?;
    output.write_all(&buffer)
}

/// What is answered to a line, and what happens then.
fn answer(line: &[u8], processor: &impl Processor) -> (Option<Vec<u8>>, Step) {
    match message::parse(line) {
        Ok(Message::Request { id, method, params }) if method == Initialize::METHOD => {
            initialize(&id, params, processor)
        }
        Ok(Message::Request { id, method, .. }) => {
            let text = format!("`{method}` came before `initialize`");
            let error = TaskError::new(Code::NotInitialized, text);
            (Some(message::error_frame(&id, error)), Step::Wait)
        }
        Ok(Message::Notification { .. } | Message::Response { .. }) => (None, Step::Wait),
        Err(malformed) if malformed.is_response => (None, Step::Wait),
        Err(malformed) => (Some(message::error_frame(&malformed.id, malformed.error)), Step::Wait),
    }
}

fn initialize(
    id: &Id<'_>,
    params: Option<&RawValue>,
    processor: &impl Processor,
) -> (Option<Vec<u8>>, Step) {
    let granted = serde_json::from_str::<InitializeParams>(params.map_or("{}", RawValue::get));
    let granted = match granted {
        Ok(granted) => granted,
        Err(error) => {
            let text = format!("parameters of `initialize`: {error}");
            let error = TaskError::new(Code::InvalidParams, text);
            return (Some(message::error_frame(id, error)), Step::Wait);
        }
    };
    if let Err(error) = granted.limits.validate() {
        return (Some(message::error_frame(id, error)), Step::Wait);
    }
    let chosen = version::negotiate(&granted.protocol_versions, Version::SUPPORTED);
    let Some(protocol_version) = chosen else {
        return (Some(unsupported(id, &granted)), Step::Exit(exit::UNSUPPORTED_VERSION));
    };
    let offered = placement::apply(&granted.placement).and_then(|()| processor.offers(&granted));
    let offers = match offered {
        Ok(offers) => offers,
        Err(error) => {
            return (Some(message::error_frame(id, error)), Step::Exit(exit::REFUSED));
        }
    };
    let result = InitializeResult {
        protocol_version,
        processor: processor.identity(),
        limits: ProcessorLimits::default(),
        stages: offers.clone(),
        placement: placement::observe(),
        capabilities: Default::default(),
    };
    (Some(message::result_frame(id, &result)), Step::Agreed(Box::new(granted), offers))
}

fn unsupported(id: &Id<'_>, granted: &InitializeParams) -> Vec<u8> {
    #[derive(Serialize)]
    struct Response<'a> {
        jsonrpc: &'a str,
        id: &'a Id<'a>,
        error: ErrorObjectOwned,
    }
    let list = |versions: &[Version]| {
        versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let text = format!(
        "the worker speaks {}, this processor {}",
        list(&granted.protocol_versions),
        list(Version::SUPPORTED)
    );
    let error = TaskError::new(Code::UnsupportedVersion, text);
    let data = UnsupportedVersionData { error: error.data, supported: Version::SUPPORTED.to_vec() };
    let error = ErrorObjectOwned::owned(error.code, error.message, Some(data));
    serde_json::to_vec(&Response { jsonrpc: "2.0", id, error })
        .expect("an error is plain data with string keys")
}
