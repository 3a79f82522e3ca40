//! Temporary queues and topics: they are one session's own and go with it. Others reach them by the destination that stands
//! in `reply-to`, which has a secret of the session in it; nobody else can subscribe to them.

use crate::destination::{REPLY_QUEUE, REPLY_TOPIC, TEMP_QUEUE, TEMP_TOPIC};

/// How others call the temporary destination that the session with this secret calls so; none if it is no such destination.
pub(super) fn reply_destination(own: &str, secret: impl FnOnce() -> String) -> Option<Box<str>> {
    let reply = |own_prefix, prefix| {
        let name = own.strip_prefix(own_prefix).filter(|name: &&str| !name.is_empty())?;
        Some((prefix, name))
    };
    let (prefix, name) = reply(TEMP_QUEUE, REPLY_QUEUE).or_else(|| reply(TEMP_TOPIC, REPLY_TOPIC))?;
    Some(format!("{prefix}{}/{name}", secret()).into())
}

/// Whether others call a temporary queue so.
pub(super) fn is_reply_queue(destination: &str) -> bool {
    destination.starts_with(REPLY_QUEUE)
}

/// Whether others call a temporary topic so.
pub(super) fn is_reply_topic(destination: &str) -> bool {
    destination.starts_with(REPLY_TOPIC)
}
