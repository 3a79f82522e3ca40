//! Effects of specs on objects. The broker is not called like the product, so that swapped labels show.

mod autoscaling;
mod budget;
mod certificates;
mod cluster;
mod configuration;
mod exposure;
mod nats;
mod network;
mod objects;
mod outages;
mod overrides;
mod pods;
mod respread;
mod restarts;
mod rollouts;
mod rotation;
mod simulation;
mod spring;
mod upgrades;
mod worlds;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use serde_json::{Value, json};

use super::{Origin, Plan, Settings, plan};
use crate::{
    api::StompBroker,
    cli::brokers,
    observed::{DeploymentView, Observed},
    validate::{LOGIN_KEYS, validate},
};

const RELAY: &str = "engine: {relay: {upstreams: [{host: rabbitmq, port: 61614}], \
                     systemCredentials: {secretName: up-system}, clientCredentials: {secretName: up-client}}}";

fn settings() -> Settings {
    Settings {
        image: "registry.example/stompbroker:1".to_owned(),
        nats_image: "registry.example/nats:2".to_owned(),
        operator_namespace: "operators".to_owned(),
        cluster_domain: "corp.example".to_owned(),
        custom_metrics: true,
    }
}

fn broker(spec: &str) -> StompBroker {
    let text = format!(
        "apiVersion: stompbroker.dev/v1alpha1\nkind: StompBroker\n\
         metadata: {{name: trading, namespace: markets, uid: 7f, labels: {{argocd: x}}, annotations: {{note: mine}}}}\nspec: {spec}\n"
    );
    brokers(&text).unwrap().remove(0)
}

/// The plan for a spec whose Secrets all exist, in a world with `deployments`.
fn planned_in(spec: &str, deployments: BTreeMap<String, DeploymentView>) -> Plan {
    let broker = broker(spec);
    let observed = Observed { deployments, ..Observed::assuming_references(&broker) };
    plan(&validate(&broker, &observed).unwrap(), &observed, &settings()).unwrap()
}

fn planned(spec: &str) -> Plan {
    planned_in(spec, BTreeMap::new())
}

fn relayed(more: &str) -> Plan {
    planned(&format!("{{{RELAY}{more}}}"))
}

fn templates(plan: &Plan) -> Vec<PodTemplateSpec> {
    plan.objects.deployments.iter().map(|deployment| deployment.spec.clone().unwrap().template).collect()
}

fn pod(plan: &Plan) -> PodSpec {
    templates(plan).remove(0).spec.unwrap()
}

fn replicas(plan: &Plan) -> Vec<Option<i32>> {
    plan.objects.deployments.iter().map(|deployment| deployment.spec.as_ref().unwrap().replicas).collect()
}

/// Every object of a plan, the Secrets without random values.
fn everything(plan: &Plan) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&plan.objects.to_yaml().unwrap()).unwrap();
    assert!(documents.len() >= 9, "{}", documents.len());
    documents
}
