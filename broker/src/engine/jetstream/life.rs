//! The life of the connection to NATS: made, prepared, watched, and made anew for ever.
//!
//! ```text
//!          connected, streams in place              broken
//! Down ──────────────────────────────────► Up ────────────────► Lost
//!   ▲                                       ▲  connected in time  │
//!   └───────────────────────────────────────┴─────────────────────┘
//!     not within the grace: sessions end
//! ```

use std::{sync::Arc, time::Duration};

use async_nats::{Event, jetstream};
use stompbroker_config::admin::UpstreamState;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};

use super::{
    Shared,
    commands::Commands,
    connect::{self, backoff},
    delay::Delayer,
    link::Link,
    outgoing::Talker,
    spread::Spreader,
};
use crate::engine::failure::Failure;

/// How long sessions wait for a connection that broke: long enough for the next server of a cluster to take over.
const GRACE: Duration = Duration::from_secs(5);
/// How long JetStream may take for a request about its streams and consumers.
const API_TIMEOUT: Duration = Duration::from_secs(3);
/// Events of the client that may wait.
const MOST_EVENTS: usize = 256;

/// The task that sees to the connection.
pub(super) struct Life {
    shared: Arc<Shared>,
    commands: Commands,
}

impl Life {
    /// Will talk through one connection and by these commands.
    pub(super) const fn new(shared: Arc<Shared>, commands: Commands) -> Self {
        Self { shared, commands }
    }

    /// Runs until the engine is stopped.
    pub(super) async fn run(self) {
        let Self { shared, commands } = self;
        let stop = shared.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = live(&shared, commands) => {}
        }
        shared.sessions.close();
        // Nothing else of this process needs it.
        if let Some((client, _)) = shared.nats.get()
            && let Err(error) = client.drain().await
        {
            tracing::debug!(%error, "the connection to NATS did not end in order");
        }
    }
}

async fn live(shared: &Arc<Shared>, commands: Commands) {
    let (sender, mut events) = mpsc::channel(MOST_EVENTS);
    let mut failures = 0;
    let client = loop {
        match connect::connect(&shared.config, sender.clone()).await {
            Ok(client) => break client,
            Err(failure) => {
                fail(shared, failure);
                failures += 1;
                sleep(backoff(failures)).await;
            }
        }
    };
    let mut context = jetstream::new(client.clone());
    // A cluster without a leader answers nothing; it is asked again rather than waited for.
    context.set_timeout(shared.config.connect_timeout.0.min(API_TIMEOUT));
    // Only set here.
    let _ = shared.nats.set((client.clone(), context.clone()));
    shared.tasks.spawn(Talker::new(client.clone(), commands, shared.link.subscribe()).run(shared.stop.clone()));
    shared.tasks.spawn(Spreader::new(shared.clone()).run(shared.stop.clone()));
    shared.tasks.spawn(Delayer::new(shared.clone()).run(shared.stop.clone()));

    let mut epoch = 0;
    loop {
        prepare(shared, &context).await;
        // What happened meanwhile is over; only what the state is now counts.
        while events.try_recv().is_ok() {}
        if client.connection_state() != async_nats::connection::State::Connected {
            fail(shared, Failure::new(UpstreamState::Unreachable, "the connection to NATS broke"));
            sleep(backoff(0)).await;
            continue;
        }
        epoch += 1;
        *shared.trouble.lock() = None;
        shared.link.send_replace(Link::Up { epoch });
        shared.sessions.open();
        tracing::info!(
            server = client.server_info().server_name,
            version = client.server_info().version,
            "connected to NATS"
        );
        let end = stand(shared, &mut events, &mut epoch).await;
        let ended = shared.sessions.close();
        shared.link.send_replace(Link::Down);
        match end {
            End::Broke => {
                tracing::warn!(sessions = ended, "NATS is away; sessions have been ended");
                wait_for(&mut events, &Event::Connected, None).await;
            }
            End::Overflow => {
                tracing::error!(sessions = ended, "more is said than NATS takes; sessions have been ended");
            }
        }
    }
}

/// Why no session can go on.
enum End {
    /// The connection broke, for long.
    Broke,
    /// It stands, but more is said than it takes.
    Overflow,
}

/// Lets the connection stand, over short breaks.
async fn stand(shared: &Shared, events: &mut mpsc::Receiver<Event>, epoch: &mut u64) -> End {
    loop {
        tokio::select! {
            biased;
            () = shared.outgoing.overflow() => return End::Overflow,
            _ = wait_for(events, &Event::Disconnected, None) => {}
        }
        let broke = Failure::new(UpstreamState::Unreachable, "the connection to NATS broke");
        fail(shared, broke);
        shared.link.send_replace(Link::Lost { epoch: *epoch });
        if !wait_for(events, &Event::Connected, Some(Instant::now() + GRACE)).await {
            return End::Broke;
        }
        *epoch += 1;
        *shared.trouble.lock() = None;
        shared.link.send_replace(Link::Up { epoch: *epoch });
        tracing::info!("connected to NATS again");
    }
}

/// Waits for an event; says whether it came in time.
async fn wait_for(events: &mut mpsc::Receiver<Event>, wanted: &Event, until: Option<Instant>) -> bool {
    let wait = async {
        while let Some(event) = events.recv().await {
            match &event {
                event if event == wanted => return,
                Event::ServerError(error) => tracing::warn!(%error, "NATS reports an error"),
                Event::SlowConsumer(_) => {
                    tracing::warn!("messages of NATS were dropped, for they were taken too slowly");
                }
                event => tracing::debug!(%event, "the connection to NATS"),
            }
        }
        // Only at the end, which comes otherwise.
        std::future::pending::<()>().await;
    };
    if let Some(until) = until {
        return timeout_at(until, wait).await.is_ok();
    }
    wait.await;
    true
}

/// Has JetStream keep the streams, however long that takes.
async fn prepare(shared: &Shared, context: &jetstream::Context) {
    let mut failures = 0;
    while let Err(failure) = connect::prepare(context, &shared.config, &shared.names).await {
        fail(shared, failure);
        failures += 1;
        sleep(backoff(failures)).await;
    }
}

fn fail(shared: &Shared, failure: Failure) {
    let mut trouble = shared.trouble.lock();
    if trouble.as_ref() != Some(&failure) {
        tracing::warn!(state = ?failure.state, %failure, "NATS does not serve");
    }
    *trouble = Some(failure);
}
