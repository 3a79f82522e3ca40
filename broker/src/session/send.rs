//! SEND: a message on its way to the engine.

use std::sync::Arc;

use smol_str::SmolStr;
use stompbroker_config::Action;

use super::{
    error::SessionError,
    live::{Context, Live},
    receipts::Outcome,
    settings::octets,
    transactions::Work,
};
use crate::{
    applications::Call,
    engine::Operation,
    message::Message,
    stomp::{Command, Frame, Header, keep_first},
};

/// What the headers of a SEND say, taken apart.
#[derive(Default)]
struct SendHeaders {
    destination: Option<SmolStr>,
    transaction: Option<SmolStr>,
    /// The client's own headers, the first of each name.
    user: Vec<Header>,
    content_length: bool,
}

impl SendHeaders {
    /// Receivers see what the sender wrote, but nothing that the broker says itself or that was meant for it alone.
    fn read(mut headers: Vec<Header>) -> Self {
        let mut read = Self::default();
        headers.retain_mut(|(name, value)| {
            match &**name {
                "destination" => drop(read.destination.get_or_insert_with(|| std::mem::take(value))),
                "transaction" => drop(read.transaction.get_or_insert_with(|| std::mem::take(value))),
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
                _ => return true,
            }
            false
        });
        keep_first(&mut headers);
        Self { user: headers, ..read }
    }
}

impl Live {
    pub(super) fn send(
        &mut self,
        frame: Frame,
        receipt: Option<SmolStr>,
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
        let id = self.next_message_id(cx.id);
        let message = Message::new(id, destination, user, frame.body, content_length);
        let size = message.size();
        let settings = cx.settings;
        let work = match settings.applications.of(&message.destination) {
            Some(route) => Work::Request(Self::request(route, message, receipt.clone(), cx)?),
            None => Work::Operation(Operation::Send(Arc::new(message))),
        };
        match transaction {
            None => {
                let ticket = receipt.map(|receipt| self.answers.owe(Some(receipt), Outcome::Done));
                match work {
                    Work::Operation(send) => cx.submit(send, ticket),
                    Work::Request(request) => cx.effects.calls.push((Call::Send(vec![request]), ticket)),
                }
            }
            Some(id) => {
                let limit = cx.settings.limits.transaction_size;
                let held = self.transactions.octets();
                // One message always fits, however large messages may be.
                if held > 0 && held.saturating_add(size) > octets(limit) {
                    return Err(SessionError::limit("the messages of the open transactions", "transactionSize", limit));
                }
                if let Some(transaction) = self.transactions.get(&id) {
                    transaction.add(Some(work), size, receipt);
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
