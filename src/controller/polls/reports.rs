//! What the pods have said of themselves (pure).

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;
use stompbroker_config::admin::{Sessions, Status};

/// What a pod said, or why it said nothing.
pub(crate) type Report = Result<Status, String>;

/// The last report of every pod, by the pod's UID.
#[derive(Debug, Default)]
pub(crate) struct Reports(Mutex<HashMap<String, Entry>>);

#[derive(Debug)]
struct Entry {
    report: Report,
    failures: u32,
    /// When it was first asked in vain since it last answered.
    silent_since: Option<Timestamp>,
    /// When the pod last answered.
    answered: Option<Timestamp>,
}

/// How much a new report differs from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum News {
    /// Nothing that a status shows.
    None,
    /// Only the number of sessions.
    Sessions,
    /// Configuration, relay, drain, or whether it answers.
    Matter,
}

/// Failures in a row that are believed; one alone may be the network's.
const BELIEVED: u32 = 2;

impl Reports {
    /// The last report of a pod; absent when it was not asked yet.
    pub(crate) fn of(&self, uid: &str) -> Option<Report> {
        self.0.lock().get(uid).map(|entry| entry.report.clone())
    }

    /// Since when a pod gives no answer; absent when it does, or was not asked yet.
    pub(crate) fn silent_since(&self, uid: &str) -> Option<Timestamp> {
        self.0.lock().get(uid)?.silent_since
    }

    /// What a pod last said of its sessions, and when, unless that is longer ago than `good_for` before `now`.
    pub(crate) fn sessions(&self, uid: &str, now: Timestamp, good_for: Duration) -> Option<(Sessions, Timestamp)> {
        let entries = self.0.lock();
        let entry = entries.get(uid)?;
        let (status, at) = (entry.report.as_ref().ok()?, entry.answered?);
        let age = Duration::try_from(now.duration_since(at)).unwrap_or_default();
        (age <= good_for).then(|| (status.sessions.clone(), at))
    }

    /// Takes a new report and says what is new in it.
    pub(crate) fn put(&self, uid: &str, report: Report) -> News {
        let answered = report.is_ok().then(Timestamp::now);
        let mut entries = self.0.lock();
        let Some(entry) = entries.get_mut(uid) else {
            let failures = u32::from(report.is_err());
            let silent_since = report.is_err().then(Timestamp::now);
            entries.insert(uid.to_owned(), Entry { report, failures, silent_since, answered });
            return News::Matter;
        };
        entry.answered = answered.or(entry.answered);
        entry.silent_since = if report.is_err() { entry.silent_since.or_else(|| Some(Timestamp::now())) } else { None };
        entry.failures = if report.is_err() { entry.failures.saturating_add(1) } else { 0 };
        if entry.report.is_ok() && report.is_err() && entry.failures < BELIEVED {
            return News::None;
        }
        let news = news(&entry.report, &report);
        entry.report = report;
        news
    }

    /// Forgets the reports of all other pods.
    pub(crate) fn retain(&self, uids: &HashSet<String>) {
        self.0.lock().retain(|uid, _| uids.contains(uid));
    }
}

fn news(old: &Report, new: &Report) -> News {
    let (old, new) = match (old, new) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(old), Err(new)) if old == new => return News::None,
        _ => return News::Matter,
    };
    let lasting = |status: &Status| Status { sessions: Sessions::default(), ..status.clone() };
    let relayed = |status: &Status| {
        let mut status = lasting(status);
        if let Some(relay) = &mut status.relay {
            relay.client_connections = 0;
        }
        if let Some(drain) = &mut status.drain {
            drain.connections_left = 0;
        }
        status
    };
    let left = |status: &Status| status.drain.as_ref().map(|drain| drain.connections_left);
    if relayed(old) != relayed(new) {
        News::Matter
    } else if old.sessions.live() == new.sessions.live() && left(old) == left(new) {
        News::None
    } else {
        News::Sessions
    }
}

#[cfg(test)]
mod tests {
    use stompbroker_config::admin::{ConfigStatus, LoginDigests};

    use super::*;

    fn status(hash: &str, stomp: u64, rate: f64) -> Status {
        Status {
            version: "1".to_owned(),
            config: ConfigStatus { hash: hash.to_owned(), rejected: None, needs_restart: Vec::new() },
            logins: LoginDigests::default(),
            sessions: Sessions { stomp, inbound_per_second: rate, ..Sessions::default() },
            relay: None,
            draining: false,
            drain: None,
        }
    }

    #[test]
    fn rates_are_no_news_sessions_are_little_and_configuration_is_much() {
        let reports = Reports::default();
        assert_eq!(reports.put("pod", Ok(status("a", 1, 0.0))), News::Matter);
        assert_eq!(reports.put("pod", Ok(status("a", 1, 9.0))), News::None);
        assert_eq!(reports.put("pod", Ok(status("a", 2, 9.0))), News::Sessions);
        assert_eq!(reports.put("pod", Ok(status("b", 2, 9.0))), News::Matter);
    }

    #[test]
    fn one_failure_alone_is_not_believed() {
        let reports = Reports::default();
        reports.put("pod", Ok(status("a", 1, 0.0)));
        assert_eq!(reports.put("pod", Err("no answer".to_owned())), News::None);
        assert!(reports.of("pod").unwrap().is_ok());
        assert_eq!(reports.put("pod", Ok(status("a", 1, 0.0))), News::None);
        assert_eq!(reports.put("pod", Err("no answer".to_owned())), News::None);
        assert_eq!(reports.put("pod", Err("no answer".to_owned())), News::Matter);
        assert!(reports.of("pod").unwrap().is_err());
        assert_eq!(reports.put("pod", Ok(status("a", 1, 0.0))), News::Matter);
    }

    #[test]
    fn silence_counts_from_the_first_failure_until_the_next_answer() {
        let reports = Reports::default();
        reports.put("pod", Ok(status("a", 1, 0.0)));
        assert_eq!(reports.silent_since("pod"), None);
        reports.put("pod", Err("no answer".to_owned()));
        let since = reports.silent_since("pod");
        reports.put("pod", Err("no answer".to_owned()));
        assert!(since.is_some());
        assert_eq!(reports.silent_since("pod"), since);
        reports.put("pod", Ok(status("a", 1, 0.0)));
        assert_eq!(reports.silent_since("pod"), None);
    }

    #[test]
    fn a_pod_that_never_answered_is_reported_at_once() {
        let reports = Reports::default();
        assert_eq!(reports.put("pod", Err("refused".to_owned())), News::Matter);
        assert!(reports.of("pod").unwrap().is_err());
    }

    #[test]
    fn pods_that_are_gone_are_forgotten() {
        let reports = Reports::default();
        reports.put("pod", Ok(status("a", 1, 0.0)));
        reports.retain(&HashSet::new());
        assert_eq!(reports.of("pod"), None);
    }
}
