//! A message in a queue, and what its headers ask of the queue.

use std::sync::Arc;

use crate::{
    engine::{EngineError, embedded::store::Kept},
    message::Message,
};

/// The priority of a message that names none, as in JMS.
const DEFAULT_PRIORITY: u8 = 4;
/// The highest priority; what asks for more gets this one.
const HIGHEST_PRIORITY: u8 = 9;

/// A message in a queue.
#[derive(Debug)]
pub(super) struct Entry {
    /// Given when the message comes to be ready for the first time, and kept for life.
    pub(super) position: u64,
    pub(super) message: Arc<Message>,
    pub(super) size: usize,
    pub(super) priority: u8,
    pub(super) redelivered: bool,
    /// How often it was given back.
    pub(super) returns: u32,
    /// Its place in the store, for as long as it is in this queue.
    pub(super) kept: Option<Kept>,
}

/// What the headers of a message ask of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::embedded) struct Terms {
    /// From 0 to 9; higher goes first.
    priority: u8,
}

impl Default for Terms {
    fn default() -> Self {
        Self { priority: DEFAULT_PRIORITY }
    }
}

impl Terms {
    /// Reads the headers, each name once, without allocating anything.
    ///
    /// # Errors
    /// When a header has a value that means nothing.
    pub(in crate::engine::embedded) fn read(message: &Message) -> Result<Self, EngineError> {
        let mut terms = Self::default();
        for (name, value) in &message.headers {
            if &**name == "priority" {
                terms.priority = priority(value).ok_or_else(|| EngineError::InvalidHeader {
                    header: name.clone(),
                    value: value.clone(),
                    expected: "a number from 0 to 9, of which 9 goes first",
                })?;
            }
        }
        Ok(terms)
    }
}

impl Entry {
    /// A message that came just now and has no position yet.
    pub(super) fn new(message: Arc<Message>, size: usize, terms: Terms) -> Self {
        Self { position: 0, message, size, priority: terms.priority, redelivered: false, returns: 0, kept: None }
    }
}

fn priority(text: &str) -> Option<u8> {
    let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(HIGHEST_PRIORITY).min(HIGHEST_PRIORITY))
}
