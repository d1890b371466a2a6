// SPDX-License-Identifier: MIT OR Apache-2.0

//! The peer over an in-memory pipe, with a hand-written other side.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jsonrpsee::RpcModule;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf};

use super::*;
use crate::method::{Empty, LogMessage, Ping, PingResult};

struct OtherSide {
    lines: tokio::io::Lines<BufReader<ReadHalf<DuplexStream>>>,
    writer: WriteHalf<DuplexStream>,
}

impl OtherSide {
    async fn say(&mut self, text: &str) {
        self.writer.write_all(text.as_bytes()).await.unwrap();
    }

    async fn hear(&mut self) -> String {
        let line = tokio::time::timeout(Duration::from_secs(10), self.lines.next_line()).await;
        line.expect("an answer in 10 s").unwrap().unwrap()
    }
}

fn methods() -> RpcModule<()> {
    let mut module = RpcModule::new(());
    module
        .register_method(Ping::METHOD, |_, (), _| {
            Ok::<_, ErrorObjectOwned>(PingResult { open_tasks: 0 })
        })
        .unwrap();
    module.register_method(LogMessage::METHOD, |_, (), _| Ok::<_, ErrorObjectOwned>(())).unwrap();
    module
        .register_async_method("slow", |_, _, _| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok::<_, ErrorObjectOwned>("slow")
        })
        .unwrap();
    module
        .register_async_method("panics", |params, _, _| async move {
            params.parse::<Vec<u8>>().expect("a defect");
            Ok::<_, ErrorObjectOwned>(())
        })
        .unwrap();
    module
}

/// A processor's end of a pipe that holds `pipe_bytes`, and the other side's.
fn connect(pipe_bytes: usize) -> (Peer, OtherSide, Arc<Mutex<Vec<Oddity>>>) {
    connect_after(pipe_bytes, "")
}

/// The same, when `already_read` has come before.
fn connect_after(
    pipe_bytes: usize,
    already_read: &str,
) -> (Peer, OtherSide, Arc<Mutex<Vec<Oddity>>>) {
    let (ours, theirs) = tokio::io::duplex(pipe_bytes);
    let (reader, writer) = tokio::io::split(ours);
    let oddities = Arc::new(Mutex::new(Vec::new()));
    let seen = oddities.clone();
    let options = Options {
        limit: FrameLimit::new(1000),
        outgoing_limit: FrameLimit::default(),
        answer_oddities: true,
        on_oddity: Box::new(move |oddity| seen.lock().unwrap().push(oddity)),
        already_read: already_read.into(),
    };
    let peer = Peer::spawn(reader, writer, methods(), options);
    let (reader, writer) = tokio::io::split(theirs);
    (peer, OtherSide { lines: BufReader::new(reader).lines(), writer }, oddities)
}

#[tokio::test]
async fn every_request_gets_one_response_in_any_order() {
    let (_peer, mut other, _) = connect(4096);
    other.say("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"slow\"}\n").await;
    other.say("{\"jsonrpc\":\"2.0\",\"id\":\"b\",\"method\":\"ping\"}\n").await;
    assert_eq!(other.hear().await, r#"{"jsonrpc":"2.0","id":"b","result":{"openTasks":0}}"#);
    assert_eq!(other.hear().await, r#"{"jsonrpc":"2.0","id":1,"result":"slow"}"#);
}

#[tokio::test]
async fn what_has_come_before_is_taken_before_anything_more_comes() {
    let line = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
    let (_peer, mut other, _) = connect_after(4096, &format!("{line}{}", &line[..9]));
    assert_eq!(other.hear().await, r#"{"jsonrpc":"2.0","id":1,"result":{"openTasks":0}}"#);
    other.say(&line[9..]).await;
    assert_eq!(other.hear().await, r#"{"jsonrpc":"2.0","id":1,"result":{"openTasks":0}}"#);
}

#[tokio::test]
async fn a_request_in_the_form_of_a_notification_is_not_served_nor_the_reverse() {
    let (_peer, mut other, oddities) = connect(4096);
    other.say("{\"jsonrpc\":\"2.0\",\"method\":\"ping\"}\n").await;
    other.say("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"log/message\"}\n").await;
    assert!(other.hear().await.contains("-32601"));
    assert!(matches!(oddities.lock().unwrap()[..], [Oddity::BadNotification { .. }]));
}

#[tokio::test]
async fn a_panic_is_an_error_with_the_right_id() {
    let (_peer, mut other, _) = connect(4096);
    other.say("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"panics\"}\n").await;
    let answer = other.hear().await;
    assert!(answer.starts_with(r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32603"#), "{answer}");
}

#[tokio::test]
async fn stray_lines_are_answered_and_the_connection_lives() {
    let (_peer, mut other, oddities) = connect(4096);
    other.say("hello\n\n\r\n").await;
    assert!(other.hear().await.contains("-32700"));
    other.say("[]\n").await;
    assert!(other.hear().await.contains("batch"));
    other.say(&format!("{}\n", "x".repeat(2000))).await;
    assert!(other.hear().await.contains("over the limit of 1000"));
    other.say("{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":1}\n").await;
    other.say("{\"jsonrpc\":\"2.0\",\"method\":\"later\"}\n").await;
    other.say("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nothing\"}\n").await;
    assert!(other.hear().await.contains("-32601"));
    assert_eq!(oddities.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn an_open_id_is_not_opened_again() {
    let (_peer, mut other, _) = connect(4096);
    other.say(&"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"slow\"}\n".repeat(2)).await;
    assert!(other.hear().await.contains("still open"));
    assert!(other.hear().await.contains("slow"));
}

#[tokio::test]
async fn calls_are_answered_by_id_and_fail_when_the_connection_ends() {
    let (peer, mut other, _) = connect(4096);
    let asking = tokio::spawn({
        let peer = peer.clone();
        async move { peer.request::<Ping>(&Empty {}).await }
    });
    assert_eq!(other.hear().await, r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{}}"#);
    other.say("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":1,\"message\":\"\"}}\n").await;
    other.say("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"openTasks\":3,\"later\":1}}\n").await;
    assert_eq!(asking.await.unwrap().unwrap().open_tasks, 3);

    let asking = tokio::spawn({
        let peer = peer.clone();
        async move { peer.request::<Ping>(&Empty {}).await }
    });
    other.hear().await;
    drop(other);
    assert!(matches!(asking.await.unwrap(), Err(CallError::Closed(Closed::Eof))));
    assert!(peer.request::<Ping>(&Empty {}).await.is_err());
}

#[tokio::test]
async fn reading_goes_on_while_the_other_side_does_not_read() {
    let (peer, mut other, _) = connect(512);
    for _ in 0..200 {
        other.say("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n").await;
    }
    drop(peer);
    for _ in 0..200 {
        other.hear().await;
    }
}

#[tokio::test]
async fn a_call_can_wait_until_it_is_written() {
    let (peer, mut other, _) = connect(64);
    let mut call = peer.call("task/run", &"x".repeat(500)).unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), call.written()).await;
    assert!(early.is_err(), "500 bytes do not fit into a pipe of 64");
    other.hear().await;
    call.written().await;
}
