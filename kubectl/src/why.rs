//! `why`: what is in the way, in the order in which people ask. Pure.

use std::io;

use k8s_openapi::{
    api::autoscaling::v2::HorizontalPodAutoscaler,
    apimachinery::pkg::apis::meta::v1::{MicroTime, Time},
    jiff::Timestamp,
};
use kube::ResourceExt as _;
use serde::Serialize;
use stompbroker_operator::{
    api::{OverrideStatus, RolloutPhase, ZoneStatus},
    status::ConditionType,
};

use crate::{
    cli::Question,
    facts::{Facts, ago, condition, obstacle, unwell},
    paint::{Painted, Tone},
};

/// Events older than the newest so many are not shown.
const EVENTS: usize = 5;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The question that it answers: ready, restarted, scaled or blocked.
    pub(crate) about: &'static str,
    /// What it speaks of: a condition, a pod, a rollout, an autoscaler.
    pub(crate) subject: String,
    /// One word for programs.
    pub(crate) reason: String,
    /// A sentence for people; it holds the remedy where there is one.
    pub(crate) message: String,
    /// Since when (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<String>,
}

/// The answers to one question, or to all.
pub(crate) fn findings(facts: &Facts, about: Option<Question>) -> Vec<Finding> {
    let asked = |question| about.is_none_or(|about| about == question);
    let mut found = Vec::new();
    if asked(Question::Ready) {
        ready(facts, &mut found);
    }
    if asked(Question::Restarted) {
        restarted(facts, &mut found);
    }
    if asked(Question::Scaled) {
        found.extend(facts.status().zones.iter().filter_map(standing_in));
        facts.autoscalers.iter().for_each(|autoscaler| scaled(autoscaler, &mut found));
    }
    if asked(Question::Blocked) {
        blocked(facts, &mut found);
    }
    found
}

/// The answers for people.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn print(facts: &Facts, findings: &[Finding], now: Timestamp, out: &mut impl io::Write) -> io::Result<()> {
    let name = facts.broker.name_any();
    if findings.is_empty() {
        return writeln!(out, "{}", Painted(Tone::Good, format!("{name}: nothing is in the way")));
    }
    let mut heading = "";
    for finding in findings {
        if finding.about != heading {
            heading = finding.about;
            writeln!(out, "{}", Painted(Tone::Strong, title(heading)))?;
        }
        let since = finding.since.as_deref().and_then(|since| since.parse().ok().map(Time));
        let since = since.map(|since| format!("  {} ago", ago(&since, now))).unwrap_or_default();
        writeln!(out, "  {}  {}{}", finding.subject, Painted(Tone::Bad, &finding.reason), Painted(Tone::Faint, since))?;
        writeln!(out, "    {}", finding.message)?;
    }
    Ok(())
}

fn title(about: &str) -> &str {
    match about {
        "ready" => "Why it is not as it should be",
        "restarted" => "Why pods were restarted",
        "scaled" => "Why the number of pods is what it is",
        _ => "What is waiting, and for what",
    }
}

fn ready(facts: &Facts, found: &mut Vec<Finding>) {
    let status = facts.status();
    if status.conditions.is_empty() {
        found.push(Finding {
            about: "ready",
            subject: "status".to_owned(),
            reason: "NotObserved".to_owned(),
            message: "the operator has not looked at this StompBroker; see that it runs and watches this namespace and these labels: \
                      kubectl get pods --all-namespaces -l app.kubernetes.io/name=stompbroker-operator"
                .to_owned(),
            since: None,
        });
    }
    if status.observed_generation.is_some() && status.observed_generation != facts.broker.metadata.generation {
        found.push(Finding {
            about: "ready",
            subject: "status".to_owned(),
            reason: "NotObserved".to_owned(),
            message: "the operator has not looked at the newest spec yet".to_owned(),
            since: None,
        });
    }
    found.extend(unwell(&status).filter(|one| one.type_ != ConditionType::Progressing.as_str()).map(|one| Finding {
        about: "ready",
        subject: format!("{}={}", one.type_, one.status),
        reason: one.reason.clone(),
        message: one.message.clone(),
        since: Some(one.last_transition_time.0.to_string()),
    }));
    found.extend(facts.pods.iter().filter_map(|pod| {
        let obstacle = obstacle(pod)?;
        let (reason, message) = obstacle.split_once(": ").unwrap_or((&obstacle, "see kubectl describe pod"));
        Some(Finding {
            about: "ready",
            subject: format!("pod {}", pod.name_any()),
            reason: reason.to_owned(),
            message: message.to_owned(),
            since: pod.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string()),
        })
    }));
    // They are in nobody's way by themselves.
    if !found.is_empty() {
        found.extend(status.overrides.iter().map(overridden));
    }
}

/// That an object is not as the operator alone would have made it.
fn overridden(changed: &OverrideStatus) -> Finding {
    let paths = changed.paths.join(", ");
    Finding {
        about: "ready",
        subject: format!("{} {}", changed.kind.as_str(), changed.name),
        reason: "Overridden".to_owned(),
        message: format!("spec.overrides changes {paths}; take the patch out to see whether it is the cause"),
        since: None,
    }
}

fn restarted(facts: &Facts, found: &mut Vec<Finding>) {
    let status = facts.status();
    if let Some(last) = &status.last_rollout {
        let reasons: Vec<_> = last.reasons.iter().map(|reason| reason.as_str()).collect();
        let zone = last.zone.as_deref().map(|zone| format!("; the last zone was {zone}")).unwrap_or_default();
        found.push(Finding {
            about: "restarted",
            subject: format!("revision {}", last.revision),
            reason: reasons.join(","),
            message: format!("{}{zone}", phase(last.phase)),
            since: Some(last.started_at.0.to_string()),
        });
    }
    for pod in &facts.pods {
        let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        let died = containers.into_iter().flatten().filter_map(|container| {
            let last = container.last_state.as_ref()?.terminated.as_ref()?;
            Some(Finding {
                about: "restarted",
                subject: format!("pod {}", pod.name_any()),
                reason: last.reason.clone().unwrap_or_else(|| "Terminated".to_owned()),
                message: format!(
                    "its container ended with code {} and was started again, {} times so far; its last words: kubectl \
                     logs {} --previous",
                    last.exit_code,
                    container.restart_count,
                    pod.name_any(),
                ),
                since: last.finished_at.as_ref().map(|time| time.0.to_string()),
            })
        });
        found.extend(died);
    }
    found.extend(events(facts, |reason| reason == "Replacing" || reason.contains("Roll")));
}

fn phase(phase: RolloutPhase) -> &'static str {
    match phase {
        RolloutPhase::Progressing => "zones are being replaced",
        RolloutPhase::Halted => "a zone did not come up, and the others stay as they are",
        RolloutPhase::RollingBack => "a zone did not come up, and all zones go back to the revision that worked",
        RolloutPhase::RolledBack => "all zones run the revision that worked before",
        RolloutPhase::Completed => "all zones run it",
    }
}

/// That a zone has pods for others.
fn standing_in(zone: &ZoneStatus) -> Option<Finding> {
    (zone.standing_in > 0).then(|| Finding {
        about: "scaled",
        subject: format!("zone {}", zone.name),
        reason: "Respread".to_owned(),
        message: format!(
            "{} of its {} pods stand in for those of lost zones, until these have had all their own for zoneOutageWait",
            zone.standing_in, zone.desired
        ),
        since: None,
    })
}

fn scaled(autoscaler: &HorizontalPodAutoscaler, found: &mut Vec<Finding>) {
    let Some(status) = &autoscaler.status else { return };
    let pods = format!("{} pods, {} wanted", status.current_replicas.unwrap_or_default(), status.desired_replicas);
    let words = status.conditions.iter().flatten().filter(|condition| match condition.type_.as_str() {
        "ScalingLimited" => condition.status == "True",
        _ => true,
    });
    found.extend(words.map(|condition| Finding {
        about: "scaled",
        subject: format!("{} {}={}", autoscaler.name_any(), condition.type_, condition.status),
        reason: condition.reason.clone().unwrap_or_default(),
        message: format!("{pods}: {}", condition.message.as_deref().unwrap_or_default()),
        since: condition.last_transition_time.as_ref().map(|time| time.0.to_string()),
    }));
}

fn blocked(facts: &Facts, found: &mut Vec<Finding>) {
    let status = facts.status();
    let progressing = condition(&status, ConditionType::Progressing).filter(|condition| condition.status == "True");
    found.extend(progressing.map(|condition| Finding {
        about: "blocked",
        subject: "rollout".to_owned(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        since: Some(condition.last_transition_time.0.to_string()),
    }));
    found.extend(status.drained_zone.iter().map(|zone| Finding {
        about: "blocked",
        subject: "evictions".to_owned(),
        reason: "ZoneDraining".to_owned(),
        message: format!(
            "zone {zone} is being drained: all its pods may be evicted, and none of other zones until it has its pods again"
        ),
        since: None,
    }));
    found.extend(facts.pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_some()).map(|pod| Finding {
        about: "blocked",
        subject: format!("pod {}", pod.name_any()),
        reason: "Draining".to_owned(),
        message: "it lets its sessions go and ends at the latest at the drain's deadline".to_owned(),
        since: pod.metadata.deletion_timestamp.as_ref().map(|time| time.0.to_string()),
    }));
}

/// The newest events with a reason that is `wanted`.
fn events(facts: &Facts, wanted: impl Fn(&str) -> bool) -> Vec<Finding> {
    let time = |time: &Option<MicroTime>| time.as_ref().map(|time| time.0);
    let mut events: Vec<_> = facts
        .events
        .iter()
        .filter(|event| event.reason.as_deref().is_some_and(&wanted))
        .map(|event| {
            let series = event.series.as_ref().map(|series| series.last_observed_time.0);
            (series.or_else(|| time(&event.event_time)), event)
        })
        .collect();
    events.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    let events = events.into_iter().take(EVENTS).map(|(time, event)| Finding {
        about: "restarted",
        subject: "event".to_owned(),
        reason: event.reason.clone().unwrap_or_default(),
        message: event.note.clone().unwrap_or_default(),
        since: time.map(|time| time.to_string()),
    });
    events.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts(status: &serde_json::Value) -> Facts {
        let broker = json!({
            "apiVersion": "stompbroker.dev/v1alpha1", "kind": "StompBroker",
            "metadata": {"name": "trading", "generation": 2}, "spec": {}, "status": status,
        });
        let broker = serde_json::from_value(broker).unwrap();
        Facts { broker, pods: Vec::new(), autoscalers: Vec::new(), events: Vec::new() }
    }

    fn is_ready() -> serde_json::Value {
        json!({"type": "Ready", "status": "True", "reason": "AsExpected", "message": "",
               "lastTransitionTime": "2026-03-01T12:00:00Z"})
    }

    #[test]
    fn nothing_is_found_where_nothing_is_wrong() {
        let well = facts(&json!({"observedGeneration": 2, "conditions": [is_ready()]}));
        assert_eq!(findings(&well, None), []);
        let mut out = anstream::StripStream::new(Vec::new());
        print(&well, &[], Timestamp::UNIX_EPOCH, &mut out).unwrap();
        assert_eq!(out.into_inner(), b"trading: nothing is in the way\n");
    }

    #[test]
    fn an_older_generation_is_told_though_all_conditions_are_well() {
        let behind = facts(&json!({"observedGeneration": 1, "conditions": [is_ready()]}));
        let reasons: Vec<_> = findings(&behind, Some(Question::Ready)).into_iter().map(|one| one.reason).collect();
        assert_eq!(reasons, ["NotObserved"]);
    }

    #[test]
    fn overrides_are_told_where_something_is_wrong_and_only_there() {
        let overrides = json!([{"kind": "Deployment", "name": "trading", "paths": ["/spec/template/spec/dnsPolicy"]}]);
        let mut status = json!({"observedGeneration": 2, "conditions": [is_ready()], "overrides": overrides});
        assert_eq!(findings(&facts(&status), None), []);
        status["conditions"][0]["status"] = json!("False");
        let found = findings(&facts(&status), Some(Question::Ready));
        let [ready, overridden] = &found[..] else { panic!("{found:?}") };
        assert_eq!((&*ready.subject, &*overridden.subject), ("Ready=False", "Deployment trading"));
        assert!(overridden.message.contains("/spec/template/spec/dnsPolicy"), "{}", overridden.message);
    }

    #[test]
    fn each_question_gets_its_own_answers() {
        let mut facts = facts(&json!({
            "observedGeneration": 2, "drainedZone": "b",
            "zones": [{"name": "a", "desired": 3, "standingIn": 1}, {"name": "b", "desired": 2}],
            "conditions": [
                {"type": "Ready", "status": "False", "reason": "RollingOut", "message": "waits",
                 "lastTransitionTime": "2026-03-01T12:00:00Z"},
                {"type": "Progressing", "status": "True", "reason": "RollingOut", "message": "zone b waits for zone a",
                 "lastTransitionTime": "2026-03-01T12:00:00Z"},
            ],
            "lastRollout": {"revision": "r2", "reasons": ["ImageChanged", "DrainChanged"], "zone": "a",
                            "phase": "Progressing", "startedAt": "2026-03-01T11:00:00Z"},
        }));
        facts.autoscalers = vec![serde_json::from_value(json!({
            "metadata": {"name": "trading-a"}, "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "d", "name": "n"}},
            "status": {"currentReplicas": 2, "desiredReplicas": 3, "conditions": [
                {"type": "AbleToScale", "status": "True", "reason": "SucceededRescale", "message": "set to 3"},
                {"type": "ScalingLimited", "status": "False", "reason": "DesiredWithinRange", "message": "fine"}]},
        }))
        .unwrap()];
        let answers = |question| findings(&facts, Some(question)).into_iter().map(|one| (one.subject, one.reason));
        let of = |question| answers(question).collect::<Vec<_>>();
        let pair = |subject: &str, reason: &str| (subject.to_owned(), reason.to_owned());
        assert_eq!(of(Question::Ready), [pair("Ready=False", "RollingOut")]);
        assert_eq!(of(Question::Restarted), [pair("revision r2", "ImageChanged,DrainChanged")]);
        assert_eq!(
            of(Question::Scaled),
            [pair("zone a", "Respread"), pair("trading-a AbleToScale=True", "SucceededRescale")]
        );
        assert_eq!(of(Question::Blocked), [pair("rollout", "RollingOut"), pair("evictions", "ZoneDraining")]);
        assert_eq!(findings(&facts, None).len(), 6);
    }
}
