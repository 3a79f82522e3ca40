//! Services: where clients connect, and where pods find each other.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{Settings, labels, metadata, names};
use crate::{
    api::{Endpoints, ListenerPort, PEERS_PORT, ServiceExposure},
    validate::ValidatedBroker,
};

/// The Service over all zones; unless the spec says otherwise, traffic stays in the zone it comes from while that zone has
/// ready pods.
pub(super) fn service(broker: &ValidatedBroker) -> Service {
    let port = |name: &str, port: u16, protocol: &str| ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(port),
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        app_protocol: Some(protocol.to_owned()),
        ..ServicePort::default()
    };
    let protocol = |listener: &ListenerPort| match (listener.is_websocket, listener.is_tls) {
        (false, false) => "stomp",
        (false, true) => "stomps",
        (true, false) => "kubernetes.io/ws",
        (true, true) => "kubernetes.io/wss",
    };
    let ports = broker.listeners.ports().map(|listener| port(listener.name, listener.number, protocol(&listener)));
    let ServiceExposure {
        type_,
        annotations,
        load_balancer_class,
        load_balancer_source_ranges,
        external_traffic_policy,
        traffic_distribution,
    } = broker.spec.exposure.as_ref().and_then(|exposure| exposure.service.clone()).unwrap_or_default();
    Service {
        metadata: metadata::annotated(broker, &annotations),
        spec: Some(ServiceSpec {
            type_: Some(type_.as_str().to_owned()),
            selector: Some(labels::selector(&broker.name)),
            ports: Some(ports.collect()),
            load_balancer_class,
            load_balancer_source_ranges: Some(load_balancer_source_ranges).filter(|ranges| !ranges.is_empty()),
            external_traffic_policy: external_traffic_policy.map(|policy| policy.as_str().to_owned()),
            traffic_distribution: traffic_distribution.as_str().map(str::to_owned),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// The Service without an address of its own whose name resolves to every pod, also to one that is not ready: one that drains
/// still has sessions. None where there is one pod only.
pub(super) fn peers(broker: &ValidatedBroker) -> Option<Service> {
    broker.engine.has_peers().then(|| Service {
        metadata: metadata::shared(broker, names::peers_service(&broker.name)),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(labels::selector(&broker.name)),
            ports: Some(vec![ServicePort {
                name: Some(names::PEERS_PORT.to_owned()),
                port: i32::from(PEERS_PORT),
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::Int(i32::from(PEERS_PORT))),
                app_protocol: Some("http".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })
}

/// DNS name by which pods find each other; with the dot at its end it is asked for once, and not within every search domain.
pub(super) fn peers_host(broker: &ValidatedBroker, settings: &Settings) -> String {
    format!("{}.{}.svc.{}.", names::peers_service(&broker.name), broker.namespace, settings.cluster_domain)
}

/// DNS name of the Service.
pub(super) fn host(broker: &ValidatedBroker, settings: &Settings) -> String {
    format!("{}.{}.svc.{}", broker.name, broker.namespace, settings.cluster_domain)
}

/// Where clients connect from inside the cluster.
pub(super) fn endpoints(broker: &ValidatedBroker, settings: &Settings) -> Endpoints {
    let host = host(broker, settings);
    let path = broker.listeners.websocket.as_ref().map_or("", |websocket| websocket.path.as_str());
    let find = |is_websocket, is_tls| {
        let port = broker.listeners.ports().find(|port| port.is_websocket == is_websocket && port.is_tls == is_tls)?;
        Some(match (is_websocket, is_tls) {
            (false, _) => format!("{host}:{}", port.number),
            (true, false) => format!("ws://{host}:{}{path}", port.number),
            (true, true) => format!("wss://{host}:{}{path}", port.number),
        })
    };
    Endpoints {
        stomp: find(false, false),
        stomp_tls: find(false, true),
        websocket: find(true, false),
        websocket_tls: find(true, true),
    }
}
