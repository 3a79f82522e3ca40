//! TLS and failover with real `RabbitMQ`s.

use std::{collections::BTreeSet, fs};

use stompbroker::{
    engine::{Acknowledge, Engine as _, Event, Operation, Settlement},
    message::Message,
};
use stompbroker_config::{GoDuration, HeartbeatPair, RelayEngine, UpstreamTls, admin::UpstreamState};
use tokio::task::spawn_blocking;

use crate::{
    authority::Authority,
    harness::{Harness, Session, configured},
    servers::{self, Kind, LOGIN, Server},
};

fn logs_in(relay: &mut RelayEngine) {
    for directory in [&relay.system_credentials.directory, &relay.client_credentials.directory] {
        fs::write(directory.join("username"), LOGIN.0).unwrap();
        fs::write(directory.join("password"), LOGIN.1).unwrap();
    }
    relay.connect_timeout = GoDuration::from_secs(30);
    // A busy machine is silent for longer than those of other tests allow.
    relay.heartbeat = HeartbeatPair::default();
}

/// A persistent message that a receipt vouches for.
fn kept(body: usize) -> Operation {
    let headers = vec![("persistent".into(), "true".into())];
    let body = body.to_string().into_bytes().into();
    Operation::Send(std::sync::Arc::new(Message::new("m".into(), "/queue/kept".into(), headers, body, true)))
}

/// Takes all that waits in the queue until a message that is sent last comes.
async fn drain(session: &mut Session, last: usize) -> BTreeSet<usize> {
    session.subscribe(1, "/queue/kept", Acknowledge::ByClient, None);
    session.engine.submit(kept(last), None);
    let mut found = BTreeSet::new();
    loop {
        let Event::Delivery(delivery) = session.event().await else { continue };
        session.mailbox.release(delivery.message.size());
        let number = std::str::from_utf8(&delivery.message.body).unwrap().parse().unwrap();
        let (subscription, deliveries) = (delivery.subscription, delivery.tag.into_iter().collect());
        session.engine.submit(Operation::Settle { subscription, deliveries, settlement: Settlement::Accept }, None);
        if number == last {
            return found;
        }
        found.insert(number);
    }
}

#[tokio::test]
async fn rabbitmq_over_tls_takes_the_relay_with_its_certificate_and_none_without() {
    let _turn = servers::turn().await;
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let (ca_file, shown) = (folder.path().join("ca.crt"), folder.path().join("shown"));
    authority.write_certificate(&ca_file);
    let certificate = authority.client("relay", "urn:relay");
    fs::create_dir(&shown).unwrap();
    fs::write(shown.join("tls.crt"), certificate.certificate.pem()).unwrap();
    fs::write(shown.join("tls.key"), certificate.key.serialize_pem()).unwrap();
    let server = Server::stopped(Kind::RabbitMq).with_tls(|folder| {
        authority.issue(folder);
        authority.write_certificate(&folder.join("ca.crt"));
    });
    let server = spawn_blocking(move || {
        let mut server = server;
        server.run();
        server
    });
    let server = server.await.unwrap();

    let tls = UpstreamTls { ca_file: Some(ca_file.clone()), directory: Some(shown), ..UpstreamTls::default() };
    let without = UpstreamTls { directory: None, ..tls.clone() };
    let harness = Harness::start_with(vec![configured(server.tls_address(), None)], |relay| {
        logs_in(relay);
        relay.tls = Some(without);
    });
    harness.sees(UpstreamState::TlsFailed).await;
    let reason = harness.relay.ready().unwrap_err();
    assert!(reason.contains("certificate") && reason.contains("tls.directory"), "{reason}");
    harness.reload(|relay| relay.tls = Some(tls));
    harness.connected().await;
    let mut session = harness.session();
    session.submit(kept(1), 1);
    session.completed(1).await;
    assert_eq!(drain(&mut session, 2).await, BTreeSet::from([1]));

    // An authority that did not sign RabbitMQ's certificate.
    Authority::new().write_certificate(&ca_file);
    let other = UpstreamTls { ca_file: Some(ca_file), ..UpstreamTls::default() };
    harness.reload(|relay| relay.tls = Some(other));
    harness.sees(UpstreamState::TlsFailed).await;
    let reason = harness.relay.ready().unwrap_err();
    assert!(reason.contains("not trusted") && reason.contains("tls.caFile"), "{reason}");
    harness.stop().await;
}

/// Sends until `count` more messages are confirmed; sessions that end are followed by others.
async fn confirm(harness: &Harness, next: &mut usize, confirmed: &mut BTreeSet<usize>, count: usize) {
    let goal = confirmed.len() + count;
    let mut session = harness.session_of(None);
    while confirmed.len() < goal {
        *next += 1;
        session.submit(kept(*next), *next as u64);
        match session.event().await {
            Event::Completed(ticket) => {
                confirmed.insert(usize::try_from(ticket.0).unwrap());
            }
            Event::Failed { .. } | Event::Closed(_) => {
                harness.connected().await;
                session = harness.session_of(None);
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[tokio::test]
async fn no_message_with_a_receipt_is_lost_when_the_relay_moves_to_another_upstream_and_back() {
    let _turn = servers::turn().await;
    let start = || spawn_blocking(|| Server::start(Kind::RabbitMq));
    let (near, far) = tokio::join!(start(), start());
    let (mut near, far) = (near.unwrap(), far.unwrap());
    let upstreams = vec![configured(near.address(), Some("a")), configured(far.address(), Some("b"))];
    let harness = Harness::start_with(upstreams, logs_in);
    harness.connected().await;
    let (mut next, mut confirmed) = (0, BTreeSet::new());
    confirm(&harness, &mut next, &mut confirmed, 50).await;
    // It ends while messages are on their way.
    let stopping = spawn_blocking(move || {
        near.stop();
        near
    });
    confirm(&harness, &mut next, &mut confirmed, 50).await;
    let mut near = stopping.await.unwrap();
    harness.eventually("served by the other", |status| status.upstreams[1].state == UpstreamState::Connected).await;
    confirm(&harness, &mut next, &mut confirmed, 50).await;
    harness.stop().await;

    let near = spawn_blocking(move || {
        near.run();
        near
    });
    let near = near.await.unwrap();
    let mut found = BTreeSet::new();
    for server in [&near, &far] {
        let harness = Harness::start_with(vec![configured(server.address(), None)], logs_in);
        harness.connected().await;
        found.extend(drain(&mut harness.session(), 0).await);
        harness.stop().await;
    }
    let lost: Vec<_> = confirmed.difference(&found).collect();
    assert!(lost.is_empty(), "confirmed and lost: {lost:?}");
}
