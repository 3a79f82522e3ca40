//! A message in a queue, and what its headers ask of the queue.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::groups::{GROUP_ID, GROUP_SEQ, Group};
use crate::{
    engine::{
        EngineError,
        embedded::{declared, lease::Lease, store::Kept},
    },
    message::Message,
};

/// The priority of a message that names none, as in JMS.
const DEFAULT_PRIORITY: u8 = 4;
/// The highest priority; what asks for more gets this one.
const HIGHEST_PRIORITY: u8 = 9;
/// The longest delay, about 49 days; RabbitMQ has the same.
const LONGEST_DELAY: u64 = u32::MAX as u64;

/// Headers that hold for a while from when the message was sent; a copy that is sent later must not have them.
pub(in crate::engine::embedded) const TIMED_HEADERS: [&str; 5] =
    [EXPIRATION, EXPIRES, AMQ_SCHEDULED_DELAY, AMQ_SCHEDULED_TIME, X_DELAY];

const PRIORITY: &str = "priority";
/// Milliseconds from now, as RabbitMQ has it.
const EXPIRATION: &str = "expiration";
/// Milliseconds since 1970, 0 for never, as `ActiveMQ` and Artemis have it.
const EXPIRES: &str = "expires";
/// Milliseconds from now, by the names that `ActiveMQ` and RabbitMQ give it.
const AMQ_SCHEDULED_DELAY: &str = "AMQ_SCHEDULED_DELAY";
/// Milliseconds since 1970, as Artemis has it.
const AMQ_SCHEDULED_TIME: &str = "AMQ_SCHEDULED_TIME";
pub(in crate::engine::embedded) const X_DELAY: &str = "x-delay";

/// A message in a queue.
#[derive(Debug)]
pub(super) struct Entry {
    /// Given when the message comes to be ready for the first time, and kept for life.
    pub(super) position: u64,
    pub(super) message: Arc<Message>,
    pub(super) size: usize,
    /// How often it was given back by those who settle themselves what they get.
    pub(super) returns: u32,
    pub(super) priority: u8,
    pub(super) redelivered: bool,
    /// What few messages have.
    pub(super) rare: Option<Box<Rare>>,
    /// Its place in the store, for as long as it is in this queue.
    pub(super) kept: Option<Kept>,
}

/// What few messages have, so that the others need no room for it.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// When it is to be delivered no longer.
    pub(super) expires: Option<Instant>,
    /// Of which group it is.
    pub(super) group: Option<Group>,
    /// Whom to tell what becomes of it, where another system keeps it.
    pub(super) lease: Option<Box<dyn Lease>>,
}

/// What the headers of a message ask of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::embedded) struct Terms {
    /// From 0 to 9; higher goes first.
    priority: u8,
    /// How long ago the message was sent; not at all, unless a store had it.
    age: Duration,
    /// How long it waits before it can be delivered.
    pub(in crate::engine::embedded) delay: Duration,
    /// When it is to be delivered no longer.
    expires: Option<Instant>,
    /// Of which group it is.
    group: Option<Group>,
    /// Whether the headers say something of the queue, too.
    pub(in crate::engine::embedded) declares: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            priority: DEFAULT_PRIORITY,
            age: Duration::ZERO,
            delay: Duration::ZERO,
            expires: None,
            group: None,
            declares: false,
        }
    }
}

impl Terms {
    /// Reads the headers of a message that was sent so long ago. Allocates nothing.
    ///
    /// # Errors
    /// When a header has a value that means nothing.
    pub(in crate::engine::embedded) fn read(message: &Message, age: Duration) -> Result<Self, EngineError> {
        let mut terms = Self { age, ..Self::default() };
        let mut closes = false;
        for (name, value) in &message.headers {
            let name = &**name;
            match name {
                PRIORITY => {
                    let priority = number(name, value, 0, u64::MAX, "a number from 0 to 9, of which 9 goes first")?;
                    terms.priority = u8::try_from(priority).unwrap_or(HIGHEST_PRIORITY).min(HIGHEST_PRIORITY);
                }
                EXPIRATION => {
                    let millis = number(name, value, 1, u64::MAX, "a number of milliseconds from now, at least 1")?;
                    terms.expire_in(Duration::from_millis(millis).saturating_sub(age));
                }
                EXPIRES => {
                    let expected = "a time in milliseconds since 1970, or 0 for never";
                    let millis = number(name, value, 0, u64::MAX, expected)?;
                    if millis > 0 {
                        terms.expire_in(until(millis));
                    }
                }
                AMQ_SCHEDULED_DELAY | X_DELAY => {
                    let expected = "a number of milliseconds from now, at most 4294967295";
                    let millis = number(name, value, 0, LONGEST_DELAY, expected)?;
                    terms.delay = Duration::from_millis(millis).saturating_sub(age);
                }
                AMQ_SCHEDULED_TIME => {
                    let expected = "a time in milliseconds since 1970, at most 4294967295 from now";
                    let left = until(number(name, value, 0, u64::MAX, expected)?);
                    if left > Duration::from_millis(LONGEST_DELAY) {
                        return Err(invalid(name, value, expected));
                    }
                    terms.delay = left;
                }
                GROUP_ID => terms.group = Group::of(value),
                GROUP_SEQ => closes = Group::closes(value)?,
                name => terms.declares |= declared::is_about_queue(name),
            }
        }
        terms.group = terms.group.map(|group| group.closing(closes));
        Ok(terms)
    }

    fn expire_in(&mut self, left: Duration) {
        // What is too far away for the clock never comes.
        if let Some(at) = Instant::now().checked_add(left) {
            self.expires = Some(self.expires.map_or(at, |earlier| earlier.min(at)));
        }
    }

    /// The same for a message whose delay is over.
    pub(in crate::engine::embedded) fn without_delay(mut self) -> Self {
        self.delay = Duration::ZERO;
        self
    }

    /// The same for a message that goes to one consumer in any case.
    pub(in crate::engine::embedded) fn without_group(mut self) -> Self {
        self.group = None;
        self
    }

    /// The same, but delivered no longer than this after it was sent.
    pub(super) fn with_ttl(mut self, ttl: Duration) -> Self {
        self.expire_in(ttl.saturating_sub(self.age));
        self
    }
}

impl Entry {
    /// A message that has no position yet.
    pub(super) fn new(message: Arc<Message>, size: usize, terms: &Terms) -> Self {
        let Terms { priority, expires, group, .. } = *terms;
        let rare = (expires.is_some() || group.is_some()).then(|| Box::new(Rare { expires, group, lease: None }));
        Self { position: 0, message, size, returns: 0, priority, redelivered: false, rare, kept: None }
    }

    /// Of which group it is.
    pub(super) fn group(&self) -> Option<Group> {
        self.rare.as_ref()?.group
    }

    /// Takes out whom to tell what becomes of it, where another system keeps it.
    pub(super) fn take_lease(&mut self) -> Option<Box<dyn Lease>> {
        self.rare.as_mut()?.lease.take()
    }

    /// Whether another system keeps it, and may have given it to somebody else.
    pub(super) fn is_lost(&self) -> bool {
        self.rare.as_ref().and_then(|rare| rare.lease.as_ref()).is_some_and(|lease| lease.is_over())
    }

    /// When it is to be delivered no longer.
    pub(super) fn expires(&self) -> Option<Instant> {
        self.rare.as_ref()?.expires
    }

    /// Whether that time has come. Asks for the time only if there is one.
    pub(super) fn has_expired(&self) -> bool {
        self.expires().is_some_and(|at| at <= Instant::now())
    }
}

/// The number that a header holds.
fn number(name: &str, text: &str, least: u64, most: u64, expected: &'static str) -> Result<u64, EngineError> {
    let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    let number = is_number.then(|| text.parse().unwrap_or(u64::MAX));
    number.filter(|number| (least..=most).contains(number)).ok_or_else(|| invalid(name, text, expected))
}

fn invalid(name: &str, text: &str, expected: &'static str) -> EngineError {
    EngineError::InvalidHeader { header: name.into(), value: text.into(), expected }
}

/// How long it is until so many milliseconds since 1970; nothing for what has been.
fn until(millis: u64) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Duration::from_millis(millis).saturating_sub(now)
}
