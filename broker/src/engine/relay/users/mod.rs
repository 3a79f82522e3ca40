//! Destinations of users over the upstream, together with the Spring applications that use it (`engine.relay.
//! userDestinationBroadcast`, `userRegistryBroadcast`; `setUserDestinationBroadcast`, `setUserRegistryBroadcast` there).
//!
//! ```text
//! SEND /user/ann/queue/a ──► resolve ──► broadcast topic ──► every pod: its own sessions of ann
//!                               │                        └─► every Spring application: its own, unless ann is known
//!                               └─ ann is known at Spring ─► /queue/a-userSESSION, for each session there
//! Spring: convertAndSendToUser ─┬─ nobody known ──► broadcast topic ──► as above
//!                               └─ sessions known ──► /queue/a-userSESSION ──► system connection of that pod
//! ```
//!
//! * A message reaches each session once: pods among themselves use only the broadcast, and serve their own sessions alone.
//!   Spring applications know the sessions of pods and would send to them as well, so a broadcast about a known user has
//!   [`POD_DESTINATION`] in place of Spring's header, which they pass over.
//! * Nothing that comes by a broadcast is ever sent on, so nothing goes round in circles.
//! * Subscriptions of sessions are served by an [`EmbeddedEngine`] of the pod; what comes for them comes by the system
//!   connection, which waits for no client.

mod half;
mod registry;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;
use rand::{Rng as _, distr::Alphanumeric};
use stompbroker_config::RelayEngine;
use tokio::{sync::Notify, time::Instant};

pub(super) use self::half::Half;
use self::registry::{Elsewhere, Here};
use super::translator::shown;
use crate::{
    destination::{UserDestinations, is_pattern, user::ORIGINAL_DESTINATION},
    engine::{EngineError, Operation, SessionInfo, embedded::EmbeddedEngine},
    message::Message,
    stomp::{Command, Frame, Version, encode},
};

/// The id of the subscription to the broadcasts of messages for users.
pub(super) const MESSAGES: &str = "users";
/// The id of the subscription to the broadcasts of registries.
pub(super) const REGISTRIES: &str = "registry";
/// What a message of a broadcast was sent to, where only pods may deliver it.
const POD_DESTINATION: &str = "stompbroker-user-destination";
/// Says that a registry is a pod's.
const POD: &str = "stompbroker-instance";
/// What Spring puts between a destination of a user and the id of the user's session.
const INFIX: &str = "-user";
/// Characters of a pod's name among those that share the upstream.
const INSTANCE: usize = 12;

/// A queue by which Spring applications reach one session of this pod at one destination.
#[derive(Clone, Debug)]
struct Wanted {
    session: Arc<str>,
    own: Box<str>,
    /// How many subscriptions of the session want it.
    count: usize,
    /// Whether a system connection has subscribed to it.
    told: bool,
}

#[derive(Debug, Default)]
struct State {
    here: Here,
    elsewhere: Elsewhere,
    wanted: BTreeMap<u64, Wanted>,
    numbers: HashMap<(Arc<str>, Box<str>), u64>,
    next: u64,
    /// Queues that have come or gone since the system connection looked.
    changed: Vec<u64>,
}

/// What all sessions of the pod share.
pub(super) struct Users {
    /// This pod among all servers that share the upstream.
    instance: Box<str>,
    local: EmbeddedEngine,
    destinations: UserDestinations,
    state: Mutex<State>,
    /// Wakes the task of the system connection when queues have come or gone.
    pub(super) news: Notify,
}

impl Default for Users {
    fn default() -> Self {
        Self {
            instance: rand::rng().sample_iter(Alphanumeric).take(INSTANCE).map(char::from).collect::<String>().into(),
            local: EmbeddedEngine::new(&stompbroker_config::EmbeddedEngine::default()),
            destinations: UserDestinations::default(),
            state: Mutex::default(),
            news: Notify::new(),
        }
    }
}

/// A session of a user, in the registry for as long as this is there.
pub(super) struct Presence {
    users: Arc<Users>,
    user: Arc<str>,
    session: Arc<str>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.users.state.lock().here.leave(&self.user, &self.session);
    }
}

impl Users {
    /// Notes a session; none for an anonymous one, whom nobody can name.
    pub(super) fn enter(self: &Arc<Self>, session: &SessionInfo) -> Option<Presence> {
        if session.user.is_empty() {
            return None;
        }
        self.state.lock().here.enter(&session.user, &session.id);
        Some(Presence { users: self.clone(), user: session.user.clone(), session: session.id.clone() })
    }

    /// The engine that serves the subscriptions.
    pub(super) fn local(&self) -> &EmbeddedEngine {
        &self.local
    }

    /// What is behind the prefix, in a destination of a user that a session subscribes to.
    fn own<'a>(&self, destination: &'a str) -> Option<&'a str> {
        self.destinations.own(destination)
    }

    /// Whether an operation subscribes to a destination of a user.
    pub(super) fn is_own(&self, destination: &str) -> bool {
        self.own(destination).is_some()
    }

    /// Refuses destinations that are the servers' own: who could send to them would reach users past the rules, and who
    /// could subscribe to them would read what is for others.
    ///
    /// # Errors
    /// When it is one of these.
    pub(super) fn check(&self, relay: &RelayEngine, destination: &str) -> Result<(), EngineError> {
        let broadcasts = [&relay.user_destination_broadcast, &relay.user_registry_broadcast];
        let is_broadcast = broadcasts.into_iter().flatten().any(|topic| **topic == *destination);
        let of_session = || destination.rsplit_once(INFIX).is_some_and(|(_, session)| self.has_session(session));
        if is_broadcast || relay.user_registry_broadcast.is_some() && of_session() {
            let remedy = "it is for the servers that share the upstream; use /user/... to reach a user".into();
            return Err(EngineError::UnknownDestination { destination: destination.into(), remedy });
        }
        Ok(())
    }

    fn has_session(&self, session: &str) -> bool {
        let state = self.state.lock();
        state.wanted.values().any(|wanted| *wanted.session == *session)
            || state.elsewhere.has_session(session, Instant::now())
    }

    /// The messages upstream that a message for a user becomes, the broadcast last; none if it is for no user.
    ///
    /// # Errors
    /// When users are not to be reached here, or its destination is that of many.
    pub(super) fn resolve(
        &self,
        relay: &RelayEngine,
        message: &Message,
    ) -> Result<Option<Vec<Arc<Message>>>, EngineError> {
        let Some(addressee) = self.destinations.addressee(&message.destination) else { return Ok(None) };
        let refuse = |remedy: &str| {
            let destination = message.destination.as_str().into();
            Err(EngineError::UnknownDestination { destination, remedy: remedy.into() })
        };
        let Some(topic) = &relay.user_destination_broadcast else {
            return refuse("users are not reached until engine.relay.userDestinationBroadcast names a topic");
        };
        if is_pattern(&message.destination) {
            return refuse("a message goes to one destination of one user");
        }
        let (at_spring, known) = match &relay.user_registry_broadcast {
            Some(_) => {
                let (mut state, now) = (self.state.lock(), Instant::now());
                let at_spring = state.elsewhere.sessions_at_spring(&addressee.name, now);
                let known = !at_spring.is_empty()
                    || state.here.knows_user(&addressee.name)
                    || state.wanted.values().any(|wanted| *wanted.session == *addressee.name)
                    || state.elsewhere.knows(&addressee.name, now);
                (at_spring, known)
            }
            None => (Vec::new(), false),
        };
        let mut plain = message.sent_on(message.destination.clone(), None);
        plain.remove_header(POD_DESTINATION);
        let subscribed = self.destinations.subscribed(addressee.own);
        let original = |destination: &str| Some((ORIGINAL_DESTINATION.into(), destination.into()));
        let mut messages: Vec<_> = at_spring
            .iter()
            .map(|session| {
                let queue = format!("{}{INFIX}{session}", addressee.own);
                Arc::new(plain.sent_on(queue.into(), original(&subscribed)))
            })
            .collect();
        plain.remove_header(ORIGINAL_DESTINATION);
        let name = if known { POD_DESTINATION } else { ORIGINAL_DESTINATION };
        let header = (name.into(), message.destination.as_str().into());
        messages.push(Arc::new(plain.sent_on(topic.as_str().into(), Some(header))));
        Ok(Some(messages))
    }

    /// Checks an operation and replaces what it sends to users.
    ///
    /// # Errors
    /// As [`Self::check`] and [`Self::resolve`].
    pub(super) fn upstream(&self, relay: &RelayEngine, operation: Operation) -> Result<Vec<Operation>, EngineError> {
        Ok(match operation {
            Operation::Send(message) => {
                if let Some(messages) = self.resolve(relay, &message)? {
                    messages.into_iter().map(Operation::Send).collect()
                } else {
                    self.check(relay, &message.destination)?;
                    vec![Operation::Send(message)]
                }
            }
            Operation::Subscribe(subscription) => {
                self.check(relay, &subscription.destination)?;
                vec![Operation::Subscribe(subscription)]
            }
            Operation::Commit(operations) => {
                let mut all = Vec::with_capacity(operations.len());
                for operation in operations {
                    all.extend(self.upstream(relay, operation)?);
                }
                vec![Operation::Commit(all)]
            }
            other => vec![other],
        })
    }

    /// Hands a MESSAGE of the system connection to the sessions that it is for.
    pub(super) fn receive(&self, frame: Frame) {
        match frame.header("subscription") {
            Some(REGISTRIES) => {
                let is_pod = frame.header(POD).is_some();
                if let Err(error) = self.state.lock().elsewhere.hear(&frame.body, is_pod, Instant::now()) {
                    tracing::debug!(%error, "a registry of users that cannot be read");
                }
            }
            Some(MESSAGES) => {
                let destination = frame.header(POD_DESTINATION).or_else(|| frame.header(ORIGINAL_DESTINATION));
                if let Some(destination) = destination.map(Into::into) {
                    self.deliver(frame, destination);
                }
            }
            Some(id) => {
                let number = id.strip_prefix('u').and_then(|number| number.parse().ok());
                let wanted = number.and_then(|number: u64| self.state.lock().wanted.get(&number).cloned());
                if let Some(Wanted { session, own, .. }) = wanted {
                    self.deliver(frame, self.destinations.subscribed(&format!("/{session}{own}")));
                }
            }
            None => {}
        }
    }

    fn deliver(&self, frame: Frame, destination: smol_str::SmolStr) {
        let id = rand::random::<u64>();
        let content_length = frame.header("content-length").is_some();
        let mut headers = shown(frame.headers);
        headers.retain(|(name, _)| ![ORIGINAL_DESTINATION, POD_DESTINATION].contains(&&**name));
        let id = format!("relay-{id:016x}").into();
        self.local.deliver_user(&Message::new(id, destination, headers, frame.body, content_length));
    }

    /// A session wants what Spring applications send it at a destination of its own.
    fn want(&self, session: &Arc<str>, own: &str) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let place = (session.clone(), own.into());
        let number = *state.numbers.entry(place).or_insert_with(|| {
            state.next += 1;
            state.changed.push(state.next);
            state
                .wanted
                .insert(state.next, Wanted { session: session.clone(), own: own.into(), count: 0, told: false });
            state.next
        });
        if let Some(wanted) = state.wanted.get_mut(&number) {
            wanted.count += 1;
        }
        self.news.notify_one();
    }

    /// Ends what [`Self::want`] began.
    fn forgo(&self, session: &Arc<str>, own: &str) {
        let mut state = self.state.lock();
        let place = (session.clone(), own.into());
        let Some(number) = state.numbers.get(&place).copied() else { return };
        let Some(wanted) = state.wanted.get_mut(&number) else { return };
        wanted.count -= 1;
        if wanted.count > 0 {
            return;
        }
        let told = wanted.told;
        state.wanted.remove(&number);
        state.numbers.remove(&place);
        if told {
            state.changed.push(number);
            self.news.notify_one();
        } else {
            // What was never subscribed to cannot be ended; an upstream would end the connection instead.
            state.changed.retain(|changed| *changed != number);
        }
    }

    /// Writes what tells a system connection which queues have come and gone; all of them on a `new` one.
    pub(super) fn tell_queues(&self, new: bool, version: Version, out: &mut Vec<u8>) {
        let mut state = self.state.lock();
        let changed = std::mem::take(&mut state.changed);
        let numbers = if new { state.wanted.keys().copied().collect() } else { changed };
        for number in numbers {
            let id = format!("u{number}");
            match state.wanted.get_mut(&number) {
                Some(Wanted { session, own, told, .. }) => {
                    *told = true;
                    subscribe(&id, &format!("{own}{INFIX}{session}"), None, version, out);
                }
                None => encode(out, Some(version), Command::Unsubscribe, [("id", &*id)], false, b""),
            }
        }
    }

    /// Forgets what there would have been to tell, while there is nobody to be told.
    pub(super) fn tell_nobody(&self) {
        self.state.lock().changed.clear();
    }

    /// Writes which users are here, as far as that is due.
    pub(super) fn tell_registry(&self, topic: &str, round: bool, version: Version, out: &mut Vec<u8>) {
        for json in self.state.lock().here.due(&self.instance, round) {
            let headers = [("destination", topic), ("content-type", "application/json"), (POD, &*self.instance)];
            encode(out, Some(version), Command::Send, headers, true, json.as_bytes());
        }
    }
}

/// Writes a SUBSCRIBE of the system connection.
pub(super) fn subscribe(id: &str, destination: &str, receipt: Option<&str>, version: Version, out: &mut Vec<u8>) {
    let headers = [("id", id), ("destination", destination), ("ack", "auto")];
    let receipt = receipt.map(|receipt| ("receipt", receipt));
    encode(out, Some(version), Command::Subscribe, headers.into_iter().chain(receipt), false, b"");
}

#[cfg(test)]
mod tests;
