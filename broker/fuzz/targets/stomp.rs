//! Any octets in pieces of any size: no panic, the pieces make no difference, and what was read reads the same again.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use stompbroker::stomp::{DecodeLimits, Decoder, Frame, Item, Version, encode};

const LIMITS: DecodeLimits = DecodeLimits { headers: 20, header_size: 200, body_size: 500, frame_size: 4000 };

fn decode(octets: &[u8], piece: usize, version: Option<Version>) -> (Vec<Frame>, bool) {
    let mut decoder = Decoder::new(LIMITS);
    if let Some(version) = version {
        decoder.set_version(version);
    }
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for piece in octets.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(Item::Frame(frame))) => frames.push(frame),
                Ok(Some(Item::Heartbeat)) => {}
                Ok(None) => break,
                Err(_) => return (frames, false),
            }
        }
    }
    (frames, true)
}

fuzz_target!(|data: &[u8]| {
    let Some((&control, octets)) = data.split_first() else { return };
    let version = [None, Some(Version::V1_0), Some(Version::V1_1), Some(Version::V1_2)][usize::from(control & 3)];
    let piece = usize::from(control >> 2) + 1;
    let (frames, whole) = decode(octets, octets.len().max(1), version);
    assert_eq!(decode(octets, piece, version), (frames.clone(), whole));
    for frame in frames {
        let headers = frame.headers.iter().filter(|(name, _)| &**name != "content-length");
        let headers: Vec<_> = headers.map(|(name, value)| (&**name, &**value)).collect();
        let mut again = Vec::new();
        encode(&mut again, version, frame.command, headers.iter().copied(), true, &frame.body);
        let (read, _) = decode(&again, again.len(), version);
        let [read] = read.as_slice() else { return };
        assert_eq!((read.command, &read.body), (frame.command, &frame.body));
    }
});
