//! SUBSCRIBE and UNSUBSCRIBE.

use smol_str::SmolStr;
use stompbroker_config::Action;

use super::{
    error::SessionError,
    live::{Context, Live},
    receipts::Outcome,
    subscriptions::AckMode,
};
use crate::{
    applications::Call,
    engine::{Operation, Subscription},
    stomp::{Command, Frame, Header, Version, keep_first},
};

/// The most unsettled deliveries that a client may ask for; a larger wish is taken for this.
const MOST_PREFETCH: u32 = 65_535;

/// Headers by which clients of several brokers say how many unsettled deliveries they want; the first that is given counts.
const PREFETCH: [&str; 2] = ["prefetch-count", "activemq.prefetchSize"];

impl Live {
    pub(super) fn subscribe(
        &mut self,
        frame: Frame,
        receipt: Option<SmolStr>,
        cx: &mut Context<'_>,
    ) -> Result<(), SessionError> {
        let command = Command::Subscribe;
        let destination: Box<str> = frame
            .header("destination")
            .filter(|destination| !destination.is_empty())
            .ok_or_else(|| self.missing(command, "destination", ""))?
            .into();
        let id: Option<Box<str>> = frame.header("id").map(Into::into);
        let taken = match &id {
            Some(id) => self.subscriptions.by_id(id).is_some(),
            // In 1.0 the destination names a subscription that has no id.
            None if self.version == Version::V1_0 => self
                .subscriptions
                .by_destination(&destination)
                .and_then(|key| self.subscriptions.get(key))
                .is_some_and(|other| other.id.is_none()),
            None => return Err(self.missing(command, "id", ", which must be unique in the session")),
        };
        if taken {
            return Err(SessionError::DuplicateSubscription(id.unwrap_or(destination)));
        }
        let ack = frame.header("ack");
        let mode = AckMode::parse(ack).ok_or_else(|| {
            SessionError::invalid(command, "ack", ack.unwrap_or_default(), "auto, client or client-individual")
        })?;
        let prefetch = if mode == AckMode::Auto { None } else { prefetch(&frame)? };
        self.check_room_for_subscription(cx)?;
        cx.check(Action::Subscribe, &destination)?;

        let headers = passed_on(frame.headers);
        if cx.settings.applications.of(&destination).is_some() {
            return self.subscribe_to_application(id, destination, mode, headers, receipt, cx);
        }
        let key = self.subscriptions.begin(self.version, id, destination.clone(), mode);
        let subscription = Subscription { key, destination, acknowledge: mode.acknowledge(), prefetch, headers };
        // Always with a ticket, so that a failure names the subscription.
        let ticket = self.answers.owe(receipt, Outcome::Subscribed(key));
        cx.submit(Operation::Subscribe(subscription), Some(ticket));
        Ok(())
    }

    /// Whether the limits leave room for one more subscription.
    pub(super) fn check_room_for_subscription(&self, cx: &Context<'_>) -> Result<(), SessionError> {
        let limit = cx.settings.limits.subscriptions_per_session;
        if self.subscriptions.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
            return Err(SessionError::limit("one more subscription", "subscriptionsPerSession", limit));
        }
        Ok(())
    }

    pub(super) fn unsubscribe(
        &mut self,
        frame: &Frame,
        receipt: Option<SmolStr>,
        cx: &mut Context<'_>,
    ) -> Result<(), SessionError> {
        let command = Command::Unsubscribe;
        let (name, key) = match (frame.header("id"), frame.header("destination")) {
            (Some(id), _) => (id, self.subscriptions.by_id(id)),
            (None, Some(destination)) if self.version == Version::V1_0 => {
                (destination, self.subscriptions.by_destination(destination))
            }
            (None, _) if self.version == Version::V1_0 => return Err(self.missing(command, "id", " or destination")),
            (None, _) => return Err(self.missing(command, "id", ", the one of its SUBSCRIBE")),
        };
        let key = key.ok_or_else(|| SessionError::UnknownSubscription(name.into()))?;
        self.transactions.forget_subscription(key);
        let is_of_application = self.subscriptions.get(key).is_some_and(|subscription| subscription.is_of_application);
        self.subscriptions.end(key);
        let ticket = self.answers.owe(receipt, Outcome::Unsubscribed(key));
        if is_of_application {
            cx.effects.calls.push((Call::Unsubscribe(key), Some(ticket)));
            return Ok(());
        }
        let headers = passed_on(frame.headers.clone());
        cx.submit(Operation::Unsubscribe { subscription: key, headers }, Some(ticket));
        Ok(())
    }
}

fn prefetch(frame: &Frame) -> Result<Option<u32>, SessionError> {
    let Some((name, text)) = PREFETCH.into_iter().find_map(|name| Some((name, frame.header(name)?))) else {
        return Ok(None);
    };
    let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    if !is_number {
        return Err(SessionError::invalid(Command::Subscribe, name, text, "a number of messages"));
    }
    // More than fits the type is also more than we give. 0 means no wish: nothing here is unlimited.
    Ok(Some(text.parse().unwrap_or(MOST_PREFETCH).min(MOST_PREFETCH)).filter(|&count| count > 0))
}

/// The headers that an engine may want to pass on, the first of each name.
fn passed_on(mut headers: Vec<Header>) -> Vec<Header> {
    headers.retain(|(name, _)| {
        !matches!(&**name, "destination" | "ack" | "receipt" | "transaction" | "content-length" | "login" | "passcode")
    });
    keep_first(&mut headers);
    headers
}
