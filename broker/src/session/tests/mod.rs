//! The rules of the protocol, one by one, without sockets: octets of a client go in, frames and effects come out.

mod acknowledgements;
mod connecting;
mod ending;
mod heartbeats;
mod receipts;
mod sending;
mod subscribing;
mod transactions;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use stompbroker_config::{Authorization, Config, Limits};

use super::*;
use crate::{
    engine::{Delivery, DeliveryTag, EngineError, Event, Operation, Settlement, Subscription, SubscriptionKey, Ticket},
    message::{Batch, Message},
    security::{LoginRefused, Policy, Principal},
    stomp::{Decoder, Frame, Item, Version},
};

/// A session with its client on one side, and whatever engine the test makes up on the other.
struct Peer {
    session: Session,
    decoder: Decoder,
    now: Instant,
    client: Client,
    effects: Effects,
    /// Whether the engine answers every operation at once.
    obliging: bool,
}

/// What the client has received and not looked at.
#[derive(Default)]
struct Client {
    octets: Vec<u8>,
    heartbeats: usize,
}

impl FrameSink for Client {
    fn frame(&mut self, head: &[u8], tail: &[u8]) {
        self.octets.extend_from_slice(head);
        self.octets.extend_from_slice(tail);
    }

    fn heartbeat(&mut self) {
        self.heartbeats += 1;
    }
}

fn settings() -> Settings {
    let config = Config::parse("listeners: {stomp: {port: 0}}\nheartbeat: 10s\nsessionTimeout: 30s\n").unwrap();
    Settings::new(&config, Arc::new(Policy::default()))
}

/// Settings with these limits changed.
fn limited(change: impl FnOnce(&mut Limits)) -> Settings {
    let mut settings = settings();
    change(&mut settings.limits);
    settings
}

/// Settings with these destination rules, written as in the configuration.
fn ruled(rules: &str) -> Settings {
    let text = format!("listeners: {{stomp: {{port: 0}}}}\nauthorization: {{rules: {rules}}}\n");
    let authorization: Option<Authorization> = Config::parse(&text).unwrap().authorization;
    Settings { policy: Arc::new(Policy::new(authorization.as_ref()).unwrap()), ..settings() }
}

fn principal(user: &str) -> Principal {
    Principal { user: user.into(), roles: Arc::from([]), claims: None, expires_at: None }
}

impl Peer {
    fn with(settings: Settings) -> Self {
        let now = Instant::now();
        let session = Session::new("s-1".into(), Arc::new(settings), now);
        let decoder = Decoder::new(session.decode_limits());
        Self { session, decoder, now, client: Client::default(), effects: Effects::default(), obliging: true }
    }

    fn new() -> Self {
        Self::with(settings())
    }

    /// A session that `anna` has logged in to, with CONNECTED read.
    fn live_with(version: Version, settings: Settings) -> Self {
        let mut peer = Self::with(settings);
        peer.send(&format!("CONNECT\naccept-version:{}\nhost:a\n\n", version.as_str()));
        peer.log_in("anna");
        assert_eq!(peer.frame().command.as_str(), "CONNECTED");
        peer
    }

    fn live(version: Version) -> Self {
        Self::live_with(version, settings())
    }

    /// The client sends a frame; the NUL is added.
    fn send(&mut self, text: &str) {
        let mut octets = BytesMut::from(text.as_bytes());
        octets.extend_from_slice(b"\0");
        self.session.on_received(self.now);
        loop {
            match self.decoder.decode(&mut octets) {
                Ok(Some(Item::Frame(frame))) => {
                    self.session.on_frame(frame, self.now, &mut self.client, &mut self.effects);
                    self.oblige();
                }
                Ok(Some(Item::Heartbeat)) => {}
                Ok(None) => break,
                Err(error) => {
                    return self.session.on_decode_error(&error, &mut self.client, &mut self.effects);
                }
            }
        }
    }

    fn log_in(&mut self, user: &str) {
        self.log_in_as(principal(user));
    }

    fn log_in_as(&mut self, principal: Principal) {
        assert!(self.effects.login.take().is_some(), "no login was asked for: {}", self.text());
        self.session.on_login(Ok(principal), self.now, &mut self.client, &mut self.effects);
        self.decoder.set_version(self.session.version().unwrap());
        self.decoder.set_limits(self.session.decode_limits());
    }

    fn refuse_login(&mut self) {
        self.session.on_login(Err(LoginRefused::Credentials), self.now, &mut self.client, &mut self.effects);
    }

    fn event(&mut self, event: Event) {
        self.session.on_event(event, &mut self.client, &mut self.effects);
    }

    /// The engine answers what was asked since [`Self::operations`], if it is an obliging one.
    fn oblige(&mut self) {
        if self.obliging {
            let tickets: Vec<_> = self.effects.operations.iter().filter_map(|(_, ticket)| *ticket).collect();
            for ticket in tickets {
                self.event(Event::Completed(ticket));
            }
        }
    }

    fn deliver(&mut self, key: u32, id: &str, tag: Option<u64>, redelivered: bool) {
        let message = Message::new(id.into(), "/queue/a".into(), Vec::new(), id.to_owned().into(), true);
        self.event(Event::Delivery(Delivery {
            subscription: SubscriptionKey(key),
            message: Arc::new(message),
            tag: tag.map(DeliveryTag),
            redelivered,
        }));
    }

    /// Delivers messages `m<tag>` and returns the MESSAGE frames.
    fn deliver_all(&mut self, key: u32, tags: impl IntoIterator<Item = u64>) -> Vec<Frame> {
        for tag in tags {
            self.deliver(key, &format!("m{tag}"), Some(tag), false);
        }
        self.frames()
    }

    /// The client closes its side of the connection.
    fn close_side(&mut self) {
        self.session.on_client_closed(self.now, &mut self.client, &mut self.effects);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.session.on_tick(self.now, &mut self.client, &mut self.effects);
    }

    /// What the client has received, as text.
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.client.octets).into_owned()
    }

    /// The frames that the client has received and not looked at yet.
    fn frames(&mut self) -> Vec<Frame> {
        let mut decoder = Decoder::new(crate::stomp::DecodeLimits {
            headers: 100,
            header_size: 65_536,
            body_size: 1 << 20,
            frame_size: usize::MAX,
        });
        if let Some(version) = self.session.version() {
            decoder.set_version(version);
        }
        let mut octets = BytesMut::from(&std::mem::take(&mut self.client.octets)[..]);
        let mut frames = Vec::new();
        while let Some(item) = decoder.decode(&mut octets).unwrap() {
            let Item::Frame(frame) = item else { panic!("an end of line between frames") };
            frames.push(frame);
        }
        assert!(octets.is_empty() && !decoder.is_inside_frame(), "half a frame was written");
        frames
    }

    /// The one frame that the client has received.
    fn frame(&mut self) -> Frame {
        let mut frames = self.frames();
        assert_eq!(frames.len(), 1, "{frames:?}");
        frames.remove(0)
    }

    /// The ERROR that ended the session, the last frame the client has received.
    fn error(&mut self) -> Frame {
        let frame = self.frames().pop().expect("an ERROR");
        assert_eq!(frame.command.as_str(), "ERROR", "{frame:?}");
        assert_eq!(frame.header("content-type"), Some("text/plain"));
        assert_eq!(frame.header("content-length").unwrap().parse(), Ok(frame.body.len()));
        assert!(self.session.is_closed() && !self.session.is_live());
        assert_eq!(self.session.next_tick(), None);
        let close = self.effects.close.as_ref().expect("ERROR is followed by the end");
        assert_eq!(close.error.as_deref(), Some(&*body(&frame)));
        self.client.octets.clear();
        self.send("SEND\ndestination:/queue/after-the-end\n\n");
        assert_eq!(self.text(), "", "a closed session says nothing more");
        frame
    }

    fn end_reason(&self) -> Option<CloseReason> {
        self.effects.close.as_ref().map(|close| close.reason)
    }

    /// What the session asked of its engine since the last call.
    fn operations(&mut self) -> Vec<Operation> {
        self.effects.operations.drain(..).map(|(operation, _)| operation).collect()
    }

    fn tickets(&mut self) -> Vec<Option<Ticket>> {
        self.effects.operations.drain(..).map(|(_, ticket)| ticket).collect()
    }

    /// What was settled since the last call: subscription, tags, settlement.
    fn settled(&mut self) -> Vec<(u32, Vec<u64>, Settlement)> {
        self.operations().iter().map(settle).collect()
    }

    /// The subscription that was begun since the last call.
    fn subscribed(&mut self) -> Subscription {
        match &self.operations()[..] {
            [Operation::Subscribe(subscription)] => subscription.clone(),
            other => panic!("{other:?} {}", self.text()),
        }
    }

    /// Begins subscription `id` to `/queue/a` and forgets the operation.
    fn subscribe(&mut self, id: &str, ack: &str) -> u32 {
        self.send(&format!("SUBSCRIBE\nid:{id}\ndestination:/queue/a\nack:{ack}\n\n"));
        self.subscribed().key.0
    }
}

fn settle(operation: &Operation) -> (u32, Vec<u64>, Settlement) {
    let Operation::Settle { subscription, deliveries, settlement } = operation else { panic!("{operation:?}") };
    (subscription.0, deliveries.iter().map(|tag| tag.0).collect(), *settlement)
}

fn body(frame: &Frame) -> String {
    String::from_utf8(frame.body.to_vec()).unwrap()
}

fn names(frame: &Frame) -> Vec<&str> {
    frame.headers.iter().map(|(name, _)| &**name).collect()
}
