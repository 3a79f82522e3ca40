//! The broker container and what it may do.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, ContainerPort, HTTPGetAction, PodSecurityContext, Probe, ResourceRequirements,
        SeccompProfile, SecurityContext,
    },
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};

use super::{names, volume};
use crate::{
    api::{ADMIN_PORT, PEERS_PORT, Resources},
    validate::{Pool, ValidatedBroker},
};

/// Name of the container.
const NAME: &str = "broker";
/// User and group that the broker runs as; the image has no others.
const USER: i64 = 65532;

/// The broker.
pub(super) fn container(broker: &ValidatedBroker, pool: &Pool, image: &str) -> Container {
    let port = |name: &str, number: u16| ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let listeners = broker.listeners.ports().map(|listener| port(listener.name, listener.number));
    let admin = port(names::ADMIN_PORT, ADMIN_PORT);
    let peers = broker.engine.has_peers().then(|| port(names::PEERS_PORT, PEERS_PORT));
    Container {
        name: NAME.to_owned(),
        image: Some(image.to_owned()),
        args: Some(vec!["run".to_owned(), format!("--config={}/{}", names::MOUNT_PATH, names::CONFIG_KEY)]),
        ports: Some(listeners.chain([admin]).chain(peers).collect()),
        startup_probe: Some(probe("/livez", 1, 60)),
        liveness_probe: Some(probe("/livez", 10, 3)),
        readiness_probe: Some(probe("/readyz", 3, 2)),
        resources: requirements(&broker.resources),
        security_context: Some(security_context()),
        volume_mounts: Some(volume::mounts(broker, pool)),
        ..Container::default()
    }
}

/// What the spec says of CPU and memory, when it says anything.
pub(super) fn requirements(resources: &Resources) -> Option<ResourceRequirements> {
    let Resources { requests, limits } = resources;
    let some = |map: &BTreeMap<String, Quantity>| (!map.is_empty()).then(|| map.clone());
    let requirements = ResourceRequirements { requests: some(requests), limits: some(limits), claims: None };
    (requirements != ResourceRequirements::default()).then_some(requirements)
}

/// Asks the admin port, which needs no credential for it, every `period` seconds.
fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(names::ADMIN_PORT.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

/// The Pod Security level `restricted`, and a root file system that cannot be written.
pub(super) fn security_context() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

/// Runs as an ordinary user whose group may read the mounted Secrets.
pub(super) fn pod_security_context() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}
