//! What session and engine tell each other through the connection, and what is told to the log.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use stompbroker_config::ByteSize;

use super::{Connection, Phase, Stream, Turn, bound_mailbox};
use crate::{
    applications::{ApplicationSession, Call},
    destination::masked,
    engine::{Event, Operation, SessionInfo, Ticket},
    message::Message,
    security::{Decision, LoginRefused, Principal},
    session::{Close, CloseReason, Effects},
    stomp::{Command, DecodeError, Frame, Version},
    trace::Actor,
    transport::{Wire, WireError},
};

/// Operations of a client that are held back until all that was read is decoded.
const MOST_GATHERED: usize = 64;

impl<S: Stream, W: Wire> Connection<S, W> {
    pub(super) fn on_frame(&mut self, frame: Frame, turn: &mut Turn) {
        let now = turn.now;
        let full = match frame.command {
            Command::Send => self.broker().memory.is_full(self.broker().connections.open()),
            _ => None,
        };
        if full.is_some() {
            self.broker().metrics.memory_refusals.inc();
        }
        let (session, mut sink, effects) = self.sink(turn);
        match full {
            Some(bound) => session.on_memory_full(&frame, ByteSize(bound), &mut sink, effects),
            None => session.on_frame(frame, now, &mut sink, effects),
        }
        // What else was read may add to the same operations.
        let Effects { operations, calls, steps, login, close } = &turn.effects;
        if operations.len().max(steps.len()).max(calls.len()) >= MOST_GATHERED || login.is_some() || close.is_some() {
            self.carry_out(turn);
        }
    }

    pub(super) fn on_decode_error(&mut self, error: &DecodeError, turn: &mut Turn) {
        let (session, mut sink, effects) = self.sink(turn);
        session.on_decode_error(error, &mut sink, effects);
        self.carry_out(turn);
    }

    pub(super) fn tick(&mut self, turn: &mut Turn) {
        let now = turn.now;
        if self.eof || !self.may_take(turn) {
            // Who is not listened to, or has said that nothing more comes, cannot be called silent.
            self.session.on_received(now);
        }
        let (session, mut sink, effects) = self.sink(turn);
        session.on_tick(now, &mut sink, effects);
        self.carry_out(turn);
    }

    /// Lets the transport do what is due by time.
    pub(super) fn tick_wire(&mut self, turn: &mut Turn) {
        let is_heard = self.may_take(turn);
        if let Err(WireError(error)) = self.wire.tick(turn.now, is_heard, self.output.buffer()) {
            self.begin_close(&Close::new(CloseReason::HeartbeatTimeout, Some(error)), turn.now);
        }
    }

    /// Tells decoder and transport how much a frame may hold.
    pub(super) fn set_decode_limits(&mut self) {
        let limits = self.session.decode_limits();
        self.wire.bound_messages(limits.most_octets());
        self.decoder.set_limits(limits);
    }

    pub(super) fn give_up_slow_consumer(&mut self, turn: &mut Turn) {
        let (session, mut sink, effects) = self.sink(turn);
        session.on_slow_consumer(&mut sink, effects);
        self.carry_out(turn);
    }

    /// Hands the engine's events to the session while there is room for what they become.
    pub(super) fn take_events(&mut self, turn: &mut Turn, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        if self.phase == Phase::Open && self.output.is_full() && self.mailbox.poll_ended(context).is_ready() {
            return self.skip_to_end(turn);
        }
        while self.phase == Phase::Open && !self.output.is_full() {
            if self.backlog.is_empty() {
                if self.mailbox.poll_ready(context).is_pending() {
                    break;
                }
                let mut batch = Vec::new();
                self.mailbox.take(&mut batch);
                self.backlog = batch.into();
            }
            let Some(event) = self.backlog.pop_front() else { continue };
            self.unreleased += match &event {
                Event::Delivery(delivery) => delivery.message.size(),
                Event::Broadcast(_, batch) => batch.size(),
                _ => 0,
            };
            let (session, mut sink, effects) = self.sink(turn);
            session.on_event(event, &mut sink, effects);
            progress = true;
            if self.wire.has_refused() {
                let (session, mut sink, effects) = self.sink(turn);
                session.on_unsendable(W::TRANSPORT.as_str(), &mut sink, effects);
            }
            // The session gathers the settlements of a batch, so they are carried out at its end only.
            let ends = turn.effects.close.is_some();
            if self.backlog.is_empty() || self.output.is_full() || ends {
                self.carry_out(turn);
            }
            if self.backlog.is_empty() {
                self.backlog = std::collections::VecDeque::new();
            }
        }
        if !self.backlog.is_empty() && self.mailbox.drops_oldest() {
            self.mailbox.put_back(std::mem::take(&mut self.backlog));
        }
        progress
    }

    /// Counts and logs the messages that were dropped because the client takes them too slowly.
    pub(super) fn tell_drops(&self) {
        let dropped = self.mailbox.take_dropped();
        if dropped == 0 {
            return;
        }
        self.broker().metrics.messages_dropped.inc_by(dropped);
        tracing::warn!(
            session.id = %self.id, user = self.user.as_deref(), client.addr = %self.registration.record().peer,
            transport = W::TRANSPORT.as_str(), dropped, "messages dropped: the client takes them too slowly"
        );
    }

    /// Lets the engine end a session whose client does not take what came before; those deliveries go back to the engine.
    fn skip_to_end(&mut self, turn: &mut Turn) -> bool {
        let mut batch = Vec::new();
        self.mailbox.take(&mut batch);
        let events = std::mem::take(&mut self.backlog).into_iter().chain(batch);
        let Some(end) = events.into_iter().find(|event| matches!(event, Event::Closed(_))) else { return false };
        let (session, mut sink, effects) = self.sink(turn);
        session.on_event(end, &mut sink, effects);
        self.carry_out(turn);
        true
    }

    /// Obeys what was told to this or to all connections.
    pub(super) fn obey_commands(&mut self, turn: &mut Turn, context: &mut Context<'_>) {
        let commands = self.registration.take(context.waker());
        if commands.abort() {
            return self.abort(CloseReason::Drained);
        }
        if self.phase != Phase::Open {
            return;
        }
        if commands.settings_changed() {
            let current = self.broker().current();
            bound_mailbox(&self.mailbox, &current.config, W::TRANSPORT);
            let settings = Arc::clone(&current.settings);
            drop(current);
            let (session, mut sink, effects) = self.sink(turn);
            session.on_settings(settings, &mut sink, effects);
            self.set_decode_limits();
            self.carry_out(turn);
        }
        if commands.drain() && self.phase == Phase::Open {
            let (session, mut sink, effects) = self.sink(turn);
            session.on_drain(&mut sink, effects);
            self.carry_out(turn);
        }
        if commands.close() && self.phase == Phase::Open {
            let (session, mut sink, effects) = self.sink(turn);
            session.on_operator_close(&mut sink, effects);
            self.carry_out(turn);
        }
    }

    /// Carries out what the session wants done besides the frames that it has written.
    pub(super) fn carry_out(&mut self, turn: &mut Turn) {
        let actor = self.broker().tracer.is_on().then(|| self.actor());
        let mut spans = Vec::new();
        for (mut operation, ticket) in turn.effects.operations.drain(..) {
            self.log_operation(&operation);
            if let Some(actor) = &actor {
                self.broker().tracer.begin_sends(&mut operation, actor, &mut spans);
            }
            if let Some(engine) = &mut self.engine {
                engine.submit(operation, ticket);
            }
        }
        for (mut call, ticket) in turn.effects.calls.drain(..) {
            if let (Some(actor), Call::Send(requests)) = (&actor, &mut call) {
                for request in requests {
                    self.broker().tracer.begin_message(&mut request.message, actor, &mut spans);
                }
            }
            self.call(call, ticket);
        }
        for (step, message) in turn.effects.steps.drain(..) {
            if let Some(actor) = &actor {
                self.broker().tracer.step(step, &message, actor.clone());
            }
        }
        self.broker().tracer.end(spans);
        if let Some(login) = turn.effects.login.take() {
            let decision = self.broker().current().authenticator.decide(&login, self.stream.certificate_owner());
            match decision {
                Decision::Now(decided) => self.finish_login(decided, turn),
                Decision::Later(pending) => self.pending_login = Some(pending),
            }
        }
        if let Some(close) = turn.effects.close.take() {
            self.begin_close(&close, turn.now);
        }
    }

    /// Hands a call to applications.
    fn call(&mut self, call: Call, ticket: Option<Ticket>) {
        match &call {
            Call::Send(requests) => requests.iter().for_each(|request| self.log_sent(&request.message)),
            Call::Subscribe(_, request) => self.log_subscribed(&request.message.destination),
            Call::Unsubscribe(_) => {}
        }
        let (Some(engine), Some(principal)) = (&self.engine, self.session.principal()) else { return };
        let applications = self.applications.get_or_insert_with(|| {
            let (applications, session) = (Arc::clone(&self.permit.broker().applications), Arc::clone(&self.id));
            Box::new(ApplicationSession::new(applications, session, principal.clone(), Arc::clone(&self.mailbox)))
        });
        applications.submit(call, ticket, &**engine);
    }

    /// This session, as spans name it.
    fn actor(&self) -> Actor {
        let record = self.registration.record();
        Actor { session: Arc::clone(&self.id), user: self.user.clone().unwrap_or_default(), peer: record.peer }
    }

    fn log_operation(&self, operation: &Operation) {
        match operation {
            Operation::Subscribe(subscription) => self.log_subscribed(&subscription.destination),
            Operation::Send(message) => self.log_sent(message),
            Operation::Commit(operations) => operations.iter().for_each(|operation| self.log_operation(operation)),
            Operation::Unsubscribe { .. } | Operation::Settle { .. } => {}
        }
    }

    fn log_subscribed(&self, destination: &str) {
        let destination = &*masked(destination);
        tracing::info!(session.id = &*self.id, user = self.user.as_deref(), destination, "subscribed");
    }

    fn log_sent(&self, message: &Message) {
        tracing::debug!(
            session.id = &*self.id,
            user = self.user.as_deref(),
            destination = &*masked(&message.destination),
            message.id = &*message.id,
            octets = message.body.len(),
            "sent"
        );
    }

    /// Goes on with a login whose decision takes time; says whether it is decided now.
    pub(super) fn await_login(&mut self, turn: &mut Turn, context: &mut Context<'_>) -> bool {
        let Some(Poll::Ready(decided)) = self.pending_login.as_mut().map(|login| login.as_mut().poll(context)) else {
            return false;
        };
        self.pending_login = None;
        self.finish_login(decided, turn);
        true
    }

    fn finish_login(&mut self, decided: Result<Principal, LoginRefused>, turn: &mut Turn) {
        match decided {
            Ok(principal) => self.accept_login(principal, turn),
            Err(refused) => {
                let delay = self.broker().refused_logins.add(self.registration.record().peer.ip(), turn.now);
                self.refused_login = Some((turn.now + delay, refused));
            }
        }
    }

    fn accept_login(&mut self, principal: Principal, turn: &mut Turn) {
        let user = principal.user.clone();
        let info = SessionInfo {
            id: self.id.clone(),
            user: user.clone(),
            virtual_host: self.session.virtual_host().map(Into::into),
            client_id: self.session.client_id().map(Into::into),
        };
        let opened = self.broker().engine.open(&info, self.mailbox.clone());
        match opened {
            Ok(engine) => self.engine = Some(engine),
            Err(error) => {
                let (session, mut sink, effects) = self.sink(turn);
                session.on_engine_refusal(error, &mut sink, effects);
                return self.carry_out(turn);
            }
        }
        self.registration.record().logged_in(Arc::clone(&user), self.session.version().unwrap_or(Version::V1_0));
        self.user = Some(user);
        let metrics = self.broker().metrics.transport(W::TRANSPORT);
        metrics.sessions.inc();
        metrics.sessions_opened.inc();
        tracing::info!(
            session.id = %self.id, user = self.user.as_deref(), client.addr = %self.registration.record().peer,
            transport = W::TRANSPORT.as_str(), "connected"
        );
        let now = turn.now;
        let (session, mut sink, effects) = self.sink(turn);
        session.on_login(Ok(principal), now, &mut sink, effects);
        if self.session.sends_heartbeats() {
            self.wire.heartbeats_agreed(self.output.buffer());
        }
        if let Some(version) = self.session.version() {
            self.decoder.set_version(version);
        }
        self.set_decode_limits();
        self.carry_out(turn);
    }

    pub(super) fn refuse_login(&mut self, refused: LoginRefused, turn: &mut Turn) {
        self.refused_login = None;
        let now = turn.now;
        let (session, mut sink, effects) = self.sink(turn);
        session.on_login(Err(refused), now, &mut sink, effects);
        self.carry_out(turn);
    }

    pub(super) fn send_timeout(&self) -> Duration {
        self.broker().current().config.limits.send_timeout.0
    }

    /// Counts and logs the end of the session, however it came.
    pub(super) fn report_end(&self, close: &Close) {
        let Close { reason, error, destination } = close;
        self.registration.record().ended();
        self.tell_drops();
        let metrics = &self.broker().metrics;
        if self.user.is_some() {
            metrics.transport(W::TRANSPORT).sessions.dec();
        }
        metrics.closed(*reason);
        tracing::info!(
            session.id = %self.id, user = self.user.as_deref(), client.addr = %self.registration.record().peer,
            transport = W::TRANSPORT.as_str(), destination = destination.as_deref().map(masked).as_deref(),
            reason = reason.as_str(), error = error.as_deref().map(masked).as_deref(), "closed"
        );
    }
}
