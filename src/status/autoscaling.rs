//! `Autoscaled` and `status.autoscaling`: who decides the numbers of pods, the last decisions and their reasons.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    Reason,
    pools::PoolFacts,
    verdict::{Holds, Verdict},
};
use crate::{
    api::{AutoscaledPool, Autoscaling, AutoscalingMode, AutoscalingStatus, ScalingDecision},
    observed::{AutoscalerView, Observed, Reading},
    plan::{MESSAGES_PER_SECOND, SESSIONS},
};

/// Judges whether the numbers of pods follow the load. `custom_metrics` tells whether the operator serves what the pods do.
pub(super) fn autoscaled(
    autoscaling: &Autoscaling,
    pools: &[PoolFacts<'_>],
    observed: &Observed,
    custom_metrics: bool,
) -> Verdict {
    match autoscaling.mode {
        AutoscalingMode::External => Verdict::new(
            Holds::True,
            Reason::External,
            "the numbers of pods are left to who writes the Deployments' scale",
        ),
        AutoscalingMode::Keda if !observed.keda => Verdict::new(
            Holds::False,
            Reason::KedaMissing,
            "the API server does not know keda.sh/v1alpha1, so the numbers of pods stay as they are; install KEDA, or set \
             spec.autoscaling.mode to Hpa",
        ),
        AutoscalingMode::Keda => {
            Verdict::new(Holds::True, Reason::AsExpected, "KEDA's ScaledObjects decide the numbers of pods")
        }
        AutoscalingMode::Hpa => {
            let failing = pools.iter().find_map(|pool| {
                let why = observed.autoscalers.get(&pool.pool.name)?.failing.as_ref()?;
                Some(Verdict::new(Holds::False, Reason::AutoscalerFailing, format!("{}: {why}", pool.label())))
            });
            failing.unwrap_or_else(|| {
                if custom_metrics {
                    Verdict::new(Holds::True, Reason::AsExpected, "the numbers of pods follow the load")
                } else {
                    Verdict::new(
                        Holds::True,
                        Reason::CpuOnly,
                        "the numbers of pods follow the CPU alone; for sessions and message rates install the operator's \
                         chart with customMetrics.enabled",
                    )
                }
            })
        }
    }
}

/// What is reported of autoscaling as of this pass.
pub(super) fn report(
    autoscaling: &Autoscaling,
    previous: Option<&AutoscalingStatus>,
    pools: &[PoolFacts<'_>],
    observed: &Observed,
    now: Timestamp,
) -> AutoscalingStatus {
    let known = |name: &str| previous?.pools.iter().find(|pool| pool.deployment == name);
    let pools = pools
        .iter()
        .map(|pool| {
            let name = &pool.pool.name;
            let before = known(name);
            let replicas = pool.live.map_or(pool.desired, |live| live.desired);
            let autoscaler = observed.autoscalers.get(name).filter(|_| autoscaling.mode == AutoscalingMode::Hpa);
            let decision = match autoscaling.mode {
                AutoscalingMode::Hpa => autoscaler.and_then(|autoscaler| of_autoscaler(before, autoscaler)),
                AutoscalingMode::Keda | AutoscalingMode::External => {
                    before.filter(|before| before.replicas != replicas).map(|before| {
                        of_somebody(before, replicas, pool.live.and_then(|live| live.scaled_by.as_deref()), now)
                    })
                }
            };
            AutoscaledPool {
                deployment: name.clone(),
                replicas,
                limited_by: autoscaler.and_then(|autoscaler| autoscaler.limited.clone()),
                last_decision: decision.or_else(|| before?.last_decision.clone()),
            }
        })
        .collect();
    AutoscalingStatus { mode: autoscaling.mode, pools }
}

/// The decision that an autoscaler has made since `before`.
fn of_autoscaler(before: Option<&AutoscaledPool>, autoscaler: &AutoscalerView) -> Option<ScalingDecision> {
    let at = autoscaler.scaled_at?;
    let last = before.and_then(|before| before.last_decision.as_ref());
    if last.is_some_and(|last| last.at.0 >= at) {
        return None;
    }
    // With the decision the autoscaler writes the number that it came from; a moment later both are the same.
    let from = if autoscaler.current == autoscaler.desired {
        before.map(|before| before.replicas).filter(|replicas| *replicas != autoscaler.desired)
    } else {
        Some(autoscaler.current)
    };
    Some(ScalingDecision { from, to: autoscaler.desired, at: Time(at), why: why(autoscaler) })
}

/// A change of the number that no autoscaler of ours has made.
fn of_somebody(before: &AutoscaledPool, to: i32, by: Option<&str>, now: Timestamp) -> ScalingDecision {
    let why = by.map_or_else(|| "written by nobody known".to_owned(), |by| format!("written by {by}"));
    ScalingDecision { from: Some(before.replicas), to, at: Time(now), why }
}

fn why(autoscaler: &AutoscalerView) -> String {
    let mut parts: Vec<_> = autoscaler.readings.iter().map(words).collect();
    parts.extend(autoscaler.limited.clone());
    if parts.is_empty() { "the autoscaler does not say what it has measured".to_owned() } else { parts.join(", ") }
}

fn words(reading: &Reading) -> String {
    let Reading { metric, value, target } = reading;
    let (value, target) = (plain(value), plain(target));
    match metric.as_str() {
        SESSIONS => format!("{value} sessions a pod (target {target})"),
        MESSAGES_PER_SECOND => format!("{value} messages a pod in a second (target {target})"),
        "cpu" => format!("CPU use of {value} of the request (target {target})"),
        other => format!("{other} is {value} (target {target})"),
    }
}

/// A quantity without the suffixes m and k, in which the API server likes to write numbers.
fn plain(quantity: &str) -> String {
    let number = |text: &str, factor: f64| text.parse::<f64>().ok().map(|number| number * factor);
    let scaled = match quantity.strip_suffix('m') {
        Some(milli) => number(milli, 0.001),
        None => quantity.strip_suffix('k').and_then(|kilo| number(kilo, 1000.0)),
    };
    scaled.map_or_else(|| quantity.to_owned(), |number| format!("{number:.1}").trim_end_matches(".0").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_said_in_plain_numbers() {
        for (quantity, text) in [("84500m", "84.5"), ("7k", "7000"), ("70", "70"), ("12%", "12%"), ("odd", "odd")] {
            assert_eq!(plain(quantity), text);
        }
    }
}
