//! A message on its way from one SEND to any number of receivers.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use smol_str::SmolStr;

use crate::stomp::{self, Command, Escapes, Header, Version};

/// Octets of all messages of the process.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// Octets of all messages of the process, each message counted once however many receivers share it.
pub(crate) fn octets_alive() -> usize {
    ALIVE.load(Ordering::Relaxed)
}

/// Octets that count for as long as this is there.
#[derive(Debug)]
struct Counted(usize);

impl Counted {
    fn new(octets: usize) -> Self {
        ALIVE.fetch_add(octets, Ordering::Relaxed);
        Self(octets)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ALIVE.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// A message as the engine holds it, shared by all its receivers.
#[derive(Debug)]
pub struct Message {
    /// Unique in this cluster of brokers and needs no escapes: `[A-Za-z0-9@._-]`. The id of the session that sent it and a
    /// dash come first.
    pub id: SmolStr,
    /// Exactly as the sender wrote it.
    pub destination: SmolStr,
    /// The headers that receivers see besides those that the session adds, unescaped, in the sender's order.
    pub headers: Vec<Header>,
    /// The octets of the body.
    pub body: Bytes,
    /// Whether the sender gave `content-length`: upstreams such as `ActiveMQ` take a message without it for text.
    pub content_length: bool,
    /// What all receivers of a version get alike, encoded when the first of them does.
    tails: [OnceLock<(Box<[u8]>, Counted)>; Version::ALL.len()],
    /// About how much memory it takes.
    counted: Counted,
}

/// Messages that one session sent to one topic in one go, in order; at least one. Whoever gets all of them needs one
/// reference for them together.
#[derive(Debug)]
pub struct Batch {
    messages: Box<[Arc<Message>]>,
    size: usize,
}

impl Batch {
    /// These messages.
    pub fn new(messages: Vec<Arc<Message>>) -> Self {
        let size = messages.iter().map(|message| message.size()).sum();
        Self { messages: messages.into(), size }
    }

    /// The messages, in order.
    pub fn messages(&self) -> &[Arc<Message>] {
        &self.messages
    }

    /// About how much memory they take together.
    pub const fn size(&self) -> usize {
        self.size
    }
}

impl Message {
    /// A message of these parts; see the fields.
    pub fn new(id: SmolStr, destination: SmolStr, headers: Vec<Header>, body: Bytes, content_length: bool) -> Self {
        let counted = Counted::new(size(&id, &destination, &headers, &body));
        Self { id, destination, headers, body, content_length, tails: Default::default(), counted }
    }

    /// Sets a header of a message that nobody shares yet.
    pub(crate) fn set_header(&mut self, name: &str, value: &str) {
        match self.headers.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, old)) => *old = value.into(),
            None => self.headers.push((name.into(), value.into())),
        }
        self.counted = Counted::new(size(&self.id, &self.destination, &self.headers, &self.body));
    }

    /// Takes a header from a message that nobody shares yet.
    pub(crate) fn remove_header(&mut self, name: &str) {
        self.headers.retain(|(known, _)| **known != *name);
    }

    /// The same message for another destination, with a header more in place of one of that name.
    pub(crate) fn sent_on(&self, destination: SmolStr, header: Option<Header>) -> Self {
        let replaced = |name: &str| header.as_ref().is_some_and(|(new, _)| **new == *name);
        let mut headers: Vec<Header> = self.headers.iter().filter(|(name, _)| !replaced(name)).cloned().collect();
        headers.extend(header);
        Self::new(self.id.clone(), destination, headers, self.body.clone(), self.content_length)
    }

    /// Everything of the MESSAGE frame that does not depend on its receiver but for the version: `message-id`,
    /// `destination`, the user's headers, `content-length`, the body and its NUL. Encoded once a version.
    pub fn tail(&self, version: Version) -> &[u8] {
        let (tail, _) = self.tails[version as usize].get_or_init(|| {
            let mut out = Vec::with_capacity(self.size());
            self.put_tail(version, &mut out);
            let tail = out.into_boxed_slice();
            let counted = Counted::new(tail.len());
            (tail, counted)
        });
        tail
    }

    /// Appends what [`Self::tail`] gives, without keeping it.
    pub fn put_tail(&self, version: Version, out: &mut Vec<u8>) {
        let escapes = Escapes::of(Some(version), Command::Message);
        stomp::put_header(out, escapes, "message-id", &self.id);
        stomp::put_header(out, escapes, "destination", &self.destination);
        for (name, value) in &self.headers {
            stomp::put_header(out, escapes, name, value);
        }
        stomp::put_body(out, true, &self.body);
    }

    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| &**n == name).map(|(_, value)| &**value)
    }

    /// Whether the sender wants it kept over a restart of the broker.
    pub fn is_persistent(&self) -> bool {
        self.header("persistent") == Some("true")
    }

    /// About how much memory the message takes, for every bound that counts octets.
    pub const fn size(&self) -> usize {
        self.counted.0
    }
}

/// About how much memory a message of these parts takes.
fn size(id: &str, destination: &str, headers: &[Header], body: &Bytes) -> usize {
    let lines: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
    size_of::<Message>() + id.len() + destination.len() + lines + body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_part_is_encoded_once_a_version() {
        let headers = vec![("k".into(), "a\rb".into())];
        let message = Message::new("id-1".into(), "/topic/a".into(), headers, "body".into(), false);
        let tails: Vec<_> = Version::ALL.into_iter().map(|version| message.tail(version)).collect();
        assert_eq!(tails[0], b"message-id:id-1\ndestination:/topic/a\nk:a\\rb\ncontent-length:4\n\nbody\0");
        assert_eq!(tails[1], b"message-id:id-1\ndestination:/topic/a\nk:a\rb\ncontent-length:4\n\nbody\0");
        for (version, tail) in Version::ALL.into_iter().zip(tails) {
            assert!(std::ptr::eq(message.tail(version), tail), "{version:?} is kept");
        }
    }
}
