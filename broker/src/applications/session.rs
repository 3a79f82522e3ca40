//! The requests of one session: their order, and how many may wait.
//!
//! ```text
//! Call ─► place at the application ─► lane of the session, in order ─► permit of the application ─► exchange ─► reply
//!              └ none: refused                                          └ none: waits                  └ failure
//! ```
//!
//! Invariants:
//! * A session that ends takes nothing with it: what was accepted is carried out.
//! * A session reads no more from its client while [`MOST_WAITING`] of its requests have not ended.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use super::{Applications, Call, Request, exchange::Failure, request::Caller, table::Place};
use crate::{
    engine::{EngineSession, Event, SubscriptionKey, Ticket},
    mailbox::Mailbox,
    metrics::{Counted, RequestOutcome},
    security::Principal,
};

/// Requests of one session that may be open before its client is read no further.
const MOST_WAITING: usize = 64;

/// What a session that uses applications needs; its connection keeps it.
pub(crate) struct ApplicationSession {
    applications: Arc<Applications>,
    own: Arc<Own>,
    /// The subscriptions that an application answers, and whether they are still wanted.
    subscriptions: BTreeMap<SubscriptionKey, Arc<AtomicBool>>,
}

/// What the tasks of a session share with it.
pub(super) struct Own {
    pub(super) caller: Caller,
    pub(super) mailbox: Arc<Mailbox>,
    /// Requests that have not ended.
    open: AtomicUsize,
    lane: Mutex<Lane>,
}

/// What is carried out one after the other.
#[derive(Default)]
struct Lane {
    jobs: VecDeque<Job>,
    is_running: bool,
}

/// Requests that are answered together.
pub(super) struct Job {
    pub(super) requests: Vec<Accepted>,
    pub(super) ticket: Option<Ticket>,
    /// The subscription that an answer is for; none: it is the answer to a SEND.
    pub(super) subscription: Option<(SubscriptionKey, Arc<AtomicBool>)>,
}

/// A request that has a place.
pub(super) struct Accepted {
    pub(super) request: Request,
    pub(super) place: Place,
    /// Dropped when it waits no more.
    pub(super) waiting: Counted,
    pub(super) open: OpenRequest,
}

/// One of the requests of a session that have not ended.
pub(super) struct OpenRequest(Arc<Own>);

impl ApplicationSession {
    pub(crate) fn new(
        applications: Arc<Applications>,
        session: Arc<str>,
        principal: Principal,
        mailbox: Arc<Mailbox>,
    ) -> Self {
        let own =
            Own { caller: Caller { session, principal }, mailbox, open: AtomicUsize::new(0), lane: Mutex::default() };
        Self { applications, own: Arc::new(own), subscriptions: BTreeMap::new() }
    }

    /// Whether more calls are welcome. While not, the connection reads nothing from its client; `Event::Ready` follows.
    pub(crate) fn is_ready(&self) -> bool {
        self.own.open.load(Ordering::SeqCst) < MOST_WAITING
    }

    /// Takes a call; the answer comes through the mailbox. `engine` knows what a session calls its own.
    pub(crate) fn submit(&mut self, call: Call, ticket: Option<Ticket>, engine: &dyn EngineSession) {
        match call {
            Call::Send(mut requests) => {
                for request in &mut requests {
                    let reply = request.target.reply.as_ref();
                    if let Some(known) = reply.and_then(|own| engine.reply_destination(own)) {
                        request.target.reply = Some(known.into());
                    }
                }
                self.begin(requests, ticket, None);
            }
            Call::Subscribe(key, request) => {
                self.tell(ticket.map(Event::Completed));
                let wanted = Arc::new(AtomicBool::new(true));
                self.subscriptions.insert(key, Arc::clone(&wanted));
                self.begin(vec![request], None, Some((key, wanted)));
            }
            Call::Unsubscribe(key) => {
                if let Some(wanted) = self.subscriptions.remove(&key) {
                    wanted.store(false, Ordering::Relaxed);
                }
                // After that, so that no answer follows.
                self.tell(ticket.map(Event::Completed));
            }
        }
    }

    fn begin(
        &self,
        requests: Vec<Request>,
        ticket: Option<Ticket>,
        subscription: Option<(SubscriptionKey, Arc<AtomicBool>)>,
    ) {
        let table = self.applications.table.load();
        let mut is_ordered = false;
        let mut accepted = Vec::with_capacity(requests.len());
        let mut requests = requests.into_iter();
        let refused = requests.by_ref().find_map(|request| {
            let Some(application) = table.get(&request.target.application) else {
                return Some((request, "the application is no longer there"));
            };
            let Some(place) = application.place() else {
                return Some((request, "too many requests wait for the application"));
            };
            is_ordered |= application.config.ordered;
            let waiting = self.applications.metrics.waiting(&application.config.name);
            accepted.push(Accepted { request, place, waiting, open: OpenRequest::of(&self.own) });
            None
        });
        // Of a transaction all are accepted or none.
        if let Some((request, reason)) = refused {
            for request in accepted.into_iter().map(|accepted| accepted.request).chain([request]).chain(requests) {
                self.applications.refuse(&self.own, &request, Failure::new(RequestOutcome::refused, reason));
            }
            return self.tell(ticket.map(Event::Refused));
        }
        let job = Job { requests: accepted, ticket, subscription };
        if is_ordered {
            self.enqueue(job);
        } else {
            let (applications, own) = (Arc::clone(&self.applications), Arc::clone(&self.own));
            self.applications.spawn(async move { applications.carry_out(&own, job).await });
        }
    }

    fn enqueue(&self, job: Job) {
        let mut lane = self.own.lane.lock();
        lane.jobs.push_back(job);
        if std::mem::replace(&mut lane.is_running, true) {
            return;
        }
        drop(lane);
        let (applications, own) = (Arc::clone(&self.applications), Arc::clone(&self.own));
        self.applications.spawn(async move {
            while let Some(job) = own.next_job() {
                applications.carry_out(&own, job).await;
            }
        });
    }

    fn tell(&self, event: Option<Event>) {
        if let Some(event) = event {
            self.own.mailbox.notify(event);
        }
    }
}

impl Drop for ApplicationSession {
    fn drop(&mut self) {
        for wanted in self.subscriptions.values() {
            wanted.store(false, Ordering::Relaxed);
        }
    }
}

impl Own {
    /// The next job of the lane; without one the lane's task ends.
    fn next_job(&self) -> Option<Job> {
        let mut lane = self.lane.lock();
        let job = lane.jobs.pop_front();
        if job.is_none() {
            *lane = Lane::default();
        }
        job
    }
}

impl OpenRequest {
    fn of(own: &Arc<Own>) -> Self {
        own.open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(own))
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::SeqCst) == MOST_WAITING {
            self.0.mailbox.notify(Event::Ready);
        }
    }
}
