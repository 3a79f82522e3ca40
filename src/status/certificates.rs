//! `CertificatesValid` and `status.certificates`: until when certificates are good, and who issues them.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    Reason,
    exposure::LEFT,
    verdict::{Holds, Verdict},
};
use crate::{
    api::{CertificateStatus, StompBroker},
    observed::{CertificateView, Observed},
    validate::{SecretUse, referenced_secrets},
};

/// Certificates that are good for years are told of so long before their end.
const MOST_NOTICE: Duration = Duration::from_hours(14 * 24);
/// Others when this share of their time is left, which is half of what cert-manager leaves by default.
const SHARE: i64 = 6;

/// The certificates that the spec refers to, by Secret.
pub(super) fn report(broker: &StompBroker, observed: &Observed) -> Vec<CertificateStatus> {
    let uses = referenced_secrets(broker).into_iter().filter(SecretUse::is_certificate);
    let uses: BTreeMap<_, _> = uses.map(|used| (used.secret_name, used.issuer)).collect();
    let told = uses.into_iter().map(|(secret_name, issuer)| {
        let validity = observed.validities.get(&secret_name);
        let view = observed.certificates.get(&secret_name).filter(|_| issuer.is_some());
        CertificateStatus {
            issuer,
            not_before: validity.map(|validity| Time(validity.not_before)),
            not_after: validity.map(|validity| Time(validity.not_after)),
            message: view.filter(|view| !view.ready).map(|view| view.message.clone()),
            secret_name,
        }
    });
    told.collect()
}

/// Keeps Certificates that were told of and are to be deleted yet: no watch shows them, and who deletes them goes by the status.
pub(super) fn keep_left(told: &mut Vec<CertificateStatus>, previous: &[CertificateStatus]) {
    for left in previous.iter().filter(|left| left.issuer.is_some()) {
        match told.iter_mut().find(|one| one.secret_name == left.secret_name) {
            Some(one) => one.issuer = one.issuer.take().or_else(|| left.issuer.clone()),
            None => told.push(CertificateStatus { message: Some(LEFT.to_owned()), ..left.clone() }),
        }
    }
}

/// The time from which on the end of a certificate is told of: one that is renewed by itself should have been by then.
pub(crate) fn notice_from(not_before: Timestamp, not_after: Timestamp) -> Timestamp {
    let seconds = not_after.as_second().saturating_sub(not_before.as_second()).max(0) / SHARE;
    let notice = Duration::from_secs(seconds.unsigned_abs()).min(MOST_NOTICE);
    not_after.checked_sub(notice).unwrap_or(not_after)
}

/// Judges whether all certificates are there and good for some time.
pub(super) fn certificates_valid(told: &[CertificateStatus], observed: &Observed, now: Timestamp) -> Verdict {
    let mut troubles: Vec<_> = told.iter().filter_map(|one| trouble(one, observed, now)).collect();
    troubles.sort_by_key(|(reason, _)| matches!(reason, Reason::CertificatePending | Reason::CertificateExpiring));
    if let Some((reason, _)) = troubles.first() {
        let texts: Vec<_> = troubles.iter().map(|(_, text)| text.as_str()).collect();
        return Verdict::new(Holds::False, *reason, texts.join("; "));
    }
    let first = told.iter().filter_map(|one| Some((one.not_after.as_ref()?.0, &one.secret_name))).min();
    let text = first.map_or_else(
        || "no certificate tells when it ends".to_owned(),
        |(not_after, name)| format!("the first to end is that in Secret {name}, at {not_after}"),
    );
    Verdict::new(Holds::True, Reason::AsExpected, text)
}

fn trouble(told: &CertificateStatus, observed: &Observed, now: Timestamp) -> Option<(Reason, String)> {
    let CertificateStatus { secret_name, issuer, not_before, not_after, .. } = told;
    let end = not_after.as_ref().map(|not_after| not_after.0);
    if let Some(end) = end.filter(|end| *end <= now) {
        return Some((Reason::CertificateExpired, format!("the certificate in Secret {secret_name} ended at {end}")));
    }
    if issuer.is_some()
        && let Some((reason, text)) = awaited(secret_name, observed)
        && (end.is_none() || reason != Reason::CertificatePending)
    {
        return Some((reason, format!("Certificate {secret_name}: {text}")));
    }
    let begin = not_before.as_ref().map(|not_before| not_before.0)?;
    let end = end.filter(|end| notice_from(begin, *end) <= now)?;
    Some((Reason::CertificateExpiring, format!("the certificate in Secret {secret_name} ends at {end}")))
}

/// Why cert-manager has not issued a certificate; absent when it has.
pub(crate) fn awaited(name: &str, observed: &Observed) -> Option<(Reason, String)> {
    if !observed.cert_manager {
        let text = "the API server does not know cert-manager.io/v1; install cert-manager, or name a Secret by secretName \
                    instead of issuerRef";
        return Some((Reason::CertManagerMissing, text.to_owned()));
    }
    match observed.certificates.get(name) {
        Some(CertificateView { ready: true, .. }) => None,
        Some(CertificateView { failed: true, message, .. }) => Some((Reason::CertificateFailed, message.clone())),
        Some(CertificateView { message, .. }) => Some((Reason::CertificatePending, message.clone())),
        None => Some((Reason::CertificatePending, "cert-manager was not asked for it yet".to_owned())),
    }
}
