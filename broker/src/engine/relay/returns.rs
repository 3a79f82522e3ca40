//! What `RabbitMQ` has delivered for a subscription that has ended, and how it gets that back. Pure.
//!
//! Seen on 3.10, and in the source of 4.3: UNSUBSCRIBE takes back nothing; what is unsettled stays so until the connection
//! ends, also what it delivers while it handles the UNSUBSCRIBE, for which it sends an ERROR "Subscription not found" instead
//! of the MESSAGE. A NACK is refused unless a subscription of that id lives. So one of the same id is made on a topic that
//! nobody sends to, for as long as the NACKs take. `ActiveMQ` and Artemis take back by themselves.

use super::translator::Leftover;
use crate::stomp::{Command, Frame, Version, encode};

/// Between the parts of a message id: subscription, session, number of the delivery.
const SEPARATOR: &str = "@@";
/// What a message id puts before the id of a subscription.
const TAG: &str = "T_";

/// The deliveries of one connection to `RabbitMQ`.
#[derive(Debug)]
pub(super) struct Returns {
    /// Number of the last delivery; each takes one, on all subscriptions together.
    last: u64,
    session: Option<Box<str>>,
    topic: String,
}

impl Returns {
    /// Those of a new connection; `salt` is random.
    pub(super) fn new(salt: u64) -> Self {
        let topic = format!("/topic/stompbroker.returns.{salt:016x}");
        Self { last: 0, session: None, topic }
    }

    /// Notes a MESSAGE.
    pub(super) fn saw(&mut self, message: &Frame) {
        let mut parts = message.header("message-id").unwrap_or_default().rsplitn(3, SEPARATOR);
        if let (Some(Ok(number)), Some(session)) = (parts.next().map(str::parse), parts.next()) {
            self.last = number;
            if self.session.as_deref() != Some(session) {
                self.session = Some(session.into());
            }
        }
    }

    /// The delivery that an ERROR stands for: the id of its subscription, and what a NACK of it names.
    pub(super) fn lost(&mut self, error: &Frame) -> Option<(Box<str>, Box<str>)> {
        self.last += 1;
        let body = std::str::from_utf8(&error.body).ok()?;
        let (_, tag) = body.split_once(TAG)?;
        let id = tag.split(['\'', '"', '>']).next()?.trim_end_matches('.');
        let session = self.session.as_deref()?;
        Some((id.into(), format!("{TAG}{id}{SEPARATOR}{session}{SEPARATOR}{}", self.last).into()))
    }

    /// Writes what gives deliveries back to their queue.
    pub(super) fn give_back(&self, leftover: &Leftover, out: &mut Vec<u8>) {
        let version = Some(Version::V1_2);
        let id = &*leftover.subscription;
        let begin = [("id", id), ("destination", &*self.topic), ("ack", "client-individual"), ("prefetch-count", "1")];
        encode(out, version, Command::Subscribe, begin, false, b"");
        for name in &leftover.names {
            encode(out, version, Command::Nack, [("id", &**name), ("requeue", "true")], false, b"");
        }
        encode(out, version, Command::Unsubscribe, [("id", id)], false, b"");
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn frame(command: Command, headers: &[(&str, &str)], body: &'static str) -> Frame {
        let headers = headers.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        Frame { command, headers, body: Bytes::from_static(body.as_bytes()) }
    }

    #[test]
    fn a_delivery_that_came_too_late_is_known_by_its_place_in_the_row() {
        let mut returns = Returns::new(1);
        let late = frame(Command::Error, &[], "There is no current subscription with tag 'T_7-1'.");
        assert_eq!(returns.lost(&late), None, "nothing is known of the session yet");
        returns.saw(&frame(Command::Message, &[("message-id", "T_7-1@@session-a@@41")], ""));
        assert_eq!(returns.lost(&late), Some(("7-1".into(), "T_7-1@@session-a@@42".into())));
        assert_eq!(returns.lost(&late), Some(("7-1".into(), "T_7-1@@session-a@@43".into())));
    }

    #[test]
    fn what_is_given_back_stands_between_a_subscription_of_the_same_id_and_its_end() {
        let mut out = Vec::new();
        let leftover = Leftover { subscription: "7-1".into(), names: vec!["x".into(), "y".into()] };
        Returns::new(1).give_back(&leftover, &mut out);
        let text = String::from_utf8(out).unwrap();
        let commands: Vec<_> = text.split('\0').filter_map(|frame| frame.lines().next()).collect();
        assert_eq!(commands, ["SUBSCRIBE", "NACK", "NACK", "UNSUBSCRIBE"]);
        assert!(text.contains("id:x\nrequeue:true\n") && text.matches("id:7-1\n").count() == 2, "{text}");
    }
}
