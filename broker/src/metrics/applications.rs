//! What `/metrics` shows of requests to applications.

use std::sync::{Arc, atomic::AtomicU64};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::family;

/// Requests to applications, by application.
#[derive(Clone, Debug)]
pub(crate) struct ApplicationMetrics {
    requests: Family<OutcomeLabel, Counter>,
    retries: Family<ApplicationLabel, Counter>,
    in_flight: Family<ApplicationLabel, Gauge>,
    waiting: Family<ApplicationLabel, Gauge>,
    seconds: Family<ApplicationLabel, Counter<f64, AtomicU64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApplicationLabel {
    application: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    application: Arc<str>,
    outcome: RequestOutcome,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the derive prints the variant's name as the label's value")]
pub(crate) enum RequestOutcome {
    /// It was answered with 2xx.
    ok,
    /// It was answered with 3xx, 4xx or more octets than a message may have.
    client_error,
    /// It was answered with 5xx, also the last time.
    server_error,
    /// It was not answered in time.
    timeout,
    /// There was no connection, or it broke.
    unreachable,
    /// Too many others wait.
    refused,
    /// Its answer could not be sent on.
    reply_failed,
}

impl RequestOutcome {
    /// Every outcome.
    const ALL: [Self; 7] = [
        Self::ok,
        Self::client_error,
        Self::server_error,
        Self::timeout,
        Self::unreachable,
        Self::refused,
        Self::reply_failed,
    ];

    /// Whether it may end in another way the next time.
    pub(crate) const fn may_pass(self) -> bool {
        matches!(self, Self::server_error | Self::timeout | Self::unreachable)
    }
}

/// One more in a gauge for as long as this is there.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl ApplicationMetrics {
    /// None so far, shown by this registry.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        Self {
            requests: family(registry, "application_requests", "Requests to applications that have ended, by outcome"),
            retries: family(registry, "application_retries", "Tries of requests to applications beyond the first"),
            in_flight: family(registry, "application_requests_in_flight", "Requests that applications work on"),
            waiting: family(
                registry,
                "application_requests_waiting",
                "Requests that wait for others to the same application, or of the same session",
            ),
            seconds: family(
                registry,
                "application_request_seconds",
                "How long requests to applications took, with all tries",
            ),
        }
    }

    /// Shows an application that nothing has been asked of yet: a rate needs the 0 that was before the first.
    pub(crate) fn show(&self, application: &str) {
        let label = label(application);
        for outcome in RequestOutcome::ALL {
            drop(self.requests.get_or_create(&OutcomeLabel { application: application.into(), outcome }));
        }
        drop(self.retries.get_or_create(&label));
        drop(self.in_flight.get_or_create(&label));
        drop(self.waiting.get_or_create(&label));
        drop(self.seconds.get_or_create(&label));
    }

    /// Counts a request that has ended.
    pub(crate) fn ended(&self, application: &str, outcome: RequestOutcome) {
        self.requests.get_or_create(&OutcomeLabel { application: application.into(), outcome }).inc();
    }

    /// Counts a try that was not the first.
    pub(crate) fn tried_again(&self, application: &str) {
        self.retries.get_or_create(&label(application)).inc();
    }

    /// Counts how long a request took, in seconds.
    pub(crate) fn took(&self, application: &str, seconds: f64) {
        self.seconds.get_or_create(&label(application)).inc_by(seconds);
    }

    /// Counts a request that is worked on.
    pub(crate) fn in_flight(&self, application: &str) -> Counted {
        counted(&self.in_flight, application)
    }

    /// Counts a request that waits.
    pub(crate) fn waiting(&self, application: &str) -> Counted {
        counted(&self.waiting, application)
    }
}

fn label(application: &str) -> ApplicationLabel {
    ApplicationLabel { application: application.into() }
}

fn counted(gauges: &Family<ApplicationLabel, Gauge>, application: &str) -> Counted {
    let gauge = gauges.get_or_create_owned(&label(application));
    gauge.inc();
    Counted(gauge)
}
