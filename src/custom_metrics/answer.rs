//! The objects of the API (pure but for the look at what is known).

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::core::SelectorExt as _;
use serde_json::{Value, json};
use stompbroker_config::admin::Sessions;

use super::{
    GROUP, VERSION,
    question::{Metric, Which},
};
use crate::controller::{
    managed::Managed,
    polls::reports::Reports,
    watches::{cache::Key, world::World},
};

/// Seconds over which the pods measure rates.
const WINDOW_SECONDS: u32 = 10;

/// What is known of the pods' loads.
pub(super) struct Loads {
    /// Of the pods of all others nothing is told.
    pub(super) managed: Managed,
    pub(super) world: Arc<World>,
    pub(super) reports: Arc<Reports>,
    /// A report that is older than this is none.
    pub(super) good_for: Duration,
}

/// What is known of the pods that a question means.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The StompBrokers of the pods.
    pub(super) brokers: BTreeSet<Key>,
    /// Pods that have said what they have to do.
    pub(super) values: Vec<Value>,
    /// How many pods have not.
    pub(super) missing: usize,
}

impl Loads {
    /// What is known of `metric` of the pods of `namespace` that are meant.
    pub(super) fn of(&self, namespace: &str, which: &Which, metric: Metric, now: Timestamp) -> Known {
        let mut known = Known::default();
        for (home, pod_name, pod) in self.world.pods.lock().iter() {
            let meant = home == namespace
                && match which {
                    Which::Named(name) => pod_name == name,
                    Which::Selected(selector) => selector.matches(&pod.labels()),
                };
            let Some(broker) = pod.broker.as_ref().filter(|_| meant) else { continue };
            let broker = Key::new(namespace, broker.as_str());
            if !self.managed.has(&broker) {
                continue;
            }
            known.brokers.insert(broker);
            match self.reports.sessions(&pod.view.uid, now, self.good_for) {
                Some((sessions, at)) => known.values.push(value(namespace, pod_name, metric, &sessions, at)),
                None => known.missing += 1,
            }
        }
        known.values.sort_by(|one, other| name(one).cmp(name(other)));
        known
    }
}

fn name(value: &Value) -> &str {
    value["describedObject"]["name"].as_str().unwrap_or_default()
}

fn value(namespace: &str, pod: &str, metric: Metric, sessions: &Sessions, at: Timestamp) -> Value {
    let mut value = json!({
        "describedObject": {"kind": "Pod", "apiVersion": "/v1", "namespace": namespace, "name": pod},
        "metric": {"name": metric.name()},
        "timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "value": match metric {
            Metric::Sessions => sessions.live().to_string(),
            Metric::MessagesPerSecond => thousandths(sessions.inbound_per_second),
        },
    });
    if metric == Metric::MessagesPerSecond {
        value["windowSeconds"] = WINDOW_SECONDS.into();
    }
    value
}

/// A quantity; the API knows no fractions.
fn thousandths(number: f64) -> String {
    format!("{:.0}m", (number * 1000.0).max(0.0))
}

/// The answer with these values.
pub(super) fn list(values: &[Value]) -> Value {
    json!({"kind": "MetricValueList", "apiVersion": format!("{GROUP}/{VERSION}"), "metadata": {}, "items": values})
}

/// Which versions there are.
pub(super) fn group() -> Value {
    let version = json!({"groupVersion": format!("{GROUP}/{VERSION}"), "version": VERSION});
    json!({"kind": "APIGroup", "apiVersion": "v1", "name": GROUP, "versions": [version], "preferredVersion": version})
}

/// Which metrics there are.
pub(super) fn resources() -> Value {
    let resources: Vec<_> = Metric::ALL
        .into_iter()
        .map(|metric| {
            json!({"name": format!("pods/{}", metric.name()), "singularName": "", "namespaced": true,
                   "kind": "MetricValueList", "verbs": ["get"]})
        })
        .collect();
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{GROUP}/{VERSION}"),
           "resources": resources})
}

/// Why there is no answer.
pub(super) fn failure(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
           "message": message})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        controller::testing::{self, report},
        label_selector,
    };

    fn loads() -> Loads {
        let world = testing::world_with_pods(
            "markets",
            &[("a-1", "trading", "a"), ("a-2", "trading", "a"), ("b-1", "trading", "b")],
        );
        let reports = Reports::default();
        reports.put("uid of a-1", Ok(report(7, 0.25)));
        reports.put("uid of a-2", Err("no answer".to_owned()));
        reports.put("uid of b-1", Ok(report(5, 1.0)));
        Loads {
            managed: testing::managed("markets", &["trading"]),
            world: Arc::new(world),
            reports: Arc::new(reports),
            good_for: Duration::from_secs(30),
        }
    }

    fn zone(zone: &str) -> Which {
        Which::Selected(
            label_selector::parse(&format!("app.kubernetes.io/instance=trading,stompbroker.dev/zone={zone}")).unwrap(),
        )
    }

    #[test]
    fn pods_that_do_not_answer_are_missing_and_not_idle() {
        let known = loads().of("markets", &zone("a"), Metric::Sessions, Timestamp::now());
        assert_eq!((known.values.len(), known.missing), (1, 1));
        assert_eq!(name(&known.values[0]), "a-1");
        assert_eq!(known.values[0]["value"], "7");
        assert_eq!(known.brokers, [Key::new("markets", "trading")].into());
    }

    #[test]
    fn of_the_pods_of_another_operators_broker_nothing_is_told() {
        let loads = Loads { managed: testing::managed("markets", &["pricing"]), ..loads() };
        let known = loads.of("markets", &zone("a"), Metric::Sessions, Timestamp::now());
        assert_eq!((known.values.len(), known.missing, known.brokers.len()), (0, 0, 0));
    }

    #[test]
    fn what_was_said_long_ago_is_missing() {
        let later = Timestamp::now() + Duration::from_secs(31);
        let known = loads().of("markets", &zone("a"), Metric::Sessions, later);
        assert_eq!((known.values.len(), known.missing), (0, 2));
    }

    #[test]
    fn rates_are_in_thousandths_with_their_window() {
        let known = loads().of("markets", &Which::Named("a-1".to_owned()), Metric::MessagesPerSecond, Timestamp::now());
        assert_eq!((&known.values[0]["value"], &known.values[0]["windowSeconds"]), (&json!("250m"), &json!(10)));
    }

    #[test]
    fn pods_of_other_namespaces_are_not_told() {
        let all = Which::Selected(label_selector::parse("").unwrap());
        let known = loads().of("shop", &all, Metric::Sessions, Timestamp::now());
        assert_eq!((known.values.len(), known.missing), (0, 0));
        let known = loads().of("markets", &all, Metric::Sessions, Timestamp::now());
        assert_eq!(known.values.len(), 2);
    }
}
