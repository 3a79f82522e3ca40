//! A session that has logged in: which frame means what, and what the engine's events become.

use std::{sync::Arc, time::Instant};

use smol_str::SmolStr;

use super::{
    Close, CloseReason, Effects, Settings,
    error::SessionError,
    handshake::Handshake,
    heartbeat::{Due, Heartbeat},
    output::{About, Output},
    receipts::{Answers, Outcome},
    subscriptions::{AckMode, Subscriptions, names_by_ack},
    transactions::Transactions,
};
use crate::{
    engine::{Delivery, Event, Operation, SubscriptionKey, Ticket},
    message::{Batch, Message},
    security::Principal,
    stomp::{Command, Frame, Version},
    trace::{Step, TraceContext},
};

/// Messages of a queue are encoded once more for the next receiver up to this size.
const SMALL: usize = 4096;

/// All that is kept of a session between its login and its end.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) version: Version,
    pub(super) virtual_host: Option<Box<str>>,
    pub(super) heartbeat: Heartbeat,
    pub(super) subscriptions: Subscriptions,
    pub(super) transactions: Transactions,
    pub(super) answers: Answers,
    /// Messages sent, for their ids.
    pub(super) sent: u64,
    /// Set once the client has said that nothing more comes from it.
    pub(super) leaving: Option<Leaving>,
}

/// A session that waits only for the answers that it still owes.
#[derive(Debug)]
pub(super) struct Leaving {
    /// Until when it waits at most.
    until: Instant,
    /// By what the client said so.
    reason: CloseReason,
}

/// What a live session works with besides its own state.
pub(super) struct Context<'a> {
    pub(super) id: &'a str,
    pub(super) principal: &'a Principal,
    pub(super) settings: &'a Settings,
    pub(super) output: Output<'a>,
    pub(super) effects: &'a mut Effects,
}

/// Why a live session ends with an ERROR, and what that ERROR is about.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: SessionError,
    pub(super) about: About,
}

impl Context<'_> {
    pub(super) fn submit(&mut self, operation: Operation, ticket: Option<Ticket>) {
        self.effects.operations.push((operation, ticket));
    }

    /// What takes note of a step of each message that it is given, where messages are traced.
    pub(super) fn note(&mut self, step: Step) -> impl FnMut(Arc<Message>) {
        let (is_traced, steps) = (self.settings.traced, &mut self.effects.steps);
        move |message| {
            if is_traced {
                steps.push((step, message));
            }
        }
    }

    fn close(&mut self, reason: CloseReason) {
        self.effects.close = Some(Close::new(reason, None));
    }
}

impl Live {
    /// The session that a CONNECT and the settings begin.
    pub(super) fn new(id: &str, handshake: Handshake, settings: &Settings, now: Instant) -> Self {
        Self {
            version: handshake.version,
            virtual_host: handshake.virtual_host,
            heartbeat: Heartbeat::agree(handshake.heartbeat, settings.heartbeat, settings.session_timeout, now),
            subscriptions: Subscriptions::new(id),
            transactions: Transactions::default(),
            answers: Answers::default(),
            sent: 0,
            leaving: None,
        }
    }

    /// Takes a frame of the client.
    pub(super) fn frame(&mut self, frame: Frame, now: Instant, cx: &mut Context<'_>) -> Result<(), Failure> {
        if self.leaving.is_some() {
            return Ok(());
        }
        let receipt: Option<SmolStr> = match frame.command {
            Command::Connect => None,
            _ => frame.header("receipt").map(Into::into),
        };
        self.handle(frame, receipt.clone(), now, cx)
            .map_err(|error| Failure { error, about: About { receipt, subscription: None } })
    }

    fn handle(
        &mut self,
        frame: Frame,
        receipt: Option<SmolStr>,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Result<(), SessionError> {
        let command = frame.command;
        // STOMP 1.0 says that the body of such a frame is ignored.
        if self.version > Version::V1_0 && !frame.body.is_empty() && !command.may_have_body() {
            return Err(SessionError::BodyNotAllowed(command));
        }
        match command {
            Command::Send => self.send(frame, receipt, cx)?,
            Command::Subscribe => self.subscribe(frame, receipt, cx)?,
            Command::Unsubscribe => self.unsubscribe(&frame, receipt, cx)?,
            Command::Ack | Command::Nack => self.acknowledge(&frame, receipt, cx)?,
            Command::Begin => self.begin(&frame, receipt, cx)?,
            Command::Commit => self.commit(&frame, receipt, cx)?,
            Command::Abort => self.abort(&frame, receipt)?,
            Command::Disconnect => {
                if receipt.is_none() {
                    cx.close(CloseReason::Disconnect);
                    return Ok(());
                }
                self.leave(CloseReason::Disconnect, receipt, now, cx);
            }
            Command::Connect => return Err(SessionError::AlreadyConnected),
            Command::Connected | Command::Message | Command::Receipt | Command::Error => {
                return Err(SessionError::FromServer(command));
            }
        }
        self.answer(cx);
        Ok(())
    }

    /// The client has closed its side, and all that it sent before has been handled: it gets the receipts that are still owed.
    pub(super) fn client_closed(&mut self, now: Instant, cx: &mut Context<'_>) {
        if self.leaving.is_some() {
            return;
        }
        if self.answers.owe_receipts() {
            self.leave(CloseReason::ClientClosed, None, now, cx);
        } else {
            cx.close(CloseReason::ClientClosed);
        }
    }

    /// Ends the session as soon as all that is owed has been answered, this receipt last.
    fn leave(&mut self, reason: CloseReason, receipt: Option<SmolStr>, now: Instant, cx: &Context<'_>) {
        self.leaving = Some(Leaving { until: now + cx.settings.session_timeout, reason });
        self.answers.owe_done(Vec::new(), receipt, Outcome::Left(reason));
    }

    /// Takes an event of the engine.
    pub(super) fn event(&mut self, event: Event, cx: &mut Context<'_>) -> Result<(), Failure> {
        match event {
            Event::Delivery(delivery) => self.deliver(delivery, cx),
            Event::Broadcast(key, batch) => self.broadcast(key, &batch, cx),
            Event::Completed(ticket) => {
                self.answers.complete(ticket);
                self.answer(cx);
            }
            Event::Refused(ticket) => {
                // The client is told of it by a message; whatever waits for this answer waits no more.
                drop(self.answers.fail(ticket));
                self.answer(cx);
            }
            Event::Failed { ticket, error } => {
                let about = ticket.map(|ticket| self.about(ticket)).unwrap_or_default();
                return Err(Failure { error: SessionError::Engine(error), about });
            }
            Event::Closed(error) => {
                return Err(Failure { error: SessionError::Engine(error), about: About::default() });
            }
            Event::Ready => {}
        }
        Ok(())
    }

    /// Does what is due by time.
    pub(super) fn tick(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<(), Failure> {
        if let Some(leaving) = self.leaving.as_ref().filter(|leaving| now >= leaving.until) {
            cx.close(leaving.reason);
            return Ok(());
        }
        match self.heartbeat.due(now) {
            Due::Nothing => {}
            Due::Send => cx.output.sink.heartbeat(),
            Due::Silent(timeout) => {
                let timeout = stompbroker_config::GoDuration(timeout);
                return Err(Failure { error: SessionError::Silent(timeout), about: About::default() });
            }
        }
        Ok(())
    }

    /// When [`Self::tick`] has something to do at the earliest.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        [self.heartbeat.next(), self.leaving.as_ref().map(|leaving| leaving.until)].into_iter().flatten().min()
    }

    /// Ends the session when the rules in force deny one of its subscriptions.
    pub(super) fn recheck(&self, cx: &Context<'_>) -> Result<(), Failure> {
        for (_, subscription) in self.subscriptions.iter() {
            let destination = &subscription.destination;
            cx.check(stompbroker_config::Action::Subscribe, destination).map_err(|error| Failure {
                error,
                about: About { receipt: None, subscription: subscription.id.clone() },
            })?;
        }
        Ok(())
    }

    fn deliver(&mut self, delivery: Delivery, cx: &mut Context<'_>) {
        let Delivery { subscription: key, message, tag, redelivered } = delivery;
        if self.leaving.is_some() {
            return;
        }
        // What comes for a subscription that has just ended is requeued by the engine, which knows of the end.
        let Some(mode) = self.subscriptions.get(key).map(|subscription| subscription.mode) else { return };
        let number = if mode == AckMode::Auto { 0 } else { self.subscriptions.next_number() };
        let Some(subscription) = self.subscriptions.get_mut(key) else { return };
        let is_traced = cx.settings.traced && tag.is_some() && TraceContext::sampled_of(&message).is_some();
        if is_traced {
            cx.effects.steps.push((Step::Deliver, Arc::clone(&message)));
        }
        let ack = (mode != AckMode::Auto && names_by_ack(self.version)).then_some(number);
        let head = |out: &mut Vec<u8>| subscription.put_head(ack, redelivered, out);
        if tag.is_some() && message.size() <= SMALL {
            // Nobody else gets it now, and copying it once more costs less than memory for the shared part.
            cx.output.write(|out| {
                head(out);
                message.put_tail(self.version, out);
            });
        } else if ack.is_some() || redelivered {
            cx.output.write_with_tail(head, message.tail(self.version));
        } else {
            cx.output.sink.frame(subscription.plain_head(), message.tail(self.version));
        }
        if mode != AckMode::Auto {
            let message = (ack.is_none() || is_traced).then_some(message);
            subscription.deliveries.push(super::deliveries::Unsettled { number, tag, message, transaction: None });
        } else if let Some(tag) = tag {
            cx.effects.accept(key, [tag]);
        }
    }

    /// Writes messages that nobody keeps account of.
    fn broadcast(&self, key: SubscriptionKey, batch: &Batch, cx: &mut Context<'_>) {
        let Some(subscription) = self.subscriptions.get(key).filter(|_| self.leaving.is_none()) else { return };
        for message in batch.messages() {
            cx.output.sink.frame(subscription.plain_head(), message.tail(self.version));
        }
    }

    /// Sends the answers whose turn has come.
    fn answer(&mut self, cx: &mut Context<'_>) {
        while let Some(answer) = self.answers.next() {
            for receipt in answer.inner.iter().chain(&answer.receipt) {
                cx.output.receipt(self.version, receipt);
            }
            match answer.outcome {
                Outcome::Done | Outcome::Subscribed(_) => {}
                Outcome::Unsubscribed(key) => self.subscriptions.free(key),
                Outcome::Left(reason) => return cx.close(reason),
            }
        }
    }

    /// What the operation of this ticket was about.
    fn about(&mut self, ticket: Ticket) -> About {
        let Some(answer) = self.answers.fail(ticket) else { return About::default() };
        let subscription = match answer.outcome {
            Outcome::Subscribed(key) => self.subscriptions.get(key).and_then(|subscription| subscription.id.clone()),
            _ => None,
        };
        About { receipt: answer.receipt, subscription }
    }

    /// A required header that the frame lacks.
    pub(super) const fn missing(&self, command: Command, header: &'static str, hint: &'static str) -> SessionError {
        SessionError::MissingHeader { command, version: self.version, header, hint }
    }
}
