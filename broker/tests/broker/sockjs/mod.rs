//! SockJS 0.3.3, rule by rule, with raw requests against the services of the example `sockjs_echo`.

mod http;
mod pages;
mod polling;
#[path = "../../../examples/sockjs_echo.rs"]
#[expect(dead_code, reason = "its main function is for those who run it")]
mod services;
mod stomp;
mod strangers;
mod streaming;
mod websocket;

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
};

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) use self::http::Http;
use self::http::Response;

/// The services on a port of their own; stopped when dropped.
struct Services {
    address: SocketAddr,
    _stop: DropGuard,
}

impl Services {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(services::serve(listener, stop.clone()));
        Self { address, _stop: stop.drop_guard() }
    }

    /// The URL of a session that nobody else has.
    fn session(service: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        format!("/{service}/000/session{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// One request over a connection of its own, with a response that is complete.
    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Response {
        let mut http = Http::connect(self.address).await;
        http.send(method, path, "1.1", headers, body).await;
        http.response().await
    }

    async fn get(&self, path: &str) -> Response {
        self.ask("GET", path, "", "").await
    }

    async fn post(&self, path: &str, body: &str) -> Response {
        self.ask("POST", path, "", body).await
    }

    /// A request whose response goes on, as far as its head.
    async fn open(&self, method: &str, path: &str, headers: &str) -> (Http, Response) {
        let mut http = Http::connect(self.address).await;
        http.send(method, path, "1.1", headers, "").await;
        let head = http.head().await;
        (http, head)
    }
}
