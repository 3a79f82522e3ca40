//! Until when certificates are good, and what keeps cert-manager from issuing one.

use ConditionType::{CertificatesValid, Degraded, Progressing, Ready, ResolvedRefs};

use super::*;
use crate::observed::{CertificateView, Validity};

const SECRET: &str = "trading-stomp-tls";

/// A broker whose certificate is issued, and good from `begin` to `end`.
fn issued(begin: &str, end: &str) -> World {
    let mut world = World::of("{listeners: {stomp: {tls: {issuerRef: {name: ca}}}}}");
    let validity = Validity { not_before: begin.parse().unwrap(), not_after: end.parse().unwrap() };
    world.observed.validities.insert(SECRET.to_owned(), validity);
    say(&mut world, true, false);
    world
}

fn say(world: &mut World, ready: bool, failed: bool) {
    let view = CertificateView { ready, failed, message: "words of cert-manager".to_owned() };
    world.observed.certificates.insert(SECRET.to_owned(), view);
}

fn expect(world: &World, conditions: &[(ConditionType, &str, &str)]) {
    let status = world.status();
    for (kind, holds, reason) in conditions {
        let (is, why, message) = read(&status, *kind);
        assert_eq!((is.as_str(), why.as_str()), (*holds, *reason), "{kind}: {message}");
    }
}

/// A broker for which nothing was issued yet.
fn unissued() -> World {
    let mut world = issued("2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z");
    world.observed.referenced_secrets.insert(SECRET.to_owned(), SecretView::Missing);
    world.observed.validities.clear();
    say(&mut world, false, false);
    world
}

#[test]
fn a_certificate_is_told_with_its_end_and_who_issues_it() {
    let world = issued("2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z");
    expect(&world, &[(CertificatesValid, "True", "AsExpected"), (Ready, "True", "AsExpected")]);
    let [told] = world.status().certificates.try_into().unwrap();
    assert_eq!((told.secret_name.as_str(), told.issuer.as_deref()), (SECRET, Some("Issuer ca")));
    assert_eq!(told.not_after.unwrap().0, "2026-04-01T00:00:00Z".parse().unwrap());
}

#[test]
fn without_certificates_there_is_nothing_to_tell() {
    let status = World::of("{}").status();
    assert!(!status.conditions.iter().any(|condition| condition.type_ == "CertificatesValid"));
}

#[test]
fn a_certificate_of_cert_manager_is_told_of_until_a_pass_has_deleted_it() {
    let mut world = issued("2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z");
    world.broker.status = Some(world.status());
    let tls = world.broker.spec.listeners.as_mut().unwrap().stomp.as_mut().unwrap().tls.as_mut().unwrap();
    (tls.issuer_ref, tls.secret_name) = (None, Some("mine".to_owned()));
    expect(&world, &[(ResolvedRefs, "False", "SecretNotFound")]);
    let names = |world: &World| {
        world.status().certificates.into_iter().map(|one| (one.secret_name, one.issuer.is_some())).collect::<Vec<_>>()
    };
    assert_eq!(names(&world), [("mine".to_owned(), false), (SECRET.to_owned(), true)]);
    let keys = crate::validate::TLS_KEYS.map(str::to_owned).into();
    world.observed.referenced_secrets.insert("mine".to_owned(), SecretView::Present(keys));
    assert_eq!(names(&world), [("mine".to_owned(), false)]);
}

#[test]
fn what_cert_manager_has_not_issued_yet_is_on_its_way_and_not_wrong() {
    let world = unissued();
    expect(
        &world,
        &[(ResolvedRefs, "False", "CertificatePending"), (CertificatesValid, "False", "CertificatePending")],
    );
    expect(&world, &[(Progressing, "True", "CertificatePending"), (Degraded, "False", "AsExpected")]);
    expect(&world, &[(Ready, "False", "CertificatePending")]);
    assert!(read(&world.status(), ResolvedRefs).2.contains("words of cert-manager"));
}

#[test]
fn what_cert_manager_cannot_issue_or_is_not_there_for_is_wrong() {
    let mut world = unissued();
    say(&mut world, false, true);
    expect(&world, &[(ResolvedRefs, "False", "CertificateFailed"), (Degraded, "True", "CertificateFailed")]);
    world.observed.cert_manager = false;
    expect(&world, &[(ResolvedRefs, "False", "CertManagerMissing"), (Degraded, "True", "CertManagerMissing")]);
}

#[test]
fn a_renewal_that_fails_is_told_while_the_certificate_before_serves_on() {
    let mut world = issued("2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z");
    say(&mut world, false, true);
    expect(&world, &[(CertificatesValid, "False", "CertificateFailed"), (Ready, "True", "AsExpected")]);
    say(&mut world, false, false);
    expect(&world, &[(CertificatesValid, "True", "AsExpected")]);
}

#[test]
fn the_end_is_told_two_weeks_before_or_when_a_sixth_of_the_time_is_left() {
    let yearly = |end: &str| issued("2025-02-01T00:00:00Z", end);
    expect(&yearly("2026-01-17T00:00:00Z"), &[(CertificatesValid, "True", "AsExpected")]);
    let world = yearly("2026-01-16T00:00:00Z");
    expect(&world, &[(CertificatesValid, "False", "CertificateExpiring"), (Ready, "True", "AsExpected")]);
    let daily = |begin: &str, end: &str| issued(begin, end);
    expect(&daily("2026-01-01T09:00:00Z", "2026-01-02T09:00:00Z"), &[(CertificatesValid, "True", "AsExpected")]);
    let late = daily("2026-01-01T06:00:00Z", "2026-01-02T06:00:00Z");
    expect(&late, &[(CertificatesValid, "False", "CertificateExpiring")]);
}

#[test]
fn a_certificate_that_has_ended_degrades() {
    let world = issued("2025-10-01T00:00:00Z", "2026-01-01T00:00:00Z");
    expect(&world, &[(CertificatesValid, "False", "CertificateExpired"), (Degraded, "True", "CertificateExpired")]);
}
