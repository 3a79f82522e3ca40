//! `status`: the broker as a tree. Pure.

use std::io;

use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::ResourceExt as _;
use serde_json::{Value, json};
use stompbroker_operator::{
    api::{CertificateStatus, ExposureStatus, RolloutPhase, StompBrokerStatus, ZoneStatus},
    plan::labels,
    status::ConditionType,
};

use crate::{
    facts::{Facts, ago, condition, is_ready, obstacle, state, unwell},
    paint::{Painted, Tone},
};

/// A line of the tree and what hangs from it.
struct Branch {
    text: String,
    leaves: Vec<Branch>,
}

impl Branch {
    fn leaf(text: String) -> Self {
        Self { text, leaves: Vec::new() }
    }
}

/// The broker as a tree for people.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn print(facts: &Facts, now: Timestamp, out: &mut impl io::Write) -> io::Result<()> {
    let status = facts.status();
    let tree = Branch { text: headline(facts, &status), leaves: branches(facts, &status, now) };
    writeln!(out, "{}", tree.text)?;
    hang(&tree.leaves, "", out)
}

/// The same for programs.
pub(crate) fn to_json(facts: &Facts) -> Value {
    let pods = facts.pods.iter().map(|pod| {
        json!({
            "name": pod.name_any(),
            "zone": zone_of(pod),
            "state": state(pod),
            "obstacle": obstacle(pod),
            "restarts": restarts(pod),
            "node": node(pod),
        })
    });
    json!({
        "name": facts.broker.name_any(),
        "namespace": facts.broker.namespace(),
        "status": facts.broker.status,
        "pods": pods.collect::<Vec<_>>(),
    })
}

fn hang(leaves: &[Branch], indent: &str, out: &mut impl io::Write) -> io::Result<()> {
    for (index, leaf) in leaves.iter().enumerate() {
        let last = index + 1 == leaves.len();
        writeln!(out, "{indent}{} {}", if last { "└─" } else { "├─" }, leaf.text)?;
        hang(&leaf.leaves, &format!("{indent}{}  ", if last { " " } else { "│" }), out)?;
    }
    Ok(())
}

fn headline(facts: &Facts, status: &StompBrokerStatus) -> String {
    let ready = condition(status, ConditionType::Ready);
    let word = match ready {
        Some(ready) if ready.status == "True" => Painted(Tone::Good, "Ready".to_owned()),
        Some(ready) => Painted(Tone::Bad, format!("not ready ({})", ready.reason)),
        None => Painted(Tone::Busy, "not looked at yet; does the operator run?".to_owned()),
    };
    let desired: i32 = status.zones.iter().map(|zone| zone.desired).sum();
    let pods = if status.zones.is_empty() { status.replicas } else { desired };
    format!(
        "{}  {word}  {}  {}/{pods} pods  {} sessions",
        Painted(Tone::Strong, facts.broker.name_any()),
        status.engine.as_deref().unwrap_or("no engine yet"),
        status.ready_replicas,
        status.sessions,
    )
}

fn branches(facts: &Facts, status: &StompBrokerStatus, now: Timestamp) -> Vec<Branch> {
    let mut branches: Vec<_> = unwell(status)
        .filter(|condition| condition.type_ != ConditionType::Ready.as_str())
        .map(|condition| {
            let tone = if condition.type_ == ConditionType::Progressing.as_str() { Tone::Busy } else { Tone::Bad };
            let since = ago(&condition.last_transition_time, now);
            let name = Painted(tone, format!("{}={}", condition.type_, condition.status));
            Branch::leaf(format!("{name}  {}  for {since}: {}", condition.reason, condition.message))
        })
        .collect();
    if status.zones.is_empty() {
        branches.extend(pods(facts, "", now));
    } else {
        branches.extend(
            status.zones.iter().map(|zone| Branch { text: line(zone, now), leaves: pods(facts, &zone.name, now) }),
        );
    }
    branches.extend(status.planned_changes.iter().map(|change| Branch::leaf(format!("would  {change}"))));
    branches.extend(status.drained_zone.iter().map(|zone| {
        let name = Painted(Tone::Busy, format!("zone {zone} is being drained"));
        Branch::leaf(format!(
            "evictions  {name}  all its pods may go, and none of other zones until it has its pods again"
        ))
    }));
    branches.extend(status.overrides.iter().map(|patched| Branch::leaf(format!("override  {patched}"))));
    branches.extend(relay(status));
    branches.extend(rollout(status, now));
    if let Some(endpoints) = &status.endpoints {
        let all = [&endpoints.stomp, &endpoints.stomp_tls, &endpoints.websocket, &endpoints.websocket_tls];
        let all: Vec<_> = all.into_iter().flatten().map(String::as_str).collect();
        branches.push(Branch::leaf(format!("clients  {}", all.join("  "))));
    }
    branches.extend(status.exposure.iter().map(exposure));
    branches.extend(status.certificates.iter().map(|certificate| self::certificate(certificate, now)));
    branches
}

/// How clients outside the cluster come in.
fn exposure(way: &ExposureStatus) -> Branch {
    let ExposureStatus { kind, name: _, ready, urls, message } = way;
    let tone = if *ready { Tone::Good } else { Tone::Bad };
    let urls: String = urls.iter().flat_map(|url| ["  ", url]).collect();
    let message = message.as_ref().map(|message| format!("  {message}")).unwrap_or_default();
    Branch::leaf(format!("outside  {}{urls}{message}", Painted(tone, kind)))
}

fn certificate(certificate: &CertificateStatus, now: Timestamp) -> Branch {
    let CertificateStatus { secret_name, issuer, not_before: _, not_after, message } = certificate;
    let end = match not_after {
        Some(end) if end.0 <= now => Painted(Tone::Bad, format!("ended at {}", end.0)).to_string(),
        Some(end) => format!("until {}", end.0),
        None => Painted(Tone::Busy, "not there yet").to_string(),
    };
    let issuer = issuer.as_ref().map(|issuer| format!("  of {issuer}")).unwrap_or_default();
    let message = message.as_ref().map(|message| format!("  {message}")).unwrap_or_default();
    Branch::leaf(format!("certificate  {secret_name}  {end}{issuer}{message}"))
}

fn line(zone: &ZoneStatus, now: Timestamp) -> String {
    let ZoneStatus { name, desired, ready, updated, sessions, revision, standing_in, outage, .. } = zone;
    let tone = if ready >= desired { Tone::Good } else { Tone::Bad };
    let pods = Painted(tone, format!("{ready}/{desired} ready"));
    let behind = if updated < desired { format!("  {updated} updated") } else { String::new() };
    let revision = revision.as_deref().map(|revision| format!("  revision {revision}")).unwrap_or_default();
    let guests = if *standing_in > 0 { format!("  {standing_in} for lost zones") } else { String::new() };
    let lost = outage.as_ref().map(|outage| match &outage.back_since {
        None => format!("  {}", Painted(Tone::Bad, format!("lost for {}", ago(&outage.since, now)))),
        Some(back) => format!("  back for {}", ago(back, now)),
    });
    let lost = lost.unwrap_or_default();
    format!("zone {name}  {pods}{behind}{guests}{lost}  {sessions} sessions{revision}")
}

fn pods(facts: &Facts, zone: &str, now: Timestamp) -> Vec<Branch> {
    let mut pods: Vec<_> = facts.pods.iter().filter(|pod| zone_of(pod) == zone).collect();
    pods.sort_by_key(|pod| pod.name_any());
    pods.into_iter().map(|pod| pod_branch(pod, now)).collect()
}

fn pod_branch(pod: &Pod, now: Timestamp) -> Branch {
    let word = state(pod);
    let tone = match word.as_str() {
        "Ready" => Tone::Good,
        "Pending" | "Running" | "Terminating" => Tone::Busy,
        _ => Tone::Bad,
    };
    let restarts = match restarts(pod) {
        0 => String::new(),
        1 => "  1 restart".to_owned(),
        many => format!("  {many} restarts"),
    };
    let age = pod.metadata.creation_timestamp.as_ref().map(|then| format!("  {}", ago(then, now))).unwrap_or_default();
    let node = node(pod).map(|node| format!("  on {node}")).unwrap_or_default();
    let leaves = obstacle(pod).filter(|_| !is_ready(pod)).map(Branch::leaf).into_iter().collect();
    let text = format!("{}  {}{restarts}{}", pod.name_any(), Painted(tone, word), Painted(Tone::Faint, node + &age));
    Branch { text, leaves }
}

fn relay(status: &StompBrokerStatus) -> Option<Branch> {
    let connected = condition(status, ConditionType::RelayConnected)?;
    let good = connected.status == "True";
    good.then(|| Branch::leaf(format!("relay  {}  {}", Painted(Tone::Good, "connected"), connected.message)))
}

fn rollout(status: &StompBrokerStatus, now: Timestamp) -> Option<Branch> {
    let last = status.last_rollout.as_ref()?;
    let tone = match last.phase {
        RolloutPhase::Completed => Tone::Good,
        RolloutPhase::Progressing => Tone::Busy,
        RolloutPhase::Halted | RolloutPhase::RollingBack | RolloutPhase::RolledBack => Tone::Bad,
    };
    let reasons: Vec<_> = last.reasons.iter().map(|reason| reason.as_str()).collect();
    let at = last.zone.as_deref().filter(|_| last.finished_at.is_none());
    let zone = at.map(|zone| format!(" in zone {zone}")).unwrap_or_default();
    let since = ago(last.finished_at.as_ref().unwrap_or(&last.started_at), now);
    let phase = Painted(tone, format!("{:?}", last.phase));
    Some(Branch::leaf(format!("rollout  {phase}{zone}  {since} ago  {}", reasons.join(", "))))
}

fn zone_of(pod: &Pod) -> &str {
    pod.metadata.labels.as_ref().and_then(|all| all.get(labels::ZONE)).map_or("", String::as_str)
}

fn node(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.node_name.clone()
}

fn restarts(pod: &Pod) -> i32 {
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    containers.into_iter().flatten().map(|container| container.restart_count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tests::pod;

    const NOW: &str = "2026-03-01T12:00:00Z";

    fn facts() -> Facts {
        let broker = json!({
            "apiVersion": "stompbroker.dev/v1alpha1", "kind": "StompBroker",
            "metadata": {"name": "trading", "namespace": "markets"}, "spec": {},
            "status": {
                "engine": "relay", "replicas": 2, "readyReplicas": 1, "sessions": 128,
                "zones": [
                    {"name": "a", "desired": 1, "ready": 1, "updated": 1, "sessions": 128, "revision": "r2"},
                    {"name": "b", "desired": 1, "ready": 0, "updated": 0, "sessions": 0, "revision": "r1",
                     "outage": {"since": "2026-03-01T11:57:00Z"}},
                ],
                "conditions": [
                    {"type": "Ready", "status": "False", "reason": "PodsFailing", "message": "m", "lastTransitionTime": NOW},
                    {"type": "Degraded", "status": "True", "reason": "PodsFailing", "message": "zone b does not come up",
                     "lastTransitionTime": "2026-03-01T11:57:00Z"},
                    {"type": "RelayConnected", "status": "True", "reason": "AsExpected", "message": "rabbit:61613",
                     "lastTransitionTime": NOW},
                ],
                "overrides": [{"kind": "Service", "name": "trading", "paths": ["/spec/type"]}],
                "lastRollout": {"revision": "r2", "reasons": ["ImageChanged"], "zone": "b", "phase": "Halted",
                                "startedAt": "2026-03-01T11:56:00Z"},
            },
        });
        let label = |zone: &str| json!({"stompbroker.dev/zone": zone});
        let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        let failing = json!({"phase": "Pending", "containerStatuses": [{"name": "broker", "image": "", "imageID": "",
            "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no x:1"}}}]});
        Facts {
            broker: serde_json::from_value(broker).unwrap(),
            pods: vec![
                pod(json!({"metadata": {"name": "t-b-1", "labels": label("b")}, "status": failing})),
                pod(
                    json!({"metadata": {"name": "t-a-1", "labels": label("a")}, "spec": {"containers": [], "nodeName": "n1"},
                           "status": ready}),
                ),
            ],
            autoscalers: Vec::new(),
            events: Vec::new(),
        }
    }

    #[test]
    fn the_tree_shows_each_zone_with_its_pods_and_what_is_wrong_first() {
        let mut out = anstream::StripStream::new(Vec::new());
        print(&facts(), NOW.parse().unwrap(), &mut out).unwrap();
        let expected = "\
trading  not ready (PodsFailing)  relay  1/2 pods  128 sessions
├─ Degraded=True  PodsFailing  for 3m: zone b does not come up
├─ zone a  1/1 ready  128 sessions  revision r2
│  └─ t-a-1  Ready  on n1
├─ zone b  0/1 ready  0 updated  lost for 3m  0 sessions  revision r1
│  └─ t-b-1  ImagePullBackOff
│     └─ ImagePullBackOff: no x:1
├─ override  Service trading  /spec/type
├─ relay  connected  rabbit:61613
└─ rollout  Halted in zone b  4m ago  ImageChanged
";
        assert_eq!(String::from_utf8(out.into_inner()).unwrap(), expected);
    }

    #[test]
    fn the_tree_ends_with_how_clients_come_in_and_until_when_certificates_are_good() {
        let mut facts = facts();
        let status = facts.broker.status.as_mut().unwrap();
        status.exposure = serde_json::from_value(json!([
            {"kind": "HTTPRoute", "name": "trading", "ready": true, "urls": ["wss://a.example/ws"]},
            {"kind": "Service", "name": "trading", "message": "its load balancer has no address yet"},
        ]))
        .unwrap();
        status.certificates = serde_json::from_value(json!([
            {"secretName": "cert", "notAfter": "2026-02-01T00:00:00Z"},
            {"secretName": "trading-stomp-tls", "issuer": "Issuer ca", "notAfter": "2026-06-01T00:00:00Z"},
        ]))
        .unwrap();
        let mut out = anstream::StripStream::new(Vec::new());
        print(&facts, NOW.parse().unwrap(), &mut out).unwrap();
        let text = String::from_utf8(out.into_inner()).unwrap();
        let expected = "\
├─ outside  HTTPRoute  wss://a.example/ws
├─ outside  Service  its load balancer has no address yet
├─ certificate  cert  ended at 2026-02-01T00:00:00Z
└─ certificate  trading-stomp-tls  until 2026-06-01T00:00:00Z  of Issuer ca
";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn programs_get_the_status_as_it_is_and_the_pods() {
        let json = to_json(&facts());
        assert_eq!(json["status"]["zones"][1]["ready"], 0);
        assert_eq!(json["pods"][0]["obstacle"], "ImagePullBackOff: no x:1");
    }

    #[test]
    fn a_broker_that_nobody_looked_at_says_so() {
        let mut facts = facts();
        facts.broker.status = None;
        facts.pods.clear();
        let mut out = anstream::StripStream::new(Vec::new());
        print(&facts, NOW.parse().unwrap(), &mut out).unwrap();
        let text = String::from_utf8(out.into_inner()).unwrap();
        assert!(text.contains("does the operator run?"), "{text}");
    }
}
