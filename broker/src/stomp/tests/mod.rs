//! The codec as a whole: octets in, items out, and back.

mod grammar;
mod limits;
mod properties;

use bytes::BytesMut;

use super::*;

const LIMITS: DecodeLimits =
    DecodeLimits { headers: 100, header_size: 1024, body_size: 65_536, frame_size: usize::MAX };

/// Decodes octets that come in these pieces, up to the first error.
fn decode_pieces<'a>(
    version: Option<Version>,
    limits: DecodeLimits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Item>, Option<DecodeError>) {
    let mut decoder = Decoder::new(limits);
    if let Some(version) = version {
        decoder.set_version(version);
    }
    let mut buffer = BytesMut::new();
    let mut items = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => return (items, Some(error)),
            }
        }
    }
    (items, None)
}

fn decode(version: Option<Version>, octets: &[u8]) -> (Vec<Item>, Option<DecodeError>) {
    decode_pieces(version, LIMITS, [octets])
}

/// The only frame in the octets.
fn frame(version: Version, octets: &[u8]) -> Frame {
    let (items, error) = decode(Some(version), octets);
    assert_eq!(error, None, "{:?}", String::from_utf8_lossy(octets));
    let mut frames = items.into_iter().filter_map(|item| match item {
        Item::Frame(frame) => Some(frame),
        Item::Heartbeat => None,
    });
    let frame = frames.next().unwrap();
    assert_eq!(frames.next(), None);
    frame
}

fn problem(version: Version, octets: &[u8]) -> DecodeProblem {
    let (items, error) = decode(Some(version), octets);
    assert_eq!(items, [], "{:?}", String::from_utf8_lossy(octets));
    error.unwrap().problem
}
