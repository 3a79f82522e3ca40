//! HTTP services that handle what clients send.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use stompbroker_config::GoDuration;

use super::{UpstreamTls, rules, scalars};

/// An HTTP service that handles what clients send below a prefix, as `@MessageMapping` does in Spring. Exactly one of
/// `service` and `url`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::application_has_one_target(),
    validation = rules::application_prefix_is_its_own(),
    validation = rules::application_url_is_one(),
    validation = rules::application_tls_is_used(),
    validation = rules::application_has_time()
)]
pub struct Application {
    /// Its name, in metrics, messages and signatures (`aud`).
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Destinations that are its own: this one and all below it. A segment may be a variable, such as `/app/rooms/{room}`.
    #[schemars(length(min = 2, max = 255))]
    pub prefix: String,
    /// A Service in the cluster; spoken to with TLS where `tls` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ApplicationService>,
    /// An address, `http://host:port` or `https://host:port`, with or without a path. The NetworkPolicy lets pods out to this
    /// port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 1024))]
    pub url: Option<String>,
    /// What is added to the path: `{path}` is the destination behind the prefix, `{user}`, `{session}` and the variables of
    /// `prefix` have their values, percent-encoded.
    #[serde(default = "path")]
    #[schemars(length(max = 512))]
    pub path: String,
    /// How long a request may take, with all that is tried again.
    #[serde(default = "timeout")]
    #[schemars(schema_with = "scalars::duration")]
    pub timeout: GoDuration,
    /// Requests at once, from one pod.
    #[serde(default = "concurrency")]
    #[schemars(with = "i32", range(min = 1, max = 10_000))]
    pub concurrency: u32,
    /// Requests of one pod that may wait for others to end; what comes beyond them is refused.
    #[serde(default = "waiting")]
    #[schemars(with = "i32", range(min = 0, max = 1_000_000))]
    pub waiting: u32,
    /// Whether a request waits for those before it of the same session.
    #[serde(default = "ordered")]
    pub ordered: bool,
    /// How a request is tried again when there was no connection, no answer in time, or one of 5xx.
    #[serde(default)]
    pub retry: Retry,
    /// Where the body of an answer goes.
    #[serde(default)]
    pub reply: Reply,
    /// TLS, and the certificate that the pods show. New certificates are taken up without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
    /// How requests are signed, so that the application can trust what they say of the sender. Absent: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// A Service in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationService {
    /// Its name.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Its namespace. Absent: that of the StompBroker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
    /// Port of the Service.
    #[serde(default = "port")]
    #[schemars(with = "i32", range(min = 1, max = 65535))]
    pub port: u16,
    /// Port of its pods, to which the NetworkPolicy lets pods out. Absent: the same as `port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 65535))]
    pub target_port: Option<u16>,
}

/// How a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// How often it is tried in all; each try may take its share of the time that is left.
    #[serde(default = "attempts")]
    #[schemars(with = "i32", range(min = 1, max = 10))]
    pub attempts: u32,
    /// The pause before the second try; it doubles with each further one, and about half of it is random.
    #[serde(default = "backoff")]
    #[schemars(schema_with = "scalars::duration")]
    pub backoff: GoDuration,
}

/// Where the body of an answer goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// The destination, with the variables of the path: `/topic/...` for all, `/user/queue/...` for the session that has sent,
    /// `/user/{user}/queue/...` for all sessions of the sender. Absent: it is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 255), regex(pattern = r"^/"))]
    pub destination: Option<String>,
    /// Whether a SEND may say where its own reply goes, by the header `reply-to`.
    #[serde(default = "reply_to")]
    pub reply_to: bool,
}

/// A signature of requests: a JSON Web Token (HS256) in the header `Authorization`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    /// Name of a Secret in the same namespace whose key `key` has at least 32 characters, which the application knows, too.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub secret_name: String,
}

impl Application {
    /// Where it is, for a broker in this namespace; nothing while the spec names no target.
    pub fn address(&self, namespace: &str) -> Option<String> {
        let service = self.service.as_ref().map(|service| {
            let ApplicationService { name, namespace: own, port, .. } = service;
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{name}.{}.svc:{port}", own.as_deref().unwrap_or(namespace))
        });
        self.url.clone().or(service)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: attempts(), backoff: backoff() }
    }
}

impl Default for Reply {
    fn default() -> Self {
        Self { destination: None, reply_to: reply_to() }
    }
}

fn path() -> String {
    "{path}".to_owned()
}

const fn timeout() -> GoDuration {
    GoDuration::from_secs(10)
}

const fn concurrency() -> u32 {
    16
}

const fn waiting() -> u32 {
    1000
}

const fn ordered() -> bool {
    true
}

const fn port() -> u16 {
    80
}

fn attempts() -> u32 {
    stompbroker_config::Retry::default().attempts
}

fn backoff() -> GoDuration {
    stompbroker_config::Retry::default().backoff
}

const fn reply_to() -> bool {
    true
}
