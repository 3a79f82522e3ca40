//! What the probes say.
//!
//! Readiness: everything that was waited for is there, above all the first list of every watch; the same on every
//! replica, leader or not. Liveness: the loop that hands out work was seen alive lately. A missing CRD or an API server
//! that does not answer is nothing that a restart cures, so liveness does not speak of it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::watch;

/// Longest silence of the work loop; it beats every few seconds.
const SILENCE: Duration = Duration::from_mins(3);

/// What the probes say. Shared by all tasks.
#[derive(Debug)]
pub struct Health {
    waiting: watch::Sender<BTreeMap<String, String>>,
    beat: Mutex<Option<Instant>>,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Waits for [`Self::STARTED`] only.
    pub fn new() -> Self {
        let start = BTreeMap::from([(Self::STARTED.to_owned(), "not yet".to_owned())]);
        Self { waiting: watch::Sender::new(start), beat: Mutex::new(None) }
    }

    /// What is waited for from the beginning: that all other things to wait for are known.
    pub const STARTED: &str = "start";

    /// `what` is waited for, because of `why`.
    pub fn wait_for(&self, what: &str, why: impl Into<String>) {
        self.waiting.send_modify(|waiting| {
            waiting.insert(what.to_owned(), why.into());
        });
    }

    /// If `what` is still waited for, it is now because of `why`.
    pub fn still(&self, what: &str, why: impl Into<String>) {
        self.waiting.send_if_modified(|waiting| waiting.get_mut(what).map(|old| *old = why.into()).is_some());
    }

    /// `what` is there.
    pub fn there(&self, what: &str) {
        self.waiting.send_if_modified(|waiting| waiting.remove(what).is_some());
    }

    /// Ends when nothing is waited for.
    pub async fn ready(&self) {
        // The sender lives as long as `self`, so this cannot fail.
        let _ = self.waiting.subscribe().wait_for(BTreeMap::is_empty).await;
    }

    /// What is still waited for, one thing a line; absent when ready.
    pub fn not_ready(&self) -> Option<String> {
        let waiting = self.waiting.borrow();
        let lines: Vec<_> = waiting.iter().map(|(what, why)| format!("waiting for {what}: {why}")).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// The work loop is alive.
    pub fn beat(&self) {
        *self.beat.lock() = Some(Instant::now());
    }

    /// Why the process has to be restarted; absent when it is alive.
    pub fn dead(&self) -> Option<String> {
        let silence = self.beat.lock().map(|beat| beat.elapsed()).filter(|silence| *silence > SILENCE)?;
        Some(format!("the work loop has not moved for {} s", silence.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_names_what_is_waited_for_and_why() {
        let health = Health::new();
        health.wait_for("watch of Deployments", "no list yet");
        health.there(Health::STARTED);
        health.still("watch of Deployments", "forbidden");
        assert_eq!(health.not_ready().unwrap(), "waiting for watch of Deployments: forbidden");
        health.there("watch of Deployments");
        health.still("watch of Deployments", "a later error of a watch that has listed before");
        assert_eq!(health.not_ready(), None);
    }

    #[tokio::test]
    async fn waiting_for_readiness_ends_when_the_last_thing_is_there() {
        let health = std::sync::Arc::new(Health::new());
        let waiter = tokio::spawn({
            let health = health.clone();
            async move { health.ready().await }
        });
        health.there(Health::STARTED);
        tokio::time::timeout(Duration::from_secs(5), waiter).await.unwrap().unwrap();
    }

    #[test]
    fn a_replica_without_a_work_loop_is_alive_and_a_silent_loop_is_not() {
        let health = Health::new();
        assert_eq!(health.dead(), None);
        health.beat();
        assert_eq!(health.dead(), None);
        *health.beat.lock() = Instant::now().checked_sub(SILENCE + Duration::from_secs(1));
        assert!(health.dead().unwrap().contains("has not moved"));
    }
}
