//! A cluster in which zones come up, or do not, when the test says so.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::PodTemplateSpec, jiff::Timestamp};
use stompbroker_config::admin::{ConfigStatus, LoginDigests, Sessions, Status};

use super::{RELAY, settings};
use crate::{
    api::{RolloutStatus, StompBroker},
    cli::brokers,
    controller::outages,
    observed::{DeploymentView, Observed, PodView},
    plan::{FAILED, PREVIOUS, Plan, REVISION, Settings, plan},
    status::{StatusInput, build, tests::assert_listed},
    validate::validate,
};

/// Sessions of every pod that has come up.
pub(super) const SESSIONS: u64 = 10;

pub(super) struct Cluster {
    pub(super) settings: Settings,
    pub(super) observed: Observed,
    pub(super) broker: StompBroker,
    pub(super) templates: BTreeMap<String, PodTemplateSpec>,
    hashes: BTreeMap<String, String>,
}

impl Cluster {
    /// Three zones with two pods each, all well; `more` is added to the spec.
    pub(super) fn well(more: &str) -> Self {
        let mut cluster = Self {
            settings: settings(),
            observed: Observed::default(),
            broker: broker(more),
            templates: BTreeMap::new(),
            hashes: BTreeMap::new(),
        };
        cluster.observed.now = "2026-01-02T03:04:05Z".parse().unwrap();
        cluster.pass();
        for zone in ["a", "b", "c"] {
            cluster.come_up(zone);
        }
        cluster.pass();
        cluster
    }

    /// The user applies another spec.
    pub(super) fn edit(&mut self, more: &str) {
        self.broker.spec = broker(more).spec;
    }

    pub(super) fn later(&mut self, seconds: i64) {
        self.observed.now = Timestamp::from_second(self.observed.now.as_second() + seconds).unwrap();
    }

    /// One pass of the operator; gives the zones whose pods it replaces.
    pub(super) fn pass(&mut self) -> Vec<String> {
        let (replaced, _) = self.pass_until(usize::MAX);
        replaced
    }

    /// A pass that ends after so many Deployments; the status is written only when it gets to its end.
    pub(super) fn pass_until(&mut self, writes: usize) -> (Vec<String>, Plan) {
        self.observed.referenced_secrets = Observed::assuming_references(&self.broker).referenced_secrets;
        self.observed.last_rollout = self.last();
        self.observed.outages = outages(self.broker.status.as_ref());
        let validated = validate(&self.broker, &self.observed).unwrap();
        let plan = plan(&validated, &self.observed, &self.settings).unwrap();
        self.hashes.clone_from(&plan.config_hashes);
        let mut replaced = Vec::new();
        for deployment in plan.objects.deployments.iter().take(writes) {
            let name = deployment.metadata.name.clone().unwrap();
            let annotations = deployment.metadata.annotations.clone().unwrap();
            let spec = deployment.spec.clone().unwrap();
            let is_new = !self.observed.deployments.contains_key(&name);
            let view = self.observed.deployments.entry(name.clone()).or_default();
            view.revision = annotations.get(REVISION).cloned();
            view.previous = annotations.get(PREVIOUS).cloned();
            view.failed = annotations.get(FAILED).cloned();
            view.desired = spec.replicas.unwrap();
            if self.templates.get(&name) != Some(&spec.template) {
                (view.current, view.stalled) = (false, None);
                self.templates.insert(name.clone(), spec.template);
                if !is_new {
                    replaced.push(name.trim_start_matches("trading-").to_owned());
                }
            }
        }
        if writes >= plan.objects.deployments.len() {
            self.broker.status = Some(build(&StatusInput {
                broker: &self.broker,
                observed: Some(&self.observed),
                planned: Some((&validated, &plan)),
                errors: &[],
                failure: None,
                changes: &[],
                now: self.observed.now,
            }));
            assert_listed(self.broker.status.as_ref());
        }
        (replaced, plan)
    }

    /// All pods of a zone are there, of the newest template, ready and with their configuration.
    pub(super) fn come_up(&mut self, zone: &str) {
        let view = self.zone(zone);
        let pods = view.desired;
        let well = DeploymentView { current: true, stalled: None, replica_failure: None, ..view.clone() };
        *view = DeploymentView { replicas: pods, ready: pods, updated: pods, available: pods, ..well };
        let hash = self.hashes[&format!("trading-{zone}")].clone();
        self.observed.pods.retain(|pod| pod.zone != zone);
        for number in 0..pods {
            self.observed.pods.push(PodView {
                name: format!("trading-{zone}-{number}"),
                zone: zone.to_owned(),
                ready: true,
                admin: Some(Ok(answer(&hash))),
                ..PodView::default()
            });
        }
    }

    /// The new pod of a zone does not start, for so long that its Deployment gives up. The old ones serve on.
    pub(super) fn fail(&mut self, zone: &str) {
        let view = self.zone(zone);
        (view.current, view.updated, view.replicas) = (true, 1, view.desired + 1);
        view.stalled = Some("has timed out progressing".to_owned());
        self.observed.pods.push(PodView {
            name: format!("trading-{zone}-new"),
            zone: zone.to_owned(),
            waiting: Some("ImagePullBackOff: no such image".to_owned()),
            ..PodView::default()
        });
    }

    pub(super) fn zone(&mut self, zone: &str) -> &mut DeploymentView {
        self.observed.deployments.get_mut(&format!("trading-{zone}")).unwrap()
    }

    pub(super) fn pods(&mut self, zone: &str) -> Vec<&mut PodView> {
        self.observed.pods.iter_mut().filter(|pod| pod.zone == zone).collect()
    }

    pub(super) fn images(&self) -> Vec<String> {
        let image = |template: &PodTemplateSpec| template.spec.clone().unwrap().containers[0].image.clone().unwrap();
        self.templates.values().map(image).collect()
    }

    pub(super) fn last(&self) -> Option<RolloutStatus> {
        self.broker.status.as_ref()?.last_rollout.clone()
    }

    /// Status, reason and message of a condition.
    pub(super) fn condition(&self, kind: &str) -> (String, String, String) {
        let conditions = &self.broker.status.as_ref().unwrap().conditions;
        let found = conditions.iter().find(|condition| condition.type_ == kind).unwrap().clone();
        (found.status, found.reason, found.message)
    }
}

fn broker(more: &str) -> StompBroker {
    let text = format!(
        "apiVersion: stompbroker.dev/v1alpha1\nkind: StompBroker\nmetadata: {{name: trading, namespace: markets, uid: 7f}}\n\
         spec: {{{RELAY}, replicas: 6, zones: [{{name: a}}, {{name: b}}, {{name: c}}]{more}}}\n"
    );
    brokers(&text).unwrap().remove(0)
}

fn answer(hash: &str) -> Status {
    Status {
        version: "1".to_owned(),
        config: ConfigStatus { hash: hash.to_owned(), rejected: None, needs_restart: Vec::new() },
        logins: LoginDigests::default(),
        sessions: Sessions { stomp: SESSIONS, ..Sessions::default() },
        relay: None,
        draining: false,
        drain: None,
    }
}
