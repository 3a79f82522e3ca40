//! Events on StompBrokers: one for every turn that people would want to know of, none at rest.

mod transitions;

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
pub(crate) use transitions::{EventReason, GOOD, Transition, transitions};

use crate::{
    FIELD_MANAGER,
    metrics::{Metrics, ResultLabel},
};

/// Events that may wait; more are dropped and counted.
const CAPACITY: usize = 256;
/// The recorder keeps each event for some minutes, to count its repetitions in one object: 3 KiB, for this many at most.
const REMEMBERED: u32 = 128;
/// Deadline of writing one event.
const DEADLINE: Duration = Duration::from_secs(5);
/// Most octets of a note that the API server takes, less room for what marks the cut.
const NOTE: usize = 1000;

/// Takes events without ever waiting or failing.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    queue: mpsc::Sender<(ObjectReference, Transition)>,
    metrics: Metrics,
}

/// Writes the events that [`Events`] takes.
pub(crate) struct Publisher {
    queue: mpsc::Receiver<(ObjectReference, Transition)>,
    client: Client,
    reporter: Reporter,
    metrics: Metrics,
}

/// The two ends of a bounded queue of events.
pub(crate) fn queue(client: Client, instance: &str, metrics: &Metrics) -> (Events, Publisher) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(instance.to_owned()) };
    let publisher = Publisher { queue: receiver, client, reporter, metrics: metrics.clone() };
    (Events { queue: sender, metrics: metrics.clone() }, publisher)
}

impl Events {
    /// Puts `transition` of `regarding` into the queue.
    pub(crate) fn publish(&self, regarding: &ObjectReference, transition: Transition) {
        // Without the version, so that events that repeat are counted in one object.
        let regarding = ObjectReference { resource_version: None, ..regarding.clone() };
        if self.queue.try_send((regarding, transition)).is_err() {
            count(&self.metrics, "dropped");
        }
    }
}

impl Publisher {
    /// Writes events until `stop`, then those that already wait, as far as each can be written in time.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let (mut recorder, mut written) = (Recorder::new(self.client.clone(), self.reporter.clone()), 0);
        loop {
            let next = tokio::select! {
                biased;
                next = self.queue.recv() => next,
                () = stop.cancelled() => {
                    self.queue.close();
                    self.queue.recv().await
                }
            };
            let Some((regarding, transition)) = next else { return };
            debug!(broker = regarding.name, reason = transition.reason, "event");
            let event = Event {
                type_: if transition.warning { EventType::Warning } else { EventType::Normal },
                reason: transition.reason.clone(),
                note: Some(truncated(&transition.note)),
                action: "Reconcile".to_owned(),
                secondary: None,
            };
            if written == REMEMBERED {
                (recorder, written) = (Recorder::new(self.client.clone(), self.reporter.clone()), 0);
            }
            written += 1;
            let failure = match timeout(DEADLINE, recorder.publish(&event, &regarding)).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("no answer in time".to_owned()),
            };
            count(&self.metrics, if failure.is_some() { "failed" } else { "published" });
            if let Some(error) = failure {
                warn!(error, reason = event.reason, "failed to write an event");
            }
        }
    }
}

fn count(metrics: &Metrics, result: &'static str) {
    metrics.events.get_or_create(&ResultLabel { result }).inc();
}

/// `note`, cut at a character so that the API server takes it.
fn truncated(note: &str) -> String {
    if note.len() <= NOTE {
        return note.to_owned();
    }
    format!("{}...", &note[..note.floor_char_boundary(NOTE)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_at_a_character() {
        assert_eq!(truncated("short"), "short");
        let cut = truncated(&"ä".repeat(600));
        assert!(cut.len() <= 1024, "{}", cut.len());
        assert_eq!(cut, format!("{}...", "ä".repeat(500)));
    }
}
