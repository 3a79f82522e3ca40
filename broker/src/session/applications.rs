//! SEND and SUBSCRIBE for destinations of applications.

use std::sync::Arc;

use smol_str::{SmolStr, format_smolstr};
use stompbroker_config::Action;

use super::{
    error::SessionError,
    live::{Context, Live},
    receipts::Outcome,
    subscriptions::AckMode,
};
use crate::{
    applications::{Call, Request, Route, Sender},
    destination::{TEMP_QUEUE, TEMP_TOPIC, is_pattern},
    engine::EngineError,
    message::Message,
    stomp::{Command, Header},
};

impl Live {
    /// The request that a message for an application becomes.
    pub(super) fn request(
        route: &Route,
        message: Message,
        receipt: Option<SmolStr>,
        cx: &Context<'_>,
    ) -> Result<Request, SessionError> {
        let (destination, user) = (&message.destination, &*cx.principal.user);
        let target = route.target(destination, Sender { session: cx.id, user });
        let mut target = target.map_err(|remedy| unknown(destination, remedy))?;
        if let Some(to) = message.header("reply-to").filter(|_| route.honours_reply_to()) {
            target.reply = Some(to.into());
        }
        let users = cx.settings.applications.users();
        if let Some(reply) = &target.reply {
            match users.of_session(reply, cx.id) {
                Some(own) => target.reply = Some(own),
                None if message.header("reply-to") == Some(reply) => check_reply_to(reply, cx)?,
                None => {}
            }
        }
        Ok(Request { target, message: Arc::new(message), receipt })
    }

    /// Begins a subscription that an application answers once.
    pub(super) fn subscribe_to_application(
        &mut self,
        id: Option<Box<str>>,
        destination: Box<str>,
        mode: AckMode,
        headers: Vec<Header>,
        receipt: Option<SmolStr>,
        cx: &mut Context<'_>,
    ) -> Result<(), SessionError> {
        let settings = cx.settings;
        let Some(route) = settings.applications.of(&destination) else { return Ok(()) };
        if is_pattern(&destination) {
            return Err(unknown(&destination, "an application is asked by a destination without wildcards"));
        }
        let message =
            Message::new(self.next_message_id(cx.id), (&*destination).into(), headers, Vec::new().into(), true);
        let request = Self::request(route, message, None, cx)?;
        let key = self.subscriptions.begin(self.version, id, destination, mode);
        self.subscriptions.set_of_application(key);
        let ticket = self.answers.owe(receipt, Outcome::Subscribed(key));
        cx.effects.calls.push((Call::Subscribe(key, request), Some(ticket)));
        Ok(())
    }

    /// A message id that no other message of the cluster has.
    pub(super) fn next_message_id(&mut self, session: &str) -> SmolStr {
        self.sent += 1;
        format_smolstr!("{session}-{}", self.sent)
    }
}

/// Whether the sender may have a reply sent there.
fn check_reply_to(reply: &str, cx: &Context<'_>) -> Result<(), SessionError> {
    let is_temporary = [TEMP_QUEUE, TEMP_TOPIC].iter().any(|own| reply.starts_with(own));
    match (is_temporary, cx.settings.reply_queues) {
        (true, true) => Ok(()),
        (true, false) => {
            let expected = "a destination such as /user/queue/replies; the upstream keeps temporary ones to itself";
            Err(SessionError::invalid(Command::Send, "reply-to", reply, expected))
        }
        (false, _) => cx.check(Action::Send, reply),
    }
}

fn unknown(destination: &str, remedy: &str) -> SessionError {
    let (destination, remedy) = (destination.into(), remedy.into());
    SessionError::Engine(EngineError::UnknownDestination { destination, remedy })
}
