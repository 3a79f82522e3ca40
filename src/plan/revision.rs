//! Revisions: what the pods of a zone are made from, as it was when the zone was last given it.
//!
//! Each Deployment carries its revision in an annotation: the pod template octet by octet, and the spec that led to it.
//! So a zone can be left at the revision that it has while another one is replaced, returned to an earlier one, and kept
//! as it is by a newer operator that would make pods otherwise. Nothing else is needed to go on after a restart.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde::{Deserialize, Serialize};

use super::{PlanError, Settings, broker_config, deployment, overrides};
use crate::{
    api::{Override, OverrideKind, RestartReason, Rollout, StompBroker, StompBrokerSpec},
    observed::Observed,
    validate::{Pool, ValidatedBroker, validate},
};

/// Annotation of a Deployment: the [`Revision`] that its pods have or are being given.
pub const REVISION: &str = "stompbroker.dev/revision";
/// Annotation of a Deployment while a rollout is under way: the last [`Revision`] with which all its pods were ready, or
/// when there was none, the one before.
pub const PREVIOUS: &str = "stompbroker.dev/previous-revision";
/// Annotation of a Deployment that was taken back: the `id` of the revision that did not come up.
pub const FAILED: &str = "stompbroker.dev/failed-revision";

/// Name of the zone by which revisions of brokers with zones are told apart.
const ANY_ZONE: &str = "zone";

/// What the pods of a zone are made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// The same in all zones; changes with the template.
    pub id: String,
    /// Why the pods before it were restarted; empty for the first ones.
    #[serde(default)]
    pub reasons: Vec<RestartReason>,
    /// The part of the spec that it was made from.
    pub spec: StompBrokerSpec,
    /// The template.
    pub template: PodTemplateSpec,
}

impl Revision {
    /// Reads an annotation; absent when somebody has spoilt it.
    pub(super) fn parse(annotation: &str) -> Option<Self> {
        serde_json::from_str(annotation).ok()
    }

    /// The form of the annotation.
    pub(super) fn annotation(&self) -> Result<String, PlanError> {
        serde_json::to_string(self).map_err(PlanError::Revision)
    }

    /// The image of the pods.
    pub(super) fn image(&self) -> Option<&str> {
        self.template.spec.as_ref()?.containers.first()?.image.as_deref()
    }
}

/// The `id` of the revision in an annotation.
pub(crate) fn id_of(annotation: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Id {
        id: String,
    }
    serde_json::from_str(annotation).ok().map(|Id { id }| id)
}

/// The reasons in an annotation.
pub(crate) fn reasons_of(annotation: &str) -> Vec<RestartReason> {
    #[derive(Deserialize)]
    struct Reasons {
        #[serde(default)]
        reasons: Vec<RestartReason>,
    }
    serde_json::from_str(annotation).map(|Reasons { reasons }| reasons).unwrap_or_default()
}

/// What this operator makes of the spec as it is now.
pub(super) struct Fresh<'a> {
    broker: &'a ValidatedBroker,
    settings: &'a Settings,
    /// The `id` of its revision.
    pub(super) id: String,
}

impl<'a> Fresh<'a> {
    pub(super) fn new(broker: &'a ValidatedBroker, settings: &'a Settings) -> Result<Self, PlanError> {
        let zone = broker.pools.first().and_then(|pool| pool.zone.as_ref()).map(|_| ANY_ZONE.to_owned());
        let any = Pool {
            name: zone.as_ref().map_or_else(|| broker.name.clone(), |zone| format!("{}-{zone}", broker.name)),
            zone,
            size: crate::validate::PoolSize::Fixed(1),
        };
        let json = serde_json::to_string(&template(broker, &any, settings)?).map_err(PlanError::Revision)?;
        Ok(Self { broker, settings, id: short(&stompbroker_config::config_hash(&json)) })
    }

    /// The template of `pool`.
    pub(super) fn template(&self, pool: &Pool) -> Result<PodTemplateSpec, PlanError> {
        template(self.broker, pool, self.settings)
    }

    /// The revision of `pool`, which has `before`.
    pub(super) fn revision(&self, pool: &Pool, before: Option<&Revision>) -> Result<Revision, PlanError> {
        let reasons = match before {
            Some(before) => self.reasons(pool, before)?,
            None => Vec::new(),
        };
        let spec = relevant(&self.broker.spec);
        Ok(Revision { id: self.id.clone(), reasons, spec, template: self.template(pool)? })
    }

    /// Whether the user wants the same pods as when `before` was made: this operator would make the same of both specs,
    /// whatever an earlier one has made.
    pub(super) fn is_wanted_as(&self, before: &Revision, pool: &Pool) -> Result<bool, PlanError> {
        Ok(self.remake(pool, before.spec.clone())?.is_some_and(|old| Some(old) == self.template(pool).ok()))
    }

    /// What has changed since `before` that changes the template.
    fn reasons(&self, pool: &Pool, before: &Revision) -> Result<Vec<RestartReason>, PlanError> {
        let Some(old) = self.remake(pool, before.spec.clone())? else {
            return Ok(vec![RestartReason::ConfigurationChanged]);
        };
        let mut reasons = Vec::new();
        let now = &self.broker.spec;
        for (reason, take) in PARTS {
            let mut spec = before.spec.clone();
            take(&mut spec, now);
            if spec != before.spec && self.remake(pool, spec)?.is_none_or(|new| new != old) {
                reasons.push(reason);
            }
        }
        if reasons.is_empty() && old != self.template(pool)? {
            reasons.push(RestartReason::ConfigurationChanged);
        }
        if old != before.template {
            reasons.push(RestartReason::OperatorUpgraded);
        }
        Ok(reasons)
    }

    /// What this operator makes of another spec; absent when it would refuse it.
    fn remake(&self, pool: &Pool, spec: StompBrokerSpec) -> Result<Option<PodTemplateSpec>, PlanError> {
        let mut broker = StompBroker::new(&self.broker.name, spec);
        broker.metadata.namespace = Some(self.broker.namespace.clone());
        match validate(&broker, &Observed::assuming_references(&broker)) {
            Ok(validated) => match template(&validated, pool, self.settings) {
                Err(PlanError::Overrides(_)) => Ok(None),
                made => made.map(Some),
            },
            Err(_) => Ok(None),
        }
    }
}

/// Takes one part of the second spec over into the first.
type Take = fn(&mut StompBrokerSpec, &StompBrokerSpec);

/// The parts of a spec that have a reason of their own.
const PARTS: [(RestartReason, Take); 8] = [
    (RestartReason::ImageChanged, |old, new| old.image.clone_from(&new.image)),
    (RestartReason::PullSecretsChanged, |old, new| old.image_pull_secrets.clone_from(&new.image_pull_secrets)),
    (RestartReason::ResourcesChanged, |old, new| old.resources.clone_from(&new.resources)),
    (RestartReason::ListenersChanged, |old, new| old.listeners.clone_from(&new.listeners)),
    (RestartReason::EngineChanged, |old, new| old.engine.clone_from(&new.engine)),
    (RestartReason::DrainChanged, |old, new| old.drain.clone_from(&new.drain)),
    (RestartReason::OverridesChanged, |old, new| old.overrides = of_templates(&new.overrides)),
    (RestartReason::RestartRequested, |old, new| old.rollout.restart.clone_from(&new.rollout.restart)),
];

/// The spec without what no template is made from: what is large, and what is about the number of pods.
fn relevant(spec: &StompBrokerSpec) -> StompBrokerSpec {
    let defaults = StompBrokerSpec::default();
    StompBrokerSpec {
        replicas: None,
        zones: Vec::new(),
        zone_outage_policy: defaults.zone_outage_policy,
        zone_outage_wait: defaults.zone_outage_wait,
        autoscaling: None,
        credentials: crate::api::Credentials::default(),
        authorization: None,
        destinations: Vec::new(),
        user_destinations: None,
        logging: None,
        monitoring: None,
        rollout: Rollout { restart: spec.rollout.restart.clone(), ..Rollout::default() },
        upgrade_policy: crate::api::UpgradePolicy::default(),
        maintenance_window: None,
        overrides: of_templates(&spec.overrides),
        suspend: false,
        management_policy: crate::api::ManagementPolicy::default(),
        ..spec.clone()
    }
}

/// The patches of what brokers' pods are made from.
fn of_templates(overrides: &[Override]) -> Vec<Override> {
    let of_pods = overrides.iter().filter(|patch| patch.target.kind == OverrideKind::Deployment);
    let of_templates = of_pods.map(|patch| Override {
        patch: patch.patch.iter().filter(|operation| operation.is_of_template()).cloned().collect(),
        ..patch.clone()
    });
    of_templates.filter(|patch| !patch.patch.is_empty()).collect()
}

fn template(broker: &ValidatedBroker, pool: &Pool, settings: &Settings) -> Result<PodTemplateSpec, PlanError> {
    let config = broker_config::config(broker, pool, settings);
    let start_hash = config.start_hash().map_err(|source| PlanError::HashConfig { pool: pool.name.clone(), source })?;
    let image = broker.image.as_deref().unwrap_or(&settings.image);
    let template = deployment::template(broker, pool, image, start_hash);
    overrides::template(broker, OverrideKind::Deployment, &pool.name, template)
}

/// As much of a hash as people can compare by eye.
fn short(hash: &str) -> String {
    hash.chars().filter(char::is_ascii_alphanumeric).take(10).collect()
}
