//! The test as NATS server, as far as its monitoring port tells.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use serde_json::json;
use stompbroker_operator::plan::nats::MONITOR_PORT;
use tokio::task::JoinSet;

use super::kubelet::{listener, serve};

/// The monitoring port of one server, on a loopback address of its own.
pub struct NatsMonitor {
    pub address: Ipv4Addr,
    health: Arc<Mutex<(String, String)>>,
    _task: JoinSet<()>,
}

impl NatsMonitor {
    /// A server that has caught up.
    pub async fn start() -> Self {
        let (listener, address) = listener(MONITOR_PORT).await;
        let health = Arc::new(Mutex::new(("ok".to_owned(), String::new())));
        let state = health.clone();
        let task = serve(listener, move |request| answer(request, &state.lock().unwrap()));
        Self { address, health, _task: task }
    }

    /// Changes what the server says of its health.
    pub fn say(&self, status: &str, error: &str) {
        *self.health.lock().unwrap() = (status.to_owned(), error.to_owned());
    }
}

fn answer(request: &Request<Incoming>, (status, error): &(String, String)) -> Response<Full<Bytes>> {
    let (code, body) = match request.uri().path() {
        "/healthz" if status == "ok" => (StatusCode::OK, json!({"status": status})),
        "/healthz" => (StatusCode::SERVICE_UNAVAILABLE, json!({"status": status, "error": error})),
        "/varz" => {
            (StatusCode::OK, json!({"version": "2.15.2", "jetstream": {"meta": {"leader": "x", "cluster_size": 3}}}))
        }
        _ => (StatusCode::NOT_FOUND, json!({})),
    };
    Response::builder().status(code).body(Full::new(Bytes::from(body.to_string()))).unwrap()
}
