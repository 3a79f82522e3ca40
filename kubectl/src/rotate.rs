//! `rotate`: asks for new passwords, or for the old ones back, and tells how far that is.
//!
//! All that the plugin does is write an annotation; what follows is the operator's, and read from `status.credentials`.

use std::{io::Write, time::Duration};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::ResourceExt as _;
use serde::Serialize;
use stompbroker_config::GoDuration;
use stompbroker_operator::api::{CredentialStatus, REVERT_CREDENTIALS, ROTATE_CREDENTIALS, RotationPhase, StompBroker};
use tokio::time::{Instant, sleep};

use crate::{
    cli::{Output, Rotate},
    cluster::{Cluster, ClusterError},
    error::Failure,
    paint::{Painted, Tone},
    print_json,
};

/// Time between two looks at the status.
const AGAIN: Duration = Duration::from_secs(1);

/// Why logins are not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The logins are the user's own.
    #[error(
        "both logins of {0} follow Secrets of yours; change the content of those instead, and put the old content back to take a \
         rotation back"
    )]
    NotGenerated(String),
    /// Revert: nothing is under way.
    #[error(
        "no rotation of {0} can be taken back: either none is under way, or its overlap is over; rotate again instead"
    )]
    NothingToRevert(String),
    /// It takes longer than the user wants to wait.
    #[error("it goes on without this command, but {waited} were not enough; {}", steps.join("; "))]
    Late {
        /// How long the command has waited.
        waited: GoDuration,
        /// Where the logins stand.
        steps: Vec<String>,
    },
    /// The API server refused.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// Where one login stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    login: &'static str,
    secret_name: String,
    phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    switched_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retires_at: Option<Time>,
    #[serde(skip)]
    at: RotationPhase,
}

/// Asks for a rotation, or for one to be taken back, and waits for it where that is wished.
pub(crate) async fn rotate(
    cluster: &Cluster,
    arguments: &Rotate,
    output: Output,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let broker = cluster.broker(arguments.broker.name.as_deref()).await?;
    let name = broker.name_any();
    let before = steps(&broker);
    let annotation = annotation(&name, &before, arguments.revert, generated(&broker))?;
    cluster.annotate(&name, annotation, &Timestamp::now().to_string()).await?;
    let mut told = before.clone();
    if output == Output::Text {
        let what = if arguments.revert { "the rotation of" } else { "new passwords for" };
        let asked = if arguments.revert { "is to be taken back" } else { "are on their way" };
        writeln!(out, "{what} {name} {asked}")?;
    }
    let deadline = Instant::now() + arguments.timeout.0;
    let mut over = !arguments.wait;
    while !over {
        told = wait_for_news(cluster, &name, &told, deadline, arguments.timeout).await?;
        if output == Output::Text {
            told.iter().try_for_each(|step| writeln!(out, "{}", line(step)))?;
        }
        over = is_over(&before, &told, arguments.revert);
    }
    if output == Output::Json {
        print_json(&told, out)?;
    }
    Ok(())
}

/// Which annotation says it.
fn annotation(name: &str, before: &[Step], revert: bool, generated: bool) -> Result<&'static str, RotateError> {
    // Taken back is what pods or consumers were given and nothing has ended yet.
    let under_way = |step: &Step| !matches!(step.at, RotationPhase::Idle | RotationPhase::Retired);
    match revert {
        _ if !generated => Err(RotateError::NotGenerated(name.to_owned())),
        false => Ok(ROTATE_CREDENTIALS),
        true if before.iter().any(under_way) => Ok(REVERT_CREDENTIALS),
        true => Err(RotateError::NothingToRevert(name.to_owned())),
    }
}

/// The next state that differs from `told`.
async fn wait_for_news(
    cluster: &Cluster,
    name: &str,
    told: &[Step],
    deadline: Instant,
    waited: GoDuration,
) -> Result<Vec<Step>, RotateError> {
    loop {
        let now = steps(&cluster.broker(Some(name)).await?);
        if now != told {
            return Ok(now);
        }
        if Instant::now() >= deadline {
            return Err(RotateError::Late { waited, steps: now.iter().map(words).collect() });
        }
        sleep(AGAIN).await;
    }
}

/// Whether the operator makes at least one login.
fn generated(broker: &StompBroker) -> bool {
    let credentials = &broker.spec.credentials;
    [&credentials.system, &credentials.client].iter().any(|credential| credential.secret_name.is_none())
}

/// Where the logins that the operator makes stand.
fn steps(broker: &StompBroker) -> Vec<Step> {
    let credentials = &broker.spec.credentials;
    let status = broker.status.as_ref().and_then(|status| status.credentials.as_ref());
    let logins = [
        ("system", &credentials.system, status.map(|status| &status.system)),
        ("client", &credentials.client, status.map(|status| &status.client)),
    ];
    let ours = logins.into_iter().filter(|(_, credential, _)| credential.secret_name.is_none());
    ours.filter_map(|(login, _, status)| step(login, status?)).collect()
}

fn step(login: &'static str, status: &CredentialStatus) -> Option<Step> {
    let rotation = status.rotation.clone()?;
    Some(Step {
        login,
        secret_name: status.secret_name.clone(),
        phase: rotation.phase.as_str(),
        acknowledged: rotation.acknowledged,
        message: rotation.message,
        switched_at: rotation.switched_at,
        retires_at: rotation.retires_at,
        at: rotation.phase,
    })
}

/// Whether what was asked for has happened: consumers have other passwords than `before`, or none were given out that had to be
/// taken back, and pods know that. What was withdrawn counts until the overlap is over, for which nobody has to wait.
fn is_over(before: &[Step], now: &[Step], revert: bool) -> bool {
    let old = |step: &Step| before.iter().find(|one| one.login == step.login).and_then(|one| one.switched_at.clone());
    let is_over = |step: &Step| match step.at {
        RotationPhase::Idle => revert || step.switched_at != old(step),
        RotationPhase::Draining | RotationPhase::Retired => step.switched_at != old(step),
        RotationPhase::Staged | RotationPhase::Distributed | RotationPhase::Active => false,
    };
    !now.is_empty() && now.iter().all(is_over)
}

/// A step in words, without colours.
fn words(step: &Step) -> String {
    let acknowledged = step.acknowledged.as_ref().map(|pods| format!(", {pods} pods"));
    let until = step.retires_at.as_ref().map(|at| format!(", the previous password counts until {}", at.0));
    let message = step.message.as_ref().map(|message| format!(", {message}"));
    let rest: String = [acknowledged, until, message].into_iter().flatten().collect();
    format!("{} ({}): {}{rest}", step.login, step.secret_name, step.phase)
}

fn line(step: &Step) -> Painted<String> {
    let tone = match step.at {
        RotationPhase::Idle | RotationPhase::Draining => Tone::Good,
        _ => Tone::Busy,
    };
    Painted(tone, words(step))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn login(phase: &str, switched_at: &str) -> Value {
        json!({"secretName": "trading-system", "rotation": {"phase": phase, "switchedAt": switched_at}})
    }

    fn broker(spec: &Value, system: &Value, client: &Value) -> StompBroker {
        serde_json::from_value(json!({
            "apiVersion": "stompbroker.dev/v1alpha1", "kind": "StompBroker", "metadata": {"name": "trading"},
            "spec": {"credentials": spec}, "status": {"credentials": {"system": system, "client": client}},
        }))
        .unwrap()
    }

    fn both(phase: &str, switched_at: &str) -> Vec<Step> {
        let login = login(phase, switched_at);
        steps(&broker(&json!({}), &login, &login))
    }

    const BEFORE: &str = "2026-03-01T12:00:00Z";
    const AFTER: &str = "2026-03-01T12:05:00Z";

    #[test]
    fn a_rotation_is_over_when_consumers_have_new_passwords_and_pods_know_that() {
        let before = both("Idle", BEFORE);
        for (phase, switched_at, over) in [
            ("Idle", BEFORE, false),
            ("Staged", BEFORE, false),
            ("Distributed", BEFORE, false),
            ("Active", AFTER, false),
            ("Draining", AFTER, true),
            ("Idle", AFTER, true),
        ] {
            assert_eq!(is_over(&before, &both(phase, switched_at), false), over, "{phase} since {switched_at}");
        }
    }

    #[test]
    fn one_login_that_lags_behind_keeps_it_going() {
        let now = broker(&json!({}), &login("Draining", AFTER), &login("Staged", BEFORE));
        assert!(!is_over(&both("Idle", BEFORE), &steps(&now), false));
    }

    #[test]
    fn what_was_taken_back_is_over_when_there_is_one_value() {
        let before = both("Staged", BEFORE);
        for (phase, over) in [("Staged", false), ("Retired", false), ("Idle", true)] {
            assert_eq!(is_over(&before, &both(phase, BEFORE), true), over, "{phase}");
        }
    }

    #[test]
    fn what_consumers_had_already_is_taken_back_when_they_have_the_old_passwords_again() {
        let before = both("Draining", BEFORE);
        for (phase, switched_at, over) in
            [("Draining", BEFORE, false), ("Active", AFTER, false), ("Draining", AFTER, true), ("Idle", AFTER, true)]
        {
            assert_eq!(is_over(&before, &both(phase, switched_at), true), over, "{phase} since {switched_at}");
        }
    }

    #[test]
    fn only_what_is_under_way_can_be_taken_back() {
        for (phase, can) in [("Idle", false), ("Staged", true), ("Draining", true), ("Retired", false)] {
            let found = annotation("trading", &both(phase, BEFORE), true, true);
            assert_eq!(found.ok(), can.then_some(REVERT_CREDENTIALS), "{phase}");
        }
        let error = annotation("trading", &both("Idle", BEFORE), true, true).unwrap_err().to_string();
        assert!(error.contains("trading") && error.contains("rotate again"), "{error}");
    }

    #[test]
    fn logins_of_the_users_own_are_not_rotated_by_the_operator() {
        let mixed = json!({"system": {"secretName": "mine"}});
        let status = login("Idle", BEFORE);
        let logins: Vec<_> = steps(&broker(&mixed, &status, &status)).into_iter().map(|step| step.login).collect();
        assert_eq!(logins, ["client"]);
        assert!(generated(&broker(&mixed, &status, &status)));
        let own = json!({"system": {"secretName": "mine"}, "client": {"secretName": "mine"}});
        let error = annotation("trading", &[], false, generated(&broker(&own, &status, &status))).unwrap_err();
        assert!(error.to_string().contains("change the content"), "{error}");
    }

    #[test]
    fn a_step_names_secret_phase_pods_and_how_long_the_old_password_counts() {
        let status = json!({"secretName": "trading-client", "rotation": {"phase": "Draining", "acknowledged": "2/3",
            "switchedAt": BEFORE, "retiresAt": AFTER, "message": "pod b has not taken it up yet"}});
        let step = &steps(&broker(&json!({}), &status, &status))[1];
        assert_eq!(
            words(step),
            "client (trading-client): Draining, 2/3 pods, the previous password counts until 2026-03-01T12:05:00Z, pod b has not \
             taken it up yet"
        );
    }
}
