//! The desired objects of one broker.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{ConfigMap, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

/// The desired objects of one broker, by kind.
///
/// Destructure it without `..`: a kind that is added here must not be forgotten by apply, prune or render.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    /// The pods' identity; without a token.
    pub service_accounts: Vec<ServiceAccount>,
    /// Secrets whose values are made once.
    pub secrets: Vec<GeneratedSecret>,
    /// One `broker.yaml` for each pool.
    pub config_maps: Vec<ConfigMap>,
    /// Where clients connect.
    pub services: Vec<Service>,
    /// Who may connect to the pods, and to whom they may connect.
    pub network_policies: Vec<NetworkPolicy>,
    /// How many pods may be evicted at once.
    pub pod_disruption_budgets: Vec<PodDisruptionBudget>,
    /// The pods, one Deployment for each pool.
    pub deployments: Vec<Deployment>,
    /// The pools' sizes, when autoscaled.
    pub horizontal_pod_autoscalers: Vec<HorizontalPodAutoscaler>,
}

/// A Secret of which some values are random: made when the Secret is created, and never again.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratedSecret {
    /// Name, namespace, labels and owner.
    pub metadata: ObjectMeta,
    /// The Secret's `type`.
    pub type_: String,
    /// Values that are no secrets and follow the spec.
    pub fixed: BTreeMap<String, String>,
    /// Keys whose values are random.
    pub random: Vec<&'static str>,
}
