// SPDX-License-Identifier: MIT OR Apache-2.0

//! The server of the control channel.
//!
//! A client that vanishes, sends rubbish or does not read harms nobody: its frames are bounded, its
//! answers wait in a bounded box, and what it has asked for goes on without it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use jsonrpsee::RpcModule;
use sealpipe_protocol::{
    Code, TaskError,
    codec::FrameLimit,
    method::Request,
    peer::{Options, Peer},
};
use serde::de::DeserializeOwned;
use tokio::net::{UnixListener, UnixStream};

use super::{desk::Desk, intake, reload, requests, view};
use crate::control::{
    Cancel, Drain, Explain, GetStatus, Hello, HelloParams, HelloResult, MAX_CLIENTS,
    MAX_FRAME_BYTES, Pause, Reload, Resume, Retry, Seed, Submit, VERSION, Wait,
};

/// Takes clients for ever.
pub async fn serve(desk: Arc<Desk>, listener: UnixListener) {
    let clients = Arc::new(AtomicUsize::new(0));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => take(&desk, &clients, stream),
            // Such as too many open files: those who are there may leave.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}

/// One client more, unless there are too many: then its connection ends at once.
fn take(desk: &Arc<Desk>, clients: &Arc<AtomicUsize>, stream: UnixStream) {
    if clients.fetch_add(1, Ordering::Relaxed) >= MAX_CLIENTS {
        clients.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let (reader, writer) = stream.into_split();
    let options = Options {
        limit: FrameLimit::new(MAX_FRAME_BYTES),
        outgoing_limit: FrameLimit::new(MAX_FRAME_BYTES),
        answer_oddities: true,
        on_oddity: Box::new(|_| {}),
        already_read: Default::default(),
    };
    let peer = Peer::spawn(reader, writer, methods(desk), options);
    let clients = clients.clone();
    tokio::spawn(async move {
        peer.closed().await;
        peer.close();
        clients.fetch_sub(1, Ordering::Relaxed);
    });
}

fn read<T: DeserializeOwned>(params: Option<&str>) -> Result<T, TaskError> {
    serde_json::from_str(params.unwrap_or("{}"))
        .map_err(|error| TaskError::new(Code::InvalidParams, error.to_string()))
}

/// Adds a method that is answered by an asynchronous function of the desk and the parameters.
macro_rules! method {
    ($module:ident, $request:ty, $answer:expr) => {
        $module
            .register_async_method(
                <$request>::METHOD,
                |params, desk: Arc<Arc<Desk>>, _| async move {
                    let params: <$request as Request>::Params = read(params.as_str())?;
                    let answer: Result<<$request as Request>::Result, TaskError> =
                        $answer(&desk, params).await;
                    answer
                },
            )
            .map(drop)
    };
}

fn methods(desk: &Arc<Desk>) -> RpcModule<Arc<Desk>> {
    let mut module = RpcModule::new(desk.clone());
    let registered = [
        method!(module, Hello, hello),
        method!(module, Submit, intake::submit),
        method!(module, GetStatus, view::status),
        method!(module, Explain, view::explain),
        method!(module, Cancel, requests::cancel),
        method!(module, Retry, requests::retry),
        method!(module, Pause, requests::pause),
        method!(module, Resume, requests::resume),
        method!(module, Seed, requests::seed),
        method!(module, Wait, requests::wait),
        method!(module, Reload, reload::reload),
        method!(module, Drain, requests::drain),
    ];
    registered.into_iter().collect::<Result<(), _>>().expect("the names are all different");
    module
}

async fn hello(_: &Arc<Desk>, params: HelloParams) -> Result<HelloResult, TaskError> {
    if !params.versions.contains(&VERSION) {
        let message = format!("this daemon speaks version {VERSION} of the control channel");
        return Err(TaskError::new(Code::UnsupportedVersion, message)
            .hint("use the `sealpipe` that the daemon was started from"));
    }
    let program = env!("CARGO_PKG_VERSION").to_owned();
    Ok(HelloResult { version: VERSION, program, pid: std::process::id() })
}
