//! ACK and NACK.

use smol_str::SmolStr;

use super::{
    error::SessionError,
    live::{Context, Live},
    receipts::Outcome,
    subscriptions::{Named, names_by_ack},
    transactions::Work,
};
use crate::{
    engine::{Operation, Settlement},
    stomp::{Command, Frame, Version},
    trace::Step,
};

impl Live {
    pub(super) fn acknowledge(
        &mut self,
        frame: &Frame,
        receipt: Option<SmolStr>,
        cx: &mut Context<'_>,
    ) -> Result<(), SessionError> {
        let settlement = settlement(frame)?;
        let named = self.named(frame)?;
        let Some(id) = frame.header("transaction") else {
            self.settle(named, settlement, receipt, cx);
            return Ok(());
        };
        self.check_transaction(frame.command, id, cx.settings)?;
        let Self { transactions, subscriptions, .. } = self;
        let Some(transaction) = transactions.get(id) else { return Ok(()) };
        let mut operation = None;
        if let Named::Delivery(key, at) = named
            && let Some(subscription) = subscriptions.get_mut(key)
        {
            let deliveries = subscription.deliveries.claim(at, subscription.mode.reach(), transaction.key);
            operation =
                (!deliveries.is_empty()).then_some(Operation::Settle { subscription: key, deliveries, settlement });
        }
        transaction.add(operation.map(Work::Operation), 0, receipt);
        Ok(())
    }

    /// Settles at once. Where the engine keeps no account of the delivery, only its receipt is owed.
    fn settle(&mut self, named: Named, settlement: Settlement, receipt: Option<SmolStr>, cx: &mut Context<'_>) {
        if let Named::Delivery(key, at) = named
            && let Some(subscription) = self.subscriptions.get_mut(key)
            && let note = cx.note(Step::Settle(settlement))
            && let tags = subscription.deliveries.settle(at, subscription.mode.reach(), note)
            && !tags.is_empty()
        {
            if settlement == Settlement::Accept && receipt.is_none() {
                return cx.effects.accept(key, tags);
            }
            let ticket = receipt.map(|receipt| self.answers.owe(Some(receipt), Outcome::Done));
            let deliveries = tags.into_vec();
            cx.submit(Operation::Settle { subscription: key, deliveries, settlement }, ticket);
        } else if receipt.is_some() {
            self.answers.owe_done(Vec::new(), receipt, Outcome::Done);
        }
    }

    /// What the frame names, by the headers of the session's version.
    fn named(&self, frame: &Frame) -> Result<Named, SessionError> {
        let command = frame.command;
        let subscription = frame.header("subscription");
        let (value, named, hint) = if names_by_ack(self.version) {
            let id = frame
                .header("id")
                .ok_or_else(|| self.missing(command, "id", ", which is the ack header of the MESSAGE"))?;
            let hint = "send the ack header of a MESSAGE that is not settled yet";
            (id, self.subscriptions.named_by_ack_id(id, subscription), hint)
        } else {
            let id = frame
                .header("message-id")
                .ok_or_else(|| self.missing(command, "message-id", ", which is the same header of the MESSAGE"))?;
            if subscription.is_none() && self.version == Version::V1_1 {
                return Err(self.missing(command, "subscription", ", which is the same header of the MESSAGE"));
            }
            let hint = "send the message-id and subscription of a MESSAGE that is not settled yet";
            (id, self.subscriptions.named_by_message(id, subscription), hint)
        };
        if named == Named::Unknown {
            return Err(SessionError::UnknownDelivery { command, value: value.into(), hint });
        }
        Ok(named)
    }
}

fn settlement(frame: &Frame) -> Result<Settlement, SessionError> {
    match (frame.command, frame.header("requeue")) {
        (Command::Nack, None) => Ok(Settlement::Nack),
        (Command::Nack, Some("true")) => Ok(Settlement::Requeue),
        (Command::Nack, Some("false")) => Ok(Settlement::Reject),
        (Command::Nack, Some(other)) => Err(SessionError::invalid(Command::Nack, "requeue", other, "true or false")),
        _ => Ok(Settlement::Accept),
    }
}
