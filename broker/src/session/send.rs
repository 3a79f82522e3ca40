//! SEND: a message on its way to the engine.

use std::sync::Arc;

use stompbroker_config::Action;

use super::{
    error::SessionError,
    live::{Context, Live},
    receipts::Outcome,
    settings::octets,
};
use crate::{
    engine::Operation,
    message::Message,
    stomp::{Command, Frame, Header},
};

/// What the headers of a SEND say, taken apart.
#[derive(Default)]
struct SendHeaders {
    destination: Option<Box<str>>,
    transaction: Option<Box<str>>,
    /// The client's own headers, the first of each name.
    user: Vec<Header>,
    content_length: bool,
}

impl SendHeaders {
    /// Receivers see what the sender wrote, but nothing that the broker says itself or that was meant for it alone.
    fn read(headers: Vec<Header>) -> Self {
        let mut read = Self::default();
        for (name, value) in headers {
            match &*name {
                "destination" => drop(read.destination.get_or_insert(value)),
                "transaction" => drop(read.transaction.get_or_insert(value)),
                "content-length" => read.content_length = true,
                "receipt"
                | "login"
                | "passcode"
                | "message-id"
                | "subscription"
                | "ack"
                | "redelivered"
                | "JMSXUserID"
                | "JMSXGroupFirstForConsumer" => {}
                _ if read.user.iter().any(|(known, _)| *known == name) => {}
                _ => read.user.push((name, value)),
            }
        }
        read
    }
}

impl Live {
    pub(super) fn send(
        &mut self,
        frame: Frame,
        receipt: Option<Box<str>>,
        cx: &mut Context<'_>,
    ) -> Result<(), SessionError> {
        let SendHeaders { destination, transaction, user, content_length } = SendHeaders::read(frame.headers);
        let destination = destination
            .filter(|destination| !destination.is_empty())
            .ok_or_else(|| self.missing(Command::Send, "destination", ""))?;
        if let Some((_, value)) = user.iter().find(|(name, _)| &**name == "user-id")
            && **value != *cx.principal.user
        {
            return Err(SessionError::invalid(
                Command::Send,
                "user-id",
                value,
                "the name that the session logged in with, or left out",
            ));
        }
        if let Some(id) = &transaction {
            self.check_transaction(Command::Send, id, cx.settings)?;
        }
        cx.check(Action::Send, &destination)?;
        self.subscribe_to_replies(&user, cx)?;
        self.sent += 1;
        let id = format!("{}-{}", cx.id, self.sent).into();
        let message = Message::new(id, destination, user, frame.body, content_length);
        match transaction {
            None => {
                let ticket = receipt.map(|receipt| self.answers.owe(Some(receipt), Outcome::Done));
                cx.submit(Operation::Send(Arc::new(message)), ticket);
            }
            Some(id) => {
                let size = message.size();
                let limit = cx.settings.limits.transaction_size;
                let held = self.transactions.octets();
                // One message always fits, however large messages may be.
                if held > 0 && held.saturating_add(size) > octets(limit) {
                    return Err(SessionError::limit("the messages of the open transactions", "transactionSize", limit));
                }
                let operation = Some(Operation::Send(Arc::new(message)));
                if let Some(transaction) = self.transactions.get(&id) {
                    transaction.add(operation, size, receipt);
                }
            }
        }
        Ok(())
    }
}

impl Context<'_> {
    /// Asks the destination rules.
    pub(super) fn check(&self, action: Action, destination: &str) -> Result<(), SessionError> {
        if self.settings.policy.allows(self.principal, action, destination) {
            return Ok(());
        }
        let user = if self.principal.is_authenticated() {
            format!("user {:?}", self.principal.user).into()
        } else {
            "an anonymous session".into()
        };
        Err(SessionError::Denied { user, action, destination: destination.into() })
    }
}
