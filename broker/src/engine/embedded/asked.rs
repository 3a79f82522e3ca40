//! What the headers of a SUBSCRIBE ask of this engine, in the spellings of several brokers.

use std::sync::Arc;

use bytes::Bytes;

use crate::{engine::EngineError, message::Message, selector::Selector, stomp::Header};

/// Any of these with `true` asks to be the only consumer.
const EXCLUSIVE: [&str; 3] = ["exclusive", "activemq.exclusive", "x-single-active-consumer"];
/// Octets of unsettled messages, as Artemis has it: -1 for no bound, 0 for one message at a time.
const WINDOW: &str = "consumer-window-size";
const SELECTOR: &str = "selector";
/// Either with `true` asks for nothing that the same session has sent.
const NO_LOCAL: [&str; 2] = ["no-local", "activemq.noLocal"];

/// With `true` asks for copies of what is in a queue, as `ActiveMQ` has it.
const BROWSER: &str = "browser";

/// What a subscription asks for besides its destination and acknowledgements.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Which messages it wants.
    pub(super) selector: Option<Box<Selector>>,
    /// Most octets that it wants to hold unsettled.
    pub(super) window: Option<u32>,
    /// Whether it wants to be the only consumer.
    pub(super) exclusive: bool,
    /// Whether it wants nothing that its own session sends.
    pub(super) no_local: bool,
    /// Whether it wants copies of what is in a queue.
    pub(super) browser: bool,
}

impl Asked {
    /// Reads the headers of a SUBSCRIBE.
    ///
    /// # Errors
    /// When a header has a value that means nothing.
    pub(super) fn read(headers: &[Header]) -> Result<Self, EngineError> {
        let mut asked = Self::default();
        for (name, value) in headers {
            match &**name {
                SELECTOR => asked.selector = Some(selector(value)?),
                BROWSER => asked.browser = browser(value)?,
                WINDOW => asked.window = window(value)?,
                name if NO_LOCAL.contains(&name) => asked.no_local |= &**value == "true",
                name if EXCLUSIVE.contains(&name) => asked.exclusive |= &**value == "true",
                _ => {}
            }
        }
        Ok(asked)
    }
}

fn selector(text: &str) -> Result<Box<Selector>, EngineError> {
    let read = Selector::parse(text).map_err(|error| EngineError::Selector { selector: text.into(), error })?;
    Ok(Box::new(read))
}

fn browser(text: &str) -> Result<bool, EngineError> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(EngineError::InvalidHeader { header: BROWSER.into(), value: text.into(), expected: "true or false" }),
    }
}

/// Why there is no browser of anything but a queue.
pub(super) fn not_a_queue() -> EngineError {
    let expected = "left out, for only a queue can be browsed";
    EngineError::InvalidHeader { header: BROWSER.into(), value: "true".into(), expected }
}

/// The message that says to a browser that it has seen everything.
pub(super) fn browsed(id: Box<str>, destination: Box<str>) -> Arc<Message> {
    Arc::new(Message::new(id.into(), destination.into(), vec![(BROWSER.into(), "end".into())], Bytes::new(), true))
}

fn window(text: &str) -> Result<Option<u32>, EngineError> {
    match text.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(octets @ 0..) => Ok(Some(u32::try_from(octets).unwrap_or(u32::MAX))),
        _ => Err(EngineError::InvalidHeader {
            header: WINDOW.into(),
            value: text.into(),
            expected: "a number of octets, 0 for one message at a time, or -1 for no bound",
        }),
    }
}
