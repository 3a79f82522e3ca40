//! The one table of condition types and reasons: what each means and what a reader of the status can do.
//!
//! `docs/status.md` is made of it, and tests hold every status that is built against [`ConditionType::can_have`].

use std::fmt;

use stompbroker_config::admin::UpstreamState;

/// Makes an enum whose variants' doc comments are the text of the reference too, so that each is written once.
macro_rules! names {
    (
        $(#[$about:meta])*
        $visibility:vis enum $name:ident {
            $($(#[doc = $meaning:literal])+ $variant:ident,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $visibility enum $name {
            $($(#[doc = $meaning])+ $variant,)+
        }

        impl $name {
            /// All of them, in the order in which people read them.
            $visibility const ALL: &[Self] = &[$(Self::$variant),+];

            /// The value in the status.
            $visibility fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }

            /// What it means, as one sentence.
            $visibility fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($meaning),+).trim_ascii(),)+
                }
            }
        }
    };
}
pub(crate) use names;

names! {
    /// What a condition is about.
    pub enum ConditionType {
        /// The sum: clients can connect, and what runs is what the spec asks for.
        Ready,
        /// Something is on its way.
        Progressing,
        /// Something is wrong that does not pass by itself.
        Degraded,
        /// Nothing goes on until somebody changes the spec, or an object in the way; only there while it is so.
        Stalled,
        /// The spec can be put into effect.
        Accepted,
        /// Everything that the spec refers to exists.
        ResolvedRefs,
        /// Every pod runs with the configuration that the spec asks for.
        ConfigApplied,
        /// Every pod has an upstream: a broker with the relay engine, NATS with the engine jetStream.
        RelayConnected,
        /// Every NATS server that the operator runs is there and has caught up; with `engine.jetStream.managed` only.
        NatsReady,
        /// Every zone has the pods that it is to have.
        ZonesSatisfied,
        /// Clients outside the cluster can come in, as far as the spec wants that; with `exposure` only.
        Exposed,
        /// Every certificate that the spec refers to is there and good for some time; there only with any.
        CertificatesValid,
        /// The numbers of pods follow the load, as far as the spec wants that; with autoscaling only.
        Autoscaled,
        /// Each login has one value, and every pod accepts it.
        CredentialsSettled,
        /// The operator puts the spec into effect; there only while it does not.
        Managed,
        /// Pods are kept as they are though this operator would make them otherwise.
        UpdateAvailable,
    }
}

impl ConditionType {
    /// The status that it has when all is well.
    pub fn healthy(self) -> &'static str {
        match self {
            Self::Progressing | Self::Degraded | Self::Stalled | Self::UpdateAvailable => "False",
            _ => "True",
        }
    }

    /// Whether it can have `reason`, whatever its status.
    pub fn can_have(self, reason: Reason) -> bool {
        use Reason as R;
        let of_upstreams = matches!(
            reason,
            R::DnsFailed | R::Unreachable | R::TlsFailed | R::AuthFailed | R::VhostMissing | R::ProtocolError
        );
        let of_specs = matches!(reason, R::Invalid | R::OverrideRefused | R::NameConflict);
        let of_references = matches!(reason, R::SecretNotFound | R::SecretKeyMissing | R::SecretUnreadable);
        let of_issuers = matches!(reason, R::CertManagerMissing | R::CertificatePending | R::CertificateFailed);
        let of_failures = matches!(reason, R::ObserveFailed | R::ApplyFailed);
        let of_what_was_not_reached = of_failures || reason == R::NotAccepted;
        let of_pods = matches!(reason, R::PodsNotAnswering | R::PodsNotReady | R::ScaledToZero);
        reason == R::AsExpected && !matches!(self, Self::RelayConnected | Self::Managed | Self::Stalled)
            || match self {
                Self::Ready => {
                    reason == R::ScaledToZero || Self::Degraded.can_have(reason) || Self::Progressing.can_have(reason)
                }
                Self::Managed => matches!(reason, R::Suspended | R::Observing),
                Self::Progressing => {
                    of_what_was_not_reached
                        || matches!(reason, R::RollingOut | R::ProgressDeadlineExceeded | R::PodsNotReady | R::Idle)
                        || matches!(reason, R::ConfigPending | R::RestartNeeded | R::PodsNotAnswering | R::CatchingUp)
                        || matches!(reason, R::AddressPending | R::RoutePending | R::CertificatePending)
                        || Self::Managed.can_have(reason)
                }
                Self::Degraded => {
                    of_references
                        || of_failures
                        || of_upstreams
                        || of_specs
                        || matches!(reason, R::ConfigRejected | R::KedaMissing)
                        || matches!(reason, R::ZoneLost | R::ZoneUnschedulable | R::PodsNotCreated | R::PodsFailing)
                        || matches!(reason, R::ProgressDeadlineExceeded | R::RolloutHalted | R::RolledBack)
                        || matches!(reason, R::GatewayApiMissing | R::RouteRefused | R::CertificateExpired)
                        || matches!(reason, R::CertManagerMissing | R::CertificateFailed)
                }
                Self::Stalled => of_specs || matches!(reason, R::RolloutHalted | R::RolledBack),
                Self::Accepted => of_what_was_not_reached || of_specs,
                Self::ResolvedRefs => of_what_was_not_reached || of_references || of_issuers,
                Self::ConfigApplied => {
                    of_what_was_not_reached
                        || of_pods
                        || matches!(reason, R::ConfigPending | R::ConfigRejected | R::RestartNeeded | R::PodsPassedOver)
                }
                Self::RelayConnected => {
                    of_what_was_not_reached || of_pods || of_upstreams || matches!(reason, R::Idle | R::Connected)
                }
                Self::NatsReady => {
                    of_what_was_not_reached
                        || matches!(reason, R::PodsNotReady | R::PodsNotAnswering | R::PodsFailing | R::CatchingUp)
                }
                Self::ZonesSatisfied => {
                    of_what_was_not_reached
                        || matches!(reason, R::PodsNotReady | R::ZoneLost | R::ZoneUnschedulable | R::ScaledToZero)
                }
                Self::Exposed => {
                    of_what_was_not_reached
                        || matches!(reason, R::GatewayApiMissing | R::RouteRefused)
                        || matches!(reason, R::AddressPending | R::RoutePending)
                }
                Self::CertificatesValid => {
                    of_what_was_not_reached
                        || of_issuers
                        || matches!(reason, R::CertificateExpiring | R::CertificateExpired)
                }
                Self::Autoscaled => {
                    of_what_was_not_reached
                        || matches!(reason, R::CpuOnly | R::AutoscalerFailing | R::KedaMissing | R::External)
                }
                Self::CredentialsSettled => of_what_was_not_reached || reason == R::RotationInProgress,
                Self::UpdateAvailable => of_what_was_not_reached || reason == R::OperatorUpgraded,
            }
    }
}

names! {
    /// Why a condition has its status.
    pub enum Reason {
        /// All is as the spec asks for.
        AsExpected,
        /// The spec asks for no pods, and there are none.
        ScaledToZero,
        /// A value of the spec cannot work.
        Invalid,
        /// A patch of `spec.overrides` cannot be done, or changes what is protected.
        OverrideRefused,
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
        /// Pods have said nothing for so long that rollouts no longer wait for them.
        PodsPassedOver,
        /// Pods are being started or replaced.
        RollingOut,
        /// Fewer pods are ready than wanted.
        PodsNotReady,
        /// Pods cannot be created, for example because of a quota.
        PodsNotCreated,
        /// Pods do not start.
        PodsFailing,
        /// A NATS server does not have yet what the others have.
        CatchingUp,
        /// A rollout has not come forward for too long.
        ProgressDeadlineExceeded,
        /// A zone does not come up, and the others keep the revision that they have.
        RolloutHalted,
        /// A zone did not come up, and all zones went back to the revision before.
        RolledBack,
        /// A login is being given a new value.
        RotationInProgress,
        /// The spec wants every object left as it is.
        Suspended,
        /// The spec wants to be told what would be done, and nothing done.
        Observing,
        /// The operator is newer than the pods.
        OperatorUpgraded,
        /// No node of a zone has room for a pod.
        ZoneUnschedulable,
        /// All pods of a zone are on nodes that stopped reporting.
        ZoneLost,
        /// The spec wants routes of Gateway API, which is not installed.
        GatewayApiMissing,
        /// A gateway does not take a route.
        RouteRefused,
        /// No gateway has said yet whether it takes a route.
        RoutePending,
        /// A load balancer has no address yet.
        AddressPending,
        /// The spec wants a certificate of cert-manager, which is not installed.
        CertManagerMissing,
        /// cert-manager has not issued a certificate yet.
        CertificatePending,
        /// cert-manager could not issue a certificate.
        CertificateFailed,
        /// A certificate ends soon, and should have been renewed by now.
        CertificateExpiring,
        /// A certificate is no longer good.
        CertificateExpired,
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
        /// No upstream is tried yet, or needed because another one serves.
        Idle,
        /// The system connection to an upstream stands.
        Connected,
        /// The upstream's host name does not resolve.
        DnsFailed,
        /// No TCP connection to the upstream, or it broke, or no answer in time.
        Unreachable,
        /// No agreement with the upstream on TLS: whose certificate is trusted, whether one is shown, or whether there is TLS at all.
        TlsFailed,
        /// The upstream refused the login.
        AuthFailed,
        /// The upstream does not know the virtual host.
        VhostMissing,
        /// The upstream answered what is not its protocol, or an error of another kind.
        ProtocolError,
    }
}

impl Reason {
    /// What somebody who reads it can do.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::AsExpected | Self::External | Self::Idle | Self::Connected => "nothing",
            Self::ScaledToZero => "nothing; raise `replicas` to serve clients again",
            Self::Invalid => "correct the field that the message names; what ran before still runs",
            Self::OverrideRefused => {
                "correct or remove the override that the message names; what ran before still runs"
            }
            Self::NameConflict => "rename one of the two, or delete the other object",
            Self::SecretNotFound => "create it; the operator notices by itself",
            Self::SecretKeyMissing => "add the key that the message names",
            Self::SecretUnreadable => "look at the operator's rights in that namespace; nothing is made anew meanwhile",
            Self::ConfigPending => "wait: the kubelet brings files within about a minute",
            Self::ConfigRejected => {
                "correct what the pods' own words in the message name, often the content of a Secret"
            }
            Self::RestartNeeded => "wait for the rollout, or see why it waits in `status.lastRollout`",
            Self::PodsNotAnswering | Self::PodsPassedOver => {
                "look at the pods, and at NetworkPolicies between the operator and their admin port"
            }
            Self::RollingOut => "wait; `status.lastRollout` tells which zone has its turn and why",
            Self::PodsNotReady => "`kubectl stompbroker why` names the pods and what they wait for",
            Self::PodsNotCreated => "raise the quota or lower what the spec asks for",
            Self::PodsFailing => "read the kubelet's words in the message, and `kubectl logs --previous`",
            Self::CatchingUp => "wait; if it lasts, read the log of the server that the message names",
            Self::ProgressDeadlineExceeded => {
                "look at the zone's pods; broken pods are replaced as soon as the spec is corrected"
            }
            Self::RolloutHalted => "correct the spec, or set `rollout.onFailure: Rollback`",
            Self::RolledBack => "correct the spec; the failed revision is not tried again by itself",
            Self::RotationInProgress => "nothing; `status.credentials` tells the state",
            Self::Suspended => "nothing, or set `suspend: false`",
            Self::Observing => "read `status.plannedChanges`; `managementPolicy: Manage` puts it into effect",
            Self::OperatorUpgraded => "nothing, or `upgradePolicy: Automatic`, or a `maintenanceWindow`",
            Self::ZoneUnschedulable => "add nodes with that `topology.kubernetes.io/zone`, or lower requests",
            Self::ZoneLost => "bring the nodes back; the other zones serve on",
            Self::GatewayApiMissing => "install the CRDs of Gateway API; the operator notices by itself",
            Self::RouteRefused => {
                "read the gateway's words in the message; often its listeners allow no routes of this namespace or host name"
            }
            Self::RoutePending => {
                "wait; if it lasts, see that `parentRefs` names a Gateway that some controller looks after"
            }
            Self::AddressPending => "wait; if it lasts, see whether the cluster makes load balancers of this class",
            Self::CertManagerMissing => "install cert-manager, or name a Secret by `secretName` instead of `issuerRef`",
            Self::CertificatePending => {
                "wait; if it lasts, see that the issuer exists, and `kubectl describe certificate`"
            }
            Self::CertificateFailed => {
                "read cert-manager's words in the message; often names that the issuer does not issue for: set `dnsNames`"
            }
            Self::CertificateExpiring | Self::CertificateExpired => {
                "renew it in its Secret, or see by `kubectl describe certificate` why cert-manager has not; no pod is restarted"
            }
            Self::CpuOnly => "install the chart with `customMetrics.enabled`",
            Self::AutoscalerFailing => "read its own words in the message, and `kubectl describe hpa`",
            Self::KedaMissing => "install KEDA, or set `autoscaling.mode: Hpa`",
            Self::ObserveFailed => "nothing if it passes; else look at the operator's log and rights",
            Self::ApplyFailed => {
                "the message has the API server's words: a quota, an admission policy or missing rights"
            }
            Self::NotAccepted => "correct what `Accepted` or `ResolvedRefs` names",
            Self::DnsFailed => "correct the host's name, or create its Service",
            Self::Unreachable => "look at the upstream, its port, and NetworkPolicies between the pods and it",
            Self::TlsFailed => {
                "compare `tls` of the upstream with the certificate that it shows, and with its wish for a client certificate"
            }
            Self::AuthFailed => {
                "correct the Secret with the login; RabbitMQ's `guest` may only log in from its own host"
            }
            Self::VhostMissing => "create the virtual host, or correct `engine.relay.virtualHost`",
            Self::ProtocolError => {
                "see that host and port lead to STOMP, or NATS; the message has the upstream's words"
            }
        }
    }
}

impl From<UpstreamState> for Reason {
    fn from(state: UpstreamState) -> Self {
        match state {
            UpstreamState::Idle => Self::Idle,
            UpstreamState::Connected => Self::Connected,
            UpstreamState::DnsFailed => Self::DnsFailed,
            UpstreamState::Unreachable => Self::Unreachable,
            UpstreamState::TlsFailed => Self::TlsFailed,
            UpstreamState::AuthFailed => Self::AuthFailed,
            UpstreamState::VhostMissing => Self::VhostMissing,
            UpstreamState::ProtocolError => Self::ProtocolError,
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
