use bytes::Bytes;

use super::*;
use crate::engine::{Acknowledge, Event, Subscription, SubscriptionKey};
use crate::mailbox::Mailbox;

const TOPIC: &str = "/topic/users";

fn relay(registry: bool) -> RelayEngine {
    let registry = if registry { ", userRegistryBroadcast: /topic/registry" } else { "" };
    let text = format!(
        "listeners: {{stomp: {{port: 1}}}}\nengine: {{relay: {{destinationPrefixes: [/topic], upstreams: [{{host: a, port: 1}}], \
         systemCredentials: {{directory: /s}}, clientCredentials: {{directory: /c}}, \
         userDestinationBroadcast: {TOPIC}{registry}}}}}\n"
    );
    match stompbroker_config::Config::parse(&text).unwrap().engine {
        stompbroker_config::Engine::Relay(relay) => relay,
        other => panic!("{other:?}"),
    }
}

fn message(destination: &str, headers: &[(&str, &str)]) -> Message {
    let headers = headers.iter().map(|&(name, value)| (name.into(), value.into())).collect();
    Message::new("m".into(), destination.into(), headers, Bytes::from_static(b"x"), true)
}

fn frame(headers: &[(&str, &str)], body: &[u8]) -> Frame {
    let headers = headers.iter().map(|&(name, value)| (name.into(), value.into())).collect();
    Frame { command: Command::Message, headers, body: Bytes::copy_from_slice(body) }
}

/// What is sent upstream for a message to `/user/bob/queue/a`: destinations, and the header that says for whom.
fn sent(users: &Users, registry: bool) -> Vec<(String, &'static str, String)> {
    let given =
        message("/user/bob/queue/a", &[(ORIGINAL_DESTINATION, "/user/eve/forged"), (POD_DESTINATION, "/forged")]);
    let messages = users.resolve(&relay(registry), &given).unwrap().unwrap();
    let headers = messages.iter().map(|message| {
        let mut found = [ORIGINAL_DESTINATION, POD_DESTINATION]
            .into_iter()
            .flat_map(|name| message.headers.iter().filter(move |(n, _)| &**n == name).map(move |(_, v)| (name, v)));
        let (name, value) = found.next().unwrap();
        assert_eq!(found.next(), None, "only one says for whom");
        (message.destination.to_string(), name, value.to_string())
    });
    headers.collect()
}

fn spring_has(users: &Users, json: &str) {
    users.receive(frame(&[("subscription", REGISTRIES)], json.as_bytes()));
}

fn session(users: &Arc<Users>, id: &str, user: &str) -> (Half, Arc<Mailbox>) {
    let mailbox = Arc::new(Mailbox::new(1 << 16));
    let info = SessionInfo { id: id.into(), user: user.into(), virtual_host: None, client_id: None };
    (Half::new(users.clone(), &info, mailbox.clone()), mailbox)
}

fn subscription(destination: &str) -> Operation {
    Operation::Subscribe(Subscription {
        key: SubscriptionKey(1),
        destination: destination.into(),
        acknowledge: Acknowledge::WhenWritten,
        prefetch: None,
        headers: vec![("id".into(), "0".into())],
    })
}

fn received(mailbox: &Mailbox) -> Vec<Arc<Message>> {
    let mut events = Vec::new();
    mailbox.take(&mut events);
    let of = |event| match event {
        Event::Broadcast(_, batch) => batch.messages().to_vec(),
        Event::Delivery(delivery) => vec![delivery.message],
        other => panic!("{other:?}"),
    };
    events.into_iter().flat_map(of).collect()
}

#[test]
fn a_user_whom_nobody_knows_is_looked_for_by_all_servers() {
    let users = Users::default();
    let everywhere = (TOPIC.to_owned(), ORIGINAL_DESTINATION, "/user/bob/queue/a".to_owned());
    for registry in [false, true] {
        assert_eq!(sent(&users, registry), std::slice::from_ref(&everywhere));
    }
}

#[test]
fn sessions_at_spring_are_sent_to_one_by_one_and_the_broadcast_is_then_for_pods_alone() {
    let users = Users::default();
    spring_has(&users, r#"{"id":"app","userMap":{"bob":{"name":"bob","sessions":[{"id":"s1"},{"id":"s2"}]}}}"#);
    let to = |session: &str| (format!("/queue/a-user{session}"), ORIGINAL_DESTINATION, "/user/queue/a".to_owned());
    let pods = (TOPIC.to_owned(), POD_DESTINATION, "/user/bob/queue/a".to_owned());
    assert_eq!(sent(&users, true), [to("s1"), to("s2"), pods]);
}

#[test]
fn spring_is_not_asked_for_a_user_of_a_pod_whose_sessions_it_would_serve_again() {
    let users = Arc::new(Users::default());
    let info = SessionInfo { id: "p-1".into(), user: "bob".into(), virtual_host: None, client_id: None };
    let presence = users.enter(&info);
    assert_eq!(sent(&users, true)[0].1, POD_DESTINATION);
    drop(presence);
    assert_eq!(sent(&users, true)[0].1, ORIGINAL_DESTINATION);
}

#[test]
fn a_broadcast_reaches_the_sessions_of_the_pod_as_they_subscribed() {
    let users = Arc::new(Users::default());
    let (mut bob, mailbox) = session(&users, "p-1", "bob");
    bob.apply(subscription("/user/queue/a")).unwrap();
    for (name, destination) in [
        (ORIGINAL_DESTINATION, "/user/bob/queue/a"),
        (POD_DESTINATION, "/user/p-1/queue/a"),
        (POD_DESTINATION, "/user/bob/queue/b"),
        (ORIGINAL_DESTINATION, "/user/ann/queue/a"),
    ] {
        users.receive(frame(
            &[("subscription", MESSAGES), ("destination", TOPIC), (name, destination), ("k", "v")],
            b"1",
        ));
    }
    let messages = received(&mailbox);
    assert_eq!(messages.len(), 2);
    for message in messages {
        assert_eq!(&*message.destination, "/user/queue/a");
        assert_eq!(message.headers, [("k".into(), "v".into())], "nothing of the way is left");
    }
    drop(bob);
    users.receive(frame(&[("subscription", MESSAGES), (POD_DESTINATION, "/user/bob/queue/a")], b"2"));
    assert!(received(&mailbox).is_empty());
}

#[test]
fn what_spring_sends_to_the_queue_of_a_session_reaches_it() {
    let users = Arc::new(Users::default());
    let (mut bob, mailbox) = session(&users, "p-1", "bob");
    let told = |new| {
        let mut out = Vec::new();
        users.tell_queues(new, Version::V1_2, &mut out);
        String::from_utf8(out).unwrap()
    };
    bob.apply(subscription("/user/queue/a")).unwrap();
    let text = told(false);
    assert!(text.contains("SUBSCRIBE\nid:u1\ndestination:/queue/a-userp-1\n"), "{text}");
    assert!(told(false).is_empty() && told(true).starts_with("SUBSCRIBE"), "again on a new connection only");
    users.receive(frame(&[("subscription", "u1"), (ORIGINAL_DESTINATION, "/user/queue/a")], b"1"));
    assert_eq!(received(&mailbox).iter().map(|message| &*message.destination).collect::<Vec<_>>(), ["/user/queue/a"]);
    bob.apply(Operation::Unsubscribe { subscription: SubscriptionKey(1), headers: vec![] }).unwrap();
    assert!(told(false).contains("UNSUBSCRIBE\nid:u1\n"));
    bob.apply(subscription("/user/queue/a")).unwrap();
    drop(bob);
    assert!(told(false).is_empty(), "it came and went between two looks");
}

#[test]
fn clients_may_not_use_what_is_for_the_servers() {
    let users = Arc::new(Users::default());
    let (mut bob, _mailbox) = session(&users, "p-1", "bob");
    bob.apply(subscription("/user/queue/a")).unwrap();
    spring_has(&users, r#"{"id":"app","userMap":{"ann":{"name":"ann","sessions":[{"id":"s1"}]}}}"#);
    for destination in [TOPIC, "/topic/registry", "/queue/a-userp-1", "/queue/b-users1"] {
        let error = users.check(&relay(true), destination).unwrap_err();
        assert!(error.to_string().contains("/user/..."), "{error}");
    }
    for destination in ["/topic/a", "/queue/a-users", "/queue/new-users"] {
        assert_eq!(users.check(&relay(true), destination), Ok(()), "{destination}");
    }
    assert!(users.resolve(&relay(true), &message("/user/ann/*", &[])).is_err());
}
