//! The chart as rendered in `tests/golden/chart`, which `make lint` keeps current, and who the operator is with it.

use std::{fs, path::Path};

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview};
use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::{GroupVersionKind, TypeMeta},
};
use serde_json::{Value, json};

use super::{World, check, eventually};

/// The namespace that the chart is installed in.
pub const OPERATOR_NAMESPACE: &str = "stompbroker-system";
/// The operator's ServiceAccount there; `tests/rights_used.rs` reads in the audit log what it did.
const ACCOUNT: &str = "system:serviceaccount:stompbroker-system:stompbroker-operator";
const GROUPS: [&str; 3] =
    ["system:serviceaccounts", "system:serviceaccounts:stompbroker-system", "system:authenticated"];

/// The objects of a golden file of the chart.
pub fn rendered(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chart").join(file);
    let text = fs::read_to_string(path).unwrap();
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

/// Applies an object of the chart, as who installs it.
pub async fn apply(client: &Client, object: &Value) {
    let types: TypeMeta = serde_json::from_value(object.clone()).unwrap();
    let kind = ApiResource::from_gvk(&GroupVersionKind::try_from(&types).unwrap());
    let metadata = &object["metadata"];
    let api: Api<DynamicObject> = match metadata["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
        None => Api::all_with(client.clone(), &kind),
    };
    let parameters = PatchParams::apply("integration-tests").force();
    api.patch(metadata["name"].as_str().unwrap(), &parameters, &Patch::Apply(object)).await.unwrap();
}

/// Who has the rights of the operator's ServiceAccount and no others.
pub fn as_the_operator(config: &Config) -> Config {
    as_who(config, ACCOUNT, &GROUPS)
}

/// Somebody else who has all rights, as far as no policy refuses what he does.
pub fn as_user(config: &Config, user: &str) -> Config {
    as_who(config, user, &["system:masters"])
}

/// Who has only what is bound to this name, and to these groups.
pub fn as_who(config: &Config, user: &str, groups: &[&str]) -> Config {
    let mut config = config.clone();
    config.auth_info.impersonate = Some(user.to_owned());
    config.auth_info.impersonate_groups = Some(groups.iter().map(|&group| group.to_owned()).collect());
    config
}

/// Whether the operator may do this.
pub async fn may(client: &Client, wish: ResourceAttributes) -> bool {
    let review = json!({"spec": {"user": ACCOUNT, "groups": GROUPS, "resourceAttributes": wish}});
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = api.create(&PostParams::default(), &serde_json::from_value(review).unwrap()).await.unwrap();
    answer.status.unwrap().allowed
}

/// Gives the operator's ServiceAccount in the namespace of `world` what the chart gives it in each of `watchNamespaces`, and in
/// its own for the election; returns when the API server goes by that.
pub async fn grant(world: &World) {
    let objects = rendered("two-namespaces.yaml").into_iter().filter(|object| {
        let metadata = &object["metadata"];
        metadata["namespace"] == "markets" || metadata["name"] == "stompbroker-operator-leader-election"
    });
    let mut roles = 0;
    for mut object in objects {
        object["metadata"]["namespace"] = json!(world.namespace);
        apply(&world.client, &object).await;
        roles += 1;
    }
    assert_eq!(roles, 4, "two Roles and their bindings");
    let namespace = Some(world.namespace.as_str());
    effective(world, ("stompbroker.dev", "stompbrokers"), "list", namespace, "").await;
    effective(world, ("coordination.k8s.io", "leases"), "get", namespace, "any").await;
}

/// Waits until the operator may do this; `resource` has its group before it.
pub async fn effective(world: &World, resource: (&str, &str), verb: &str, namespace: Option<&str>, name: &str) {
    let wish = ResourceAttributes {
        group: Some(resource.0.to_owned()),
        resource: Some(resource.1.to_owned()),
        verb: Some(verb.to_owned()),
        namespace: namespace.map(str::to_owned),
        name: Some(name.to_owned()),
        ..ResourceAttributes::default()
    };
    eventually("a role to be in force", async || check(may(&world.client, wish.clone()).await, &wish)).await;
}
