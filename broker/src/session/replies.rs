//! Queues for replies that a SEND asks for by `reply-to:/temp-queue/NAME`, as `RabbitMQ` has them.

use stompbroker_config::Action;

use super::{
    error::SessionError,
    live::{Context, Live},
    receipts::Outcome,
    subscriptions::AckMode,
};
use crate::{
    engine::{Operation, Subscription},
    stomp::Header,
};

const TEMPORARY_QUEUE: &str = "/temp-queue/";

impl Live {
    /// Subscribes to the queue that a SEND with these headers wants its replies in, unless the session has done so itself.
    /// The subscription's id is the name of the queue.
    pub(super) fn subscribe_to_replies(
        &mut self,
        headers: &[Header],
        cx: &mut Context<'_>,
    ) -> Result<(), SessionError> {
        let reply_to = headers.iter().find(|(name, _)| &**name == "reply-to").map(|(_, queue)| queue);
        let Some(queue) = reply_to.filter(|to| to.strip_prefix(TEMPORARY_QUEUE).is_some_and(|name| !name.is_empty()))
        else {
            return Ok(());
        };
        if !cx.settings.reply_queues
            || self.subscriptions.by_destination(queue).is_some()
            || self.subscriptions.by_id(queue).is_some()
        {
            return Ok(());
        }
        self.check_room_for_subscription(cx)?;
        cx.check(Action::Subscribe, queue)?;
        let mode = AckMode::Auto;
        let name: Box<str> = (**queue).into();
        let key = self.subscriptions.begin(self.version, Some(name.clone()), name.clone(), mode);
        let (destination, acknowledge) = (name, mode.acknowledge());
        let subscription = Subscription { key, destination, acknowledge, prefetch: None, headers: Vec::new() };
        let ticket = self.answers.owe(None, Outcome::Subscribed(key));
        cx.submit(Operation::Subscribe(subscription), Some(ticket));
        Ok(())
    }
}
