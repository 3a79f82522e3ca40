//! The Secrets of the two logins, in the shape of the Service Binding specification, and what is done with each now.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use stompbroker_config::admin::LoginDigests;

use super::{
    Settings, metadata,
    rotation::{LoginFacts, Rules, Source, Step, decide, due_in},
    service,
    silence::Patience,
};
use crate::{
    observed::{LoginView, Observed, PodView},
    validate::{Credential, ValidatedBroker, Wishes},
};

/// Value of the key `type`: what applications that read bindings look for.
const BINDING_TYPE: &str = "stomp";
/// Value of the key `provider`.
const BINDING_PROVIDER: &str = "stompbroker";

/// What has a meaning in a URI (RFC 3986, section 2.3 has the rest).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One of the two logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// What services log in with.
    System,
    /// What client connections log in with.
    Client,
}

/// The Secret of a login. Its values are made or copied where it is written, and nowhere else.
#[derive(Clone, Debug, PartialEq)]
pub struct LoginSecret {
    /// Name of the broker.
    pub broker: String,
    /// Name, namespace, labels and owner.
    pub metadata: ObjectMeta,
    /// The Secret's `type`.
    pub type_: String,
    /// Values that are no secrets and follow the spec.
    pub fixed: BTreeMap<String, String>,
    /// The key `uri`, but for the login.
    pub address: Address,
    /// Where values come from.
    pub origin: Origin,
    /// What is done with it now.
    pub step: Step,
    /// The wishes that are seen to with it.
    pub wishes: Wishes,
    /// The time of the pass, to be remembered with a step.
    pub now: Timestamp,
}

/// Where clients connect, as a URI with room for a login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address {
    scheme: &'static str,
    rest: String,
}

/// Where the values of a login come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Origin {
    /// This name and a random password.
    Generated {
        /// The name.
        username: &'static str,
    },
    /// What the user's Secret has.
    Copied {
        /// Its name.
        secret_name: String,
    },
}

/// What is done with one login now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginStep {
    /// Name of its Secret.
    pub secret_name: String,
    /// What.
    pub step: Step,
    /// How long until something may be done although nothing but time goes by.
    pub due_in: Option<Duration>,
    /// Whether its values come from a Secret of the user's, which no watch shows.
    pub follows: bool,
}

/// The pods that clients may reach, as far as they have taken up a Secret.
#[derive(Debug, Default)]
pub(crate) struct Acknowledgement<'a> {
    /// How many there are.
    pub(crate) pods: usize,
    /// Those that have not, and why when they said nothing.
    pub(crate) missing: Vec<(&'a PodView, Option<String>)>,
    /// Those that have said nothing for too long, and are no longer waited for.
    pub(crate) passed_over: Vec<&'a PodView>,
}

impl Login {
    /// Both.
    pub const ALL: [Self; 2] = [Self::System, Self::Client];

    /// What it is called in the spec; also the name of the user when it is generated: the broker gives roles by the Secret,
    /// not by the name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Client => "client",
        }
    }

    /// Its Secret.
    pub const fn credential(self, broker: &ValidatedBroker) -> &Credential {
        match self {
            Self::System => &broker.system_credential,
            Self::Client => &broker.client_credential,
        }
    }

    /// What a pod says of it.
    fn digest(self, logins: &LoginDigests) -> Option<&str> {
        match self {
            Self::System => logins.system.as_deref(),
            Self::Client => logins.client.as_deref(),
        }
    }

    /// Which pods have taken up the Secret as `seen`.
    pub(crate) fn acknowledgement<'a>(
        self,
        seen: &LoginView,
        pods: &'a [PodView],
        patience: Patience,
    ) -> Acknowledgement<'a> {
        let mut all = Acknowledgement::default();
        for pod in pods.iter().filter(|pod| may_be_reached(pod)) {
            all.pods += 1;
            if patience.is_over(pod) {
                all.passed_over.push(pod);
                continue;
            }
            let missing = match &pod.admin {
                Some(Ok(status)) if seen.digest.is_some() && self.digest(&status.logins) == seen.digest.as_deref() => {
                    continue;
                }
                Some(Ok(_)) => None,
                Some(Err(why)) => Some(why.clone()),
                None => Some(pod.waiting.clone().unwrap_or_else(|| "it does not run yet".to_owned())),
            };
            all.missing.push((pod, missing));
        }
        all
    }

    fn step(self, broker: &ValidatedBroker, observed: &Observed) -> LoginStep {
        let credential = self.credential(broker);
        let secret_name = credential.secret_name.clone();
        let follows = credential.source.is_some();
        let Some(seen) = observed.logins.get(&secret_name) else {
            return LoginStep { secret_name, step: Step::Keep, due_in: None, follows };
        };
        let patience = Patience::of_rotation(broker, observed.now);
        let new = |wish: &Option<String>, seen: &Option<String>| wish.is_some() && wish != seen;
        let facts = LoginFacts {
            holds: seen.holds,
            source: seen.matches.filter(|_| follows).map_or(Source::Generated, Source::Referenced),
            acknowledged: self.acknowledgement(seen, &observed.pods, patience).missing.is_empty(),
            wished: new(&broker.wishes.rotate, &seen.wishes.rotate),
            taken_back: new(&broker.wishes.revert, &seen.wishes.revert),
            age: Duration::try_from(observed.now.duration_since(seen.switched_at)).unwrap_or_default(),
        };
        let rotation = &broker.spec.credentials.rotation;
        let rules = Rules { every: rotation.every.map(|every| every.0), overlap: rotation.overlap.0 };
        LoginStep { secret_name, step: decide(&facts, &rules), due_in: due_in(&facts, &rules), follows }
    }

    fn secret(self, broker: &ValidatedBroker, observed: &Observed, settings: &Settings, step: Step) -> LoginSecret {
        let credential = self.credential(broker);
        let port = broker.listeners.ports().next().map(|port| port.number.to_string());
        let fixed = [
            ("type", BINDING_TYPE.to_owned()),
            ("provider", BINDING_PROVIDER.to_owned()),
            ("host", service::host(broker, settings)),
            ("port", port.unwrap_or_default()),
        ];
        LoginSecret {
            broker: broker.name.clone(),
            metadata: metadata::shared(broker, credential.secret_name.as_str()),
            type_: format!("servicebinding.io/{BINDING_TYPE}"),
            fixed: fixed.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            address: Address::new(broker, settings),
            origin: match &credential.source {
                Some(secret_name) => Origin::Copied { secret_name: secret_name.clone() },
                None => Origin::Generated { username: self.name() },
            },
            step,
            wishes: broker.wishes.clone(),
            now: whole_seconds(observed.now),
        }
    }
}

/// The Secrets of both logins, and what is done with each.
pub(super) fn logins(
    broker: &ValidatedBroker,
    observed: &Observed,
    settings: &Settings,
) -> (Vec<LoginSecret>, Vec<LoginStep>) {
    let steps = Login::ALL.map(|login| (login, login.step(broker, observed)));
    let secrets = steps.iter().map(|(login, step)| login.secret(broker, observed, settings, step.step));
    (secrets.collect(), steps.into_iter().map(|(_, step)| step).collect())
}

/// As precise as the times of Kubernetes.
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Whether clients may reach a pod, now or as soon as it is ready, while it has the Secret as it was some time ago. One that
/// has no node yet will find the Secret as it is, and nobody is sent to one that goes and does not even answer.
fn may_be_reached(pod: &PodView) -> bool {
    let gone = pod.terminating && !pod.ready && !matches!(pod.admin, Some(Ok(_)));
    pod.scheduled && !pod.finished && !gone
}

impl Address {
    fn new(broker: &ValidatedBroker, settings: &Settings) -> Self {
        let endpoints = service::endpoints(broker, settings);
        let split = |url: String| match url.split_once("://") {
            Some(("wss", rest)) => ("wss", rest.to_owned()),
            Some((_, rest)) => ("ws", rest.to_owned()),
            None => ("stomp", url),
        };
        let stomp = endpoints.stomp.map(|rest| ("stomp", rest));
        let address = stomp.or_else(|| endpoints.stomp_tls.map(|rest| ("stomp+ssl", rest)));
        let address = address.or_else(|| endpoints.websocket.or(endpoints.websocket_tls).map(split));
        let (scheme, rest) = address.unwrap_or_default();
        Self { scheme, rest }
    }

    /// The URI with a login.
    pub(crate) fn with_login(&self, username: &str, password: &str) -> String {
        let encoded = |text| utf8_percent_encode(text, RESERVED);
        format!("{}://{}:{}@{}", self.scheme, encoded(username), encoded(password), self.rest)
    }
}
