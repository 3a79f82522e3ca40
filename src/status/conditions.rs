//! The one table of condition types and reasons.

use std::fmt;

use stompbroker_config::admin::UpstreamState;

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConditionType {
    /// The spec can be put into effect.
    Accepted,
    /// Everything that the spec refers to exists.
    ResolvedRefs,
    /// Every pod runs with the configuration that the spec asks for.
    ConfigApplied,
    /// Every pod has an upstream: a broker with the relay engine, NATS with the engine jetStream.
    RelayConnected,
    /// Every zone has the pods that it is to have.
    ZonesSatisfied,
    /// The numbers of pods follow the load, as far as the spec wants that; with autoscaling only.
    Autoscaled,
    /// Each login has one value, and every pod accepts it.
    CredentialsSettled,
    /// Pods are kept as they are though this operator would make them otherwise.
    UpdateAvailable,
    /// Something is on its way.
    Progressing,
    /// Something is wrong that does not pass by itself.
    Degraded,
    /// The sum: clients can connect, and what runs is what the spec asks for.
    Ready,
}

impl ConditionType {
    /// All types in the order in which they stand in the status.
    pub const ALL: [Self; 11] = [
        Self::Ready,
        Self::Progressing,
        Self::Degraded,
        Self::Accepted,
        Self::ResolvedRefs,
        Self::ConfigApplied,
        Self::RelayConnected,
        Self::ZonesSatisfied,
        Self::Autoscaled,
        Self::CredentialsSettled,
        Self::UpdateAvailable,
    ];

    /// The value of `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::ConfigApplied => "ConfigApplied",
            Self::RelayConnected => "RelayConnected",
            Self::ZonesSatisfied => "ZonesSatisfied",
            Self::Autoscaled => "Autoscaled",
            Self::CredentialsSettled => "CredentialsSettled",
            Self::UpdateAvailable => "UpdateAvailable",
            Self::Progressing => "Progressing",
            Self::Degraded => "Degraded",
            Self::Ready => "Ready",
        }
    }
}

/// Why a condition has its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// All is as the spec asks for.
    AsExpected,
    /// The spec asks for no pods, and there are none.
    ScaledToZero,
    /// A value of the spec cannot work.
    Invalid,
    /// An object of somebody else has the name of a child.
    NameConflict,
    /// A Secret that the spec names does not exist.
    SecretNotFound,
    /// A Secret that the spec names lacks a key.
    SecretKeyMissing,
    /// A Secret that the spec names cannot be read.
    SecretUnreadable,
    /// Pods have not taken up the newest configuration yet.
    ConfigPending,
    /// Pods refused the newest configuration and run with the previous one.
    ConfigRejected,
    /// Pods run with the newest configuration except for keys that need a restart.
    RestartNeeded,
    /// No pod could be asked.
    PodsNotAnswering,
    /// Pods are being started or replaced.
    RollingOut,
    /// Fewer pods are ready than wanted.
    PodsNotReady,
    /// Pods cannot be created, for example because of a quota.
    PodsNotCreated,
    /// Pods do not start.
    PodsFailing,
    /// A rollout has not come forward for too long.
    ProgressDeadlineExceeded,
    /// A zone does not come up, and the others keep the revision that they have.
    RolloutHalted,
    /// A zone did not come up, and all zones went back to the revision before.
    RolledBack,
    /// A login is being given a new value.
    RotationInProgress,
    /// The operator is newer than the pods.
    OperatorUpgraded,
    /// No node of a zone has room for a pod.
    ZoneUnschedulable,
    /// All pods of a zone are on nodes that stopped reporting.
    ZoneLost,
    /// Autoscalers look at the CPU alone: the operator does not serve what the pods have to do.
    CpuOnly,
    /// An autoscaler does not act.
    AutoscalerFailing,
    /// The spec wants KEDA, which is not installed.
    KedaMissing,
    /// The spec leaves the numbers of pods to somebody else.
    External,
    /// The state of the cluster could not be read.
    ObserveFailed,
    /// Not all objects could be written.
    ApplyFailed,
    /// The spec was not looked at further because it was not accepted.
    NotAccepted,
    /// The relay's own word for the state of its upstreams.
    Upstream(UpstreamState),
}

impl Reason {
    /// The value of `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AsExpected => "AsExpected",
            Self::ScaledToZero => "ScaledToZero",
            Self::Invalid => "Invalid",
            Self::NameConflict => "NameConflict",
            Self::SecretNotFound => "SecretNotFound",
            Self::SecretKeyMissing => "SecretKeyMissing",
            Self::SecretUnreadable => "SecretUnreadable",
            Self::ConfigPending => "ConfigPending",
            Self::ConfigRejected => "ConfigRejected",
            Self::RestartNeeded => "RestartNeeded",
            Self::PodsNotAnswering => "PodsNotAnswering",
            Self::RollingOut => "RollingOut",
            Self::PodsNotReady => "PodsNotReady",
            Self::PodsNotCreated => "PodsNotCreated",
            Self::PodsFailing => "PodsFailing",
            Self::ProgressDeadlineExceeded => "ProgressDeadlineExceeded",
            Self::RolloutHalted => "RolloutHalted",
            Self::RolledBack => "RolledBack",
            Self::RotationInProgress => "RotationInProgress",
            Self::OperatorUpgraded => "OperatorUpgraded",
            Self::ZoneUnschedulable => "ZoneUnschedulable",
            Self::ZoneLost => "ZoneLost",
            Self::CpuOnly => "CpuOnly",
            Self::AutoscalerFailing => "AutoscalerFailing",
            Self::KedaMissing => "KedaMissing",
            Self::External => "External",
            Self::ObserveFailed => "ObserveFailed",
            Self::ApplyFailed => "ApplyFailed",
            Self::NotAccepted => "NotAccepted",
            Self::Upstream(state) => match state {
                UpstreamState::Idle => "Idle",
                UpstreamState::Connected => "Connected",
                UpstreamState::DnsFailed => "DnsFailed",
                UpstreamState::Unreachable => "Unreachable",
                UpstreamState::TlsFailed => "TlsFailed",
                UpstreamState::AuthFailed => "AuthFailed",
                UpstreamState::VhostMissing => "VhostMissing",
                UpstreamState::ProtocolError => "ProtocolError",
            },
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
