//! Traces of messages: `tracing`.

use serde::{Deserialize, Serialize};

/// Spans of messages, sent to a collector by OTLP. Senders' traces are continued from the headers `traceparent` and `tracestate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tracing {
    /// Where the collector is, for example `http://otel-collector:4317`; an `https://` address is trusted by the public authorities.
    pub otlp_endpoint: String,
    /// How it is spoken to. Absent: `http/protobuf` on port 4318, else `grpc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<OtlpProtocol>,
    /// Share of the messages without a `traceparent` for which a trace is begun, from 0 to 1. A message with one is traced if
    /// its sender says so.
    #[serde(default = "sampling_ratio")]
    pub sampling_ratio: f64,
    /// What the spans are said to be of (`service.name`).
    #[serde(default = "service_name")]
    pub service_name: String,
}

/// How a collector is spoken to; the names are those of `OTEL_EXPORTER_OTLP_PROTOCOL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OtlpProtocol {
    /// gRPC, customarily port 4317.
    #[serde(rename = "grpc")]
    Grpc,
    /// Protocol buffers by HTTP/1.1, customarily port 4318; `/v1/traces` is added to the address.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

impl OtlpProtocol {
    /// The names of all protocols.
    pub const NAMES: [&str; 2] = ["grpc", "http/protobuf"];
}

impl Tracing {
    /// [`Self::sampling_ratio`] where it is not given.
    pub const SAMPLING_RATIO: f64 = 0.01;

    /// How the collector is spoken to.
    pub fn protocol(&self) -> OtlpProtocol {
        let is_http = self.authority().is_some_and(|authority| authority.ends_with(":4318"));
        self.protocol.unwrap_or(if is_http { OtlpProtocol::HttpProtobuf } else { OtlpProtocol::Grpc })
    }

    fn authority(&self) -> Option<&str> {
        let endpoint = &self.otlp_endpoint;
        let rest = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"))?;
        rest.split('/').next()
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// The key whose value cannot work, and why.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let is_address = self.authority().is_some_and(|host| !host.is_empty() && !host.starts_with(':'));
        let has_more = self.otlp_endpoint.contains(|c: char| c.is_whitespace() || c.is_control() || "@?#".contains(c));
        if !is_address || has_more {
            let problem = format!(
                "{:?} is no address of a collector; write for example http://otel-collector:4317",
                self.otlp_endpoint
            );
            return Err(("otlpEndpoint", problem));
        }
        if !(0.0..=1.0).contains(&self.sampling_ratio) {
            let problem = format!("{} is no share; write a number from 0 for none to 1 for all", self.sampling_ratio);
            return Err(("samplingRatio", problem));
        }
        if self.service_name.is_empty() {
            return Err(("serviceName", "it is empty; leave the key out for stompbroker".to_owned()));
        }
        Ok(())
    }
}

fn sampling_ratio() -> f64 {
    Tracing::SAMPLING_RATIO
}

fn service_name() -> String {
    "stompbroker".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracing(endpoint: &str) -> Tracing {
        Tracing {
            otlp_endpoint: endpoint.to_owned(),
            protocol: None,
            sampling_ratio: 0.5,
            service_name: "a".to_owned(),
        }
    }

    #[test]
    fn the_port_tells_the_protocol_unless_the_configuration_does() {
        for (endpoint, protocol) in [
            ("http://otel:4317", OtlpProtocol::Grpc),
            ("http://otel", OtlpProtocol::Grpc),
            ("http://otel:4318", OtlpProtocol::HttpProtobuf),
            ("https://otel:4318/base", OtlpProtocol::HttpProtobuf),
        ] {
            assert_eq!(tracing(endpoint).protocol(), protocol, "{endpoint}");
        }
        let said = Tracing { protocol: Some(OtlpProtocol::Grpc), ..tracing("http://otel:4318") };
        assert_eq!(said.protocol(), OtlpProtocol::Grpc);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for endpoint in
            ["otel:4317", "grpc://otel:4317", "http://", "http://:4317", "http://user:secret@otel", "http://o?k=s"]
        {
            assert_eq!(tracing(endpoint).check().unwrap_err().0, "otlpEndpoint", "{endpoint}");
        }
        assert_eq!(tracing("http://[::1]:4317/base").check(), Ok(()));
    }
}
