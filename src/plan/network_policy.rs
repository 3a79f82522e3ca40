//! NetworkPolicy: who may connect to the pods, and to whom they may connect.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
        NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{Settings, labels, metadata};
use crate::{
    api::ADMIN_PORT,
    validate::{Engine, ValidatedBroker},
};

/// Label that Kubernetes itself puts on every namespace.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Ports of DNS as pods see them: the standard one, and that of OpenShift's DNS pods behind their Service.
const DNS_PORTS: [u16; 2] = [53, 5353];

/// Anybody may reach the client ports; only the operator and namespaces labelled for monitoring the admin port. The pods
/// may reach DNS and the upstreams' ports, and nothing at all with the embedded engine.
pub(super) fn network_policy(broker: &ValidatedBroker, settings: &Settings) -> NetworkPolicy {
    let stomp = broker.listeners.stomp.as_ref().map(|stomp| stomp.port);
    let websocket = broker.listeners.websocket.as_ref().map(|websocket| websocket.port);
    let clients = NetworkPolicyIngressRule {
        from: None,
        ports: Some(stomp.into_iter().chain(websocket).map(|number| port("TCP", number)).collect()),
    };
    let admins = NetworkPolicyIngressRule {
        from: Some(vec![
            namespaces(NAMESPACE_NAME, &settings.operator_namespace),
            namespaces(labels::MONITORING, "true"),
        ]),
        ports: Some(vec![port("TCP", ADMIN_PORT)]),
    };
    NetworkPolicy {
        metadata: metadata::shared(broker, broker.name.as_str()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(metadata::all_pods(broker)),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![clients, admins]),
            egress: egress(&broker.engine),
        }),
    }
}

/// No rules at all rather than an empty list of them: both allow nothing, but the API server drops an empty list, and then
/// counts every further apply as a change.
fn egress(engine: &Engine) -> Option<Vec<NetworkPolicyEgressRule>> {
    let Engine::Relay(relay) = engine else { return None };
    let upstreams: BTreeSet<u16> = relay.upstreams.iter().map(|upstream| upstream.port).collect();
    let dns = DNS_PORTS.into_iter().flat_map(|number| [port("UDP", number), port("TCP", number)]);
    let rule = |ports| NetworkPolicyEgressRule { to: None, ports: Some(ports) };
    Some(vec![rule(dns.collect()), rule(upstreams.into_iter().map(|number| port("TCP", number)).collect())])
}

fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(i32::from(number))),
        end_port: None,
    }
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
