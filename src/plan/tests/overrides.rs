//! What `spec.overrides` does to objects, and what it may not do.

use super::*;
use crate::{
    api::OverrideKind,
    observed::{GatewayApi, TlsRoutes},
    plan::{Objects, PlanError},
    status::{ConditionType, Reason},
};

const ZONES: &str = ", zones: [{name: a}, {name: b}]";

fn overridden(kind: &str, patch: &str) -> String {
    format!("{{{RELAY}{ZONES}, overrides: [{{target: {{kind: {kind}}}, patch: [{patch}]}}]}}")
}

/// Why the spec is refused.
fn refusal(spec: &str) -> String {
    let broker = broker(spec);
    let observed = Observed::assuming_references(&broker);
    let errors = match validate(&broker, &observed) {
        Err(errors) => errors,
        Ok(validated) => match plan(&validated, &observed, &settings()) {
            Err(PlanError::Overrides(errors)) => errors,
            other => panic!("{spec}: {:?}", other.map(|plan| plan.overrides)),
        },
    };
    assert!(
        errors
            .iter()
            .all(|error| (error.condition, error.reason) == (ConditionType::Accepted, Reason::OverrideRefused)),
        "{errors:?}"
    );
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_part_of_every_kind_that_is_patched_is_as_the_patch_says() {
    let plan = planned(&overridden(
        "Deployment",
        "{op: add, path: /spec/template/spec/nodeSelector, value: {pool: messaging}}, \
         {op: add, path: /spec/template/metadata/annotations/example.com~1team, value: markets}, \
         {op: replace, path: /spec/template/spec/containers/0/readinessProbe/periodSeconds, value: 5}, \
         {op: remove, path: /spec/template/spec/securityContext/runAsUser}, \
         {op: replace, path: /spec/progressDeadlineSeconds, value: 900}, \
         {op: add, path: /metadata/labels/team, value: markets}",
    ));
    assert_eq!(plan.objects.deployments.len(), 2);
    for deployment in &plan.objects.deployments {
        let spec = deployment.spec.as_ref().unwrap();
        let pod = spec.template.spec.as_ref().unwrap();
        assert_eq!(pod.node_selector.as_ref().unwrap()["pool"], "messaging");
        let annotations = spec.template.metadata.as_ref().unwrap().annotations.as_ref().unwrap();
        assert_eq!(annotations["example.com/team"], "markets");
        assert_eq!(pod.containers[0].readiness_probe.as_ref().unwrap().period_seconds, Some(5));
        assert_eq!(pod.security_context.as_ref().unwrap().run_as_user, None);
        assert_eq!(spec.progress_deadline_seconds, Some(900));
        assert_eq!(deployment.metadata.labels.as_ref().unwrap()["team"], "markets");
    }
    let names: Vec<_> = plan.overrides.iter().map(|patched| (patched.kind, patched.name.as_str())).collect();
    assert_eq!(names, [(OverrideKind::Deployment, "trading-a"), (OverrideKind::Deployment, "trading-b")]);
    assert_eq!(plan.overrides[0].paths.len(), 6);
}

#[test]
fn a_name_chooses_one_object_and_all_others_stay_as_they_are() {
    let plain = planned(&format!("{{{RELAY}{ZONES}}}"));
    let plan = planned(&overridden(
        "Service, name: trading",
        "{op: add, path: /metadata/annotations/lb, value: internal}, {op: replace, path: /spec/type, value: LoadBalancer}, \
         {op: replace, path: /spec/ports/0/appProtocol, value: tcp}, {op: add, path: /spec/ports/0/nodePort, value: 30000}",
    ));
    let [service, peers] = plan.objects.services.as_slice() else { panic!("{:?}", plan.objects.services) };
    assert_eq!(service.metadata.annotations.as_ref().unwrap()["lb"], "internal");
    let port = &service.spec.as_ref().unwrap().ports.as_ref().unwrap()[0];
    assert_eq!((port.node_port, port.app_protocol.as_deref()), (Some(30000), Some("tcp")));
    assert_eq!(peers, &plain.objects.services[1]);
    assert_eq!(plan.objects.deployments, plain.objects.deployments);
}

#[test]
fn patches_are_done_in_their_order_and_leave_nothing_behind_that_they_take_away() {
    let plan = planned(&format!(
        "{{{RELAY}, overrides: [{{target: {{kind: Service}}, patch: [{{op: add, path: /metadata/annotations/a, value: b}}]}}, \
         {{target: {{kind: Service}}, patch: [{{op: test, path: /metadata/annotations/a, value: b}}, \
         {{op: remove, path: /metadata/annotations/a}}]}}]}}"
    ));
    assert_eq!(plan.objects, relayed("").objects);
}

#[test]
fn servers_of_nats_are_patched_too_and_only_those_that_are_named() {
    let spec = |name: &str| {
        format!(
            "{{zones: [{{name: a}}, {{name: b}}, {{name: c}}], engine: {{jetStream: {{managed: {{}}}}}}, overrides: \
             [{{target: {{kind: StatefulSet{name}}}, patch: \
             [{{op: add, path: /spec/template/spec/priorityClassName, value: high}}]}}]}}"
        )
    };
    let classes = |plan: &Plan| -> Vec<Option<String>> {
        let pods = plan.objects.stateful_sets.iter().map(|set| set.spec.clone().unwrap().template.spec.unwrap());
        pods.map(|pod| pod.priority_class_name).collect()
    };
    let high = || Some("high".to_owned());
    assert_eq!(classes(&planned(&spec(""))), [high(), high(), high()]);
    assert_eq!(classes(&planned(&spec(", name: trading-nats-b"))), [None, high(), None]);
}

#[test]
fn what_others_rely_on_cannot_be_patched_by_any_path() {
    for (kind, patch, says) in [
        ("Deployment", "{op: replace, path: /spec/replicas, value: 9}", "/spec/replicas"),
        ("Deployment", "{op: remove, path: /spec/strategy}", "/spec/strategy"),
        ("Deployment", "{op: add, path: /spec/paused, value: true}", "/spec/paused"),
        ("Deployment", "{op: replace, path: /spec, value: {}}", "/spec/template"),
        ("Deployment", "{op: add, path: /metadata/finalizers, value: [x/y]}", "labels and annotations"),
        ("Deployment", "{op: remove, path: /metadata/ownerReferences}", "labels and annotations"),
        (
            "Deployment",
            "{op: replace, path: /metadata/labels/app.kubernetes.io~1instance, value: a}",
            "/metadata/labels",
        ),
        ("Deployment", "{op: replace, path: /metadata/annotations, value: {}}", "stompbroker.dev/"),
        ("Deployment", "{op: remove, path: /spec/template}", "/spec/template"),
        ("Deployment", "{op: add, path: /spec/template/metadata/labels/stompbroker.dev~1zone, value: b}", "labels"),
        (
            "Deployment",
            "{op: replace, path: /spec/template/metadata/annotations/stompbroker.dev~1start-config, value: b}",
            "stompbroker.dev/",
        ),
        ("Deployment", "{op: replace, path: /spec/template/spec/containers/0/image, value: mine}", "set spec.image"),
        (
            "Deployment",
            "{op: add, path: /spec/template/spec/containers/0, value: {name: a, image: b}}",
            "first container",
        ),
        ("Deployment", "{op: replace, path: /spec/template/spec/containers, value: []}", "first container"),
        ("Deployment", "{op: add, path: /spec/template/spec/hostNetwork, value: true}", "hostNetwork"),
        ("Deployment", "{op: remove, path: /spec/template/spec/volumes/0}", "/volumes"),
        ("Deployment", "{op: add, path: /spec/template/spec/affinity, value: {}}", "their zone"),
        (
            "Deployment",
            "{op: replace, path: /spec/template/spec/containers/0/readinessProbe/httpGet/path, value: /}",
            "readinessProbe",
        ),
        (
            "Deployment",
            "{op: replace, path: /spec/template/spec/automountServiceAccountToken, value: true}",
            "API server",
        ),
        ("Deployment", "{op: remove, path: /spec/template/spec/securityContext}", "restricted"),
        (
            "Deployment",
            "{op: add, path: /spec/template/spec/volumes/-, value: {name: h, hostPath: {path: /}}}",
            "/volumes/1/hostPath",
        ),
        (
            "Deployment",
            "{op: add, path: /spec/template/spec/containers/-, value: {name: h, securityContext: {privileged: true}}}",
            "/containers/1/securityContext/privileged",
        ),
        ("Service", "{op: add, path: /spec/selector/a, value: b}", "/spec/selector"),
        ("Service", "{op: replace, path: /spec/ports/0/port, value: 1}", "spec.listeners"),
        ("ConfigMap", "{op: replace, path: /data/broker.yaml, value: ''}", "/data"),
        ("NetworkPolicy", "{op: remove, path: /spec/ingress/0}", "/spec/ingress"),
        ("PodDisruptionBudget", "{op: replace, path: /spec/maxUnavailable, value: 9}", "zone is drained"),
        ("ServiceAccount", "{op: replace, path: /automountServiceAccountToken, value: true}", "API server"),
    ] {
        let refusal = refusal(&overridden(kind, patch));
        let begin = format!("spec.overrides[0] is {kind} trading");
        assert!(refusal.starts_with(&begin) && refusal.contains("protected") && refusal.contains(says), "{refusal}");
    }
}

/// A spec with an object of every kind that not every cluster has.
fn custom(kind: &str, patch: &str) -> String {
    format!(
        "{{{RELAY}, listeners: {{stomp: {{tls: {{issuerRef: {{name: ca}}, port: 61614}}}}, websocket: {{port: 8080}}}}, \
         autoscaling: {{mode: Keda, maxReplicasPerZone: 4}}, \
         exposure: {{httpRoute: {{parentRefs: [{{name: edge}}], hostnames: [a.example]}}, \
         tlsRoute: {{parentRefs: [{{name: edge}}], hostnames: [b.example]}}}}, \
         overrides: [{{target: {{kind: {kind}}}, patch: [{patch}]}}]}}"
    )
}

/// The spec of the only object of this kind.
fn spec_of(plan: &Plan, kind: &str) -> Value {
    let object = everything(plan).into_iter().find(|object| object["kind"] == kind);
    object.unwrap_or_else(|| panic!("no {kind}"))["spec"].take()
}

#[test]
fn objects_of_other_apis_get_fields_that_the_operator_never_writes() {
    for (kind, path, value) in [
        ("HTTPRoute", "/rules/0/filters", json!([{"type": "ExtensionRef", "extensionRef": {"name": "limit"}}])),
        ("HTTPRoute", "/rules/1", json!({"matches": [{"headers": [{"name": "a", "value": "b"}]}]})),
        ("HTTPRoute", "/rules/0/timeouts", json!({"request": "0s"})),
        ("TLSRoute", "/useDefaultGateways", json!("All")),
        ("Certificate", "/revisionHistoryLimit", json!(2)),
        ("Certificate", "/privateKey/size", json!(384)),
        ("ScaledObject", "/fallback", json!({"failureThreshold": 3, "replicas": 6})),
        ("ScaledObject", "/advanced/restoreToOriginalReplicaCount", json!(true)),
        ("ScaledObject", "/triggers/0/name", json!("cpu")),
    ] {
        let plan = planned(&custom(kind, &format!("{{op: add, path: /spec{path}, value: {value}}}")));
        assert_eq!(spec_of(&plan, kind).pointer(path), Some(&value), "{kind}");
        let [active] = plan.overrides.as_slice() else { panic!("{:?}", plan.overrides) };
        assert_eq!((active.kind.as_str(), &*active.paths), (kind, [format!("/spec{path}")].as_slice()));
    }
}

#[test]
fn a_patch_of_a_tls_route_is_for_whichever_version_the_api_server_knows() {
    let broker = broker(&custom("TLSRoute", "{op: add, path: /metadata/labels/team, value: markets}"));
    for tls_routes in [TlsRoutes::V1, TlsRoutes::V1Alpha2] {
        let mut observed = Observed::assuming_references(&broker);
        observed.gateway_api.tls_routes = Some(tls_routes);
        let plan = plan(&validate(&broker, &observed).unwrap(), &observed, &settings()).unwrap();
        let Objects { tls_routes, tls_alpha_routes, .. } = &plan.objects;
        let metadata = tls_routes.iter().map(|route| &route.metadata);
        let labels: Vec<_> = metadata.chain(tls_alpha_routes.iter().map(|route| &route.metadata)).collect();
        assert_eq!(labels.len(), 1);
        assert_eq!(labels[0].labels.as_ref().unwrap()["team"], "markets");
    }
}

#[test]
fn a_patch_of_a_kind_that_the_api_server_does_not_know_yet_waits_for_it() {
    for kind in ["HTTPRoute", "TLSRoute", "ScaledObject"] {
        let broker = broker(&custom(kind, "{op: add, path: /metadata/labels/team, value: markets}"));
        let known = Observed::assuming_references(&broker);
        let observed = Observed { gateway_api: GatewayApi::default(), keda: false, ..known };
        let plan = plan(&validate(&broker, &observed).unwrap(), &observed, &settings()).unwrap();
        assert_eq!(plan.overrides, []);
    }
    let unwanted = refusal(&overridden("HTTPRoute", "{op: add, path: /metadata/labels/team, value: markets}"));
    assert!(unwanted.contains("spec.overrides[0].target is HTTPRoute") && unwanted.contains("there is none"));
}

#[test]
fn what_others_rely_on_of_objects_of_other_apis_cannot_be_patched() {
    for (kind, patch, says) in [
        ("HTTPRoute", "{op: replace, path: /spec/rules/0/backendRefs/0/name, value: other}", "/spec/rules"),
        ("HTTPRoute", "{op: remove, path: /spec/rules/0/matches}", "/spec/rules"),
        ("HTTPRoute", "{op: add, path: /spec/hostnames/-, value: c.example}", "spec.exposure.httpRoute.hostnames"),
        ("HTTPRoute", "{op: replace, path: /apiVersion, value: gateway.networking.k8s.io/v1beta1}", "another object"),
        ("HTTPRoute", "{op: add, path: /status, value: {parents: []}}", "/status"),
        ("TLSRoute", "{op: replace, path: /spec, value: {}}", "spec.exposure.tlsRoute.parentRefs"),
        ("TLSRoute", "{op: remove, path: /spec/rules/0/backendRefs/0}", "/spec/rules"),
        ("Certificate", "{op: replace, path: /spec/secretName, value: other}", "pods find"),
        ("Certificate", "{op: replace, path: /spec/issuerRef/name, value: other}", "issuerRef in the tls"),
        ("Certificate", "{op: add, path: /spec/isCA, value: true}", "sign others"),
        ("Certificate", "{op: replace, path: /spec/usages, value: [client auth]}", "/spec/usages"),
        ("ScaledObject", "{op: replace, path: /spec/scaleTargetRef/name, value: other}", "/spec/scaleTargetRef"),
        ("ScaledObject", "{op: replace, path: /spec/maxReplicaCount, value: 99}", "maxReplicasPerZone"),
        ("ScaledObject", "{op: add, path: /spec/idleReplicaCount, value: 0}", "without pods"),
        ("ScaledObject", "{op: remove, path: /spec/triggers/0}", "spec.autoscaling.targets"),
        ("ScaledObject", "{op: remove, path: /metadata/ownerReferences}", "labels and annotations"),
    ] {
        let refusal = refusal(&custom(kind, patch));
        let begin = format!("spec.overrides[0] is {kind} trading");
        assert!(refusal.starts_with(&begin) && refusal.contains("protected") && refusal.contains(says), "{refusal}");
    }
}

#[test]
fn a_patch_that_cannot_be_done_is_refused_with_its_place() {
    for (kind, patch, says) in [
        (
            "Deployment",
            "{op: remove, path: /spec/nope}",
            "spec.overrides[0].patch[0] is remove /spec/nope: there is no such",
        ),
        ("Deployment", "{op: test, path: /spec/revisionHistoryLimit, value: 9}", "there is 3"),
        (
            "Deployment",
            "{op: add, path: /spec/template/spec/nodeSelctor, value: {}}",
            "/spec/template/spec/nodeSelctor is no field",
        ),
        ("Deployment", "{op: add, path: /spec/minReadySeconds, value: soon}", "spec.minReadySeconds"),
        ("Deployment", "{op: add, path: /spec/template/spec/containers/-, value: {image: a}}", "/name is missing"),
        ("Deployment", "{op: add, path: /spec/minReadySeconds}", "set value"),
        (
            "Deployment, name: trading-a",
            "{op: add, path: /spec/template/spec/priorityClassName, value: a}",
            "leave target.name out",
        ),
        ("StatefulSet", "{op: add, path: /metadata/labels/a, value: b}", "there is none"),
        ("Service, name: shop", "{op: add, path: /metadata/labels/a, value: b}", "there is trading, trading-peers"),
    ] {
        let refusal = refusal(&overridden(kind, patch));
        assert!(refusal.contains(says), "{refusal} does not say {says}");
    }
    let pointer = overridden("Deployment", "{op: remove, path: spec/replicas}");
    assert!(refusal(&pointer).contains("no JSON Pointer"));
}

#[test]
fn all_that_is_refused_is_told_at_once() {
    let refusal = refusal(&format!(
        "{{{RELAY}, overrides: [{{target: {{kind: Service}}, patch: [{{op: remove, path: /spec/selector}}]}}, \
         {{target: {{kind: ConfigMap}}, patch: [{{op: remove, path: /data}}]}}]}}"
    ));
    assert!(refusal.contains("spec.overrides[0]") && refusal.contains("spec.overrides[1]"), "{refusal}");
}
