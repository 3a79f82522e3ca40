//! Certificates of cert-manager: asked for, waited for, told of, and taken up without a restart.

use std::time::Duration;

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Secret},
    jiff::Timestamp,
};
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use stompbroker_operator::{
    api::{CertificateStatus, StompBroker},
    plan::certificate::{Certificate, CertificateKind},
};

use crate::support::{Operator, World, check, define, eventually, install, uninstall};

const NAME: &str = "chat-stomp-tls";
const DAY: Duration = Duration::from_hours(24);

/// The test as cert-manager.
struct CertManager<'a>(&'a World);

impl CertManager<'_> {
    /// Writes a certificate that was issued so long ago, and is good for so long from now on.
    async fn write(&self, age: Duration, left: Duration) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["chat.example.com".to_owned()]).unwrap();
        let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(Timestamp::now().as_second().try_into().unwrap());
        (params.not_before, params.not_after) = (now - age, now + left);
        let certificate = params.self_signed(&key).unwrap().pem();
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME}, "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": certificate, "tls.key": key.serialize_pem()}});
        let parameters = PatchParams::apply("cert-manager").force();
        self.0.api::<Secret>().patch(NAME, &parameters, &Patch::Apply(&secret)).await.unwrap();
    }

    async fn say(&self, conditions: Value) {
        let patch = Patch::Merge(json!({"status": {"conditions": conditions}}));
        self.0.api::<Certificate>().patch_status(NAME, &PatchParams::default(), &patch).await.unwrap();
    }
}

fn condition(type_: &str, status: &str, reason: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": format!("{type_}: {reason}")})
}

async fn told(world: &World) -> CertificateStatus {
    let status = world.api::<StompBroker>().get_status("chat").await.unwrap().status.unwrap();
    status.certificates.into_iter().find(|one| one.secret_name == NAME).unwrap()
}

#[tokio::test]
async fn pods_wait_for_cert_manager_and_take_its_renewals_up_without_a_restart() {
    let world = World::new().await;
    uninstall(&world.client, &define::<CertificateKind>()).await;
    let cert_manager = CertManager(&world);
    let operator = Operator::restless(&world).await;
    let tls = json!({"issuerRef": {"name": "ca"}, "port": 61614});
    let patch = json!([{"op": "add", "path": "/spec/revisionHistoryLimit", "value": 2}]);
    let overrides = json!([{"target": {"kind": "Certificate"}, "patch": patch}]);
    world.broker("chat", json!({"listeners": {"stomp": {"tls": tls}}, "overrides": overrides})).await;
    let missing = world.condition("chat", "ResolvedRefs", "False", "CertManagerMissing").await;
    assert!(missing.message.contains("install cert-manager"), "{}", missing.message);

    install(&world.client, define::<CertificateKind>()).await;
    let asked: Certificate = world.exists(NAME).await;
    let name = format!("chat.{}.svc", world.namespace);
    let names = asked.spec["dnsNames"].as_array().unwrap();
    assert!(names.contains(&json!(name)), "{names:?}");
    assert_eq!(asked.spec["revisionHistoryLimit"], 2, "patched before there is a Secret to wait for");
    world.condition("chat", "Progressing", "True", "CertificatePending").await;
    cert_manager
        .say(json!([condition("Ready", "False", "DoesNotExist"), condition("Issuing", "False", "Failed")]))
        .await;
    let failed = world.condition("chat", "Degraded", "True", "CertificateFailed").await;
    assert!(failed.message.contains("Issuing: Failed"), "{}", failed.message);
    assert!(world.names().await.iter().all(|name| !name.starts_with("Deployment")), "pods wait");

    cert_manager.write(Duration::ZERO, 90 * DAY).await;
    cert_manager.say(json!([condition("Ready", "True", "Ready")])).await;
    world.condition("chat", "CertificatesValid", "True", "AsExpected").await;
    let first: Deployment = world.exists("chat").await;
    let told_first = told(&world).await;
    assert_eq!(told_first.issuer.as_deref(), Some("Issuer ca"));

    // A renewal that brings less than it should.
    cert_manager.write(89 * DAY, DAY).await;
    world.condition("chat", "CertificatesValid", "False", "CertificateExpiring").await;
    assert!(told(&world).await.not_after < told_first.not_after);
    let seconds = told(&world).await.not_after.unwrap().0.as_second();
    let labels = format!(r#"{{namespace="{}",name="chat",secret="{NAME}"}}"#, world.namespace);
    let line = format!("stompbroker_operator_certificate_expiry_timestamp_seconds{labels} {seconds}");
    eventually("the metric", async || {
        let text = operator.metrics.encode().unwrap();
        check(text.contains(&line), text)
    })
    .await;
    let now: Deployment = world.exists("chat").await;
    assert_eq!(now.metadata.generation, first.metadata.generation, "no pod is restarted");

    let patched: Certificate = world.exists(NAME).await;
    assert_eq!(patched.metadata.generation, asked.metadata.generation, "patched all the time");
    world.change("chat", json!({"overrides": []})).await;
    eventually("the Certificate without its patch", async || {
        let plain: Certificate = world.exists(NAME).await;
        check(plain.spec["revisionHistoryLimit"].is_null(), plain.spec)
    })
    .await;

    let theirs = json!({"tls": {"issuerRef": null, "secretName": NAME}});
    world.change("chat", json!({"listeners": {"stomp": theirs}})).await;
    world.gone::<Certificate>(NAME).await;
    assert!(world.api::<Secret>().get_opt(NAME).await.unwrap().is_some(), "the Secret stays");
    assert_eq!(first.uid(), world.exists::<Deployment>("chat").await.uid());
    operator.stop().await;
}
