//! What holds for any frame and any octets.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

#[derive(Debug, Clone)]
struct Sample {
    version: Option<Version>,
    command: Command,
    headers: Vec<(String, String)>,
    content_length: bool,
    body: Vec<u8>,
}

/// Frames that can be written in their version.
fn sample() -> impl Strategy<Value = Sample> {
    let versions = select(vec![None, Some(Version::V1_0), Some(Version::V1_1), Some(Version::V1_2)]);
    let text = "([a-z :\\\\\r\n\t]|\\PC|[a-z\u{1f600}]){0,12}";
    let headers = vec((text, text), 0..6);
    let body = vec(any::<u8>(), 0..200);
    (versions, select(Command::ALL.to_vec()), headers, any::<bool>(), body).prop_map(
        |(version, command, headers, content_length, mut body)| {
            let escapes = Escapes::of(version, command);
            let writable = |text: &str, is_name: bool| -> String {
                let kept = |c: &char| match (escapes, c) {
                    // Unescaped there is no way to write these, and before a version is known a CR may end a line.
                    (Escapes::None, '\n') => false,
                    (Escapes::None, '\r') => version == Some(Version::V1_0) && command != Command::Connect,
                    (Escapes::None, ':') => !is_name,
                    _ => true,
                };
                let text: String = text.chars().filter(kept).collect();
                // 1.0 drops the padding of values.
                if version == Some(Version::V1_0) && !is_name { text.trim_start().to_owned() } else { text }
            };
            let headers = headers
                .into_iter()
                .map(|(name, value)| (format!("{}x", writable(&name, true)), writable(&value, false)))
                .collect();
            if !content_length {
                body.retain(|&octet| octet != 0);
            }
            Sample { version, command, headers, content_length, body }
        },
    )
}

impl Sample {
    fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let headers = self.headers.iter().map(|(name, value)| (&**name, &**value));
        encode(&mut out, self.version, self.command, headers, self.content_length, &self.body);
        out
    }

    fn frame(&self) -> Frame {
        let length = self.content_length.then(|| ("content-length".into(), self.body.len().to_string().into()));
        let headers = self.headers.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into()));
        Frame { command: self.command, headers: headers.chain(length).collect(), body: self.body.clone().into() }
    }
}

/// The octets cut at these places, given as fractions of 65,536.
fn cut<'a>(octets: &'a [u8], cuts: &[u16]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|&cut| octets.len() * usize::from(cut) / 65_536).collect();
    places.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for place in places {
        pieces.push(&octets[from..place]);
        from = place;
    }
    pieces.push(&octets[from..]);
    pieces
}

/// Octets that come close to frames often enough to reach every corner of the decoder.
fn near_frames() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&'static [u8]> = vec![
        b"SEND",
        b"CONNECT",
        b"MESSAGE",
        b"\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"\0",
        b"\0",
        b":",
        b"a:b",
        b"\\c",
        b"\\",
        b"content-length:",
        b"content-length:3\n",
        b"5",
        b"99999999999999999999",
        b"-",
        b"receipt:r\n",
        b"\xff",
        b"\n\n",
    ];
    let piece = prop_oneof![4 => select(known).prop_map(<[u8]>::to_vec), 1 => vec(any::<u8>(), 0..40)];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_frame_comes_back_however_its_octets_are_split(sample in sample(), cuts in vec(any::<u16>(), 0..8)) {
        let octets = sample.encoded();
        let (items, error) = decode_pieces(sample.version, LIMITS, cut(&octets, &cuts));
        prop_assert_eq!(error, None);
        prop_assert_eq!(items, [Item::Frame(sample.frame())]);
    }

    #[test]
    fn frames_and_heartbeats_in_a_row_come_back_one_octet_at_a_time(samples in vec(sample(), 1..4)) {
        let version = samples[0].version;
        let samples: Vec<_> = samples.into_iter().filter(|sample| sample.version == version).collect();
        let octets: Vec<u8> = samples.iter().flat_map(|sample| [sample.encoded(), b"\n".to_vec()].concat()).collect();
        let (items, error) = decode_pieces(version, LIMITS, octets.chunks(1));
        prop_assert_eq!(error, None);
        let expected: Vec<_> =
            samples.iter().flat_map(|sample| [Item::Frame(sample.frame()), Item::Heartbeat]).collect();
        prop_assert_eq!(items, expected);
    }

    #[test]
    fn any_octets_give_the_same_items_and_the_same_error_however_they_are_split(
        octets in near_frames(),
        cuts in vec(any::<u16>(), 0..8),
        version in select(vec![None, Some(Version::V1_0), Some(Version::V1_1), Some(Version::V1_2)]),
        frame_size in select(vec![30, 100, usize::MAX]),
    ) {
        let limits = DecodeLimits { headers: 4, header_size: 40, body_size: 50, frame_size };
        let whole = decode_pieces(version, limits, [&octets[..]]);
        prop_assert_eq!(&decode_pieces(version, limits, cut(&octets, &cuts)), &whole);
        prop_assert_eq!(&decode_pieces(version, limits, octets.chunks(1)), &whole);
    }

    #[test]
    fn no_octets_make_the_decoder_wait_for_more_than_the_limits_allow(octets in near_frames()) {
        let limits = DecodeLimits { headers: 4, header_size: 40, body_size: 50, frame_size: usize::MAX };
        let mut decoder = Decoder::new(limits);
        let mut buffer = BytesMut::new();
        for piece in octets.chunks(7) {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.decode(&mut buffer) {
                    Ok(Some(Item::Frame(frame))) => {
                        prop_assert!(frame.headers.len() <= limits.headers && frame.body.len() <= limits.body_size);
                        prop_assert!(frame.headers.iter().all(|(n, v)| n.len() + v.len() < limits.header_size));
                    }
                    Ok(Some(Item::Heartbeat)) => {}
                    Ok(None) => break,
                    Err(_) => return Ok(()),
                }
            }
            prop_assert!(buffer.len() <= limits.body_size.max(limits.header_size), "{} octets wait", buffer.len());
        }
    }
}
