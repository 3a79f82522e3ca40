//! Keys that an issuer publishes: fetched when they are needed, kept, fetched again when a token names an unknown one.
//!
//! At most one fetch runs at a time, and one begins at the earliest a while after the one before, so that made-up key ids
//! cannot make us a burden to the issuer. A fetch is a task of its own, owned by [`PublishedKeys`]: a client that goes
//! away cannot stop a fetch that others wait for. Keys stay in use as long as no newer ones can be had.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinSet};

use super::{
    fetch::{Endpoint, FetchError},
    keys::{KeySet, Secrets},
};

/// How often keys are fetched, and how long that may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// From the end of one fetch to the beginning of the next.
    pub(super) pause: Duration,
    /// After this time even known keys are fetched again, so that withdrawn ones are noticed.
    pub(super) max_age: Duration,
    /// For one fetch, from looking up the name to the last octet.
    pub(super) deadline: Duration,
}

impl Pace {
    /// What is used but for tests.
    pub(super) const USUAL: Self =
        Self { pause: Duration::from_secs(30), max_age: Duration::from_mins(15), deadline: Duration::from_secs(5) };
}

/// The published keys of one issuer.
pub(super) struct PublishedKeys {
    authorities: Option<Vec<u8>>,
    pace: Pace,
    shared: Arc<Shared>,
    /// The fetch that runs; ends with this.
    fetches: Mutex<JoinSet<()>>,
}

struct Shared {
    endpoint: Endpoint,
    keys: ArcSwapOption<Fetched>,
    state: Mutex<State>,
    /// Told when a fetch has ended, however it did.
    ended: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    running: bool,
    ended_at: Option<Instant>,
}

struct Fetched {
    keys: Arc<KeySet>,
    at: Instant,
}

impl PublishedKeys {
    /// The keys at this address, trusted by these authorities (PEM), or by the public ones. Fetches nothing yet.
    ///
    /// # Errors
    /// What is wrong with the authorities, or with the address.
    pub(super) fn new(url: &str, authorities: Option<&[u8]>, pace: Pace) -> Result<Self, String> {
        let shared = Shared {
            endpoint: Endpoint::new(url, authorities)?,
            keys: ArcSwapOption::empty(),
            state: Mutex::default(),
            ended: watch::channel(()).0,
        };
        let authorities = authorities.map(<[u8]>::to_vec);
        Ok(Self { authorities, pace, shared: Arc::new(shared), fetches: Mutex::default() })
    }

    /// The authorities it was made with.
    pub(super) fn authorities(&self) -> Option<&[u8]> {
        self.authorities.as_deref()
    }

    /// The keys to check a token of this key id with; none when there are none at all. Waits for one fetch at most.
    pub(super) async fn for_key(&self, id: Option<&str>) -> Option<Arc<KeySet>> {
        let current = self.shared.keys.load_full();
        if let Some(fetched) = current
            && fetched.at.elapsed() < self.pace.max_age
            && fetched.keys.knows(id)
        {
            return Some(Arc::clone(&fetched.keys));
        }
        // From here on an end is seen, also one that comes before it is waited for.
        let mut ended = self.shared.ended.subscribe();
        if self.begin_fetch() {
            // The sender lives as long as this does, so this ends with the fetch.
            let _ = ended.changed().await;
        }
        self.shared.keys.load_full().map(|fetched| Arc::clone(&fetched.keys))
    }

    /// Begins a fetch unless one runs or the pause is not over; says whether one runs now.
    fn begin_fetch(&self) -> bool {
        let mut state = self.shared.state.lock();
        if state.running {
            return true;
        }
        if state.ended_at.is_some_and(|at| at.elapsed() < self.pace.pause) {
            return false;
        }
        state.running = true;
        drop(state);
        let end = FetchEnd(Arc::clone(&self.shared));
        let deadline = self.pace.deadline;
        let mut fetches = self.fetches.lock();
        while fetches.try_join_next().is_some() {}
        fetches.spawn(async move { end.0.fetch(deadline).await });
        true
    }
}

impl Shared {
    async fn fetch(&self, deadline: Duration) {
        let answer = match tokio::time::timeout(deadline, self.endpoint.get()).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchError::Deadline(deadline)),
        };
        let keys = answer.and_then(|body| KeySet::parse(&body, Secrets::Ignored).map_err(FetchError::Keys));
        match keys {
            Ok(keys) => self.keys.store(Some(Arc::new(Fetched { keys: Arc::new(keys), at: Instant::now() }))),
            Err(error) => {
                let kept = self.keys.load().is_some();
                tracing::warn!(url = %self.endpoint, %error, kept, "cannot fetch the keys that check tokens");
            }
        }
    }
}

/// Says that a fetch has ended, also when it panicked or was ended.
struct FetchEnd(Arc<Shared>);

impl Drop for FetchEnd {
    fn drop(&mut self) {
        *self.0.state.lock() = State { running: false, ended_at: Some(Instant::now()) };
        self.0.ended.send_replace(());
    }
}
