//! The MUSTs of the STOMP specifications, one row each, by octets on a socket against the whole broker: what the codec and the
//! session do by themselves is told by their own tests.

use crate::support::{BrokerUnderTest, Frame, Peer as _, StompClient, config, within};

/// What a client sends after CONNECTED of this version, and what has to come of it.
struct Rule {
    says: &'static str,
    version: &'static str,
    sends: &'static [u8],
    then: Then,
}

enum Then {
    /// Frames that begin with these words, in this order; then the session goes on.
    GoesOn(&'static [&'static str]),
    /// An ERROR with these words, and the end.
    Ends(&'static str),
}

use Then::{Ends, GoesOn};

const fn rule(says: &'static str, version: &'static str, sends: &'static [u8], then: Then) -> Rule {
    Rule { says, version, sends, then }
}

const FRAMES: [Rule; 22] = [
    rule("commands are case-sensitive", "1.2", b"send\ndestination:/queue/r\n\nx\0", Ends("send")),
    rule("header names are case-sensitive", "1.2", b"SEND\nDestination:/queue/r\n\nx\0", Ends("destination")),
    rule(
        "1.2 takes CR LF at the end of every line",
        "1.2",
        b"\r\nSUBSCRIBE\r\nid:0\r\ndestination:/topic/crlf\r\nreceipt:r\r\n\r\n\0\r\n\r\nUNSUBSCRIBE\r\nid:0\r\n\r\n\0",
        GoesOn(&["RECEIPT\nreceipt-id:r\n"]),
    ),
    rule(
        "1.2 allows no CR inside a line",
        "1.2",
        b"SEND\ndestination:/queue/r\na:b\rc\n\nx\0",
        Ends("carriage return"),
    ),
    rule(
        "1.1 takes a CR as part of a value",
        "1.1",
        b"SUBSCRIBE\nid:0\ndestination:/topic/cr\n\n\0SEND\ndestination:/topic/cr\na:b\rc\n\nx\0",
        GoesOn(&["MESSAGE\n...a:b\rc\n"]),
    ),
    rule("line ends between frames mean nothing", "1.2", b"\n\n\nBEGIN\ntransaction:t\n\n\0\n\n\n\n", GoesOn(&[])),
    rule("only SEND has a body", "1.2", b"SUBSCRIBE\nid:0\ndestination:/topic/a\n\nbody\0", Ends("SUBSCRIBE")),
    rule(
        "content-length counts octets, NULs among them",
        "1.2",
        b"SUBSCRIBE\nid:0\ndestination:/topic/nul\n\n\0SEND\ndestination:/topic/nul\ncontent-length:3\n\na\0b\0",
        GoesOn(&["MESSAGE\n...content-length:3\n...a\0b"]),
    ),
    rule(
        "after content-length comes NUL",
        "1.2",
        b"SEND\ndestination:/queue/r\ncontent-length:1\n\nab\0",
        Ends("content-length"),
    ),
    rule(
        "content-length is a number",
        "1.2",
        b"SEND\ndestination:/queue/r\ncontent-length:-1\n\na\0",
        Ends("content-length"),
    ),
    rule("a header has a colon", "1.2", b"SEND\ndestination:/queue/r\nnonsense\n\nx\0", Ends("colon")),
    rule(
        "the first colon ends the name",
        "1.1",
        b"SUBSCRIBE\nid:0\ndestination:/topic/colon\n\n\0SEND\ndestination:/topic/colon\na:b:c\n\nx\0",
        GoesOn(&["MESSAGE\n...a:b\\cc\n"]),
    ),
    rule("headers are UTF-8", "1.2", b"SEND\ndestination:/queue/r\na:\xFF\n\nx\0", Ends("UTF-8")),
    rule(
        "of a repeated header the first counts",
        "1.2",
        b"SUBSCRIBE\nid:0\ndestination:/topic/twice\n\n\0SEND\ndestination:/topic/twice\na:1\na:2\n\nx\0",
        GoesOn(&["MESSAGE\n...a:1\n"]),
    ),
    rule(
        "1.0 has no escapes",
        "1.0",
        b"SUBSCRIBE\ndestination:/topic/e0\n\n\0SEND\ndestination:/topic/e0\na:b\\nc\n\nx\0",
        GoesOn(&["MESSAGE\n...a:b\\nc\n"]),
    ),
    rule(
        "escapes are undone and made again, in names as well",
        "1.2",
        b"SUBSCRIBE\nid:0\ndestination:/topic/e2\n\n\0SEND\ndestination:/topic/e2\na\\cb:c\\r\\n\\\\d\n\nx\0",
        GoesOn(&["MESSAGE\n...a\\cb:c\\r\\n\\\\d\n"]),
    ),
    rule("an unknown escape is fatal", "1.2", b"SEND\ndestination:/queue/r\na:b\\tc\n\nx\0", Ends("\\t")),
    rule("1.1 does not know the escape of CR", "1.1", b"SEND\ndestination:/queue/r\na:b\\rc\n\nx\0", Ends("\\r")),
    rule("a session is begun once", "1.2", b"CONNECT\naccept-version:1.2\nhost:x\n\n\0", Ends("CONNECT")),
    rule("servers' frames do not come from clients", "1.2", b"MESSAGE\ndestination:/topic/a\n\n\0", Ends("MESSAGE")),
    rule("an error names the receipt of its frame", "1.2", b"SEND\nreceipt:mine\n\nx\0", Ends("receipt-id:mine")),
    rule(
        "what follows DISCONNECT is not read",
        "1.2",
        b"DISCONNECT\nreceipt:bye\n\n\0NONSENSE\n\n\0",
        Ends("RECEIPT\nreceipt-id:bye"),
    ),
];

const SESSIONS: [Rule; 22] = [
    rule("SEND needs a destination", "1.1", b"SEND\n\nx\0", Ends("destination")),
    rule("SUBSCRIBE needs a destination", "1.2", b"SUBSCRIBE\nid:0\n\n\0", Ends("destination")),
    rule("SUBSCRIBE needs an id", "1.1", b"SUBSCRIBE\ndestination:/topic/a\n\n\0", Ends("id")),
    rule(
        "ids of subscriptions differ",
        "1.2",
        b"SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\0SUBSCRIBE\nid:0\ndestination:/topic/b\n\n\0",
        Ends("0"),
    ),
    rule("the ack mode is one of three", "1.2", b"SUBSCRIBE\nid:0\ndestination:/topic/a\nack:maybe\n\n\0", Ends("client-individual")),
    rule(
        "a message that is acknowledged carries ack in 1.2",
        "1.2",
        b"SUBSCRIBE\nid:0\ndestination:/topic/m2\nack:client\n\n\0SEND\ndestination:/topic/m2\n\nx\0",
        GoesOn(&["MESSAGE\n...ack:"]),
    ),
    rule(
        "a message names destination, message and subscription",
        "1.1",
        b"SUBSCRIBE\nid:7\ndestination:/topic/m1\n\n\0SEND\ndestination:/topic/m1\n\nx\0",
        GoesOn(&["MESSAGE\n...destination:/topic/m1\n", "MESSAGE\n...message-id:", "MESSAGE\n...subscription:7\n"]),
    ),
    rule(
        "after UNSUBSCRIBE nothing comes",
        "1.2",
        b"SUBSCRIBE\nid:0\ndestination:/topic/u\n\n\0UNSUBSCRIBE\nid:0\nreceipt:r\n\n\0SEND\ndestination:/topic/u\n\nx\0",
        GoesOn(&["RECEIPT\nreceipt-id:r\n"]),
    ),
    rule("UNSUBSCRIBE ends what there is", "1.2", b"UNSUBSCRIBE\nid:9\n\n\0", Ends("9")),
    rule("ACK needs an id", "1.2", b"SUBSCRIBE\nid:0\ndestination:/queue/k\nack:client\n\n\0ACK\n\n\0", Ends("id")),
    rule(
        "ACK needs message-id and subscription in 1.1",
        "1.1",
        b"SUBSCRIBE\nid:0\ndestination:/queue/k\nack:client\n\n\0ACK\nsubscription:0\n\n\0",
        Ends("message-id"),
    ),
    rule(
        "ACK settles what was delivered",
        "1.2",
        b"SUBSCRIBE\nid:0\ndestination:/queue/k\nack:client\n\n\0ACK\nid:nothing\n\n\0",
        Ends("nothing"),
    ),
    rule(
        "NACK settles what was delivered",
        "1.1",
        b"SUBSCRIBE\nid:0\ndestination:/queue/k\nack:client\n\n\0NACK\nmessage-id:nothing\nsubscription:0\n\n\0",
        Ends("nothing"),
    ),
    rule("BEGIN needs a name", "1.2", b"BEGIN\n\n\0", Ends("transaction")),
    rule("transactions have names of their own", "1.2", b"BEGIN\ntransaction:t\n\n\0BEGIN\ntransaction:t\n\n\0", Ends("t")),
    rule("COMMIT ends what was begun", "1.2", b"COMMIT\ntransaction:t\n\n\0", Ends("t")),
    rule("ABORT ends what was begun", "1.0", b"ABORT\ntransaction:t\n\n\0", Ends("t")),
    rule("SEND goes into what was begun", "1.2", b"SEND\ndestination:/queue/r\ntransaction:t\n\nx\0", Ends("t")),
    rule(
        "nothing of a transaction is seen before COMMIT",
        "1.2",
        b"SUBSCRIBE\nid:0\ndestination:/topic/t\n\n\0BEGIN\ntransaction:t\n\n\0SEND\ndestination:/topic/t\ntransaction:t\n\nin\0\
          SEND\ndestination:/topic/t\n\nout\0COMMIT\ntransaction:t\n\n\0",
        GoesOn(&["MESSAGE\n...\n\nout", "MESSAGE\n...\n\nin"]),
    ),
    rule(
        "nothing of a transaction is left after ABORT",
        "1.2",
        b"SUBSCRIBE\nid:0\ndestination:/topic/ab\n\n\0BEGIN\ntransaction:t\n\n\0SEND\ndestination:/topic/ab\ntransaction:t\n\nin\0\
          ABORT\ntransaction:t\nreceipt:r\n\n\0",
        GoesOn(&["RECEIPT\nreceipt-id:r\n"]),
    ),
    rule(
        "every frame can have a receipt",
        "1.2",
        b"BEGIN\ntransaction:t\nreceipt:1\n\n\0ABORT\ntransaction:t\nreceipt:2\n\n\0SEND\ndestination:/queue/e\nreceipt:3\n\nx\0",
        GoesOn(&["RECEIPT\nreceipt-id:1\n", "RECEIPT\nreceipt-id:2\n", "RECEIPT\nreceipt-id:3\n"]),
    ),
    rule(
        "DISCONNECT is answered before the end",
        "1.0",
        b"DISCONNECT\nreceipt:bye\n\n\0",
        Ends("RECEIPT\nreceipt-id:bye"),
    ),
];

/// Everything that comes up to FIN, or up to the receipt of a last frame where the session goes on.
async fn transcript(broker: &BrokerUnderTest, rule: &Rule) -> Vec<String> {
    let mut client = broker.tcp().await;
    client.send_frame(&format!("CONNECT\naccept-version:{}\nhost:x\n\n", rule.version)).await;
    let connected = client.frame().await;
    assert_eq!((connected.command.as_str(), connected.header("version")), ("CONNECTED", Some(rule.version)));
    client.write(rule.sends).await;
    let mut frames = Vec::new();
    // What has to come is waited for: no engine promises that it comes before the receipt of what is sent after it.
    let (goes_on, mut awaited) = match rule.then {
        GoesOn(patterns) => (true, patterns),
        Ends(_) => (false, &[][..]),
    };
    let mut is_probed = false;
    loop {
        if goes_on && !is_probed && awaited.is_empty() {
            client.send_frame("SEND\ndestination:/queue/probe\nreceipt:probe\n\n").await;
            is_probed = true;
        }
        let frame = client.frame().await;
        if is_probed && frame.header("receipt-id") == Some("probe") {
            break;
        }
        let is_end = frame.command == "ERROR" || !goes_on && frame.header("receipt-id") == Some("bye");
        let frame = spelled(&frame);
        while awaited.first().is_some_and(|pattern| is_like(&frame, pattern)) {
            awaited = &awaited[1..];
        }
        frames.push(frame);
        if is_end {
            client.end().await;
            break;
        }
    }
    frames
}

fn spelled(frame: &Frame) -> String {
    let headers = frame.headers.iter().map(|(name, value)| format!("{name}:{value}\n"));
    format!("{}\n{}\n{}", frame.command, headers.collect::<String>(), frame.text())
}

/// Whether a frame has the parts of a pattern, with dots between them, in this order.
fn is_like(frame: &str, pattern: &str) -> bool {
    let mut parts = pattern.split("...");
    let Some(mut rest) = frame.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    parts.all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

#[tokio::test]
async fn every_must_of_frames_and_sessions_holds_on_the_wire() {
    let broker = BrokerUnderTest::start(&config(""));
    for rule in FRAMES.iter().chain(&SESSIONS) {
        let says = rule.says;
        let frames = transcript(&broker, rule).await;
        match rule.then {
            Ends(words) if words.starts_with("RECEIPT") => assert!(frames[0].starts_with(words), "{says}: {frames:?}"),
            Ends(words) => {
                let [error] = frames.as_slice() else { panic!("{says}: {frames:?}") };
                assert!(error.starts_with("ERROR\n") && error.contains(words), "{says}: {error}");
            }
            GoesOn(patterns) => {
                let mut rest = frames.as_slice();
                for pattern in patterns {
                    let at = rest.iter().position(|frame| is_like(frame, pattern));
                    rest = &rest[at.unwrap_or_else(|| panic!("{says}: {pattern} is not in {frames:?}"))..];
                }
                let messages = |list: &[String]| list.iter().filter(|frame| frame.starts_with("MESSAGE")).count();
                let wanted = patterns.iter().any(|pattern| pattern.starts_with("MESSAGE"));
                assert_eq!(messages(&frames) > 0, wanted, "{says}: {frames:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_session_begins_with_connect_in_a_version_that_both_know() {
    let broker = BrokerUnderTest::start(&config(""));
    for (first, words) in [
        ("SEND\ndestination:/queue/a\n\nx", "CONNECT"),
        ("CONNECT\naccept-version:3.0\nhost:x\n\n", "version:1.0,1.1,1.2"),
        ("CONNECT\naccept-version:1.2\nhost:x\nheart-beat:x\n\n", "heart-beat"),
        ("CONNECT\naccept-version:1.2\nhost:x\nheart-beat:-1,5\n\n", "heart-beat"),
    ] {
        let mut client = broker.tcp().await;
        client.send_frame(first).await;
        let error = spelled(&client.frame().await);
        assert!(error.starts_with("ERROR\n") && error.contains(words), "{first}: {error}");
        client.end().await;
    }
    for (first, version) in [
        ("CONNECT\n\n", "1.0"),
        ("STOMP\naccept-version:1.0,1.1\nhost:x\n\n", "1.1"),
        ("CONNECT\naccept-version:2.0, 1.2 ,1.1\nhost:x\n\n", "1.2"),
    ] {
        let mut client = broker.tcp().await;
        client.send_frame(first).await;
        let connected = client.frame().await;
        assert_eq!((connected.command.as_str(), connected.header("version")), ("CONNECTED", Some(version)), "{first}");
    }
}

#[tokio::test]
async fn what_a_lost_client_had_not_acknowledged_is_delivered_again_as_such() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut first = broker.tcp_session().await;
    first.send("/queue/a", "one").await;
    first.send_frame("SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client-individual\n\n").await;
    assert_eq!(first.frame().await.header("redelivered"), Some("false"));
    drop(first);
    let mut second: StompClient = broker.tcp_session().await;
    second.consume("0", "/queue/a").await;
    let again = within("the message again", second.frame()).await;
    assert_eq!((again.header("redelivered"), again.text()), (Some("true"), "one"));
}
