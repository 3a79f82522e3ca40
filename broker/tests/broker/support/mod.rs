//! What the tests talk with: a running broker, raw clients, and waits that end.

mod application;
mod authority;
mod broker;
mod collector;
mod http;
mod process;
mod scripts;
mod stomp;
mod websocket;

use std::time::Duration;

pub(crate) use self::{
    application::{Application, Reply},
    authority::Authority,
    broker::{BrokerUnderTest, config},
    collector::{Collector, Otlp, attribute},
    http::{Answer, request},
    process::{Process, stompbroker},
    scripts::{SCRIPT_TIME, assert_ok, clients, script, secrets, secrets_with_token},
    stomp::{Frame, Peer, StompClient, frame_end},
    websocket::{Message, WebSocketClient, upgrade_request},
};

/// How long any single wait may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something with a deadline; names what was waited for when it does not come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

/// Asks again and again until the answer is there.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    within(what, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}
