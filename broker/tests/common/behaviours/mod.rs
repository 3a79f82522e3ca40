//! What clients see with each engine: one list of behaviours, each a dialogue that is had with all of them.
//!
//! [`BEHAVIOURS`] says what is seen with each; tests hold every cell of it, so a difference that is gone is noticed as one
//! that is new is. `docs/engines.md` has the table. A program of tests brings a [`World`] for each of its columns.

mod acknowledgements;
mod contents;
mod queues;
mod talk;
mod topics;

use std::{fmt::Write as _, panic::AssertUnwindSafe, path::Path, pin::Pin};

use futures::FutureExt as _;

use crate::any_broker::{BrokerUnderTest, config, eventually};

/// What holds the messages of a pod: the columns, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "no program of tests has all of them")]
pub(crate) enum Engine {
    Embedded,
    RabbitMq,
    ActiveMq,
    Artemis,
    JetStream,
}

/// A pod, and what its engine is.
pub(crate) struct Pod {
    pub(crate) broker: BrokerUnderTest,
    pub(crate) engine: Engine,
}

/// A pod with all that is behind it.
pub(crate) trait World {
    /// The pod that clients talk with.
    fn pod(&self) -> &Pod;

    /// Ends what holds the messages in order, and starts it again.
    async fn restart(&mut self);

    /// The reason that a pod gives which has a wrong password for what is behind it. None: there is nothing behind it.
    async fn wrong_password(&self) -> Option<String>;
}

/// What is seen, or the ERROR that ended the dialogue.
type Seen<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>>;

enum Dialogue {
    Pod(fn(&Pod) -> Seen<'_>),
    Restart,
    WrongPassword,
}

use Dialogue::{Restart, WrongPassword};

struct Behaviour {
    /// What it is, for the documentation.
    what: &'static str,
    dialogue: Dialogue,
    /// What is seen with each [`Engine`]; `ERROR: … words …` is an ERROR with these words.
    seen: [&'static str; 5],
}

macro_rules! behaviours {
    ($($what:literal: $($dialogue:ident)::+ => [$($seen:literal),* $(,)?],)*) => {
        &[$(Behaviour { what: $what, dialogue: behaviours!(@ $($dialogue)::+), seen: [$($seen),*] }),*]
    };
    (@ $dialogue:ident) => { $dialogue };
    (@ $module:ident::$dialogue:ident) => { Dialogue::Pod(|pod| Box::pin($module::$dialogue(pod))) };
}

/// Embedded; relayed to RabbitMQ, ActiveMQ, Artemis; over JetStream.
const BEHAVIOURS: &[Behaviour] = behaviours! {
    "RECEIPT of a SEND": queues::receipt_of_a_send => ["yes", "yes", "yes", "yes", "yes"],
    "receipts for what was sent before the client closed its side":
        queues::receipts_after_the_end_of_input => ["yes", "yes", "yes", "yes", "yes"],
    "each subscriber of a topic gets each message": topics::fan_out => ["yes", "yes", "yes", "yes", "yes"],
    "messages of a queue come in their order": queues::order => ["yes", "yes", "yes", "yes", "yes"],
    "`ack:client` covers all before": acknowledgements::cumulative => ["yes", "yes", "yes", "yes", "yes"],
    "`ack:client-individual` covers one": acknowledgements::individual => ["yes", "yes", "yes", "yes", "yes"],
    "what comes again says `redelivered:true`": acknowledgements::redelivered => ["yes", "yes", "yes", "yes", "yes"],
    "UNSUBSCRIBE gives back what is not acknowledged":
        acknowledgements::unsubscribe => ["yes", "yes", "yes", "yes", "yes"],
    "a message after NACK":
        acknowledgements::nack => ["comes again", "comes again", "is a dead letter", "is gone", "comes again"],
    "a transaction over queues and topics is seen at COMMIT, and not after ABORT":
        queues::transactions => ["yes", "yes", "yes", "yes", "yes"],
    "bodies with NUL": contents::nul => ["yes", "yes", "yes", "yes", "yes"],
    "headers with colons, line breaks, UTF-8": contents::headers => ["yes", "yes", "yes", "yes", "yes"],
    "wildcards of topics": topics::wildcards => ["`*` `#` `>` `**`", "`*` `#`", "`*` `>`", "`*` `#`", "`*` `#` `>` `**`"],
    "wildcards of queues":
        queues::wildcards => ["ERROR: … by its own name …", "no", "`*` `>`", "`*` `#`", "ERROR: … by its own name …"],
    "`/topic/a/b`": topics::slashes => ["yes", "ERROR", "yes", "yes", "yes"],
    "`selector` of a topic": topics::selector => ["yes", "ignored", "yes", "yes", "yes"],
    "`selector` of a queue": queues::selector => ["yes", "ignored", "yes", "yes", "ERROR: … takes no selector …"],
    "`browser:true`": queues::browser => ["yes", "ignored", "yes", "ignored", "ERROR: … cannot be browsed …"],
    "`exclusive:true` of a queue":
        queues::exclusive => ["yes", "others are refused", "ignored", "ignored", "ERROR: … no exclusive consumers …"],
    "`x-message-ttl` of a queue": queues::time_to_live =>
        ["yes", "yes", "ignored", "ignored", "ERROR: … goes by the configuration's destinations alone …"],
    "`x-delay` of a message to a queue": queues::delayed => ["yes", "ignored", "ignored", "ignored", "yes"],
    "`x-delay` of a message to a topic": topics::delayed => ["yes", "ignored", "ignored", "ignored", "yes"],
    "a durable subscription by": topics::durable => [
        "`durable` `activemq.subscriptionName` `durable-subscription-name`",
        "`durable`",
        "`activemq.subscriptionName`",
        "`activemq.subscriptionName` `durable-subscription-name`",
        "`durable` `activemq.subscriptionName` `durable-subscription-name`",
    ],
    "a durable subscription to a topic that is declared nowhere": topics::durable_undeclared =>
        ["yes", "yes", "yes", "yes", "ERROR: … engine.jetStream.durableTopics.match …"],
    "`selector` of a durable subscription":
        topics::durable_selector => ["yes", "ignored", "yes", "yes", "ERROR: … takes no selector …"],
    "`x-queue-name`: a subscription that is shared while somebody has it":
        topics::shared => ["yes", "ignored", "ignored", "ignored", "ERROR: … add durable:true …"],
    "`reply-to:/temp-queue/…`": queues::temporary => ["yes", "ERROR", "ERROR", "ERROR", "yes"],
    "`/user/…`": queues::users => ["yes", "yes", "yes", "yes", "yes"],
    "heart-beats keep an idle session": contents::heartbeats => ["yes", "yes", "yes", "yes", "yes"],
    "a wrong password for what is behind the pod is":
        WrongPassword => ["—", "`AuthFailed`", "`AuthFailed`", "`AuthFailed`", "`AuthFailed`"],
    "`persistent:true` messages after a restart": Restart => ["kept", "kept", "kept", "kept", "kept"],
};

impl Behaviour {
    async fn see(&self, world: &mut impl World) -> String {
        let seen = match self.dialogue {
            // One that ends in a panic is told with the others.
            Dialogue::Pod(dialogue) => AssertUnwindSafe(dialogue(world.pod())).catch_unwind().await,
            Restart => AssertUnwindSafe(queues::restart(world)).catch_unwind().await,
            WrongPassword => Ok(Ok(world.wrong_password().await.unwrap_or_else(|| "—".to_owned()))),
        };
        seen.map_or_else(|_| "fails".to_owned(), |outcome| outcome.unwrap_or_else(|error| format!("ERROR: {error}")))
    }

    /// Whether this is what the table says.
    fn holds(&self, engine: Engine, seen: &str) -> bool {
        let expected = self.seen[engine as usize];
        match expected.strip_prefix("ERROR: … ").and_then(|rest| rest.strip_suffix(" …")) {
            Some(words) => seen.starts_with("ERROR") && seen.contains(words),
            None if expected == "ERROR" => seen.starts_with("ERROR"),
            None => seen == expected,
        }
    }
}

/// Has every dialogue with a pod; fails with all that is not as the table has it.
pub(crate) async fn hold(mut world: impl World) {
    let engine = world.pod().engine;
    let mut wrong = Vec::new();
    for behaviour in BEHAVIOURS {
        let seen = behaviour.see(&mut world).await;
        if !behaviour.holds(engine, &seen) {
            wrong.push(format!("{}: {} in place of {}", behaviour.what, seen, behaviour.seen[engine as usize]));
        }
    }
    assert!(wrong.is_empty(), "with {engine:?} not as the table has it: {wrong:#?}");
}

impl Pod {
    /// What all of them have, with this engine: `ann` may log in, and heart-beats are fast.
    pub(crate) fn start(engine: Engine, keys: &str) -> Self {
        let text = config(&format!(
            "heartbeat: 500ms\nsessionTimeout: 2s\ncredentials: {{client: {{directory: FOLDER/client}}}}\n{keys}"
        ));
        Self { broker: BrokerUnderTest::start_in(crate::any_broker::secrets_with_token(), &text), engine }
    }

    /// Waits until load balancers would send clients here.
    pub(crate) async fn ready(&self) {
        let ready = async || (self.broker.admin("GET", "/readyz").await.status == 200).then_some(());
        eventually("the pod to be ready", ready).await;
    }
}

const BEGIN: &str = "<!-- made of broker/tests/common/behaviours; UPDATE_GOLDEN=1 writes it -->\n";
const END: &str = "<!-- end -->";

/// Fails unless the documentation has the table as it is.
#[allow(dead_code, reason = "one program of tests is enough for it")]
pub(crate) fn check_documentation() {
    let mut table = "| | embedded | relay to RabbitMQ | to ActiveMQ | to Artemis | jetStream |\n".to_owned();
    table.push_str("|---|---|---|---|---|---|\n");
    for Behaviour { what, seen, .. } in BEHAVIOURS {
        let _ = writeln!(table, "| {what} | {} |", seen.join(" | "));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/engines.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(found, table, "docs/engines.md is stale; run make generate");
}
