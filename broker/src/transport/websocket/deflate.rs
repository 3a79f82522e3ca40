//! permessage-deflate (RFC 7692) without I/O: what is agreed on, a message out, a message in.
//!
//! Neither side keeps its window from one message to the next (`server_no_context_takeover` and
//! `client_no_context_takeover` are always part of the answer), so an idle session holds none: compressors belong to the
//! thread, and an inflater to a message that is under way.

use std::cell::{Cell, RefCell};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use hyper::{HeaderMap, header::SEC_WEBSOCKET_EXTENSIONS};

/// The name of the extension.
const NAME: &str = "permessage-deflate";
/// What ends every flushed block; RFC 7692 section 7.2.1 leaves it out on the wire.
const FLUSH_END: [u8; 4] = [0, 0, 0xFF, 0xFF];
/// Octets inflated at a time.
const STEP: usize = 4 << 10;

thread_local! {
    static DEFLATER: RefCell<Deflater> = RefCell::new(Deflater::new());
    static SPARE_INFLATER: Cell<Option<Decompress>> = const { Cell::new(None) };
}

/// The value of `Sec-WebSocket-Extensions` that takes up the first offer that can be met; none when there is no such.
pub(crate) fn negotiate(headers: &HeaderMap) -> Option<&'static str> {
    let values = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).find_map(answer)
}

/// The answer to one offer.
fn answer(offer: &str) -> Option<&'static str> {
    let mut parts = offer.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(NAME) {
        return None;
    }
    let mut seen = Vec::new();
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
            None => (part, None),
        };
        let bits = value.and_then(|value| value.parse::<u8>().ok());
        let can_be_met = match name {
            "server_no_context_takeover" | "client_no_context_takeover" => value.is_none(),
            "client_max_window_bits" => value.is_none() || matches!(bits, Some(8..=15)),
            // The compressor has one window only, the largest.
            "server_max_window_bits" => bits == Some(15),
            _ => false,
        };
        if !can_be_met || seen.contains(&name) {
            return None;
        }
        seen.push(name);
    }
    Some(if seen.contains(&"server_max_window_bits") {
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15"
    } else {
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    })
}

/// Deflates a message that consists of two parts; says whether that made it smaller, and hands it to `take` if so.
pub(crate) fn deflate(parts: [&[u8]; 2], take: impl FnOnce(&[u8])) -> bool {
    DEFLATER.with_borrow_mut(|deflater| {
        let smaller = deflater.run(parts) && deflater.out.len() < parts.iter().map(|part| part.len()).sum();
        if smaller {
            take(&deflater.out);
        }
        smaller
    })
}

/// The compressor of a thread and the message that it made last.
struct Deflater {
    compress: Compress,
    out: Vec<u8>,
}

impl Deflater {
    fn new() -> Self {
        Self { compress: Compress::new(Compression::fast(), false), out: Vec::new() }
    }

    /// Leaves the deflated message in `out`; false when the compressor fails.
    fn run(&mut self, [head, tail]: [&[u8]; 2]) -> bool {
        self.compress.reset();
        self.out.clear();
        let done = self.add(head, FlushCompress::None) && self.add(tail, FlushCompress::Sync);
        let length = self.out.len().saturating_sub(FLUSH_END.len());
        if !done || self.out.get(length..) != Some(&FLUSH_END) {
            return false;
        }
        self.out.truncate(length);
        true
    }

    fn add(&mut self, mut part: &[u8], flush: FlushCompress) -> bool {
        loop {
            self.out.reserve(part.len() / 2 + 64);
            let before = self.compress.total_in();
            let Ok(status) = self.compress.compress_vec(part, &mut self.out, flush) else { return false };
            let taken = usize::try_from(self.compress.total_in() - before).unwrap_or(part.len());
            part = &part[taken..];
            // As long as the output was filled to its end, more of the flush may wait inside.
            if part.is_empty() && (self.out.len() < self.out.capacity() || status == Status::BufError) {
                return true;
            }
        }
    }
}

/// Why a deflated message cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InflateError {
    /// It is not what RFC 1951 describes.
    Broken,
    /// It is larger than allowed.
    TooLarge,
}

/// Inflates the messages of one client.
#[derive(Debug)]
pub(crate) struct Inflater {
    /// Only while a message is under way.
    stream: Option<Decompress>,
    /// Octets that the message has given so far.
    given: usize,
    /// Most octets of a message.
    limit: usize,
}

impl Inflater {
    /// For messages of at most `limit` octets.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { stream: None, given: 0, limit }
    }

    /// Changes the bound.
    pub(crate) const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes the next octets of a message and hands on what they stand for, step by step.
    ///
    /// # Errors
    /// When they are no deflated data, or the message grows beyond the bound; what was handed on before is within it.
    pub(crate) fn push<E: From<InflateError>>(
        &mut self,
        mut octets: &[u8],
        mut hand_on: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let spare = || SPARE_INFLATER.take().unwrap_or_else(|| Decompress::new(false));
        let stream = self.stream.get_or_insert_with(spare);
        let mut step = [0; STEP];
        loop {
            let (taken, given) = (stream.total_in(), stream.total_out());
            let status =
                stream.decompress(octets, &mut step, FlushDecompress::Sync).map_err(|_| InflateError::Broken)?;
            let size = |before: u64, now: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
            let (taken, given) = (size(taken, stream.total_in()), size(given, stream.total_out()));
            self.given = self.given.saturating_add(given);
            if self.given > self.limit {
                return Err(InflateError::TooLarge.into());
            }
            hand_on(&step[..given])?;
            octets = &octets[taken..];
            match status {
                // A final block may end anywhere; what follows begins a new one (RFC 7692 section 7.2.3.4).
                Status::StreamEnd => stream.reset(false),
                _ if octets.is_empty() && given < STEP => return Ok(()),
                _ if taken == 0 && given == 0 => return Err(InflateError::Broken.into()),
                _ => {}
            }
            if octets.is_empty() && status == Status::StreamEnd {
                return Ok(());
            }
        }
    }

    /// Ends a message: hands on the rest of it, and is ready for the next one.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub(crate) fn finish<E: From<InflateError>>(
        &mut self,
        hand_on: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let result = self.push(&FLUSH_END, hand_on);
        self.given = 0;
        if let Some(mut stream) = self.stream.take() {
            stream.reset(false);
            SPARE_INFLATER.set(Some(stream));
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn deflated(parts: [&[u8]; 2]) -> Vec<u8> {
        let mut deflater = Deflater::new();
        assert!(deflater.run(parts));
        deflater.out
    }

    fn inflate(inflater: &mut Inflater, wire: &[u8], cut: usize) -> Result<Vec<u8>, InflateError> {
        let mut inflated = Vec::new();
        let mut collect = |piece: &[u8]| {
            inflated.extend_from_slice(piece);
            Ok::<_, InflateError>(())
        };
        for piece in wire.chunks(cut) {
            inflater.push(piece, &mut collect)?;
        }
        inflater.finish(&mut collect)?;
        Ok(inflated)
    }

    #[test]
    fn the_first_offer_that_can_be_met_is_taken_up_without_context_takeover() {
        let plain = Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover");
        for (offer, answered) in [
            ("permessage-deflate", plain),
            ("permessage-deflate; client_max_window_bits", plain),
            ("x-webkit-deflate-frame, Permessage-Deflate;client_max_window_bits=12;server_no_context_takeover", plain),
            ("permessage-deflate; server_max_window_bits=10, permessage-deflate", plain),
            (
                "permessage-deflate; server_max_window_bits=\"15\"",
                Some(
                    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15",
                ),
            ),
            ("permessage-deflate; server_max_window_bits=10", None),
            ("permessage-deflate; server_no_context_takeover=1", None),
            ("permessage-deflate; client_max_window_bits=16", None),
            ("permessage-deflate; client_max_window_bits; client_max_window_bits", None),
            ("permessage-deflate; unheard_of", None),
            ("permessage-bzip2", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, offer.parse().unwrap());
            assert_eq!(negotiate(&headers), answered, "{offer}");
        }
        assert_eq!(negotiate(&HeaderMap::new()), None);
    }

    #[test]
    fn the_examples_of_the_rfc_are_understood() {
        for wire in [
            // Section 7.2.3.1, 7.2.3.3 (a block without compression) and 7.2.3.4 (a final block).
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            // Section 7.2.3.5: two blocks in one message.
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ] {
            for cut in [1, 2, 5, wire.len()] {
                assert_eq!(inflate(&mut Inflater::new(5), wire, cut), Ok(b"Hello".to_vec()), "{wire:x?} in {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_deflated_data_is_refused() {
        assert_eq!(inflate(&mut Inflater::new(100), &[0xFF, 0xFF, 0xFF, 0x12], 4), Err(InflateError::Broken));
    }

    #[test]
    fn a_bomb_gives_no_more_than_the_bound() {
        let bomb = deflated([&vec![0; 50 << 20], b""]);
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        let (mut inflater, mut given) = (Inflater::new(100_000), 0);
        let result = inflater.push(&bomb, |piece| {
            given += piece.len();
            Ok::<_, InflateError>(())
        });
        assert_eq!(result, Err(InflateError::TooLarge));
        assert!(given <= 100_000, "{given}");
    }

    #[test]
    fn what_does_not_become_smaller_is_left_as_it_is() {
        assert!(!deflate([b"a", b"b"], |_| unreachable!()));
        let mut length = 0;
        assert!(deflate([&[b'a'; 1000], &[b'a'; 1000]], |deflated| length = deflated.len()));
        assert!((1..100).contains(&length), "{length}");
    }

    proptest! {
        #[test]
        fn what_was_deflated_is_inflated_to_the_same_message_after_message(
            messages in prop::collection::vec((any::<Vec<u8>>(), "[ab]{0,3000}"), 1..4),
            cut in 1usize..300,
        ) {
            let mut inflater = Inflater::new(1 << 20);
            for (head, tail) in &messages {
                let wire = deflated([head, tail.as_bytes()]);
                let inflated = inflate(&mut inflater, &wire, cut).unwrap();
                prop_assert_eq!(inflated, [head, tail.as_bytes()].concat());
            }
            prop_assert!(inflater.stream.is_none(), "nothing is kept between messages");
        }
    }
}
