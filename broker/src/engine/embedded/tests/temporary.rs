use super::*;
use Acknowledge::WhenWritten;

/// Sends a request to `/queue/requests` and returns the `reply-to` that its receiver sees.
fn request(client: &mut Session, service: &mut Session, reply_to: &str) -> String {
    let headers = vec![("reply-to".into(), reply_to.into())];
    client.try_do(Operation::Send(message_with("/queue/requests", "request", headers))).unwrap();
    service.receive()[0].message.header("reply-to").unwrap().to_owned()
}

/// A service, a client that has asked it for a reply, and the `reply-to` that the service sees.
fn asked(engine: &EmbeddedEngine) -> (Session, Session, String) {
    let mut service = Session::open(engine);
    service.subscribe(1, "/queue/requests", WhenWritten, 9);
    let mut client = Session::open(engine);
    client.subscribe(7, "/temp-queue/replies", WhenWritten, 9);
    let reply_to = request(&mut client, &mut service, "/temp-queue/replies");
    (service, client, reply_to)
}

#[test]
fn replies_reach_the_session_that_asked_and_only_that() {
    for kind in ["queue", "topic"] {
        let engine = engine();
        let mut service = Session::open(&engine);
        service.subscribe(1, "/queue/requests", WhenWritten, 9);
        let mut clients = [Session::open_as(&engine, "s-1", "ann"), Session::open_as(&engine, "s-2", "ann")];
        let own = format!("/temp-{kind}/replies");
        for (index, client) in clients.iter_mut().enumerate() {
            client.subscribe(7, &own, WhenWritten, 9);
            let reply_to = request(client, &mut service, &own);
            assert!(reply_to.starts_with(&format!("/reply-{kind}/")), "{reply_to}");
            service.send(&reply_to, &format!("for {index}"));
            client.send(&own, "to itself");
        }
        for (index, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.receive_bodies(), [format!("for {index}"), "to itself".to_owned()]);
        }
    }
}

#[test]
fn nobody_else_can_consume_replies() {
    let engine = engine();
    let (mut service, _client, reply_to) = asked(&engine);
    let (key, destination) = (SubscriptionKey(2), reply_to.as_str().into());
    let subscription = Subscription { key, destination, acknowledge: WhenWritten, prefetch: None, headers: vec![] };
    assert!(service.try_do(Operation::Subscribe(subscription)).is_err());
    assert!(!engine.destinations().keys().any(|name| name.contains("reply")), "the secret shows nowhere");
}

#[test]
fn what_comes_when_the_session_has_gone_is_dropped() {
    let engine = engine();
    let (mut service, client, reply_to) = asked(&engine);
    drop(client);
    service.send(&reply_to, "too late");
    let queues = engine.destinations().into_keys().collect::<Vec<_>>();
    assert_eq!(queues.iter().map(|name| &**name).collect::<Vec<_>>(), ["/queue/requests"]);
}

#[test]
fn a_temporary_queue_is_there_only_when_it_is_subscribed_to() {
    let engine = engine();
    let mut session = Session::open(&engine);
    let error = session.try_do(Operation::Send(message("/temp-queue/a", "1"))).unwrap_err();
    assert!(error.to_string().contains("subscribe to it first"), "{error}");
}
