//! What is remembered of each StompBroker between passes, only to do less: after a restart everything is found out anew.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    hash,
    kinds::ChildKind,
    steps::nats_secret::NatsSight,
    watches::{uid::Uid, views::ChildEntry},
};
use crate::{
    api::StompBrokerStatus,
    backoff::Backoff,
    observed::{LoginView, SecretView, Validity},
};

/// How long the sight of the Secrets of a healthy broker is good for.
const SECRETS_GOOD_FOR: Duration = Duration::from_secs(30);

/// The memory of all StompBrokers, by UID.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<HashMap<Uid, Box<BrokerMemory>>>);

/// The memory of one StompBroker.
#[derive(Debug, Default)]
pub(crate) struct BrokerMemory {
    /// Waiting times after failures.
    pub(crate) backoff: Backoff,
    /// What was last applied of each child, and what the server made of it, by a number of the child's kind and name.
    applied: HashMap<u64, Applied>,
    /// What applying would change, of what was looked at so.
    pub(crate) looked: HashMap<(ChildKind, String), (Applied, Vec<String>)>,
    /// The status last written and the `resourceVersion` that it got, until the watch shows it.
    pub(crate) status: Option<Box<(u64, StompBrokerStatus)>>,
    /// When the status was last written.
    pub(crate) status_written: Option<Instant>,
    secrets: Option<Secrets>,
}

/// A number of what was applied of one child, and of what the server made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Applied(u64);

impl Applied {
    /// Of the number of the desired object, and of the object as it is.
    pub(crate) fn new(desired: u64, live: &ChildEntry) -> Self {
        Self(hash((desired, &live.uid, live.fields)))
    }
}

/// The Secrets of one broker as last seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct SecretSight {
    /// Those that the spec names.
    pub(crate) referenced: BTreeMap<String, SecretView>,
    /// When the certificates in them are good.
    pub(crate) validities: BTreeMap<String, Validity>,
    /// Those that are generated.
    pub(crate) generated: BTreeMap<String, GeneratedSight>,
}

/// A generated Secret as last seen.
#[derive(Clone, Debug)]
pub(crate) struct GeneratedSight {
    /// What the pure steps see of it.
    pub(crate) view: SecretView,
    /// Its metadata; absent when it does not exist or cannot be read.
    pub(crate) entry: Option<ChildEntry>,
    /// What the pure steps see of a login.
    pub(crate) login: Option<LoginView>,
    /// What is seen of the Secret of NATS servers.
    pub(crate) nats: Option<NatsSight>,
}

/// A [`SecretSight`] in the room that it needs; a map has room for eleven. All Secrets are there.
#[derive(Debug)]
struct Secrets {
    generation: Option<i64>,
    seen: Instant,
    referenced: Box<[(String, Keys)]>,
    generated: Box<[(String, KeptSight)]>,
    validities: Box<[(String, Validity)]>,
}

/// A [`GeneratedSight`] of a Secret that is there.
#[derive(Debug)]
struct KeptSight {
    keys: Keys,
    entry: Option<ChildEntry>,
    login: Option<LoginView>,
    nats: Option<NatsSight>,
}

/// The keys of a Secret as one text; none of them has a comma.
#[derive(Debug)]
struct Keys(Box<str>);

impl Keys {
    /// Absent when the Secret is not there, or cannot be read.
    fn of(view: &SecretView) -> Option<Self> {
        let SecretView::Present(keys) = view else { return None };
        Some(Self(keys.iter().map(String::as_str).collect::<Vec<_>>().join(",").into()))
    }

    fn view(&self) -> SecretView {
        SecretView::Present(self.0.split_terminator(',').map(str::to_owned).collect())
    }
}

impl KeptSight {
    fn of(sight: &GeneratedSight) -> Option<Self> {
        let GeneratedSight { view, entry, login, nats } = sight;
        let keys = Keys::of(view)?;
        Some(Self { keys, entry: entry.clone(), login: login.clone(), nats: nats.clone() })
    }

    fn sight(&self) -> GeneratedSight {
        let Self { keys, entry, login, nats } = self;
        GeneratedSight { view: keys.view(), entry: entry.clone(), login: login.clone(), nats: nats.clone() }
    }
}

impl Secrets {
    fn is_good(&self) -> bool {
        self.seen.elapsed() < SECRETS_GOOD_FOR
    }
}

impl Memory {
    /// Does something with the memory of the broker with this UID.
    pub(crate) fn of<T>(&self, uid: &str, act: impl FnOnce(&mut BrokerMemory) -> T) -> T {
        act(self.0.lock().entry(Uid::new(uid)).or_default())
    }

    /// Whether what was last applied of a child of the StompBroker with this UID has the number `desired`, and is still there as the
    /// API server took it.
    pub(crate) fn is_as_applied(
        &self,
        uid: &str,
        kind: ChildKind,
        name: &str,
        desired: u64,
        live: &ChildEntry,
    ) -> bool {
        let now = Applied::new(desired, live);
        self.of(uid, |memory| memory.is_applied(kind, name, now))
    }

    /// The watch shows a broker as of this version, with every status written before.
    pub(crate) fn shown(&self, uid: &str, version: u64) {
        if let Some(memory) = self.0.lock().get_mut(&Uid::new(uid))
            && memory.status.as_ref().is_some_and(|written| written.0 <= version)
        {
            memory.status = None;
        }
    }

    /// Lets go of what is too old to be used.
    pub(crate) fn tidy(&self) {
        for broker in self.0.lock().values_mut() {
            broker.secrets.take_if(|secrets| !secrets.is_good());
        }
    }

    /// Forgets a broker that is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.0.lock().remove(&Uid::new(uid));
    }
}

impl BrokerMemory {
    /// Whether this is what was last applied of a child.
    pub(crate) fn is_applied(&self, kind: ChildKind, name: &str, applied: Applied) -> bool {
        self.applied.get(&hash((kind, name))) == Some(&applied)
    }

    /// Remembers what was applied of a child.
    pub(crate) fn remember_applied(&mut self, kind: ChildKind, name: &str, applied: Applied) {
        self.applied.insert(hash((kind, name)), applied);
    }

    /// The Secrets as last seen, when that is recent enough and was for this generation of the spec.
    pub(crate) fn secrets(&self, generation: Option<i64>) -> Option<SecretSight> {
        let secrets = self.secrets.as_ref()?;
        let good = secrets.generation == generation && secrets.is_good();
        good.then(|| SecretSight {
            referenced: secrets.referenced.iter().map(|(name, keys)| (name.clone(), keys.view())).collect(),
            generated: secrets.generated.iter().map(|(name, kept)| (name.clone(), kept.sight())).collect(),
            validities: secrets.validities.iter().cloned().collect(),
        })
    }

    /// Remembers the Secrets if there is nothing to be done about them.
    pub(crate) fn remember_secrets(&mut self, generation: Option<i64>, sight: &SecretSight) {
        let referenced = sight.referenced.iter().map(|(name, view)| Some((name.clone(), Keys::of(view)?)));
        let generated = sight.generated.iter().map(|(name, seen)| Some((name.clone(), KeptSight::of(seen)?)));
        let settled = referenced.collect::<Option<_>>().zip(generated.collect::<Option<_>>());
        self.secrets = settled.map(|(referenced, generated)| Secrets {
            generation,
            seen: Instant::now(),
            referenced,
            generated,
            validities: sight.validities.clone().into_iter().collect(),
        });
    }

    /// The next pass reads the Secrets again.
    pub(crate) fn forget_secrets(&mut self) {
        self.secrets = None;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn sight(view: SecretView) -> SecretSight {
        SecretSight { referenced: BTreeMap::from([("rabbit".to_owned(), view)]), ..SecretSight::default() }
    }

    #[test]
    fn secrets_are_read_again_for_a_new_spec_and_while_anything_is_amiss() {
        let mut memory = BrokerMemory::default();
        memory.remember_secrets(
            Some(1),
            &sight(SecretView::Present(["username".to_owned(), "password".to_owned()].into())),
        );
        let seen = memory.secrets(Some(1)).unwrap().referenced;
        assert_eq!(seen["rabbit"], SecretView::Present(["username".to_owned(), "password".to_owned()].into()));
        memory.remember_secrets(Some(1), &sight(SecretView::Present(BTreeSet::new())));
        assert_eq!(memory.secrets(Some(1)).unwrap().referenced["rabbit"], SecretView::Present(BTreeSet::new()));
        assert!(memory.secrets(Some(2)).is_none());
        memory.remember_secrets(Some(1), &sight(SecretView::Missing));
        assert!(memory.secrets(Some(1)).is_none());
        memory.remember_secrets(Some(1), &sight(SecretView::Unreadable("forbidden".to_owned())));
        assert!(memory.secrets(Some(1)).is_none());
    }

    #[test]
    fn a_status_is_kept_until_the_watch_shows_it() {
        let memory = Memory::default();
        memory.of("uid", |broker| broker.status = Some(Box::new((7, StompBrokerStatus::default()))));
        memory.shown("uid", 6);
        assert!(memory.of("uid", |broker| broker.status.is_some()));
        memory.shown("uid", 7);
        assert!(memory.of("uid", |broker| broker.status.is_none()));
    }

    #[test]
    fn brokers_that_are_gone_are_forgotten() {
        let memory = Memory::default();
        memory.of("gone", |broker| broker.backoff.next());
        memory.forget("gone");
        assert_eq!(memory.of("gone", |broker| broker.backoff), Backoff::default());
    }
}
