//! What each engine takes and what it refuses: one table, which every engine is held to by its own tests and which
//! docs/engines.md has in words. A new engine is a new column: another field of [`Offer`] and of [`table`].

use std::{fmt::Write as _, path::Path};

use crate::support::{Peer, StompClient};

/// What becomes of the frames of an offer.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    /// The last one gets its RECEIPT.
    Taken,
    /// One gets an ERROR with these words.
    Refused(&'static str),
}

use Outcome::{Refused, Taken};

/// Something that clients ask for, and what each engine says to it.
pub(crate) struct Offer {
    /// What it is, for the documentation.
    what: &'static str,
    /// The frames that ask for it, without the header `receipt`.
    frames: &'static [&'static str],
    pub(crate) embedded: Outcome,
    /// With `durableTopics: {match: [/topic/*]}`.
    pub(crate) jetstream: Outcome,
}

const fn offer(what: &'static str, frames: &'static [&'static str], embedded: Outcome, jetstream: Outcome) -> Offer {
    Offer { what, frames, embedded, jetstream }
}

/// All of them.
const OFFERS: &[Offer] = &[
    offer("topics by wildcards", &["SUBSCRIBE\nid:0\ndestination:/topic/a.*.**"], Taken, Taken),
    offer("selectors of topics", &["SUBSCRIBE\nid:0\ndestination:/topic/a\nselector:region = 'eu'"], Taken, Taken),
    offer(
        "selectors of queues",
        &["SUBSCRIBE\nid:0\ndestination:/queue/a\nselector:region = 'eu'"],
        Taken,
        Refused("takes no selector"),
    ),
    offer(
        "browsers of queues",
        &["SUBSCRIBE\nid:0\ndestination:/queue/a\nbrowser:true"],
        Taken,
        Refused("cannot be browsed"),
    ),
    offer(
        "exclusive consumers of queues",
        &["SUBSCRIBE\nid:0\ndestination:/queue/a\nexclusive:true"],
        Taken,
        Refused("no exclusive consumers"),
    ),
    offer(
        "queues by wildcards",
        &["SUBSCRIBE\nid:0\ndestination:/queue/*"],
        Refused("by its own name"),
        Refused("by its own name"),
    ),
    offer(
        "`x-message-ttl`, `x-expires`, `x-max-length` … and `auto-delete` of a queue",
        &["SUBSCRIBE\nid:0\ndestination:/queue/a\nx-message-ttl:60000"],
        Taken,
        Refused("goes by the configuration's destinations alone"),
    ),
    offer(
        "durable subscriptions to declared topics",
        &["SUBSCRIBE\nid:0\ndestination:/topic/a\ndurable:true", "UNSUBSCRIBE\nid:0\ndurable:true"],
        Taken,
        Taken,
    ),
    offer(
        "durable subscriptions to other topics",
        &["SUBSCRIBE\nid:0\ndestination:/topic/a.b\ndurable:true"],
        Taken,
        Refused("engine.jetStream.durableTopics.match"),
    ),
    offer(
        "durable subscriptions with a selector",
        &["SUBSCRIBE\nid:0\ndestination:/topic/a\ndurable:true\nselector:region = 'eu'"],
        Taken,
        Refused("takes no selector"),
    ),
    offer(
        "subscriptions that are shared for as long as somebody has them (`x-queue-name` alone)",
        &["SUBSCRIBE\nid:0\ndestination:/topic/a\nx-queue-name:workers"],
        Taken,
        Refused("add durable:true"),
    ),
    offer("delayed messages to queues", &["SEND\ndestination:/queue/a\nx-delay:1"], Taken, Taken),
    offer("delayed messages to topics", &["SEND\ndestination:/topic/a\nx-delay:1"], Taken, Taken),
    offer(
        "temporary queues",
        &["SUBSCRIBE\nid:0\ndestination:/temp-queue/a", "SEND\ndestination:/temp-queue/a"],
        Taken,
        Taken,
    ),
    offer("destinations of users", &["SUBSCRIBE\nid:0\ndestination:/user/queue/a"], Taken, Taken),
    offer(
        "transactions over queues and topics",
        &[
            "BEGIN\ntransaction:t",
            "SEND\ndestination:/queue/a\ntransaction:t",
            "SEND\ndestination:/topic/a\ntransaction:t",
            "COMMIT\ntransaction:t",
        ],
        Taken,
        Taken,
    ),
];

/// Tries every offer, each in a session of its own; fails with all that are not as the table has them.
pub(crate) async fn hold<S: Future<Output = StompClient>>(
    session: impl Fn() -> S,
    expected: impl Fn(&Offer) -> Outcome,
) {
    let mut wrong = Vec::new();
    for offer in OFFERS {
        let mut client = session().await;
        let (last, before) = offer.frames.split_last().unwrap();
        for frame in before {
            client.send_frame(&format!("{frame}\n\n")).await;
        }
        client.send_frame(&format!("{last}\nreceipt:done\n\n")).await;
        let found = answer(&mut client).await;
        let is_right = match (&found, expected(offer)) {
            (Ok(()), Taken) => true,
            (Err(error), Refused(words)) => error.contains(words),
            _ => false,
        };
        if !is_right {
            wrong.push((offer.what, found));
        }
    }
    assert!(wrong.is_empty(), "not as the table has them: {wrong:#?}");
}

/// Waits for a RECEIPT or an ERROR.
async fn answer(client: &mut StompClient) -> Result<(), String> {
    loop {
        let frame = client.frame().await;
        match frame.command.as_str() {
            "RECEIPT" => return Ok(()),
            "ERROR" => return Err(format!("{} {}", frame.header("message").unwrap_or_default(), frame.text())),
            _ => {}
        }
    }
}

const BEGIN: &str = "<!-- made of broker/tests/common/differences.rs; UPDATE_GOLDEN=1 writes it -->\n";
const END: &str = "<!-- end -->";

/// The table for the documentation.
fn table() -> String {
    let cell = |outcome: Outcome| match outcome {
        Taken => "yes".to_owned(),
        Refused(words) => format!("ERROR: … {words} …"),
    };
    let mut table = "| | embedded | jetStream |\n|---|---|---|\n".to_owned();
    for Offer { what, embedded, jetstream, .. } in OFFERS {
        let _ = writeln!(table, "| {what} | {} | {} |", cell(*embedded), cell(*jetstream));
    }
    table
}

/// Fails unless the documentation has the table as it is.
pub(crate) fn check_documentation() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/engines.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
        return;
    }
    assert_eq!(found, table(), "docs/engines.md is stale; run this test with UPDATE_GOLDEN=1");
}
