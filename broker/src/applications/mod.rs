//! Applications behind the broker: what a client sends to them is posted by HTTP, and the answer is sent on as a message.
//!
//! ```text
//! SEND /app/... ─► session ─► Call ─► ApplicationSession ─► POST ─► 2xx ─► reply ─► engine ─► receivers
//!                                                             └──► failure ─► /user/queue/errors of the sender
//! SUBSCRIBE /app/... ─► GET ─► MESSAGE on this one subscription
//! ```
//!
//! [`Routes`] says which destinations are an application's, [`Request`] what is sent there, the table where that is. The rules
//! for destinations hold as for all others; the session asks them before anything comes here.
//!
//! Invariants:
//! * A RECEIPT means that the application has answered with 2xx, and that its reply has been sent on.
//! * Only addresses of the configuration are connected to, and redirects are not followed.
//! * Every wait has an end: for an answer `timeout`, for a turn the requests before it, for the engine a deadline.

mod exchange;
mod publisher;
mod reply;
mod request;
mod routes;
mod session;
mod table;
mod token;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use smol_str::{SmolStr, format_smolstr};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    exchange::{Answer, Failure, exchange},
    publisher::{Publication, Publisher},
    request::Kind,
    session::{Accepted, Job, Own},
};
pub(crate) use self::{
    request::{Call, Request},
    routes::{Route, Routes, Sender},
    session::ApplicationSession,
    table::Table,
};
use crate::{
    engine::{Delivery, Engine, EngineError, Event, SubscriptionKey},
    message::Message,
    metrics::{ApplicationMetrics, RequestOutcome},
};

/// The applications that this process sends to.
pub(crate) struct Applications {
    table: ArcSwap<Table>,
    /// The id of the session that sends replies on; the ids of their messages begin with it.
    name: Arc<str>,
    messages: AtomicU64,
    publisher: Publisher,
    /// The other end, until [`Self::publish`] takes it.
    publications: Mutex<Option<mpsc::Receiver<Publication>>>,
    metrics: ApplicationMetrics,
    /// Owner of every task that works on requests.
    tasks: TaskTracker,
    /// Ends them.
    stop: CancellationToken,
}

impl Applications {
    /// The applications of this table, in the process of this name.
    pub(crate) fn new(table: Table, instance: &str, metrics: ApplicationMetrics) -> Self {
        let (publisher, publications) = Publisher::new();
        table.names().for_each(|application| metrics.show(application));
        Self {
            table: ArcSwap::from_pointee(table),
            name: format!("{instance}-applications").into(),
            messages: AtomicU64::new(0),
            publisher,
            publications: Mutex::new(Some(publications)),
            metrics,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Brings another table into force. What has been accepted goes on as it was.
    pub(crate) fn configure(&self, mut table: Table) {
        table.adopt(&self.table.load());
        table.names().for_each(|application| self.metrics.show(application));
        self.table.store(Arc::new(table));
    }

    /// Sends replies on, for ever; ends only when it is dropped. Only the first call does anything.
    pub(crate) async fn publish(&self, engine: Arc<dyn Engine>) {
        let taken = self.publications.lock().take();
        if let Some(publications) = taken {
            publisher::run(engine, Arc::clone(&self.name), publications).await;
        }
    }

    /// Waits until no request is left; new ones may come meanwhile.
    pub(crate) async fn idle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Ends what is left.
    pub(crate) async fn stop(&self) {
        let left = self.tasks.len();
        if left > 0 {
            tracing::warn!(left, "sessions' requests to applications are given up");
        }
        self.stop.cancel();
        self.idle().await;
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            // What is dropped with the future is told by those that wait for it.
            stop.run_until_cancelled(work).await;
        });
    }

    /// Sends the requests of a job one after the other, and says that it is done.
    async fn carry_out(&self, own: &Arc<Own>, job: Job) {
        let Job { requests, ticket, subscription } = job;
        let mut is_handled = true;
        for accepted in requests {
            let outcome = match &subscription {
                None => self.send(own, accepted).await,
                Some((_, wanted)) if !wanted.load(Ordering::Relaxed) => continue,
                Some((key, wanted)) => self.answer_once(own, accepted, *key, wanted).await,
            };
            is_handled &= outcome.is_ok();
        }
        if let Some(ticket) = ticket {
            own.mailbox.notify(if is_handled { Event::Completed(ticket) } else { Event::Refused(ticket) });
        }
    }

    /// Has an application handle a SEND, and sends its answer on.
    async fn send(&self, own: &Arc<Own>, accepted: Accepted) -> Result<(), ()> {
        let (request, outcome) = self.ask(own, accepted, Kind::Send).await;
        let replied = match outcome {
            Ok(answer) => self.reply(&request, answer).await,
            Err(failure) => Err(failure),
        };
        self.end(own, &request, replied)
    }

    /// Has an application answer a SUBSCRIBE, and delivers that to it alone.
    async fn answer_once(
        &self,
        own: &Arc<Own>,
        accepted: Accepted,
        subscription: SubscriptionKey,
        wanted: &AtomicBool,
    ) -> Result<(), ()> {
        let (request, outcome) = self.ask(own, accepted, Kind::Subscribe).await;
        let delivered = outcome.map(|answer| {
            if answer.body.is_empty() {
                return;
            }
            let message =
                reply::reply(request.message.id.clone(), request.message.destination.clone(), &request, answer);
            let delivery = Delivery { subscription, message: Arc::new(message), tag: None, redelivered: false };
            let is_full = own.mailbox.deliver_while(wanted, delivery.clone()).is_err();
            if is_full && own.mailbox.overflow(wanted, delivery).is_err() {
                let why = "it does not take what an application answers".into();
                own.mailbox.notify(Event::Closed(EngineError::SlowConsumer(why)));
            }
        });
        self.end(own, &request, delivered)
    }

    /// Waits for a permit and the answer.
    async fn ask(&self, own: &Arc<Own>, accepted: Accepted, kind: Kind) -> (Request, Result<Answer, Failure>) {
        let Accepted { request, place, waiting, open } = accepted;
        let application = place.application();
        let name = &application.config.name;
        // Permits are never taken away, so there is always one in the end.
        let permit = application.permits.acquire().await;
        drop(waiting);
        let in_flight = self.metrics.in_flight(name);
        let begun = Instant::now();
        let message_size = self.table.load().message_size;
        let tried_again = || self.metrics.tried_again(name);
        let outcome = exchange(application, &request, kind, &own.caller, message_size, tried_again).await;
        self.metrics.took(name, begun.elapsed().as_secs_f64());
        drop((in_flight, permit, open));
        (request, outcome)
    }

    async fn reply(&self, request: &Request, answer: Answer) -> Result<(), Failure> {
        let Some(destination) = request.target.reply.clone().filter(|_| !answer.body.is_empty()) else { return Ok(()) };
        let reply = reply::reply(self.next_id(), destination, request, answer);
        self.publisher.publish(reply).await.map_err(|error| {
            Failure::new(RequestOutcome::reply_failed, format!("its answer could not be sent on: {error}"))
        })
    }

    /// Counts how a request ended, and tells its sender of a failure.
    fn end(&self, own: &Own, request: &Request, outcome: Result<(), Failure>) -> Result<(), ()> {
        match outcome {
            Ok(()) => {
                self.metrics.ended(&request.target.application, RequestOutcome::ok);
                Ok(())
            }
            Err(failure) => {
                self.refuse(own, request, failure);
                Err(())
            }
        }
    }

    /// Counts and logs a request that has failed, and tells its sender.
    fn refuse(&self, own: &Own, request: &Request, mut failure: Failure) {
        let (application, session) = (&*request.target.application, &*own.caller.session);
        self.metrics.ended(application, failure.outcome);
        tracing::warn!(
            session.id = session,
            user = &*own.caller.principal.user,
            application,
            destination = &*request.message.destination,
            message.id = &*request.message.id,
            reason = failure.reason,
            error = failure.detail,
            "a request to an application has failed"
        );
        let message = reply::failure(self.next_id(), session, &self.table.load().users, request, &mut failure);
        self.tell(message);
    }

    fn tell(&self, message: Message) {
        if let Err(error) = self.publisher.try_publish(message) {
            tracing::warn!(%error, "the sender of a request is not told that it has failed");
        }
    }

    fn next_id(&self) -> SmolStr {
        format_smolstr!("{}-{}", self.name, self.messages.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl fmt::Debug for Applications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Applications").field("name", &self.name).finish_non_exhaustive()
    }
}
