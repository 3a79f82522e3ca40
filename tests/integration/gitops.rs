//! What GitOps tools do: apply what is in Git, and look again and again whether anything differs from it.

use std::{collections::BTreeMap, fs};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    ResourceExt,
    api::{ListParams, PostParams},
};
use serde_json::json;
use stompbroker_operator::{
    api::{self, StompBroker},
    cli,
    validate::referenced_secrets,
};

use crate::support::{ControlPlane, Kind, Operator, World, check, eventually, install};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
const CRD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/stompbrokers.yaml");
/// By the annotation of what was applied last, and by the fields that each manager owns.
const WAYS: [&[&str]; 2] = [&[], &["--server-side"]];

fn examples() -> Vec<String> {
    let files = fs::read_dir(EXAMPLES).unwrap().map(|entry| entry.unwrap().path());
    let manifests = files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    let mut files: Vec<_> = manifests.map(|file| file.to_str().unwrap().to_owned()).collect();
    files.sort();
    files
}

/// Creates every Secret that the StompBrokers of `file` refer to and that it does not bring itself; names the StompBrokers.
async fn fill_up(world: &World, file: &str) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let brokers = cli::brokers(&text).unwrap();
    for used in brokers.iter().flat_map(referenced_secrets) {
        let api = world.api::<Secret>();
        let there = api.get_opt(&used.secret_name).await.unwrap();
        let values: BTreeMap<_, _> = used.keys.iter().map(|key| (*key, "value")).collect();
        let secret = json!({"metadata": {"name": used.secret_name}, "stringData": values});
        match there {
            None => {
                api.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
            }
            // It is another field's as well, or the example brings it along.
            Some(there) => {
                let known = there.data.unwrap_or_default();
                if used.keys.iter().any(|key| !known.contains_key(*key)) {
                    world.merge::<Secret>(&used.secret_name, secret).await;
                }
            }
        }
    }
    brokers.iter().map(ResourceExt::name_any).collect()
}

/// Waits until the operator has made what the StompBroker asks for.
async fn settled(world: &World, name: &str) {
    let api = world.api::<StompBroker>();
    eventually(&format!("the status of {name}"), async || {
        let broker = api.get_status(name).await.map_err(|error| error.to_string())?;
        let conditions = broker.status.clone().unwrap_or_default().conditions;
        let holds = |kind: &str| conditions.iter().any(|found| found.type_ == kind && found.status == "True");
        check(holds("Accepted") && holds("ResolvedRefs"), &conditions)
    })
    .await;
}

async fn kubectl(world: &World, arguments: &[&str], way: &[&str], file: &str) -> (i32, String) {
    let all = [arguments, way, &["--namespace", &world.namespace, "--filename", file]].concat();
    world.plane.kubectl(&all).await
}

#[tokio::test]
async fn an_applied_example_shows_no_difference_before_and_after_the_operator_has_seen_it() {
    let files = examples();
    assert!(files.len() > 4, "{files:?}");
    let plane = ControlPlane::own("gitops").await;
    install(&plane.client(), api::crd()).await;
    for file in &files {
        for way in WAYS {
            let world = World::on(plane.clone()).await;
            let (code, text) = kubectl(&world, &["apply"], way, file).await;
            assert_eq!(code, 0, "{file} {way:?}: {text}");
            let (code, text) = kubectl(&world, &["diff"], way, file).await;
            assert_eq!((code, text.as_str()), (0, ""), "{file} {way:?}");
            let names = fill_up(&world, file).await;
            let operator = Operator::start(&world).await;
            for name in &names {
                settled(&world, name).await;
            }
            // kubectl reads the object twice, and a status that is written in between would be a difference.
            operator.stop().await;
            let (code, text) = kubectl(&world, &["diff"], way, file).await;
            assert_eq!((code, text.as_str()), (0, ""), "{file} {way:?}");
        }
    }
}

#[tokio::test]
async fn the_definition_of_the_kind_shows_no_difference_when_it_is_applied() {
    let plane = ControlPlane::own("crd").await;
    for way in WAYS {
        let force: &[&str] = if way.is_empty() { &[] } else { &["--force-conflicts"] };
        let all = |act| [&[act, "--filename", CRD], way, force].concat();
        let (code, text) = plane.kubectl(&all("apply")).await;
        assert_eq!(code, 0, "{way:?}: {text}");
        let (code, text) = plane.kubectl(&all("diff")).await;
        assert_eq!((code, text.as_str()), (0, ""), "{way:?}");
    }
}

/// Labels and annotations, keys and values in one text, of all objects of a kind.
async fn marks<K: Kind>(world: &World) -> Vec<String> {
    let objects = world.api::<K>().list(&ListParams::default()).await.unwrap().items;
    let text = |object: K| format!("{:?} {:?}", object.labels(), object.annotations());
    objects.into_iter().filter(|object| !object.owner_references().is_empty()).map(text).collect()
}

#[tokio::test]
async fn what_gitops_tools_write_on_a_broker_is_on_none_of_its_children() {
    let world = World::new().await;
    let tracked: StompBroker = serde_json::from_value(json!({
        "apiVersion": "stompbroker.dev/v1alpha1", "kind": "StompBroker",
        "metadata": {
            "name": "trading",
            "labels": {"app.kubernetes.io/instance": "of-git", "argocd.argoproj.io/instance": "of-git",
                       "kustomize.toolkit.fluxcd.io/name": "of-git", "helm.toolkit.fluxcd.io/name": "of-git"},
            "annotations": {"argocd.argoproj.io/tracking-id": "of-git:stompbroker.dev/StompBroker:markets/trading",
                            "kubectl.kubernetes.io/last-applied-configuration": "of-git"},
        },
        "spec": {},
    }))
    .unwrap();
    world.api().create(&PostParams::default(), &tracked).await.unwrap();
    let operator = Operator::start(&world).await;
    settled(&world, "trading").await;
    let template = world.exists::<Deployment>("trading").await.spec.unwrap().template.metadata.unwrap();
    let children = [
        marks::<Deployment>(&world).await,
        marks::<Service>(&world).await,
        marks::<ConfigMap>(&world).await,
        marks::<Secret>(&world).await,
        marks::<ServiceAccount>(&world).await,
        marks::<NetworkPolicy>(&world).await,
        marks::<PodDisruptionBudget>(&world).await,
        vec![format!("{template:?}")],
    ];
    for marks in children {
        assert!(!marks.is_empty() && marks.iter().all(|text| !text.contains("of-git")), "{marks:?}");
    }
    operator.stop().await;
}
