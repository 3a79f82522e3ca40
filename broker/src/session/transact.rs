//! BEGIN, COMMIT and ABORT.

use smol_str::SmolStr;

use super::{
    Settings,
    error::SessionError,
    live::{Context, Live},
    receipts::Outcome,
};
use crate::{
    applications::Call,
    engine::Operation,
    stomp::{Command, Frame},
    trace::Step,
};

impl Live {
    pub(super) fn begin(
        &mut self,
        frame: &Frame,
        receipt: Option<SmolStr>,
        cx: &Context<'_>,
    ) -> Result<(), SessionError> {
        let id = self.transaction_header(frame)?;
        if self.transactions.get(id).is_some() {
            return Err(SessionError::TransactionOpen(id.into()));
        }
        let limit = cx.settings.limits.transactions_per_session;
        if self.transactions.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
            return Err(SessionError::limit("one more open transaction", "transactionsPerSession", limit));
        }
        self.transactions.begin(id.into());
        self.owe_receipt(receipt);
        Ok(())
    }

    /// Hands the whole transaction to the engine as one operation, and to applications what is theirs; its receipts follow
    /// when both are done.
    pub(super) fn commit(
        &mut self,
        frame: &Frame,
        receipt: Option<SmolStr>,
        cx: &mut Context<'_>,
    ) -> Result<(), SessionError> {
        let id = self.transaction_header(frame)?;
        let transaction = self.transactions.end(id).ok_or_else(|| unknown(frame.command, id))?;
        for subscription in self.subscriptions.iter_mut() {
            subscription.deliveries.forget_claimed(transaction.key, cx.note(Step::Commit));
        }
        let (inner, operations, requests) = (transaction.receipts, transaction.operations, transaction.requests);
        let is_awaited = receipt.is_some() || !inner.is_empty();
        match (operations.is_empty(), requests.is_empty()) {
            (true, true) => self.answers.owe_done(inner, receipt, Outcome::Done),
            (false, true) => {
                let ticket = is_awaited.then(|| self.answers.owe_with(inner, receipt, Outcome::Done));
                cx.submit(Operation::Commit(operations), ticket);
            }
            (has_no_operations, false) => {
                if !has_no_operations {
                    // Answers come in this order, so that those of the requests follow this one.
                    let ticket = is_awaited.then(|| self.answers.owe(None, Outcome::Done));
                    cx.submit(Operation::Commit(operations), ticket);
                }
                let ticket = is_awaited.then(|| self.answers.owe_with(inner, receipt, Outcome::Done));
                cx.effects.calls.push((Call::Send(requests), ticket));
            }
        }
        Ok(())
    }

    /// Drops the transaction; its messages go nowhere, and what it acknowledged can be acknowledged again.
    pub(super) fn abort(&mut self, frame: &Frame, receipt: Option<SmolStr>) -> Result<(), SessionError> {
        let id = self.transaction_header(frame)?;
        let transaction = self.transactions.end(id).ok_or_else(|| unknown(frame.command, id))?;
        for subscription in self.subscriptions.iter_mut() {
            subscription.deliveries.release_claimed(transaction.key);
        }
        self.owe_receipt(receipt);
        Ok(())
    }

    /// Whether the transaction is open and takes one more frame.
    pub(super) fn check_transaction(
        &mut self,
        command: Command,
        id: &str,
        settings: &Settings,
    ) -> Result<(), SessionError> {
        let transaction = self.transactions.get(id).ok_or_else(|| unknown(command, id))?;
        let limit = settings.limits.frames_per_transaction;
        if transaction.frames >= limit {
            return Err(SessionError::limit("one more frame of the transaction", "framesPerTransaction", limit));
        }
        Ok(())
    }

    fn transaction_header<'a>(&self, frame: &'a Frame) -> Result<&'a str, SessionError> {
        frame
            .header("transaction")
            .filter(|id| !id.is_empty())
            .ok_or_else(|| self.missing(frame.command, "transaction", ""))
    }

    fn owe_receipt(&mut self, receipt: Option<SmolStr>) {
        if receipt.is_some() {
            self.answers.owe_done(Vec::new(), receipt, Outcome::Done);
        }
    }
}

fn unknown(command: Command, id: &str) -> SessionError {
    SessionError::UnknownTransaction { command, id: id.into() }
}
