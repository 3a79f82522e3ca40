use super::*;
use Acknowledge::{ByClient, WhenWritten};

fn coloured(destination: &str, body: &str, colour: &str) -> Operation {
    Operation::Send(message_with(destination, body, vec![("colour".into(), colour.into())]))
}

fn selecting(colour: &str) -> Vec<Header> {
    vec![("selector".into(), format!("colour = '{colour}'").into())]
}

#[test]
fn a_subscription_to_a_topic_gets_only_what_it_selects() {
    let engine = engine();
    let mut session = Session::open(&engine);
    for (key, acknowledge) in [(1, WhenWritten), (2, ByClient)] {
        session.subscribe_with(key, "/topic/a", acknowledge, 10, selecting("red"));
    }
    for (body, colour) in [("1", "red"), ("2", "blue"), ("3", "red")] {
        session.try_do(coloured("/topic/a", body, colour)).unwrap();
    }
    let given = session.receive();
    for key in [1, 2] {
        let bodies: Vec<_> = given.iter().filter(|delivery| delivery.subscription.0 == key).map(body).collect();
        assert_eq!(bodies, ["1", "3"], "{key}");
    }
    assert_eq!(given.len(), 4);
}

#[test]
fn what_nobody_selects_stays_in_its_queue_and_others_pass_it() {
    let engine = engine();
    let (mut sender, mut red, mut any) = (Session::open(&engine), Session::open(&engine), Session::open(&engine));
    sender.try_do(coloured("/queue/a", "1", "blue")).unwrap();
    sender.try_do(coloured("/queue/a", "2", "red")).unwrap();
    red.subscribe_with(1, "/queue/a", ByClient, 10, selecting("red"));
    sender.try_do(coloured("/queue/a", "3", "blue")).unwrap();
    sender.try_do(coloured("/queue/a", "4", "red")).unwrap();
    assert_eq!(red.receive_bodies(), ["2", "4"]);
    assert_eq!(status(&engine, "/queue/a"), Some((2, 2, 1)));
    any.subscribe(1, "/queue/a", ByClient, 10);
    assert_eq!(any.receive_bodies(), ["1", "3"]);
}

#[test]
fn what_a_selecting_consumer_gives_back_comes_again_in_its_old_place() {
    let engine = engine();
    let mut session = Session::open(&engine);
    session.subscribe_with(1, "/queue/a", ByClient, 2, selecting("red"));
    for (body, colour) in [("1", "red"), ("2", "blue"), ("3", "red"), ("4", "red")] {
        session.try_do(coloured("/queue/a", body, colour)).unwrap();
    }
    let given = session.receive();
    session.settle(&given, Settlement::Requeue);
    let again = session.receive();
    assert_eq!(again.iter().map(body).collect::<Vec<_>>(), ["1", "3"]);
    session.settle(&again, Settlement::Accept);
    assert_eq!(session.receive_bodies(), ["4"]);
}

#[test]
fn a_selecting_consumer_keeps_the_order_also_of_more_than_it_remembers() {
    let engine = engine_with(1 << 26, 7);
    let mut session = Session::open(&engine);
    for number in 0..2500 {
        let colour = if number % 2 == 0 { "red" } else { "blue" };
        session.try_do(coloured("/queue/a", &number.to_string(), colour)).unwrap();
    }
    session.subscribe_with(1, "/queue/a", ByClient, 3, selecting("red"));
    let mut bodies = Vec::new();
    for number in 2500..5000 {
        let colour = if number % 2 == 0 { "red" } else { "blue" };
        session.try_do(coloured("/queue/a", &number.to_string(), colour)).unwrap();
        let given = session.receive();
        if !given.is_empty() {
            bodies.extend(given.iter().map(|delivery| body(delivery).parse::<u32>().unwrap()));
            session.settle(&given, Settlement::Accept);
        }
    }
    let expected: Vec<u32> = (0..2500).map(|number| 2 * number).collect();
    assert!(bodies.len() > 2000, "more than it remembers: {}", bodies.len());
    assert_eq!(bodies, expected[..bodies.len()]);
}

#[test]
fn consumers_that_select_the_same_take_turns() {
    let engine = engine();
    let mut sender = Session::open(&engine);
    let mut consumers: Vec<Session> = (0..3).map(|_| Session::open(&engine)).collect();
    for consumer in &mut consumers {
        consumer.subscribe_with(1, "/queue/a", ByClient, 10, selecting("red"));
    }
    for body in ["1", "2", "3", "4", "5", "6"] {
        sender.try_do(coloured("/queue/a", body, "red")).unwrap();
    }
    let given: Vec<_> = consumers.iter_mut().map(Session::receive_bodies).collect();
    assert_eq!(given, [["1", "4"], ["2", "5"], ["3", "6"]]);
}

#[test]
fn a_selector_that_cannot_be_read_is_refused_with_the_place() {
    let mut session = Session::open(&engine());
    for destination in ["/queue/a", "/topic/a"] {
        let subscription = Subscription {
            key: SubscriptionKey(1),
            destination: destination.into(),
            acknowledge: ByClient,
            prefetch: None,
            headers: vec![("selector".into(), "colour = ".into())],
        };
        let error = session.try_do(Operation::Subscribe(subscription)).unwrap_err().to_string();
        assert!(error.contains("character 10") && error.contains("a text in single quotes"), "{error}");
    }
}

#[test]
fn an_exclusive_consumer_gets_everything_for_as_long_as_it_lives() {
    for spelling in ["exclusive", "activemq.exclusive", "x-single-active-consumer"] {
        let headers = || vec![(spelling.into(), "true".into())];
        let engine = engine();
        let (mut plain, mut first, mut second) =
            (Session::open(&engine), Session::open(&engine), Session::open(&engine));
        plain.subscribe(1, "/queue/a", ByClient, 10);
        first.subscribe_with(1, "/queue/a", ByClient, 10, headers());
        second.subscribe_with(1, "/queue/a", ByClient, 10, headers());
        for body in ["1", "2", "3"] {
            plain.send("/queue/a", body);
        }
        assert_eq!(first.receive_bodies(), ["1", "2", "3"], "{spelling}");
        drop(first);
        assert_eq!(second.receive_bodies(), ["1", "2", "3"], "{spelling}");
        second.unsubscribe(1);
        assert_eq!(plain.receive_bodies(), ["1", "2", "3"], "{spelling}");
    }
}

#[test]
fn a_window_in_octets_bounds_what_is_unsettled_but_lets_one_message_through() {
    let size = message("/queue/a", "1").size();
    for (window, at_once) in [("0", 1), ("1", 1), (&*(2 * size).to_string(), 2), ("-1", 5)] {
        let engine = engine();
        let mut session = Session::open(&engine);
        for body in ["1", "2", "3", "4", "5"] {
            session.send("/queue/a", body);
        }
        let headers = vec![("consumer-window-size".into(), window.into())];
        session.subscribe_with(1, "/queue/a", ByClient, 5, headers);
        let given = session.receive();
        assert_eq!(given.len(), at_once, "{window}");
        session.settle(&given[..1], Settlement::Accept);
        assert_eq!(session.receive().len(), 1.min(5 - at_once), "{window}");
    }
}
