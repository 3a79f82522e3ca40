//! How servers are reached, by whom, and how many of them may be evicted at once.

use k8s_openapi::{
    api::{
        core::v1::{Service, ServicePort, ServiceSpec},
        networking::v1::{
            NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicySpec,
        },
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{CLIENT_PORT, CLUSTER_PORT, MONITOR_PORT};
use crate::{
    plan::{
        Settings, labels, metadata, names,
        network_policy::{administrators, dns, port},
    },
    validate::ValidatedBroker,
};

/// Where brokers connect. Any server will do, for the Service is in its certificate.
pub(in crate::plan) fn url(broker: &ValidatedBroker) -> String {
    format!("tls://{}:{CLIENT_PORT}", service_host(broker))
}

fn service_host(broker: &ValidatedBroker) -> String {
    format!("{}.{}.svc", names::nats(&broker.name), broker.namespace)
}

/// Domain of the pods' own names.
pub(super) fn peers_domain(broker: &ValidatedBroker, settings: &Settings) -> String {
    format!("{}.{}.svc.{}", names::nats_peers(&broker.name), broker.namespace, settings.cluster_domain)
}

/// Names that the servers' certificate is for.
pub(super) fn hosts(broker: &ValidatedBroker, settings: &Settings) -> Vec<String> {
    let service = service_host(broker);
    vec![format!("{service}.{}", settings.cluster_domain), service, format!("*.{}", peers_domain(broker, settings))]
}

/// Where brokers connect, to a server of their own zone while there is one; and where servers find each other, also those
/// that are not ready yet.
pub(super) fn services(broker: &ValidatedBroker) -> [Service; 2] {
    let port = |name: &str, number: u16| ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(number),
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        app_protocol: Some("nats".to_owned()),
        ..ServicePort::default()
    };
    let service = |name, spec| Service {
        metadata: metadata::nats(broker, name),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(labels::nats_selector(&broker.name)),
            ..spec
        }),
        ..Service::default()
    };
    [
        service(
            names::nats(&broker.name),
            ServiceSpec {
                ports: Some(vec![port("client", CLIENT_PORT)]),
                traffic_distribution: Some("PreferClose".to_owned()),
                ..ServiceSpec::default()
            },
        ),
        service(
            names::nats_peers(&broker.name),
            ServiceSpec {
                cluster_ip: Some("None".to_owned()),
                ports: Some(vec![port("cluster", CLUSTER_PORT)]),
                publish_not_ready_addresses: Some(true),
                ..ServiceSpec::default()
            },
        ),
    ]
}

/// Brokers reach the servers, the servers each other, the operator and monitoring their state; nobody else anything.
pub(super) fn network_policy(broker: &ValidatedBroker, settings: &Settings) -> NetworkPolicy {
    let rule = |from, number| NetworkPolicyIngressRule { from: Some(from), ports: Some(vec![port("TCP", number)]) };
    let servers = || vec![pods(metadata::all_nats(broker))];
    NetworkPolicy {
        metadata: metadata::nats(broker, names::nats(&broker.name)),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(metadata::all_nats(broker)),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![
                rule(vec![pods(metadata::all_pods(broker))], CLIENT_PORT),
                rule(servers(), CLUSTER_PORT),
                rule(administrators(settings), MONITOR_PORT),
            ]),
            egress: Some(vec![
                dns(),
                NetworkPolicyEgressRule { to: Some(servers()), ports: Some(vec![port("TCP", CLUSTER_PORT)]) },
            ]),
        }),
    }
}

/// What lets brokers out to the servers.
pub(in crate::plan) fn broker_egress(broker: &ValidatedBroker) -> NetworkPolicyEgressRule {
    let to = Some(vec![pods(metadata::all_nats(broker))]);
    NetworkPolicyEgressRule { to, ports: Some(vec![port("TCP", CLIENT_PORT)]) }
}

fn pods(selector: LabelSelector) -> NetworkPolicyPeer {
    NetworkPolicyPeer { pod_selector: Some(selector), ..NetworkPolicyPeer::default() }
}

/// One server at a time, whoever wants to evict it, so that a majority stays.
pub(super) fn disruption_budget(broker: &ValidatedBroker) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata::nats(broker, names::nats(&broker.name)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(metadata::all_nats(broker)),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
