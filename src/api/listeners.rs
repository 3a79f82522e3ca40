//! Where clients connect.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// Port of the admin endpoints of each pod; no listener may have it.
pub const ADMIN_PORT: u16 = 15020;

/// Where clients connect; at least one listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::one_listener(),
    validation = rules::listener_ports_differ(),
    validation = rules::listener_ports_are_free()
)]
pub struct Listeners {
    /// STOMP over TCP, for services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stomp: Option<StompListener>,
    /// STOMP over WebSocket, for browsers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket: Option<WebSocketListener>,
}

/// STOMP over TCP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StompListener {
    /// Port of the pods and of the Service. Ports below 1024 need privileges that the pods do not have.
    #[serde(default = "stomp_port")]
    #[schemars(with = "i32", range(min = 1024, max = 65535))]
    pub port: u16,
}

/// STOMP over WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::websocket_path_is_a_path(), validation = rules::allowed_origins_are_origins())]
pub struct WebSocketListener {
    /// Port of the pods and of the Service. Ports below 1024 need privileges that the pods do not have.
    #[serde(default = "websocket_port")]
    #[schemars(with = "i32", range(min = 1024, max = 65535))]
    pub port: u16,
    /// Path of the WebSocket endpoint.
    #[serde(default = "websocket_path")]
    #[schemars(length(min = 1, max = 255))]
    pub path: String,
    /// Origins that browsers may come from: an origin such as `https://app.example.com`, a pattern such as
    /// `https://*.example.com`, or `*` for all. Empty: only the origin that the request was sent to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 255)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub allowed_origins: Vec<String>,
}

impl Default for Listeners {
    fn default() -> Self {
        Self { stomp: Some(StompListener::default()), websocket: Some(WebSocketListener::default()) }
    }
}

impl Default for StompListener {
    fn default() -> Self {
        Self { port: stomp_port() }
    }
}

impl Default for WebSocketListener {
    fn default() -> Self {
        Self { port: websocket_port(), path: websocket_path(), allowed_origins: Vec::new() }
    }
}

fn stomp_port() -> u16 {
    61613
}

fn websocket_port() -> u16 {
    8080
}

fn websocket_path() -> String {
    "/ws".to_owned()
}
