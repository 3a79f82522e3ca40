//! A message on its way from one SEND to any number of receivers.

use bytes::Bytes;

use crate::stomp::Header;

/// A message as the engine holds it, shared by all its receivers.
#[derive(Debug)]
pub struct Message {
    /// Unique in this cluster of brokers and needs no escapes: `[A-Za-z0-9@._-]`.
    pub id: Box<str>,
    /// Exactly as the sender wrote it.
    pub destination: Box<str>,
    /// The headers that receivers see besides those that the session adds, unescaped, in the sender's order.
    pub headers: Vec<Header>,
    /// The octets of the body.
    pub body: Bytes,
    /// Whether the sender gave `content-length`: upstreams such as `ActiveMQ` take a message without it for text.
    pub content_length: bool,
}

impl Message {
    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| &**n == name).map(|(_, value)| &**value)
    }

    /// About how much memory the message takes, for every bound that counts octets.
    pub fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
        size_of::<Self>() + self.id.len() + self.destination.len() + headers + self.body.len()
    }
}
