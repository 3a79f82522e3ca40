//! NATS servers that the operator runs for one broker: a StatefulSet for each zone, so that the zone of a server is known
//! without a look at nodes, and its volume stays in it.
//!
//! | module | decides |
//! |---|---|
//! | `config` | `nats.conf` |
//! | `stateful_set` | pods and their volumes |
//! | `network` | Services, NetworkPolicy, disruption budget |
//! | `revision` | which template the pods are to have |
//! | `gate` | which server may be replaced now |
//!
//! Invariants: a server is replaced by an eviction, which the API server grants to one at a time; only while all others are
//! well and have caught up, and no pod of a broker in another zone is being replaced; a newer operator replaces none.

mod config;
pub mod gate;
mod network;
mod revision;
mod stateful_set;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, ServiceAccount};

pub(super) use self::network::{broker_egress, url};
use super::{Objects, PlanError, RolloutStep, Settings, gate::Act, metadata, names, overrides};
use crate::{
    api::{ManagedNats, OverrideKind},
    observed::{NatsServerView, Observed, StatefulSetView},
    validate::ValidatedBroker,
};
use gate::{Neighbours, ServerFacts};

/// Port that brokers connect to.
pub const CLIENT_PORT: u16 = 4222;
/// Port that servers connect to each other on.
const CLUSTER_PORT: u16 = 6222;
/// Port of health and state, in plain HTTP and without secrets; closed to all but the operator and monitoring.
pub const MONITOR_PORT: u16 = 8222;

/// Key of the login of brokers in the Secret [`names::nats`], a seed.
pub const SEED_KEY: &str = "nkey";
/// Key of the authority's certificate.
pub const CA_KEY: &str = "ca.crt";
/// Key of the authority's private key, which no pod gets.
pub const CA_PRIVATE_KEY: &str = "ca.key";
/// Key of the servers' certificate.
pub const CERTIFICATE_KEY: &str = "tls.crt";
/// Key of its private key.
pub const PRIVATE_KEY: &str = "tls.key";
/// Key of the part of the configuration that says who may log in.
pub const ACCOUNTS_KEY: &str = "accounts.conf";
/// Key of a text that changes when servers have to be replaced to know what else is in the Secret; there is none at first.
pub const RENEWAL_KEY: &str = "renewal";
/// All of them that every such Secret has.
pub const SECRET_KEYS: [&str; 6] = [SEED_KEY, CA_KEY, CA_PRIVATE_KEY, CERTIFICATE_KEY, PRIVATE_KEY, ACCOUNTS_KEY];

/// The Secret of the servers, whose values `apply` makes.
#[derive(Clone, Debug, PartialEq)]
pub struct NatsSecret {
    /// Name, namespace, labels and owner.
    pub metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    /// Names that the servers' certificate is for.
    pub hosts: Vec<String>,
    /// Whether there are servers already, which have to be replaced if there is no Secret.
    pub has_servers: bool,
}

/// The servers of one zone, or all of them without zones.
struct Group {
    /// Name of the StatefulSet.
    name: String,
    zone: Option<String>,
    replicas: i32,
}

/// Where the servers stand, and what is done about it in this pass.
#[derive(Clone, Debug, PartialEq)]
pub struct NatsStep {
    /// The servers in the order of the zones.
    pub servers: Vec<ServerStep>,
    /// The server that is to be replaced now.
    pub evicted: Option<Evicted>,
}

/// One server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerStep {
    /// Its name, and its pod's.
    pub name: String,
    /// Its zone.
    pub zone: Option<String>,
    /// Its pod; absent while there is none.
    pub view: Option<NatsServerView>,
    /// Whether it has to be replaced for what the spec wants.
    pub outdated: bool,
}

/// A pod to evict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// Its name.
    pub pod: String,
    /// Its UID.
    pub uid: String,
}

impl ServerStep {
    /// Whether it is ready and has all that JetStream keeps on it.
    pub fn is_well(&self) -> bool {
        self.view.as_ref().is_some_and(NatsServerView::is_well)
    }
}

fn groups(broker: &ValidatedBroker, managed: &ManagedNats) -> Vec<Group> {
    let replicas = i32::from(managed.replicas);
    let zones: Vec<&String> =
        broker.pools.iter().filter_map(|pool| pool.zone.as_ref()).take(usize::from(managed.replicas)).collect();
    let base = names::nats(&broker.name);
    if zones.is_empty() {
        return vec![Group { name: base, zone: None, replicas }];
    }
    let count = i32::try_from(zones.len()).unwrap_or(replicas);
    (0..)
        .zip(zones)
        .map(|(index, zone)| Group {
            name: format!("{base}-{zone}"),
            zone: Some(zone.clone()),
            replicas: replicas / count + i32::from(index < replicas % count),
        })
        .collect()
}

impl Group {
    fn servers(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.replicas).map(|ordinal| format!("{}-{ordinal}", self.name))
    }
}

/// The servers as they are, whatever they are to be.
fn servers(broker: &ValidatedBroker, managed: &ManagedNats, observed: &Observed) -> Vec<ServerStep> {
    let find = |name: &str| observed.nats_servers.iter().find(|server| server.name == name).cloned();
    groups(broker, managed)
        .iter()
        .flat_map(|group| {
            group
                .servers()
                .map(|name| ServerStep { view: find(&name), name, zone: group.zone.clone(), outdated: false })
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Of each pool: whether a NATS server in another zone is not well, so that nothing there may be replaced.
pub(super) fn holds_up(broker: &ValidatedBroker, observed: &Observed) -> Vec<bool> {
    let servers = broker.managed_nats().map(|managed| servers(broker, managed, observed)).unwrap_or_default();
    let elsewhere = |server: &ServerStep, zone: &Option<String>| zone.is_none() || server.zone != *zone;
    let held = |zone| servers.iter().any(|server| !server.is_well() && elsewhere(server, zone));
    broker.pools.iter().map(|pool| held(&pool.zone)).collect()
}

/// Adds the objects of the servers, and decides which of them is replaced.
pub(super) fn add(
    objects: &mut Objects,
    broker: &ValidatedBroker,
    observed: &Observed,
    settings: &Settings,
    rollout: &RolloutStep,
) -> Result<Option<NatsStep>, PlanError> {
    let Some(managed) = broker.managed_nats() else { return Ok(None) };
    let groups = groups(broker, managed);
    let mut servers = servers(broker, managed, observed);
    let peers: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
    let config = config::nats_conf(broker, managed, &peers, settings);
    let wish = revision::Wish::new(broker, managed, &observed.nats_renewal);
    objects.service_accounts.push(ServiceAccount {
        metadata: metadata::nats(broker, names::nats(&broker.name)),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    });
    objects.nats_secrets.push(NatsSecret {
        metadata: metadata::nats(broker, names::nats(&broker.name)),
        hosts: network::hosts(broker, settings),
        has_servers: !observed.stateful_sets.is_empty(),
    });
    objects.config_maps.push(ConfigMap {
        metadata: metadata::nats(broker, names::nats_config(&broker.name)),
        data: Some([(config::FILE.to_owned(), config.clone())].into()),
        ..ConfigMap::default()
    });
    objects.services.extend(network::services(broker));
    objects.network_policies.push(network::network_policy(broker, settings));
    objects.pod_disruption_budgets.push(network::disruption_budget(broker));
    for group in &groups {
        let live = observed.stateful_sets.get(&group.name);
        let wish = wish.of(broker, &group.name);
        let fresh = || {
            let template = stateful_set::template(broker, managed, group, &config, &wish, settings);
            overrides::template(broker, OverrideKind::StatefulSet, &group.name, template)
        };
        let (template, annotation) = revision::choose(&wish, live, broker, observed, fresh)?;
        objects.persistent_volume_claims.extend(claims(broker, managed, group));
        mark_outdated(&mut servers, group, live, &annotation);
        objects.stateful_sets.push(stateful_set::stateful_set(broker, managed, group, live, template, annotation));
    }
    let evicted = evicted(broker, &servers, rollout);
    Ok(Some(NatsStep { servers, evicted }))
}

/// The volumes, made before the StatefulSet would: what it makes itself never grows.
fn claims(broker: &ValidatedBroker, managed: &ManagedNats, group: &Group) -> Vec<PersistentVolumeClaim> {
    group.servers().map(|server| stateful_set::claim(broker, managed, group, &server)).collect()
}

fn mark_outdated(servers: &mut [ServerStep], group: &Group, live: Option<&StatefulSetView>, annotation: &str) {
    // A template that is only now being written has no pods that could be compared with it.
    let Some(live) = live.filter(|live| live.current && live.revision.as_deref() == Some(annotation)) else { return };
    for server in servers.iter_mut().filter(|server| server.zone == group.zone) {
        let differs = |view: &NatsServerView| view.revision.is_some() && view.revision != live.update_revision;
        server.outdated = server.view.as_ref().is_some_and(differs);
    }
}

fn evicted(broker: &ValidatedBroker, servers: &[ServerStep], rollout: &RolloutStep) -> Option<Evicted> {
    let pools = || broker.pools.iter().zip(&rollout.zones);
    // With no broker that serves anybody there is nothing to be careful for.
    let nothing_to_lose = rollout.zones.iter().all(|zone| zone.empty);
    let well = |zone: &Option<String>| {
        pools()
            .filter(|(pool, _)| zone.is_none() || pool.zone != *zone)
            .all(|(_, step)| step.act == Act::Keep && step.ready)
    };
    let facts: Vec<ServerFacts> = servers
        .iter()
        .map(|server| {
            let view = server.view.as_ref();
            ServerFacts {
                there: view.is_some_and(|view| !view.terminating),
                well: server.is_well(),
                outdated: server.outdated,
                leads: view.is_some_and(NatsServerView::leads),
                neighbours: if nothing_to_lose || well(&server.zone) {
                    Neighbours::Well
                } else {
                    Neighbours::Disrupted
                },
            }
        })
        .collect();
    let view = servers.get(gate::next(&facts)?)?.view.as_ref()?;
    Some(Evicted { pod: view.name.clone(), uid: view.uid.clone() })
}
