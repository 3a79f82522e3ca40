use super::*;
use Acknowledge::{ByClient, WhenWritten};

#[test]
fn the_exchanges_of_rabbitmq_are_topics() {
    for (subscribed, sent, seen) in [
        ("/topic/a.b", "/exchange/amq.topic/a.b", Some("/topic/a.b")),
        ("/exchange/amq.topic/a.b", "/topic/a.b", Some("/topic/a.b")),
        ("/exchange/amq.topic/a.*", "/exchange/amq.topic/a.b", Some("/topic/a.b")),
        ("/exchange/amq.topic/a.#", "/topic/a", Some("/topic/a")),
        ("/exchange/amq.direct/a", "/exchange/amq.direct/a", Some("/exchange/amq.direct/a")),
        ("/exchange/amq.direct/*", "/exchange/amq.direct/a", None),
        ("/exchange/amq.direct/a", "/topic/a", None),
        ("/exchange/amq.fanout", "/exchange/amq.fanout", Some("/exchange/amq.fanout")),
        ("/exchange/amq.fanout/a", "/exchange/amq.fanout/b", Some("/exchange/amq.fanout")),
    ] {
        for acknowledge in [WhenWritten, ByClient] {
            let engine = engine();
            let mut session = Session::open(&engine);
            session.subscribe(1, subscribed, acknowledge, 9);
            session.send(sent, "1");
            let given = session.receive();
            let destinations: Vec<_> = given.iter().map(|delivery| &*delivery.message.destination).collect();
            assert_eq!(destinations, seen.into_iter().collect::<Vec<_>>(), "{subscribed} {sent}");
            session.unsubscribe(1);
            assert!(engine.destinations().is_empty(), "{subscribed}");
        }
    }
}

#[test]
fn an_existing_queue_is_not_made() {
    let engine = engine();
    let mut session = Session::open(&engine);
    let error = session.try_do(Operation::Send(message("/amq/queue/a", "1"))).unwrap_err();
    assert!(error.to_string().contains("no such queue") && error.to_string().contains("/queue/a"), "{error}");
    session.send("/queue/a", "1");
    session.send("/amq/queue/a", "2");
    session.subscribe(1, "/amq/queue/a", WhenWritten, 9);
    assert_eq!(session.receive_bodies(), ["1", "2"]);
    assert_eq!(status(&engine, "/queue/a"), Some((0, 2, 1)));
}
