//! Service: where clients connect.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{Settings, labels, metadata, names};
use crate::{api::Endpoints, validate::ValidatedBroker};

/// The Service over all zones; traffic stays in the zone it comes from while that zone has ready pods.
pub(super) fn service(broker: &ValidatedBroker) -> Service {
    let port = |name: &str, port: u16, protocol: &str| ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(port),
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        app_protocol: Some(protocol.to_owned()),
        ..ServicePort::default()
    };
    let stomp = broker.listeners.stomp.as_ref().map(|stomp| port(names::STOMP_PORT, stomp.port, "stomp"));
    let websocket = broker
        .listeners
        .websocket
        .as_ref()
        .map(|websocket| port(names::WEBSOCKET_PORT, websocket.port, "kubernetes.io/ws"));
    Service {
        metadata: metadata::shared(broker, broker.name.as_str()),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(labels::selector(&broker.name)),
            ports: Some(stomp.into_iter().chain(websocket).collect()),
            traffic_distribution: Some("PreferClose".to_owned()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// DNS name of the Service.
pub(super) fn host(broker: &ValidatedBroker, settings: &Settings) -> String {
    format!("{}.{}.svc.{}", broker.name, broker.namespace, settings.cluster_domain)
}

/// Where clients connect from inside the cluster.
pub(super) fn endpoints(broker: &ValidatedBroker, settings: &Settings) -> Endpoints {
    let host = host(broker, settings);
    Endpoints {
        stomp: broker.listeners.stomp.as_ref().map(|stomp| format!("{host}:{}", stomp.port)),
        websocket: broker
            .listeners
            .websocket
            .as_ref()
            .map(|websocket| format!("ws://{host}:{}{}", websocket.port, websocket.path)),
    }
}
