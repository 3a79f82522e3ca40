//! Any octets from a client over a WebSocket, as messages of SockJS or as they are: no panic, the same messages however the
//! octets are cut as far as the client keeps to the rules, and those of a JSON array that another reader finds in it.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use stompbroker::transport::sockjs::{Framing, Message, Messages};
use tokio::{
    io::AsyncWriteExt as _,
    runtime::{Builder, Runtime},
};

/// Octets of a message, fewer than the input may have.
const MOST: usize = 1000;
/// More than the input may have, so that nobody waits.
const PIPE: usize = 1 << 20;

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().unwrap_or_else(|error| panic!("{error}"));
}

/// The messages of a client that sends these octets and closes.
fn messages(octets: &[u8], cut: usize, framing: Framing) -> Vec<Message> {
    let (ahead, rest) = octets.split_at(cut.min(octets.len()));
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(PIPE);
            let mut read = Vec::new();
            client.write_all(rest).await.unwrap_or_else(|error| panic!("{error}"));
            client.shutdown().await.unwrap_or_else(|error| panic!("{error}"));
            let mut messages = Messages::of_websocket(server, ahead, framing, Duration::ZERO, MOST);
            while let Ok(Some(message)) = messages.receive().await {
                read.push(message);
            }
            read
        })
    })
}

/// A text message as a client sends it, with a mask that changes nothing.
fn text_frame(payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(payload.len()).ok()?;
    let head = match u8::try_from(length) {
        Ok(short) if short < 126 => vec![0x81, 0x80 | short],
        _ => [&[0x81, 0xFE][..], &length.to_be_bytes()].concat(),
    };
    Some([&head[..], &[0; 4], payload].concat())
}

fuzz_target!(|data: &[u8]| {
    let Some((&control, octets)) = data.split_first() else { return };
    let framing = if control & 1 == 0 { Framing::SockJs } else { Framing::Raw };
    let cut = usize::from(control >> 1);
    let (whole, pieces) = (messages(octets, 0, framing), messages(octets, cut, framing));
    // Text that breaks off in the middle is no text, also for the messages before it in the same piece.
    let both = whole.len().min(pieces.len());
    assert_eq!(whole[..both], pieces[..both]);
    let Ok(expected) = serde_json::from_slice::<Vec<String>>(octets) else { return };
    let Some(frame) = text_frame(octets) else { return };
    if expected.iter().all(|message| (1..MOST).contains(&message.len())) {
        let expected: Vec<_> = expected.into_iter().map(Message::Text).collect();
        assert_eq!(messages(&frame, cut, Framing::SockJs), expected);
    }
});
