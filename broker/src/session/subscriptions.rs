//! The subscriptions of a session and the numbers of their deliveries.

use std::collections::VecDeque;

use super::deliveries::{Deliveries, Reach};
use crate::{
    engine::{Acknowledge, SubscriptionKey},
    stomp::{Command, Escapes, Version, put_header},
};

/// Ended subscriptions that are remembered by name, so that a late ACK for one is not taken for an error.
const REMEMBERED: usize = 16;

/// The subscriptions of a session; the index of a slot is the subscription's key.
#[derive(Debug)]
pub(super) struct Subscriptions {
    /// Stands in every `ack` header, so that one of an earlier session names nothing here.
    session: u32,
    slots: Vec<Slot>,
    live: usize,
    /// Names of subscriptions that ended with unsettled deliveries, the latest last; before STOMP 1.2 an ACK names them.
    ended: VecDeque<Option<Box<str>>>,
    /// Deliveries that were given a number.
    numbered: u64,
}

#[derive(Debug)]
enum Slot {
    Free,
    Live(Box<Subscription>),
    /// Ended by the client, but the engine may still have something to say of it.
    Ending,
}

/// A live subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    /// The client's name for it; absent only in STOMP 1.0.
    pub(super) id: Option<Box<str>>,
    pub(super) destination: Box<str>,
    pub(super) mode: AckMode,
    /// Whether an application answers it, and the engine knows nothing of it.
    pub(super) is_of_application: bool,
    pub(super) deliveries: Deliveries,
    /// The beginning of its MESSAGE frames, up to `redelivered:false`. Where they carry `ack`, the number of the delivery
    /// and a line feed are missing before that.
    head: Box<[u8]>,
    /// How much of `head` stands before `redelivered`.
    prefix: usize,
    /// The session's deliveries that were numbered before it began.
    numbered_before: u64,
}

/// Who settles the deliveries of a subscription, and how many at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AckMode {
    Auto,
    Client,
    ClientIndividual,
}

impl AckMode {
    /// The mode of this name; without one it is auto.
    pub(super) fn parse(name: Option<&str>) -> Option<Self> {
        match name {
            None | Some("auto") => Some(Self::Auto),
            Some("client") => Some(Self::Client),
            Some("client-individual") => Some(Self::ClientIndividual),
            Some(_) => None,
        }
    }

    pub(super) const fn acknowledge(self) -> Acknowledge {
        match self {
            Self::Auto => Acknowledge::WhenWritten,
            Self::Client | Self::ClientIndividual => Acknowledge::ByClient,
        }
    }

    pub(super) const fn reach(self) -> Reach {
        match self {
            Self::Client => Reach::Cumulative,
            Self::Auto | Self::ClientIndividual => Reach::Individual,
        }
    }
}

/// The value of an `ack` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AckId {
    session: u32,
    key: SubscriptionKey,
    number: u64,
}

/// What the name in an ACK or NACK stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A delivery that waits: of which subscription, and where in it.
    Delivery(SubscriptionKey, usize),
    /// Nothing that could be settled, but no mistake either: of an `auto` or an ended subscription.
    Ignored,
    Unknown,
}

impl Subscriptions {
    /// No subscriptions, for the session of this id.
    pub(super) fn new(session_id: &str) -> Self {
        Self { session: fnv_1a(session_id), slots: Vec::new(), live: 0, ended: VecDeque::new(), numbered: 0 }
    }

    /// How many are live.
    pub(super) const fn len(&self) -> usize {
        self.live
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SubscriptionKey, &Subscription)> {
        (0..).map(SubscriptionKey).zip(&self.slots).filter_map(|(key, slot)| match slot {
            Slot::Live(subscription) => Some((key, &**subscription)),
            Slot::Free | Slot::Ending => None,
        })
    }

    pub(super) fn get(&self, key: SubscriptionKey) -> Option<&Subscription> {
        match self.slots.get(key.0 as usize) {
            Some(Slot::Live(subscription)) => Some(subscription),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, key: SubscriptionKey) -> Option<&mut Subscription> {
        match self.slots.get_mut(key.0 as usize) {
            Some(Slot::Live(subscription)) => Some(subscription),
            _ => None,
        }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Subscription> {
        self.slots.iter_mut().filter_map(|slot| match slot {
            Slot::Live(subscription) => Some(&mut **subscription),
            Slot::Free | Slot::Ending => None,
        })
    }

    /// The subscription that the client named so.
    pub(super) fn by_id(&self, id: &str) -> Option<SubscriptionKey> {
        self.iter().find(|(_, subscription)| subscription.id.as_deref() == Some(id)).map(|(key, _)| key)
    }

    /// The subscription to this destination, one without a name first; only STOMP 1.0 names them so.
    pub(super) fn by_destination(&self, destination: &str) -> Option<SubscriptionKey> {
        let mut found = self.iter().filter(|(_, subscription)| &*subscription.destination == destination).peekable();
        let first = found.peek().map(|(key, _)| *key);
        found.find(|(_, subscription)| subscription.id.is_none()).map(|(key, _)| key).or(first)
    }

    /// Begins a subscription.
    pub(super) fn begin(
        &mut self,
        version: Version,
        id: Option<Box<str>>,
        destination: Box<str>,
        mode: AckMode,
    ) -> SubscriptionKey {
        let mut head = b"MESSAGE\n".to_vec();
        if let Some(id) = &id {
            put_header(&mut head, Escapes::of(Some(version), Command::Message), "subscription", id);
        }
        let free = self.slots.iter().position(|slot| matches!(slot, Slot::Free));
        let at = free.unwrap_or(self.slots.len());
        // The limits keep the number of slots far below this.
        let key = SubscriptionKey(u32::try_from(at).unwrap_or(u32::MAX));
        if names_by_ack(version) && mode != AckMode::Auto {
            head.extend_from_slice(format!("ack:{:x}-{}-", self.session, key.0).as_bytes());
        }
        let prefix = head.len();
        head.extend_from_slice(b"redelivered:false\n");
        let slot = Slot::Live(Box::new(Subscription {
            id,
            destination,
            mode,
            is_of_application: false,
            deliveries: Deliveries::default(),
            head: head.into(),
            prefix,
            numbered_before: self.numbered,
        }));
        self.live += 1;
        match free {
            Some(at) => self.slots[at] = slot,
            None => self.slots.push(slot),
        }
        key
    }

    /// Says that an application answers a subscription.
    pub(super) fn set_of_application(&mut self, key: SubscriptionKey) {
        if let Some(subscription) = self.get_mut(key) {
            subscription.is_of_application = true;
        }
    }

    /// Ends a live subscription; its key stays taken until [`Self::free`].
    pub(super) fn end(&mut self, key: SubscriptionKey) {
        let Some(slot) = self.slots.get_mut(key.0 as usize) else { return };
        if let Slot::Live(subscription) = std::mem::replace(slot, Slot::Ending) {
            self.live -= 1;
            if !subscription.deliveries.is_empty() {
                if self.ended.len() == REMEMBERED {
                    self.ended.pop_front();
                }
                self.ended.push_back(subscription.id);
            }
        }
    }

    /// The engine has nothing more to say of an ended subscription.
    pub(super) fn free(&mut self, key: SubscriptionKey) {
        if let Some(slot @ Slot::Ending) = self.slots.get_mut(key.0 as usize) {
            *slot = Slot::Free;
        }
    }

    /// The number of the next delivery that has to be settled.
    pub(super) const fn next_number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    /// What the `id` of a 1.2 ACK stands for; `subscription` is a header that some clients add.
    pub(super) fn named_by_ack_id(&self, id: &str, subscription: Option<&str>) -> Named {
        if let Some(AckId { session, key, number }) = AckId::parse(id)
            && session == self.session
            && (1..=self.numbered).contains(&number)
            && (key.0 as usize) < self.slots.len()
        {
            return match self.get(key) {
                Some(live) if number > live.numbered_before => match live.deliveries.by_number(number) {
                    Some(at) => Named::Delivery(key, at),
                    None => Named::Unknown,
                },
                // The key was another subscription's when the delivery was written, and that one has ended.
                _ => Named::Ignored,
            };
        }
        if self.is_about_auto(subscription) { Named::Ignored } else { Named::Unknown }
    }

    /// What the `message-id` and `subscription` of an ACK before 1.2 stand for.
    pub(super) fn named_by_message(&self, message: &str, subscription: Option<&str>) -> Named {
        let candidates = self.iter().filter(|(_, live)| subscription.is_none() || live.id.as_deref() == subscription);
        // Without the subscription, as 1.0 allows, the delivery that was written first is meant.
        let found = candidates
            .filter_map(|(key, live)| {
                live.deliveries.by_message(message).map(|at| (live.deliveries.number_at(at), key, at))
            })
            .min_by_key(|(number, ..)| *number);
        if let Some((_, key, at)) = found {
            return Named::Delivery(key, at);
        }
        let has_ended = match subscription {
            Some(id) => self.ended.iter().any(|ended| ended.as_deref() == Some(id)),
            None => !self.ended.is_empty(),
        };
        if has_ended || self.is_about_auto(subscription) { Named::Ignored } else { Named::Unknown }
    }

    /// Whether an ACK can only be about an `auto` subscription: it says so, or there are no others.
    fn is_about_auto(&self, subscription: Option<&str>) -> bool {
        let is_auto = |live: &Subscription| live.mode == AckMode::Auto;
        match subscription.and_then(|id| self.by_id(id)).and_then(|key| self.get(key)) {
            Some(named) => is_auto(named),
            None => subscription.is_none() && self.live > 0 && self.iter().all(|(_, live)| is_auto(live)),
        }
    }
}

impl Subscription {
    /// The whole head of a MESSAGE that carries no `ack` and is delivered for the first time.
    pub(super) fn plain_head(&self) -> &[u8] {
        &self.head
    }

    /// Appends the head of any other MESSAGE; `ack` is the number of the delivery, where the client names it by that.
    pub(super) fn put_head(&self, ack: Option<u64>, redelivered: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head[..self.prefix]);
        if let Some(number) = ack {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            out.push(b'\n');
        }
        if redelivered {
            out.extend_from_slice(b"redelivered:true\n");
        } else {
            out.extend_from_slice(&self.head[self.prefix..]);
        }
    }
}

impl AckId {
    /// Reads what [`Subscription::put_head`] writes after `ack:`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-');
        let session = u32::from_str_radix(parts.next()?, 16).ok()?;
        let key = SubscriptionKey(parts.next()?.parse().ok()?);
        Some(Self { session, key, number: parts.next()?.parse().ok()? })
    }
}

/// Whether clients of this version name a delivery by its `ack` header; before, by its `message-id`.
pub(super) fn names_by_ack(version: Version) -> bool {
    version == Version::V1_2
}

/// A short hash that differs from session to session.
fn fnv_1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, octet| (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193))
}
