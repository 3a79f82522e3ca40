//! How a message of STOMP travels in the payload of one of NATS. Pure.
//!
//! NATS's own headers cannot hold line breaks or spaces at either end, so they hold nothing of STOMP's. Before the body comes
//! a block, of which a reader knows by its length where the body begins:
//!
//! ```text
//! version=1  flags  length of the block  id  destination  number of headers  (name value)*  │ body
//!   1 octet    1            4           └────── each text: 4 octets of length, UTF-8 ──────┘ │
//! ```
//!
//! Numbers are big-endian. What is decoded shares the memory of the payload with its body.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::{message::Message, stomp::Header};

const VERSION: u8 = 1;
/// The sender gave `content-length`.
const CONTENT_LENGTH: u8 = 1;
/// Version, flags and the length of the block.
const FIXED: usize = 6;
/// More headers than any frame may have.
const MOST_HEADERS: u32 = 1 << 16;

/// The payload is not one that a broker of this kind has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read a message of NATS: {0}")]
pub(super) struct Malformed(&'static str);

/// The payload for a message; nothing where it would be larger than any payload can be.
pub(super) fn encode(message: &Message) -> Option<Bytes> {
    let text = |text: &str| 4 + text.len();
    let headers: usize = message.headers.iter().map(|(name, value)| text(name) + text(value)).sum();
    let block = text(&message.id) + text(&message.destination) + 4 + headers;
    let mut out = BytesMut::with_capacity(FIXED + block + message.body.len());
    out.put_u8(VERSION);
    out.put_u8(if message.content_length { CONTENT_LENGTH } else { 0 });
    out.put_u32(u32::try_from(block).ok()?);
    put(&mut out, &message.id)?;
    put(&mut out, &message.destination)?;
    out.put_u32(u32::try_from(message.headers.len()).ok()?);
    for (name, value) in &message.headers {
        put(&mut out, name)?;
        put(&mut out, value)?;
    }
    out.put_slice(&message.body);
    Some(out.freeze())
}

fn put(out: &mut BytesMut, text: &str) -> Option<()> {
    out.put_u32(u32::try_from(text.len()).ok()?);
    out.put_slice(text.as_bytes());
    Some(())
}

/// The message in a payload.
pub(super) fn decode(payload: &Bytes) -> Result<Message, Malformed> {
    let (&[version, flags, a, b, c, d], rest) =
        payload.split_first_chunk::<FIXED>().ok_or(Malformed("it is too short"))?;
    if version != VERSION {
        return Err(Malformed("it is of another version, or not of a broker"));
    }
    let block = u32::from_be_bytes([a, b, c, d]) as usize;
    let mut reader = Reader(rest.get(..block).ok_or(Malformed("its headers are cut off"))?);
    let (id, destination) = (reader.text()?, reader.text()?);
    let count = reader.number()?;
    if count > MOST_HEADERS {
        return Err(Malformed("it has too many headers"));
    }
    let mut headers: Vec<Header> = Vec::new();
    for _ in 0..count {
        headers.push((reader.text()?.into(), reader.text()?.into()));
    }
    if !reader.0.is_empty() {
        return Err(Malformed("something follows its headers"));
    }
    let body = payload.slice(FIXED + block..);
    Ok(Message::new(id.into(), destination.into(), headers, body, flags & CONTENT_LENGTH != 0))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Result<u32, Malformed> {
        let (number, rest) = self.0.split_first_chunk().ok_or(Malformed("a number is cut off"))?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.number()? as usize;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Malformed("a text is cut off"))?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Malformed("a text is not UTF-8"))
    }
}

/// Several messages in one payload, each with the subject that it is for.
pub(super) fn encode_all<'a>(parts: impl IntoIterator<Item = (&'a str, &'a Bytes)>) -> Option<Bytes> {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    for (subject, payload) in parts {
        put(&mut out, subject)?;
        out.put_u32(u32::try_from(payload.len()).ok()?);
        out.put_slice(payload);
    }
    Some(out.freeze())
}

/// What [`encode_all`] put into a payload.
pub(super) fn decode_all(payload: &Bytes) -> Result<Vec<(Box<str>, Bytes)>, Malformed> {
    let Some((&VERSION, rest)) = payload.split_first() else { return Err(Malformed("it is of another version")) };
    let (mut reader, mut parts) = (Reader(rest), Vec::new());
    while !reader.0.is_empty() {
        let subject = reader.text()?;
        let length = reader.number()? as usize;
        let (part, rest) = reader.0.split_at_checked(length).ok_or(Malformed("a part is cut off"))?;
        reader.0 = rest;
        parts.push((subject.into(), payload.slice_ref(part)));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(message: &Message) -> (&str, &str, &[Header], &[u8], bool) {
        (&message.id, &message.destination, &message.headers, &message.body, message.content_length)
    }

    proptest! {
        #[test]
        fn every_message_arrives_as_it_left(
            id in "[a-z0-9-]{0,9}", destination in "\\PC{0,9}", body in proptest::collection::vec(any::<u8>(), 0..40),
            headers in proptest::collection::vec((".{0,5}", "(?s).{0,9}"), 0..5), length: bool,
        ) {
            let headers = headers.iter().map(|(n, v)| (n.as_str().into(), v.as_str().into())).collect();
            let message = Message::new(id.into(), destination.into(), headers, body.into(), length);
            let found = decode(&encode(&message).unwrap()).unwrap();
            prop_assert_eq!(parts(&found), parts(&message));
        }

        #[test]
        fn no_payload_makes_the_decoder_fail_otherwise_than_by_an_error(octets in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut begun = vec![VERSION, 0, 0, 0, 0];
            begun.extend(&octets);
            for payload in [octets, begun] {
                let payload = Bytes::from(payload);
                let _ = decode(&payload);
                let _ = decode_all(&payload);
            }
        }

        #[test]
        fn several_parts_arrive_in_order(bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..5)) {
            let parts: Vec<(Box<str>, Bytes)> =
                bodies.into_iter().enumerate().map(|(n, body)| (format!("s.{n}").into(), body.into())).collect();
            let payload = encode_all(parts.iter().map(|(subject, payload)| (&**subject, payload))).unwrap();
            prop_assert_eq!(decode_all(&payload).unwrap(), parts);
        }
    }

    #[test]
    fn octets_that_nats_has_no_room_for_in_headers_are_kept() {
        let headers =
            vec![("a b".into(), " lead\r\ntail ".into()), ("".into(), "".into()), ("é:".into(), "\0\\".into())];
        let message = Message::new("m".into(), "/topic/a b".into(), headers.clone(), Bytes::new(), true);
        assert_eq!(decode(&encode(&message).unwrap()).unwrap().headers, headers);
    }

    #[test]
    fn a_payload_that_is_cut_off_is_refused() {
        let message = Message::new("m".into(), "/topic/a".into(), vec![("k".into(), "v".into())], Bytes::new(), true);
        let payload = encode(&message).unwrap();
        for end in 0..payload.len() {
            assert!(decode(&payload.slice(..end)).is_err(), "{end}");
        }
    }
}
