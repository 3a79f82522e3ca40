//! StatefulSet: the servers of one zone, each with its volume.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{
            StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
        },
        core::v1::{
            ConfigMapProjection, Container, ContainerPort, EnvVar, EnvVarSource, ExecAction, HTTPGetAction, KeyToPath,
            Lifecycle, LifecycleHandler, LocalObjectReference, ObjectFieldSelector, PersistentVolumeClaim,
            PersistentVolumeClaimSpec, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ProjectedVolumeSource,
            SecretProjection, TopologySpreadConstraint, Volume, VolumeMount, VolumeProjection,
            VolumeResourceRequirements,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use stompbroker_config::{ByteSize, config_hash};

use super::{
    ACCOUNTS_KEY, CA_KEY, CERTIFICATE_KEY, CLIENT_PORT, CLUSTER_PORT, Group, MONITOR_PORT, PRIVATE_KEY, config,
    revision::Wish,
};
use crate::{
    api::ManagedNats,
    observed::StatefulSetView,
    plan::{REVISION, Settings, container, labels, metadata, names, placement},
    validate::ValidatedBroker,
};

/// Name of the container.
const NAME: &str = "nats";
/// Name of the volume with messages, and what the names of its claims begin with.
const DATA: &str = "data";
/// Name of the volume with configuration and certificates.
const CONFIGURATION: &str = "configuration";
/// Name of the monitoring port.
const MONITOR: &str = "monitor";
/// Annotation of pods: a hash of `nats.conf`, which servers read when they start.
const CONFIG: &str = "stompbroker.dev/nats-config";
/// Annotation of pods: see [`super::RENEWAL_KEY`].
const RENEWAL: &str = "stompbroker.dev/nats-renewal";
/// Seconds between SIGTERM and SIGKILL: more than `lame_duck_duration`.
const GRACE: i64 = 60;

/// The StatefulSet of `group` with this template, which the annotation tells, too.
pub(super) fn stateful_set(
    broker: &ValidatedBroker,
    managed: &ManagedNats,
    group: &Group,
    live: Option<&StatefulSetView>,
    template: PodTemplateSpec,
    annotation: String,
) -> StatefulSet {
    // What is in here cannot be changed, and matters only until the claims are there.
    let size = live.and_then(|live| live.storage.clone()).unwrap_or_else(|| managed.storage.size.to_string());
    let claim = PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(DATA.to_owned()),
            labels: Some(labels(broker, group)),
            ..ObjectMeta::default()
        },
        spec: Some(claim_spec(managed, size)),
        status: None,
    };
    StatefulSet {
        metadata: ObjectMeta {
            annotations: Some([(REVISION.to_owned(), annotation)].into()),
            ..of_group(broker, group, group.name.clone())
        },
        spec: Some(StatefulSetSpec {
            replicas: Some(group.replicas),
            selector: selector(broker, group),
            service_name: Some(names::nats_peers(&broker.name)),
            pod_management_policy: Some("Parallel".to_owned()),
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: Some("Retain".to_owned()),
                when_scaled: Some("Retain".to_owned()),
            }),
            // The operator itself evicts one after the other.
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            template,
            volume_claim_templates: Some(vec![claim]),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

/// The volume of a server. It has no owner, so that the messages do not go with the StompBroker.
pub(super) fn claim(
    broker: &ValidatedBroker,
    managed: &ManagedNats,
    group: &Group,
    server: &str,
) -> PersistentVolumeClaim {
    let name = format!("{DATA}-{server}");
    PersistentVolumeClaim {
        metadata: ObjectMeta { owner_references: None, ..of_group(broker, group, name) },
        spec: Some(claim_spec(managed, managed.storage.size.to_string())),
        status: None,
    }
}

fn claim_spec(managed: &ManagedNats, size: String) -> PersistentVolumeClaimSpec {
    let requests = BTreeMap::from([("storage".to_owned(), Quantity(size))]);
    PersistentVolumeClaimSpec {
        access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
        resources: Some(VolumeResourceRequirements { requests: Some(requests), limits: None }),
        storage_class_name: managed.storage.storage_class_name.clone(),
        ..PersistentVolumeClaimSpec::default()
    }
}

/// What the pods of `group` are made from, with this `nats.conf`.
pub(super) fn template(
    broker: &ValidatedBroker,
    managed: &ManagedNats,
    group: &Group,
    config: &str,
    wish: &Wish,
    settings: &Settings,
) -> PodTemplateSpec {
    let mut annotations = BTreeMap::from([(CONFIG.to_owned(), config_hash(config))]);
    if !wish.renewal.is_empty() {
        annotations.insert(RENEWAL.to_owned(), wish.renewal.clone());
    }
    let pull_secrets: Vec<_> =
        broker.image_pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels(broker, group)),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            affinity: placement::affinity(group.zone.as_deref()),
            automount_service_account_token: Some(false),
            containers: vec![container(managed, settings)],
            enable_service_links: Some(false),
            image_pull_secrets: (!pull_secrets.is_empty()).then_some(pull_secrets),
            security_context: Some(PodSecurityContext {
                // Going through a large store at each start would take minutes.
                fs_group_change_policy: Some("OnRootMismatch".to_owned()),
                ..container::pod_security_context()
            }),
            service_account_name: Some(names::nats(&broker.name)),
            termination_grace_period_seconds: Some(GRACE),
            topology_spread_constraints: Some(spread(broker, group)),
            volumes: Some(vec![configuration(broker)]),
            ..PodSpec::default()
        }),
    }
}

fn container(managed: &ManagedNats, settings: &Settings) -> Container {
    let port = |name: &str, number: u16| ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let mount = |name: &str, path: &str, read_only| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        ..VolumeMount::default()
    };
    let field = ObjectFieldSelector { api_version: None, field_path: "metadata.name".to_owned() };
    let name = EnvVar {
        name: config::POD_NAME.to_owned(),
        value_from: Some(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() }),
        ..EnvVar::default()
    };
    // The server ends when its clients have gone to others, and takes the SIGTERM that follows for old news.
    let farewell = ["nats-server", "--signal", "ldm=1"].map(str::to_owned).to_vec();
    Container {
        name: NAME.to_owned(),
        image: Some(managed.image.as_ref().unwrap_or(&settings.nats_image).clone()),
        args: Some(vec!["--config".to_owned(), format!("{}/{}", config::FOLDER, config::FILE)]),
        env: Some([name].into_iter().chain(memory_limit(managed)).collect()),
        ports: Some(vec![port("client", CLIENT_PORT), port("cluster", CLUSTER_PORT), port(MONITOR, MONITOR_PORT)]),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                exec: Some(ExecAction { command: Some(farewell) }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        // Until its store is read a server answers that it is not ready.
        startup_probe: Some(probe("/healthz?js-enabled-only=true", 1, 600)),
        liveness_probe: Some(probe("/healthz?js-enabled-only=true", 10, 3)),
        readiness_probe: Some(probe("/healthz?js-server-only=true", 3, 2)),
        resources: managed.resources.as_ref().and_then(container::requirements),
        security_context: Some(container::security_context()),
        volume_mounts: Some(vec![mount(CONFIGURATION, config::FOLDER, Some(true)), mount(DATA, config::STORE, None)]),
        ..Container::default()
    }
}

/// Go collects its garbage before the kernel ends the process: at four fifths of the limit.
fn memory_limit(managed: &ManagedNats) -> Option<EnvVar> {
    let Quantity(limit) = managed.resources.as_ref()?.limits.get("memory")?;
    let limit: ByteSize = limit.parse().ok()?;
    let value = Some((limit.0 / 5 * 4).to_string());
    Some(EnvVar { name: "GOMEMLIMIT".to_owned(), value, ..EnvVar::default() })
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(MONITOR.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

/// Configuration, accounts and certificates. The authority's key and the brokers' login are not among them.
fn configuration(broker: &ValidatedBroker) -> Volume {
    let item = |key: &str| KeyToPath { key: key.to_owned(), path: key.to_owned(), mode: None };
    let config = ConfigMapProjection {
        name: names::nats_config(&broker.name),
        items: Some(vec![item(config::FILE)]),
        optional: None,
    };
    let secret = SecretProjection {
        name: names::nats(&broker.name),
        items: Some([ACCOUNTS_KEY, CA_KEY, CERTIFICATE_KEY, PRIVATE_KEY].map(item).to_vec()),
        optional: None,
    };
    let sources = vec![
        VolumeProjection { config_map: Some(config), ..VolumeProjection::default() },
        VolumeProjection { secret: Some(secret), ..VolumeProjection::default() },
    ];
    Volume {
        name: CONFIGURATION.to_owned(),
        projected: Some(ProjectedVolumeSource { default_mode: Some(0o440), sources: Some(sources) }),
        ..Volume::default()
    }
}

fn labels(broker: &ValidatedBroker, group: &Group) -> BTreeMap<String, String> {
    let mut labels = labels::nats_common(&broker.name);
    labels.insert(labels::ZONE.to_owned(), group.zone.clone().unwrap_or_default());
    labels
}

fn of_group(broker: &ValidatedBroker, group: &Group, name: String) -> ObjectMeta {
    ObjectMeta { labels: Some(labels(broker, group)), ..metadata::nats(broker, name) }
}

/// Selects the servers of the zone; never changes, for a StatefulSet's selector cannot.
fn selector(broker: &ValidatedBroker, group: &Group) -> LabelSelector {
    let mut labels = labels::nats_selector(&broker.name);
    labels.insert(labels::ZONE.to_owned(), group.zone.clone().unwrap_or_default());
    LabelSelector { match_labels: Some(labels), match_expressions: None }
}

/// Over nodes, and over what zones there are when the spec names none. A preference, as a volume may bind a server to a node.
fn spread(broker: &ValidatedBroker, group: &Group) -> Vec<TopologySpreadConstraint> {
    placement::over_nodes(group.zone.is_some(), || TopologySpreadConstraint {
        label_selector: Some(metadata::all_nats(broker)),
        ..TopologySpreadConstraint::default()
    })
}
