use stompbroker_config::GoDuration;

use super::*;
use Acknowledge::{ByClient, WhenWritten};

#[test]
fn an_auto_delete_queue_goes_with_its_last_consumer_and_all_that_is_in_it() {
    let engine = engine_where(&[DestinationPolicy { auto_delete: true, ..policy("/queue/*-user*") }]);
    let mut sender = Session::open(&engine);
    for queue in ["/queue/a-user1", "/queue/kept"] {
        let (mut one, mut two) = (Session::open(&engine), Session::open(&engine));
        sender.send(queue, "1");
        one.subscribe(1, queue, ByClient, 1);
        two.subscribe(1, queue, ByClient, 1);
        assert_eq!(one.receive_bodies(), ["1"], "{queue}: what came before the first consumer waits");
        sender.send(queue, "2");
        sender.send(queue, "3");
        drop(one);
        assert_eq!(status(&engine, queue), Some((2, 1, 1)), "{queue}");
    }
    assert_eq!(engine.destinations().keys().map(|name| &**name).collect::<Vec<_>>(), ["/queue/kept"]);
}

#[test]
fn a_queue_expires_when_it_has_been_without_consumers_for_too_long() {
    let expires = Some(GoDuration::from_secs(60));
    let engine = engine_where(&[DestinationPolicy { expires, ..policy("/queue/a") }]);
    let (mut sender, mut consumer) = (Session::open(&engine), Session::open(&engine));
    for queue in ["/queue/a", "/queue/b"] {
        sender.send(queue, "1");
    }
    engine.sweep(after(50));
    assert_eq!(status(&engine, "/queue/a"), Some((1, 0, 0)));
    consumer.subscribe(1, "/queue/a", ByClient, 1);
    engine.sweep(after(70));
    assert_eq!(status(&engine, "/queue/a"), Some((0, 1, 1)), "it has a consumer");
    consumer.unsubscribe(1);
    assert_eq!(status(&engine, "/queue/a"), Some((1, 0, 0)));
    engine.sweep(after(70));
    assert_eq!((status(&engine, "/queue/a"), status(&engine, "/queue/b")), (None, Some((1, 0, 0))));
}

#[test]
fn changed_policies_hold_for_queues_that_are_there() {
    let engine = engine();
    let (mut sender, mut consumer) = (Session::open(&engine), Session::open(&engine));
    sender.send("/queue/a", "1");
    sender.send("/queue/b", "1");
    consumer.subscribe(1, "/queue/b", WhenWritten, 1);
    sender.send("/queue/b", "2");
    let expires = Some(GoDuration::from_secs(60));
    engine.set_policies(&[
        DestinationPolicy { expires, ..policy("/queue/a") },
        DestinationPolicy { auto_delete: true, ..policy("/queue/b") },
    ]);
    consumer.unsubscribe(1);
    assert_eq!(status(&engine, "/queue/b"), None);
    engine.sweep(after(70));
    assert!(engine.destinations().is_empty());
}
