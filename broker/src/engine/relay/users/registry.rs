//! Which users have sessions where: Spring's `MultiServerUserRegistry` and its JSON. Pure.
//!
//! Every server that shares the upstream tells its users every ten seconds and forgets what it has not been told again for
//! twenty. A pod tells its own in parts, so that no message grows with the pod, and a part that is small soon after it
//! changes, for until then a Spring application does not know of a new session.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::engine::SubscriptionKey;

/// How long what a server has told holds; Spring's `registryExpirationPeriod`.
const EXPIRY: Duration = Duration::from_secs(20);
/// Parts in which a pod tells its users.
const PARTS: usize = 8;
/// A part of more users is told only with the others, every ten seconds.
const SMALL: usize = 250;
/// Most snapshots of others that are kept.
const MAX_SNAPSHOTS: usize = 10_000;

/// A subscription of a session, by the client's id for it, as Spring tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Told {
    id: Box<str>,
    destination: Box<str>,
}

type Sessions = BTreeMap<Arc<str>, BTreeMap<SubscriptionKey, Told>>;

#[derive(Debug, Default)]
struct Part {
    users: BTreeMap<Arc<str>, Sessions>,
    changed: bool,
    /// Whether others believe that there are users in it.
    told: bool,
}

/// The users of this pod.
#[derive(Debug, Default)]
pub(super) struct Here {
    parts: [Part; PARTS],
}

impl Here {
    fn part(&mut self, user: &str) -> &mut Part {
        let mut hasher = DefaultHasher::new();
        user.hash(&mut hasher);
        // The remainder is below PARTS, so nothing is cut off.
        #[expect(clippy::cast_possible_truncation)]
        let index = (hasher.finish() % PARTS as u64) as usize;
        &mut self.parts[index]
    }

    /// A session of a user has begun.
    pub(super) fn enter(&mut self, user: &Arc<str>, session: &Arc<str>) {
        let part = self.part(user);
        part.users.entry(user.clone()).or_default().entry(session.clone()).or_default();
        part.changed = true;
    }

    /// It has ended.
    pub(super) fn leave(&mut self, user: &str, session: &str) {
        let part = self.part(user);
        let Some(sessions) = part.users.get_mut(user) else { return };
        sessions.remove(session);
        if sessions.is_empty() {
            part.users.remove(user);
        }
        part.changed = true;
    }

    /// It has subscribed to a destination of its own.
    pub(super) fn subscribed(&mut self, user: &str, session: &str, key: SubscriptionKey, id: &str, destination: &str) {
        let part = self.part(user);
        let Some(session) = part.users.get_mut(user).and_then(|sessions| sessions.get_mut(session)) else { return };
        session.insert(key, Told { id: id.into(), destination: destination.into() });
        part.changed = true;
    }

    /// It has ended a subscription.
    pub(super) fn unsubscribed(&mut self, user: &str, session: &str, key: SubscriptionKey) {
        let part = self.part(user);
        let Some(session) = part.users.get_mut(user).and_then(|sessions| sessions.get_mut(session)) else { return };
        session.remove(&key);
        part.changed = true;
    }

    /// Whether a session of this name, or a user of it, is here.
    pub(super) fn knows_user(&mut self, user: &str) -> bool {
        self.part(user).users.contains_key(user)
    }

    /// The snapshots to tell now, as JSON; in a `round` all that others do not know to be empty.
    pub(super) fn due(&mut self, instance: &str, round: bool) -> Vec<String> {
        let mut due = Vec::new();
        for (number, part) in self.parts.iter_mut().enumerate() {
            let is_due =
                if round { !part.users.is_empty() || part.told } else { part.changed && part.users.len() <= SMALL };
            if is_due {
                (part.changed, part.told) = (false, !part.users.is_empty());
                due.push(part.json(&format!("{instance}-{number}")));
            }
        }
        due
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Snapshot<'a> {
    id: &'a str,
    user_map: BTreeMap<&'a str, User<'a>>,
}

#[derive(Serialize)]
struct User<'a> {
    name: &'a str,
    sessions: Vec<Session<'a>>,
}

#[derive(Serialize)]
struct Session<'a> {
    id: &'a str,
    subscriptions: Vec<&'a Told>,
}

impl Part {
    fn json(&self, id: &str) -> String {
        let sessions = |sessions: &'_ Sessions| -> Vec<(Arc<str>, Vec<Told>)> {
            sessions.iter().map(|(id, told)| (id.clone(), told.values().cloned().collect())).collect()
        };
        let owned: Vec<_> = self.users.iter().map(|(name, of)| (name.clone(), sessions(of))).collect();
        let user_map = owned.iter().map(|(name, sessions)| {
            let sessions =
                sessions.iter().map(|(id, told)| Session { id, subscriptions: told.iter().collect() }).collect();
            (&**name, User { name, sessions })
        });
        let snapshot = Snapshot { id, user_map: user_map.collect() };
        // Maps with texts for keys always have a JSON form.
        serde_json::to_string(&snapshot).unwrap_or_default()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Heard {
    id: Box<str>,
    #[serde(default)]
    user_map: HashMap<Box<str>, HeardUser>,
}

#[derive(Deserialize)]
struct HeardUser {
    #[serde(default)]
    sessions: Vec<HeardSession>,
}

#[derive(Deserialize)]
struct HeardSession {
    id: Box<str>,
}

#[derive(Debug)]
struct Known {
    users: HashMap<Box<str>, Box<[Box<str>]>>,
    /// Whether it is a pod of ours.
    is_pod: bool,
    until: Instant,
}

/// The users of all others.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    snapshots: HashMap<Box<str>, Known>,
}

impl Elsewhere {
    /// Takes a snapshot of a pod or of a Spring application, in place of the one before.
    ///
    /// # Errors
    /// When it is not one.
    pub(super) fn hear(&mut self, json: &[u8], is_pod: bool, now: Instant) -> Result<(), serde_json::Error> {
        let Heard { id, user_map } = serde_json::from_slice(json)?;
        self.snapshots.retain(|_, known| known.until > now);
        if self.snapshots.len() >= MAX_SNAPSHOTS && !self.snapshots.contains_key(&id) {
            return Ok(());
        }
        let ids = |user: HeardUser| user.sessions.into_iter().map(|session| session.id).collect();
        let users = user_map.into_iter().map(|(name, user)| (name, ids(user))).collect();
        self.snapshots.insert(id, Known { users, is_pod, until: now + EXPIRY });
        Ok(())
    }

    fn valid(&self, now: Instant) -> impl Iterator<Item = &Known> {
        self.snapshots.values().filter(move |known| known.until > now)
    }

    /// The sessions of this name at Spring applications: those of the user, or the one with this id. None twice.
    pub(super) fn sessions_at_spring(&self, name: &str, now: Instant) -> Vec<Box<str>> {
        let springs = || self.valid(now).filter(|known| !known.is_pod);
        let mut sessions: Vec<_> =
            springs().filter_map(|known| known.users.get(name)).flat_map(|ids| ids.iter().cloned()).collect();
        if sessions.is_empty() && springs().any(|known| known.has_session(name)) {
            sessions.push(name.into());
        }
        sessions.sort_unstable();
        sessions.dedup();
        sessions
    }

    /// Whether anybody has a user or a session of this name.
    pub(super) fn knows(&self, name: &str, now: Instant) -> bool {
        self.valid(now).any(|known| known.users.contains_key(name) || known.has_session(name))
    }

    /// Whether anybody has a session of this id.
    pub(super) fn has_session(&self, id: &str, now: Instant) -> bool {
        self.valid(now).any(|known| known.has_session(id))
    }
}

impl Known {
    fn has_session(&self, id: &str) -> bool {
        self.users.values().any(|ids| ids.iter().any(|known| **known == *id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Spring Framework 7.0.8 sends.
    const SPRING: &str = r#"{"id":"10.0.0.1-6f2b","userMap":{"bob":{"name":"bob","principal":null,"sessions":[{"id":"s-1",
        "user":{"name":"","principal":null,"sessions":[]},"subscriptions":[{"id":"0","destination":"/user/queue/a",
        "session":{"id":"","user":{"name":"","principal":null,"sessions":[]},"subscriptions":[]}}]},{"id":"s-2",
        "user":{"name":"","principal":null,"sessions":[]},"subscriptions":[]}]}}}"#;

    fn parsed(texts: &[String]) -> Vec<serde_json::Value> {
        texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    #[test]
    fn a_user_of_a_spring_application_is_known_until_it_is_not_told_any_more() {
        let (mut elsewhere, now) = (Elsewhere::default(), Instant::now());
        elsewhere.hear(SPRING.as_bytes(), false, now).unwrap();
        assert_eq!(elsewhere.sessions_at_spring("bob", now), ["s-1".into(), "s-2".into()]);
        assert_eq!(elsewhere.sessions_at_spring("s-2", now), ["s-2".into()]);
        assert!(elsewhere.knows("bob", now) && elsewhere.has_session("s-1", now) && !elsewhere.has_session("bob", now));
        assert!(!elsewhere.knows("bob", now + EXPIRY));
        assert!(elsewhere.sessions_at_spring("bob", now + EXPIRY).is_empty());
        assert!(elsewhere.hear(b"[1]", false, now).is_err());
    }

    #[test]
    fn users_of_other_pods_are_known_but_not_at_spring() {
        let (mut elsewhere, mut pod, now) = (Elsewhere::default(), Here::default(), Instant::now());
        pod.enter(&"ann".into(), &"p-1".into());
        for json in pod.due("pod", true) {
            elsewhere.hear(json.as_bytes(), true, now).unwrap();
        }
        assert!(elsewhere.knows("ann", now) && elsewhere.knows("p-1", now));
        assert!(elsewhere.sessions_at_spring("ann", now).is_empty());
    }

    #[test]
    fn what_is_told_is_what_spring_reads_and_a_change_of_few_users_is_told_at_once() {
        let mut here = Here::default();
        assert!(here.due("pod", true).is_empty(), "nobody is here");
        here.enter(&"ann".into(), &"p-1".into());
        here.subscribed("ann", "p-1", SubscriptionKey(3), "sub-0", "/user/queue/a");
        let told = parsed(&here.due("pod", false));
        let ann = serde_json::json!({"name": "ann", "sessions":
            [{"id": "p-1", "subscriptions": [{"id": "sub-0", "destination": "/user/queue/a"}]}]});
        assert_eq!((told.len(), &told[0]["userMap"]["ann"]), (1, &ann));
        assert!(told[0]["id"].as_str().unwrap().starts_with("pod-"));
        assert!(here.due("pod", false).is_empty(), "nothing has changed");
        here.unsubscribed("ann", "p-1", SubscriptionKey(3));
        here.leave("ann", "p-1");
        let told = parsed(&here.due("pod", true));
        assert_eq!(told[0]["userMap"], serde_json::json!({}), "others must hear that nobody is left");
        assert!(here.due("pod", true).is_empty());
    }
}
