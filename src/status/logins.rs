//! `status.credentials`, and `CredentialsSettled`: each login has one value, and every pod accepts it.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use stompbroker_config::GoDuration;

use super::{
    Reason,
    verdict::{Holds, Verdict},
};
use crate::{
    api::{CredentialStatus, CredentialsStatus, RotationPhase, RotationStatus},
    observed::{LoginView, Observed},
    plan::{Login, rotation, silence::Patience, whole_seconds},
    validate::ValidatedBroker,
};

/// Where both logins stand.
pub(super) fn credentials(
    broker: &ValidatedBroker,
    observed: &Observed,
    before: Option<&CredentialsStatus>,
) -> CredentialsStatus {
    let status = |login: Login, before: Option<&CredentialStatus>| {
        let secret_name = login.credential(broker).secret_name.clone();
        let before = before.filter(|before| before.secret_name == secret_name);
        let before = before.and_then(|before| before.rotation.as_ref());
        let seen = observed.logins.get(&secret_name);
        let rotation = seen.map(|seen| rotation(login, broker, seen, observed, before));
        CredentialStatus { secret_name, rotation: rotation.or_else(|| before.cloned()) }
    };
    CredentialsStatus {
        system: status(Login::System, before.map(|before| &before.system)),
        client: status(Login::Client, before.map(|before| &before.client)),
    }
}

fn rotation(
    login: Login,
    broker: &ValidatedBroker,
    seen: &LoginView,
    observed: &Observed,
    before: Option<&RotationStatus>,
) -> RotationStatus {
    let patience = Patience::of_rotation(broker, observed.now);
    let taken_up = login.acknowledgement(seen, &observed.pods, patience);
    let since = Time(whole_seconds(seen.switched_at));
    let before = before.filter(|before| before.switched_at.as_ref() == Some(&since)).map(|before| before.phase);
    // Once every pod has taken a state up, one that starts anew does not bring it back.
    let phase = match (seen.holds, taken_up.missing.is_empty()) {
        (rotation::Holds::Next, false) => RotationPhase::Staged,
        (rotation::Holds::Next, true) => RotationPhase::Distributed,
        (rotation::Holds::Previous, false) if before != Some(RotationPhase::Draining) => RotationPhase::Active,
        (rotation::Holds::Previous, _) => RotationPhase::Draining,
        (rotation::Holds::One, false) if before.is_some_and(|before| before != RotationPhase::Idle) => {
            RotationPhase::Retired
        }
        (rotation::Holds::One, _) => RotationPhase::Idle,
    };
    let message = taken_up.missing.first().map(|(pod, why)| match why {
        Some(why) => format!("pod {} is waited for: {why}", pod.name),
        None => format!("pod {} has not taken it up yet", pod.name),
    });
    let silent =
        || taken_up.passed_over.first().map(|pod| format!("pod {} says nothing and is no longer waited for", pod.name));
    let message = message.or_else(silent);
    let rules = &broker.spec.credentials.rotation;
    let after = |wait: GoDuration| {
        let wait = SignedDuration::try_from(wait.0).ok()?;
        seen.switched_at.checked_add(wait).ok().map(|at| Time(whole_seconds(at)))
    };
    let at_rest = phase == RotationPhase::Idle;
    let generated = login.credential(broker).source.is_none();
    RotationStatus {
        phase,
        message: message.filter(|_| !at_rest && phase != RotationPhase::Draining),
        acknowledged: (!at_rest).then(|| {
            format!("{}/{}", taken_up.pods - taken_up.missing.len() - taken_up.passed_over.len(), taken_up.pods)
        }),
        retires_at: after(rules.overlap).filter(|_| seen.holds == rotation::Holds::Previous),
        next_at: rules.every.filter(|_| at_rest && generated).and_then(after),
        switched_at: Some(since).filter(|since| since.0 != Timestamp::UNIX_EPOCH),
    }
}

/// Judges both logins together.
pub(super) fn credentials_settled(credentials: &CredentialsStatus) -> Verdict {
    let logins = [(Login::System, &credentials.system), (Login::Client, &credentials.client)];
    let moving: Vec<_> = logins
        .into_iter()
        .filter_map(|(login, status)| Some((login.name(), status.rotation.as_ref()?)))
        .filter(|(_, rotation)| rotation.phase != RotationPhase::Idle)
        .map(|(name, rotation)| {
            let pods = rotation.acknowledged.as_ref().map(|pods| format!(", taken up by {pods} pods"));
            let why = rotation.message.as_ref().map(|why| format!(", {why}"));
            format!("{name}: {}{}{}", rotation.phase, pods.unwrap_or_default(), why.unwrap_or_default())
        })
        .collect();
    if moving.is_empty() {
        return Verdict::new(Holds::True, Reason::AsExpected, "each login has one value");
    }
    Verdict::new(Holds::False, Reason::RotationInProgress, moving.join("; "))
}
