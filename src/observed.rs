//! What a pass has seen of the world: plain data, gathered by `observe` and read by the pure steps.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use serde_json::Value;
use stompbroker_config::admin;

use crate::{
    api::{RolloutStatus, StompBroker, StompBrokerSpec, ZoneOutage},
    plan::{
        Objects, ScaledObjectKind,
        certificate::CertificateKind,
        custom::CustomKind as _,
        gateway::{Http, Tls, TlsAlpha},
        rotation::{Holds, Matches, Step},
    },
    validate::{Wishes, referenced_secrets},
};

/// What one pass has seen of one broker's surroundings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The Secrets that the spec names, by name; every named Secret has an entry.
    pub referenced_secrets: BTreeMap<String, SecretView>,
    /// The Secrets that the operator generates, by name; every one has an entry.
    pub generated_secrets: BTreeMap<String, SecretView>,
    /// The Secrets of the logins, by name, as far as they exist and can be read.
    pub logins: BTreeMap<String, LoginView>,
    /// The broker's own Deployments, by name.
    pub deployments: BTreeMap<String, DeploymentView>,
    /// The broker's own pods.
    pub pods: Vec<PodView>,
    /// The broker's own StatefulSets of NATS servers, by name.
    pub stateful_sets: BTreeMap<String, StatefulSetView>,
    /// The broker's own NATS servers.
    pub nats_servers: Vec<NatsServerView>,
    /// [`crate::plan::nats::RENEWAL_KEY`] of the NATS servers' Secret; empty without one.
    pub nats_renewal: String,
    /// The broker's own HorizontalPodAutoscalers, by name.
    pub autoscalers: BTreeMap<String, AutoscalerView>,
    /// The broker's own PodDisruptionBudget; absent while there is none.
    pub budget: Option<BudgetView>,
    /// What the API server knows of Gateway API; not looked at unless the spec wants routes.
    pub gateway_api: GatewayApi,
    /// How the broker's Service is reached from outside; absent while it is not.
    pub service: Option<ExposedView>,
    /// How the broker's Ingress is reached; absent while there is none or it does not tell.
    pub ingress: Option<ExposedView>,
    /// What gateways say of the broker's routes, by kind; as far as there are routes.
    pub routes: BTreeMap<&'static str, RouteView>,
    /// Whether the API server knows cert-manager's Certificates; not looked at unless the spec wants one.
    pub cert_manager: bool,
    /// What cert-manager says of the broker's Certificates, by name; as far as there are any.
    pub certificates: BTreeMap<String, CertificateView>,
    /// Until when the certificates in Secrets that the spec names are good, by the Secret's name.
    pub validities: BTreeMap<String, Validity>,
    /// Whether the API server knows KEDA's ScaledObject; not looked at unless the spec wants one.
    pub keda: bool,
    /// Objects that have the name of a child of ours but belong to somebody else.
    pub foreign: Vec<ForeignObject>,
    /// Outages of zones, as the status tells them.
    pub outages: BTreeMap<String, ZoneOutage>,
    /// What the status says of the last rollout.
    pub last_rollout: Option<RolloutStatus>,
    /// The time of the pass. It decides when something is done, and never what: no object has it in it.
    pub now: Timestamp,
}

impl Observed {
    /// A world without anything but the Secrets that `broker` refers to, each with all the keys that it needs.
    pub fn assuming_references(broker: &StompBroker) -> Self {
        let mut secrets = BTreeMap::<String, BTreeSet<String>>::new();
        for used in referenced_secrets(broker) {
            secrets.entry(used.secret_name).or_default().extend(used.keys.iter().map(|key| (*key).to_owned()));
        }
        let referenced_secrets = secrets.into_iter().map(|(name, keys)| (name, SecretView::Present(keys))).collect();
        let gateway_api = GatewayApi { http_routes: true, tls_routes: Some(TlsRoutes::V1) };
        Self { referenced_secrets, keda: true, cert_manager: true, gateway_api, ..Self::default() }
    }
}

impl Observed {
    /// Kinds that `spec` wants objects of and the API server does not know.
    pub fn missing_kinds(&self, spec: &StompBrokerSpec) -> Vec<&'static str> {
        let exposure = spec.exposure.as_ref();
        let http = exposure.is_some_and(|exposure| exposure.http_route.is_some()) && !self.gateway_api.http_routes;
        let tls = exposure.is_some_and(|exposure| exposure.tls_route.is_some());
        let tls = tls && self.gateway_api.tls_routes.is_none();
        let keda = spec.wants_keda() && !self.keda;
        let certificate = spec.wants_cert_manager() && !self.cert_manager;
        let all = [
            (keda, ScaledObjectKind::KIND),
            (certificate, CertificateKind::KIND),
            (http, Http::KIND),
            (tls, Tls::KIND),
        ];
        all.into_iter().filter_map(|(missing, kind)| missing.then_some(kind)).collect()
    }

    /// The same world, but with every Secret that cert-manager is to make.
    pub(crate) fn assuming_certificates(&self, broker: &StompBroker) -> Self {
        let mut assumed = self.clone();
        for used in referenced_secrets(broker).into_iter().filter(|used| used.issuer.is_some()) {
            let keys = used.keys.iter().map(|key| (*key).to_owned()).collect();
            assumed.referenced_secrets.insert(used.secret_name, SecretView::Present(keys));
        }
        assumed
    }

    /// Whether cert-manager has not issued what these objects ask it for.
    pub(crate) fn awaits_certificates(&self, objects: &Objects) -> bool {
        let is_ready = |name: &str| self.certificates.get(name).is_some_and(|view| view.ready);
        objects.certificates.iter().any(|certificate| !is_ready(&certificate.name_any()))
    }

    /// Whether a route of these objects has been taken by fewer gateways than it names.
    pub(crate) fn awaits_gateways(&self, objects: &Objects) -> bool {
        let http = objects.http_routes.iter().map(|route| (Http::KIND, &route.spec));
        let tls = objects.tls_routes.iter().map(|route| (Tls::KIND, &route.spec));
        let alpha = objects.tls_alpha_routes.iter().map(|route| (TlsAlpha::KIND, &route.spec));
        let taken = |kind| self.routes.get(kind).map_or(0, |view| view.accepted);
        let named = |spec: &Value| spec["parentRefs"].as_array().map_or(0, Vec::len);
        http.chain(tls).chain(alpha).any(|(kind, spec)| taken(kind) < named(spec))
    }
}

/// What is known of a Secret; never its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretView {
    /// The API server says that there is none.
    Missing,
    /// It exists and has these keys; a key with an empty value is left out.
    Present(BTreeSet<String>),
    /// It may or may not exist; the text says why it cannot be read. Never a reason to generate a new one.
    Unreadable(String),
}

/// What is known of the Secret of a login; never its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginView {
    /// Which values it holds.
    pub holds: Holds,
    /// What pods say that have taken it up, [`stompbroker_config::login_digest`]; absent without an admin token.
    pub digest: Option<String>,
    /// Which of them the user's Secret has; absent when the spec names none.
    pub matches: Option<Matches>,
    /// Since when consumers have the value in use.
    pub switched_at: Timestamp,
    /// The wishes that were seen to.
    pub wishes: Wishes,
}

impl LoginView {
    /// Takes `step`, which was just done, into account, as far as it can be known without another look.
    pub(crate) fn advance(&mut self, step: Step, now: Timestamp) {
        self.digest = None;
        match step {
            Step::Keep => {}
            Step::Stage => self.holds = Holds::Next,
            Step::Switch | Step::SwitchBack => {
                self.holds = Holds::Previous;
                self.switched_at = now;
            }
            Step::Unstage | Step::Retire => self.holds = Holds::One,
        }
    }
}

/// What is known of a Deployment of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentView {
    /// Whether its controller has seen the newest spec, so that the numbers below speak of it.
    pub current: bool,
    /// `spec.replicas`.
    pub desired: i32,
    /// `status.replicas`.
    pub replicas: i32,
    /// `status.readyReplicas`.
    pub ready: i32,
    /// `status.updatedReplicas`.
    pub updated: i32,
    /// `status.availableReplicas`.
    pub available: i32,
    /// Its annotation [`crate::plan::REVISION`].
    pub revision: Option<String>,
    /// Its annotation [`crate::plan::PREVIOUS`].
    pub previous: Option<String>,
    /// Its annotation [`crate::plan::FAILED`].
    pub failed: Option<String>,
    /// `metadata.resourceVersion` as it was seen, as a number.
    pub version: u64,
    /// Message of the condition `ReplicaFailure`, when pods cannot be created (quota, admission).
    pub replica_failure: Option<String>,
    /// Message of the condition `Progressing` when its reason is `ProgressDeadlineExceeded`.
    pub stalled: Option<String>,
    /// Whether our field manager owns `spec.replicas`; then leaving it out would reset it to 1.
    pub owns_replicas: bool,
    /// The field manager that wrote `spec.replicas` last, when it was not ours.
    pub scaled_by: Option<String>,
}

/// What the API server knows of Gateway API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GatewayApi {
    /// Whether it knows HTTPRoutes.
    pub http_routes: bool,
    /// In which version it knows TLSRoutes, if at all.
    pub tls_routes: Option<TlsRoutes>,
}

/// Version of TLSRoute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsRoutes {
    /// From Gateway API 1.5 on.
    V1,
    /// Before, in its experimental channel.
    V1Alpha2,
}

/// How a Service or an Ingress is reached from outside the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExposedView {
    /// Addresses and host names of load balancers.
    pub addresses: Vec<String>,
    /// Ports of every node, by the name of the Service's port.
    pub node_ports: Vec<(String, u16)>,
}

/// What gateways say of a route of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteView {
    /// Gateways that take it.
    pub accepted: usize,
    /// What others say against it, in their words.
    pub refused: Vec<String>,
}

/// What cert-manager says of a Certificate of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateView {
    /// Whether it is issued, and up to date.
    pub ready: bool,
    /// Whether it could not be issued, and is tried again only after some time.
    pub failed: bool,
    /// What keeps it, in its words.
    pub message: String,
}

/// When a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From when on.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

/// What is known of the PodDisruptionBudget of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetView {
    /// Its annotation [`crate::plan::DRAINED_ZONE`].
    pub drained_zone: Option<String>,
}

/// What is known of a StatefulSet of NATS servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatefulSetView {
    /// Whether its controller has seen the newest spec, so that the rest speaks of it.
    pub current: bool,
    /// `status.updateRevision`.
    pub update_revision: Option<String>,
    /// Its annotation [`crate::plan::REVISION`].
    pub revision: Option<String>,
    /// Size in its template of claims, which cannot be changed.
    pub storage: Option<String>,
}

/// What is known of a NATS server of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatsServerView {
    /// Name of the server and its pod.
    pub name: String,
    /// UID of the pod.
    pub uid: String,
    /// Whether the pod's condition `Ready` is true.
    pub ready: bool,
    /// Whether the pod has a deletion timestamp.
    pub terminating: bool,
    /// Revision of the StatefulSet that the pod was made from.
    pub revision: Option<String>,
    /// Why the pod does not run; absent while it is merely being created.
    pub failing: Option<String>,
    /// What it said of itself, or why it said nothing; absent when it was not asked.
    pub report: Option<Result<NatsReport, String>>,
}

/// What a NATS server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatsReport {
    /// Its version.
    pub version: String,
    /// What it has not caught up with, or what else is wrong; absent when nothing is.
    pub unhealthy: Option<String>,
    /// Name of the server that it takes for the leader of JetStream's metadata; absent without a cluster.
    pub leader: Option<String>,
}

impl NatsServerView {
    /// Whether it is ready and has all that JetStream keeps on it.
    pub fn is_well(&self) -> bool {
        let healthy = matches!(&self.report, Some(Ok(report)) if report.unhealthy.is_none());
        self.ready && !self.terminating && healthy
    }

    /// Whether it leads JetStream's metadata.
    pub fn leads(&self) -> bool {
        matches!(&self.report, Some(Ok(report)) if report.leader.as_ref() == Some(&self.name))
    }
}

/// What is known of an autoscaler of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AutoscalerView {
    /// `status.currentReplicas`.
    pub current: i32,
    /// `status.desiredReplicas`.
    pub desired: i32,
    /// When it last changed the number.
    pub scaled_at: Option<Timestamp>,
    /// Why it does not act, in its words.
    pub failing: Option<String>,
    /// What keeps it from wanting more or fewer pods, in its words.
    pub limited: Option<String>,
    /// Whether fewer pods have been enough for some time, so that one may have to go soon.
    pub shrinking: bool,
    /// What it has measured.
    pub readings: Vec<Reading>,
}

/// A measurement of an autoscaler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Name of the metric.
    pub metric: String,
    /// The mean of the pods, as a quantity or in percent.
    pub value: String,
    /// What it is to be.
    pub target: String,
}

/// What is known of one pod of ours.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct PodView {
    /// Name of the pod.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Value of the label [`crate::plan::labels::ZONE`]; empty without zones.
    pub zone: String,
    /// Whether its condition `Ready` is true.
    pub ready: bool,
    /// Whether it has a deletion timestamp.
    pub terminating: bool,
    /// Whether it has a node.
    pub scheduled: bool,
    /// Whether its containers have ended for good.
    pub finished: bool,
    /// Message of the condition `PodScheduled` when its reason is `Unschedulable`.
    pub unschedulable: Option<String>,
    /// Whether it runs on a node that stopped reporting: not ready though its containers were when last heard of.
    pub node_lost: bool,
    /// Why its container does not run, as `reason: message` (`ImagePullBackOff: ...`, `CrashLoopBackOff: ...`); absent
    /// while it is merely being created.
    pub waiting: Option<String>,
    /// Whether it is on its way out, or will be, because somebody evicts it: its condition `DisruptionTarget` is true.
    pub disrupted: bool,
    /// Its annotation [`crate::plan::DELETION_COST`].
    pub deletion_cost: Option<i32>,
    /// Since when its admin port gives no answer; of one that was not asked, since when it is not ready.
    pub silent_since: Option<Timestamp>,
    /// What its admin port said, or why it said nothing; absent when it was not asked.
    pub admin: Option<Result<admin::Status, String>>,
}

/// An object in the way of a child of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignObject {
    /// Kind of the object.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Who has it, for people: `Deployment shop/cart`, or `nobody` when it has no controller.
    pub owner: String,
}
