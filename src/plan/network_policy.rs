//! NetworkPolicy: who may connect to the pods, and to whom they may connect.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
        NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{Settings, labels, metadata, nats};
use crate::{
    api::{ADMIN_PORT, PEERS_PORT},
    validate::{Engine, ValidatedBroker},
};

/// Label that Kubernetes itself puts on every namespace.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Ports of DNS as pods see them: the standard one, and that of OpenShift's DNS pods behind their Service.
const DNS_PORTS: [u16; 2] = [53, 5353];

/// Anybody may reach the client ports; only the operator and namespaces labelled for monitoring the admin port; only the
/// pods of the same broker the port for peers. The pods may reach DNS, each other, and the ports of upstreams, of issuers'
/// keys, of applications and of the collector of spans, and nothing at all where there are none.
pub(super) fn network_policy(broker: &ValidatedBroker, settings: &Settings) -> NetworkPolicy {
    let clients = NetworkPolicyIngressRule {
        from: None,
        ports: Some(broker.listeners.ports().map(|listener| port("TCP", listener.number)).collect()),
    };
    let admins =
        NetworkPolicyIngressRule { from: Some(administrators(settings)), ports: Some(vec![port("TCP", ADMIN_PORT)]) };
    let peers = broker.engine.has_peers().then(|| NetworkPolicyIngressRule {
        from: Some(vec![pods(broker)]),
        ports: Some(vec![port("TCP", PEERS_PORT)]),
    });
    NetworkPolicy {
        metadata: metadata::shared(broker, broker.name.as_str()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(metadata::all_pods(broker)),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some([clients, admins].into_iter().chain(peers).collect()),
            egress: egress(broker),
        }),
    }
}

/// Who may ask pods for their state: the operator, and namespaces labelled for monitoring.
pub(super) fn administrators(settings: &Settings) -> Vec<NetworkPolicyPeer> {
    vec![namespaces(NAMESPACE_NAME, &settings.operator_namespace), namespaces(labels::MONITORING, "true")]
}

/// What lets pods out to DNS.
pub(super) fn dns() -> NetworkPolicyEgressRule {
    let ports = DNS_PORTS.into_iter().flat_map(|number| [port("UDP", number), port("TCP", number)]);
    NetworkPolicyEgressRule { to: None, ports: Some(ports.collect()) }
}

/// No rules at all rather than an empty list of them: both allow nothing, but the API server drops an empty list, and then
/// counts every further apply as a change.
fn egress(broker: &ValidatedBroker) -> Option<Vec<NetworkPolicyEgressRule>> {
    let upstreams = match &broker.engine {
        Engine::Relay(relay) => {
            relay.resolved_upstreams(&broker.namespace).iter().map(|upstream| upstream.port).collect()
        }
        Engine::JetStream(engine) => {
            engine.external.iter().flat_map(|nats| &nats.servers).map(|server| nats_port(server)).collect()
        }
        Engine::Embedded(_) => Vec::new(),
    };
    let issuers = broker.authentication.jwt.iter().filter_map(|issuer| issuer.jwks_url.as_deref());
    let applications = broker.spec.applications.iter().zip(&broker.applications).map(|(application, config)| {
        let of_pods = application.service.as_ref().and_then(|service| service.target_port);
        of_pods.unwrap_or_else(|| port_of(&config.url))
    });
    let collector = broker.tracing.iter().map(|tracing| tracing.otlp_endpoint.as_str());
    let ports: BTreeSet<u16> =
        upstreams.into_iter().chain(issuers.chain(collector).map(port_of)).chain(applications).collect();
    let anywhere = (!ports.is_empty()).then(|| NetworkPolicyEgressRule {
        to: None,
        ports: Some(ports.into_iter().map(|number| port("TCP", number)).collect()),
    });
    let nats = broker.managed_nats().map(|_| nats::broker_egress(broker));
    let rules: Vec<_> = anywhere.into_iter().chain(nats).collect();
    if rules.is_empty() {
        return None;
    }
    let peers = broker
        .engine
        .has_peers()
        .then(|| NetworkPolicyEgressRule { to: Some(vec![pods(broker)]), ports: Some(vec![port("TCP", PEERS_PORT)]) });
    Some([dns()].into_iter().chain(rules).chain(peers).collect())
}

/// The port of a NATS server.
fn nats_port(server: &str) -> u16 {
    server.parse::<http::Uri>().ok().and_then(|uri| uri.port_u16()).unwrap_or(4222)
}

/// The port of an `https://` or `http://` address.
fn port_of(url: &str) -> u16 {
    let uri = url.parse::<http::Uri>().unwrap_or_default();
    match (uri.port_u16(), uri.scheme_str()) {
        (Some(port), _) => port,
        (None, Some("http")) => 80,
        (None, _) => 443,
    }
}

pub(super) fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(i32::from(number))),
        end_port: None,
    }
}

/// The pods of the broker itself.
fn pods(broker: &ValidatedBroker) -> NetworkPolicyPeer {
    NetworkPolicyPeer { pod_selector: Some(metadata::all_pods(broker)), ..NetworkPolicyPeer::default() }
}

fn namespaces(label: &str, value: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector {
            match_labels: Some(BTreeMap::from([(label.to_owned(), value.to_owned())])),
            match_expressions: None,
        }),
        ..NetworkPolicyPeer::default()
    }
}
