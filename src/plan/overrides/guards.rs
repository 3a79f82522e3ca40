//! What no patch may change, and why: all that the operator, the Service or the broker relies on, and all that the spec has
//! a field for. An object is compared before and after a patch, so that it does not matter by which path it was changed.

use serde_json::{Map, Value};

use crate::api::OverrideKind;

/// Labels and annotations below it are the operator's.
const OURS: &str = "stompbroker.dev/";
/// Parts of metadata that may be patched.
const FREE_METADATA: [&str; 2] = ["labels", "annotations"];

/// A part of an object that is not for patches, or not for all of them.
struct Guard {
    path: &'static str,
    rule: Rule,
    why: &'static str,
}

/// What may be done with a part of an object.
#[derive(Clone, Copy)]
enum Rule {
    /// Nothing.
    Same,
    /// Nothing where the operator sets it; anything elsewhere.
    IfSet,
    /// Fields and entries may be added, and these fields changed.
    Kept(&'static [&'static str]),
}

const fn same(path: &'static str, why: &'static str) -> Guard {
    Guard { path, rule: Rule::Same, why }
}

const fn if_set(path: &'static str, why: &'static str) -> Guard {
    Guard { path, rule: Rule::IfSet, why }
}

const fn kept(path: &'static str, why: &'static str) -> Guard {
    Guard { path, rule: Rule::Kept(&[]), why }
}

const ANOTHER: &str = "it would be another object";
const TEMPLATE: &str = "what pods are made from is patched by paths below /spec/template/";
const METADATA: &str = "of metadata only labels and annotations can be patched";
const OWN_LABELS: &str = "objects are found by the labels that the operator sets; use other keys";
const OWN_ANNOTATIONS: &str = "the operator keeps in annotations of stompbroker.dev/ what it goes by; use other keys";
const SELECTED: &str = "pods are found by it";
const RESTRICTED: &str = "the Pod Security level restricted asks for it";
const PROBED: &str = "the admin port knows how the broker is; only times and thresholds can be patched";
const POD_COUNT: &str =
    "the number of pods is what spec.replicas, spec.zones[].replicas and spec.autoscaling say; set it there";
const CONFIGURED: &str = "the configuration is made of the spec; set the field of the spec instead";
const MOUNTED: &str = "configuration, Secrets and stores are found there; add others beside it";
const HOST: &str = "pods with namespaces of the host are outside Pod Security and NetworkPolicies";

const BASELINE: &str =
    "pods stay within the Pod Security level baseline, so that nobody gets at nodes by a StompBroker";

/// Parts of objects of all kinds.
const OF_ALL: &[Guard] =
    &[same("/apiVersion", ANOTHER), same("/kind", ANOTHER), same("/status", "others tell there how the object is")];

/// Pods, of brokers and of NATS servers.
const PODS: &[Guard] = &[
    same("/spec/template/spec/automountServiceAccountToken", "pods have no access to the API server and need none"),
    same("/spec/template/spec/serviceAccountName", "pods have a ServiceAccount of their own; patch that one"),
    same("/spec/template/spec/securityContext/runAsNonRoot", RESTRICTED),
    same("/spec/template/spec/securityContext/seccompProfile", RESTRICTED),
    same("/spec/template/spec/hostNetwork", HOST),
    same("/spec/template/spec/hostPID", HOST),
    same("/spec/template/spec/hostIPC", HOST),
    same("/spec/template/spec/restartPolicy", "a broker that ends is started again"),
    same(
        "/spec/template/spec/terminationGracePeriodSeconds",
        "it is as long as sessions need to go; set spec.drain.deadline",
    ),
    if_set(
        "/spec/template/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution",
        "it keeps pods in their zone; choose nodes within the zone by nodeSelector",
    ),
    kept("/spec/template/spec/imagePullSecrets", "set spec.imagePullSecrets"),
    kept("/spec/template/spec/volumes", MOUNTED),
    same("/spec/template/spec/containers/0/name", "the first container is the server; add others behind it"),
    same("/spec/template/spec/containers/0/image", "set spec.image, or spec.engine.jetStream.managed.image"),
    same("/spec/template/spec/containers/0/command", CONFIGURED),
    same("/spec/template/spec/containers/0/args", CONFIGURED),
    same(
        "/spec/template/spec/containers/0/resources",
        "the bounds of the server follow its memory limit; set spec.resources, or spec.engine.jetStream.managed.resources",
    ),
    same("/spec/template/spec/containers/0/securityContext", RESTRICTED),
    same("/spec/template/spec/containers/0/startupProbe/httpGet", PROBED),
    same("/spec/template/spec/containers/0/livenessProbe/httpGet", PROBED),
    same("/spec/template/spec/containers/0/readinessProbe/httpGet", PROBED),
    kept(
        "/spec/template/spec/containers/0/ports",
        "Service, operator and other pods connect there; add others beside it",
    ),
    kept("/spec/template/spec/containers/0/env", "the server reads it; add others beside it"),
    kept("/spec/template/spec/containers/0/volumeMounts", MOUNTED),
    if_set("/spec/template/spec/containers/0/lifecycle", "a NATS server hands its clients over by it"),
];

const DEPLOYMENT: &[Guard] = &[
    same("/spec/template", TEMPLATE),
    same("/spec/replicas", POD_COUNT),
    same("/spec/selector", SELECTED),
    same("/spec/strategy", "how pods are replaced without loss depends on the engine"),
    same("/spec/paused", "rollouts would never end; set spec.suspend instead"),
];

const STATEFUL_SET: &[Guard] = &[
    same("/spec/template", TEMPLATE),
    same("/spec/replicas", "set spec.engine.jetStream.managed.replicas"),
    same("/spec/ordinals", "servers know each other by their names"),
    same("/spec/selector", SELECTED),
    same("/spec/serviceName", "servers find each other by it"),
    same("/spec/podManagementPolicy", "servers wait for each other when they start"),
    same("/spec/updateStrategy", "the operator replaces servers one by one, when all others are well"),
    same("/spec/volumeClaimTemplates", "set spec.engine.jetStream.managed.storage"),
    same("/spec/persistentVolumeClaimRetentionPolicy", "messages outlive the servers"),
];

const SERVICE: &[Guard] = &[
    same("/spec/selector", SELECTED),
    same("/spec/clusterIP", "it cannot be changed, and pods find each other by a Service without one"),
    same("/spec/publishNotReadyAddresses", "pods that drain still have sessions that others have to reach"),
    Guard {
        path: "/spec/ports",
        rule: Rule::Kept(&["appProtocol"]),
        why: "the ports are those of spec.listeners; set them there, or add others",
    },
];

const INGRESS: &[Guard] = &[kept("/spec/rules", "clients are told to come in there; set spec.exposure, or add others")];

const SERVICE_ACCOUNT: &[Guard] =
    &[same("/automountServiceAccountToken", "pods have no access to the API server and need none")];

const CONFIG_MAP: &[Guard] = &[
    same("/data", CONFIGURED),
    same("/binaryData", CONFIGURED),
    same("/immutable", "pods take up changes of their configuration without a restart"),
];

const NETWORK_POLICY: &[Guard] = &[
    same("/spec/podSelector", SELECTED),
    same("/spec/policyTypes", "what is not allowed is denied, both ways"),
    kept("/spec/ingress", "clients, operator and other pods have to get in; add rules beside it"),
    kept("/spec/egress", "pods have to reach each other and their upstream; add rules beside it"),
];

const POD_DISRUPTION_BUDGET: &[Guard] =
    &[same("/spec", "it is changed while a zone is drained, so that no other zone is drained at the same time")];

const PERSISTENT_VOLUME_CLAIM: &[Guard] = &[same("/spec", "set the storage of spec.engine")];

const AUTOSCALER: &[Guard] = &[
    same("/spec/scaleTargetRef", "it scales the Deployment of its zone"),
    same("/spec/minReplicas", "set spec.autoscaling.minReplicasPerZone"),
    same("/spec/maxReplicas", "set spec.autoscaling.maxReplicasPerZone"),
    kept("/spec/metrics", "set spec.autoscaling.targets, or add others"),
];

const SCALED_OBJECT: &[Guard] = &[
    same("/spec/scaleTargetRef", "it scales the Deployment of its zone"),
    same("/spec/minReplicaCount", "set spec.autoscaling.minReplicasPerZone"),
    same("/spec/maxReplicaCount", "set spec.autoscaling.maxReplicasPerZone"),
    same("/spec/idleReplicaCount", "a zone without pods has no sessions that would bring them back"),
    kept("/spec/triggers", "set spec.autoscaling.targets and spec.autoscaling.keda, or add others"),
];

const CERTIFICATE: &[Guard] = &[
    same("/spec/secretName", "pods find certificate and key there"),
    same("/spec/issuerRef", "set issuerRef in the tls of the listener"),
    same("/spec/dnsNames", "set dnsNames in the tls of the listener"),
    same("/spec/duration", "set duration in the tls of the listener"),
    same("/spec/renewBefore", "set renewBefore in the tls of the listener"),
    same("/spec/isCA", "the certificate of a listener is not to sign others"),
    kept("/spec/usages", "clients look whether a server may use it; add others beside it"),
];

const HTTP_ROUTE: &[Guard] = &[
    same("/spec/parentRefs", "set spec.exposure.httpRoute.parentRefs"),
    same("/spec/hostnames", "set spec.exposure.httpRoute.hostnames"),
    Guard {
        path: "/spec/rules",
        rule: Rule::Kept(&["timeouts"]),
        why: "clients are told to come in there, and go to the Service; add fields, or rules beside it",
    },
];

const TLS_ROUTE: &[Guard] = &[
    same("/spec/parentRefs", "set spec.exposure.tlsRoute.parentRefs"),
    same("/spec/hostnames", "set spec.exposure.tlsRoute.hostnames"),
    kept("/spec/rules", "clients are told to come in there, and go to the Service; add fields, or rules beside it"),
];

/// A part that was changed and may not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// Where it is.
    pub(super) path: String,
    /// Why it may not be changed, and what to do instead.
    pub(super) why: &'static str,
}

/// The first part of an object of this kind that was changed and may not be.
pub(super) fn of_object(kind: OverrideKind, before: &Value, after: &Value) -> Option<Violation> {
    OF_ALL
        .iter()
        .find_map(|guard| broken(guard, before, after))
        .or_else(|| metadata("/metadata", before, after))
        .or_else(|| of_kind(kind).iter().find_map(|guard| broken(guard, before, after)))
}

/// The same of what pods are made from, within an object that has nothing else.
pub(super) fn of_template(before: &Value, after: &Value) -> Option<Violation> {
    metadata("/spec/template/metadata", before, after)
        .or_else(|| PODS.iter().find_map(|guard| broken(guard, before, after)))
        .or_else(|| beyond_baseline(after))
}

const fn of_kind(kind: OverrideKind) -> &'static [Guard] {
    match kind {
        OverrideKind::Deployment => DEPLOYMENT,
        OverrideKind::StatefulSet => STATEFUL_SET,
        OverrideKind::Service => SERVICE,
        OverrideKind::Ingress => INGRESS,
        OverrideKind::ServiceAccount => SERVICE_ACCOUNT,
        OverrideKind::ConfigMap => CONFIG_MAP,
        OverrideKind::NetworkPolicy => NETWORK_POLICY,
        OverrideKind::PodDisruptionBudget => POD_DISRUPTION_BUDGET,
        OverrideKind::PersistentVolumeClaim => PERSISTENT_VOLUME_CLAIM,
        OverrideKind::HorizontalPodAutoscaler => AUTOSCALER,
        OverrideKind::ScaledObject => SCALED_OBJECT,
        OverrideKind::Certificate => CERTIFICATE,
        OverrideKind::HttpRoute => HTTP_ROUTE,
        OverrideKind::TlsRoute => TLS_ROUTE,
    }
}

/// All protected parts but metadata, for people: the kinds, the path, what may be done there, and why not more.
pub(crate) fn table() -> impl Iterator<Item = [String; 4]> {
    let pods = [(OverrideKind::Deployment, OverrideKind::StatefulSet)];
    let pods = pods.map(|(brokers, servers)| (format!("{}, {}", brokers.as_str(), servers.as_str()), PODS));
    let kinds = OverrideKind::ALL.map(|kind| (kind.as_str().to_owned(), of_kind(kind)));
    kinds.into_iter().chain(pods).flat_map(|(kinds, guards)| {
        guards.iter().map(move |guard| {
            let may = match guard.rule {
                Rule::Same => "nothing".to_owned(),
                Rule::IfSet => "nothing where the operator sets it".to_owned(),
                Rule::Kept([]) => "add".to_owned(),
                Rule::Kept(free) => format!("add, and change {}", free.join(", ")),
            };
            [kinds.clone(), guard.path.to_owned(), may, guard.why.to_owned()]
        })
    })
}

fn broken(guard: &Guard, before: &Value, after: &Value) -> Option<Violation> {
    let (before, after) = (before.pointer(guard.path), after.pointer(guard.path));
    let holds = match guard.rule {
        Rule::Same => before == after,
        Rule::IfSet => before.is_none() || before == after,
        Rule::Kept(free) => before.is_none_or(|before| after.is_some_and(|after| is_within(before, after, free))),
    };
    (!holds).then(|| Violation { path: guard.path.to_owned(), why: guard.why })
}

/// Whether all of `part` is in `whole`, but for the fields that are `free`.
fn is_within(part: &Value, whole: &Value, free: &[&str]) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => part.iter().all(|(name, part)| {
            free.contains(&name.as_str()) || whole.get(name).is_some_and(|whole| is_within(part, whole, free))
        }),
        (Value::Array(part), Value::Array(whole)) => {
            part.iter().all(|part| whole.iter().any(|whole| is_within(part, whole, free)))
        }
        _ => part == whole,
    }
}

/// What Pod Security's level `baseline` forbids: who may write StompBrokers is not to get at nodes by that.
fn beyond_baseline(object: &Value) -> Option<Violation> {
    const POD: &str = "/spec/template/spec";
    let entries = |path: String| object.pointer(&path).and_then(Value::as_array).into_iter().flatten().enumerate();
    let volumes = entries(format!("{POD}/volumes"))
        .find(|(_, volume)| volume.get("hostPath").is_some())
        .map(|(index, _)| format!("{POD}/volumes/{index}/hostPath"));
    let containers = ["containers", "initContainers"].into_iter().find_map(|list| {
        entries(format!("{POD}/{list}")).find_map(|(index, container)| {
            let set = |path: &&str| container.pointer(path).is_some_and(|value| *value != Value::Bool(false));
            let found =
                ["/securityContext/privileged", "/securityContext/capabilities/add", "/securityContext/procMount"]
                    .into_iter()
                    .find(set);
            let on_host = |port: &Value| port.get("hostPort").is_some();
            let ports = container.get("ports").and_then(Value::as_array);
            let ports = ports.is_some_and(|ports| ports.iter().any(on_host)).then_some("/ports");
            found.or(ports).map(|path| format!("{POD}/{list}/{index}{path}"))
        })
    });
    volumes.or(containers).map(|path| Violation { path, why: BASELINE })
}

fn metadata(path: &str, before: &Value, after: &Value) -> Option<Violation> {
    let none = Map::new();
    let fields = |object: &Value, path: &str| object.pointer(path).and_then(Value::as_object).unwrap_or(&none).clone();
    let violation = |below: &str, why| Some(Violation { path: format!("{path}{below}"), why });
    let fixed = |object| {
        let mut fields = fields(object, path);
        fields.retain(|name, _| !FREE_METADATA.contains(&name.as_str()));
        fields
    };
    if fixed(before) != fixed(after) {
        return violation("", METADATA);
    }
    let ours = |object, below: &str| {
        let mut entries = fields(object, &format!("{path}{below}"));
        entries.retain(|name, _| name.starts_with(OURS));
        entries
    };
    let [labels, annotations] = FREE_METADATA.map(|name| format!("/{name}"));
    let set = fields(before, &format!("{path}{labels}"));
    let now = fields(after, &format!("{path}{labels}"));
    if set.iter().any(|(name, value)| now.get(name) != Some(value)) || ours(before, &labels) != ours(after, &labels) {
        return violation(&labels, OWN_LABELS);
    }
    if ours(before, &annotations) != ours(after, &annotations) {
        return violation(&annotations, OWN_ANNOTATIONS);
    }
    None
}
