//! What users read in which situation.

mod autoscaling;
mod certificates;
mod exposure;
mod fixtures;
mod pods;
mod reports;
mod spec;
mod times;

use k8s_openapi::jiff::Timestamp;
use stompbroker_config::admin::{
    ConfigStatus, LoginDigests, RelayStatus, Sessions, Status, UpstreamState, UpstreamStatus,
};

use super::{ConditionType, Failure, Reason, StatusInput, build};
use crate::{
    api::{ManagementPolicy, PlannedAction, PlannedChange, StompBroker, StompBrokerStatus},
    cli::brokers,
    observed::{DeploymentView, ForeignObject, Observed, PodView, SecretView},
    plan::{Plan, Settings, plan},
    validate::{SpecError, ValidatedBroker, validate},
};

/// Two zones with two pods each, all as it should be; tests spoil it.
struct World {
    broker: StompBroker,
    observed: Observed,
    failure: Option<Failure>,
    changes: Vec<PlannedChange>,
    custom_metrics: bool,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        Self::of(
            "{replicas: 4, zones: [{name: a}, {name: b}], engine: {relay: {upstreams: [{host: rabbitmq}], \
             systemCredentials: {secretName: s}, clientCredentials: {secretName: c}}}}",
        )
    }

    fn of(spec: &str) -> Self {
        let text = format!(
            "apiVersion: stompbroker.dev/v1alpha1\nkind: StompBroker\n\
             metadata: {{name: trading, namespace: markets, generation: 7}}\nspec: {spec}\n"
        );
        let mut world = Self {
            broker: brokers(&text).unwrap().remove(0),
            observed: Observed::default(),
            failure: None,
            changes: Vec::new(),
            custom_metrics: true,
            now: "2026-01-02T03:04:05Z".parse().unwrap(),
        };
        world.observed = Observed { keda: false, ..Observed::assuming_references(&world.broker) };
        let (_, plan) = world.planned().unwrap();
        for (deployment, zone_step) in plan.objects.deployments.iter().zip(&plan.rollout.zones) {
            let name = deployment.metadata.name.clone().unwrap();
            let size = deployment.spec.as_ref().unwrap().replicas.unwrap();
            let zone = deployment.metadata.labels.as_ref().unwrap()["stompbroker.dev/zone"].clone();
            for index in 0..size {
                world.observed.pods.push(PodView {
                    name: format!("{name}-{index}"),
                    zone: zone.clone(),
                    ready: true,
                    admin: Some(Ok(answer(&plan.config_hashes[&name]))),
                    ..PodView::default()
                });
            }
            let view = DeploymentView {
                current: true,
                desired: size,
                replicas: size,
                ready: size,
                updated: size,
                available: size,
                revision: Some(zone_step.annotation.clone()),
                ..DeploymentView::default()
            };
            world.observed.deployments.insert(name, view);
        }
        world
    }

    fn planned(&self) -> Result<(ValidatedBroker, Plan), Vec<SpecError>> {
        let settings = Settings {
            image: "image".to_owned(),
            nats_image: "registry.example/nats:2".to_owned(),
            operator_namespace: "operators".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            custom_metrics: self.custom_metrics,
        };
        let validated = validate(&self.broker, &self.observed)?;
        let plan = plan(&validated, &self.observed, &settings).unwrap();
        Ok((validated, plan))
    }

    fn status(&self) -> StompBrokerStatus {
        let planned = self.planned();
        let status = build(&StatusInput {
            broker: &self.broker,
            observed: Some(&self.observed),
            planned: planned.as_ref().ok().map(|(validated, plan)| (validated, plan)),
            errors: planned.as_ref().err().map(Vec::as_slice).unwrap_or_default(),
            failure: self.failure.as_ref(),
            changes: &self.changes,
            now: self.now,
        });
        assert_listed(Some(&status));
        status
    }

    fn zone_a(&mut self) -> &mut DeploymentView {
        self.observed.deployments.get_mut("trading-a").unwrap()
    }

    fn answer_of(&mut self, pod: usize) -> &mut Status {
        self.observed.pods[pod].admin.as_mut().unwrap().as_mut().unwrap()
    }
}

fn answer(hash: &str) -> Status {
    let upstream =
        UpstreamStatus { host: "rabbitmq".to_owned(), port: 61613, state: UpstreamState::Connected, message: None };
    Status {
        version: "1".to_owned(),
        config: ConfigStatus { hash: hash.to_owned(), rejected: None, needs_restart: Vec::new() },
        logins: LoginDigests::default(),
        sessions: Sessions { stomp: 3, websocket: 4, ..Sessions::default() },
        relay: Some(RelayStatus { connected: true, client_connections: 1, upstreams: vec![upstream] }),
        draining: false,
        drain: None,
    }
}

/// Status, reason and message of a condition.
fn read(status: &StompBrokerStatus, kind: ConditionType) -> (String, String, String) {
    let condition = status.conditions.iter().find(|condition| condition.type_ == kind.as_str()).unwrap();
    (condition.status.clone(), condition.reason.clone(), condition.message.clone())
}

/// Asserts status and reason of conditions, and that `Ready`'s message holds `says`.
fn expect(world: &World, expected: &[(ConditionType, &str, &str)], says: &str) {
    let status = world.status();
    for (kind, holds, reason) in expected {
        let (actual, why, message) = read(&status, *kind);
        assert_eq!((actual.as_str(), why.as_str()), (*holds, *reason), "{kind}: {message}");
    }
    let (_, _, message) = read(&status, ConditionType::Ready);
    assert!(message.contains(says), "{message}");
}

use ConditionType::{
    Accepted, Autoscaled, ConfigApplied, Degraded, Managed, Progressing, Ready, RelayConnected, ResolvedRefs,
    UpdateAvailable, ZonesSatisfied,
};

/// Fails where a condition has a reason that the table, and so the documentation, does not know for it.
pub(crate) fn assert_listed(status: Option<&StompBrokerStatus>) {
    for condition in status.into_iter().flat_map(|status| &status.conditions) {
        let kind = ConditionType::ALL.iter().find(|kind| kind.as_str() == condition.type_).unwrap();
        let reason = Reason::ALL.iter().find(|reason| reason.as_str() == condition.reason).unwrap();
        assert!(kind.can_have(*reason), "ConditionType::{kind} has the reason {reason}, which the table does not tell");
    }
}
