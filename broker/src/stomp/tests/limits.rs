//! What the decoder refuses, and how little it keeps.

use super::*;

const SMALL: DecodeLimits = DecodeLimits { headers: 3, header_size: 20, body_size: 10, frame_size: usize::MAX };

fn refusal(limits: DecodeLimits, octets: &[u8]) -> DecodeProblem {
    let (items, error) = decode_pieces(Some(Version::V1_2), limits, [octets]);
    assert_eq!(items, []);
    error.unwrap().problem
}

fn accepts(limits: DecodeLimits, octets: &[u8]) -> bool {
    matches!(&decode_pieces(Some(Version::V1_2), limits, [octets]), (items, None) if items.len() == 1)
}

#[test]
fn each_limit_is_named_with_its_value_and_may_be_reached() {
    assert!(accepts(SMALL, b"SEND\na:1\na:2\na:3\n\n\0"));
    let problem = refusal(SMALL, b"SEND\na:1\na:2\na:3\na:4\n\n\0");
    assert_eq!(problem, DecodeProblem::TooManyHeaders { limit: 3 });
    assert!(problem.to_string().contains("3 header lines (limits.headers)"), "{problem}");

    assert!(accepts(SMALL, b"SEND\nkkkkkkkkk:vvvvvvvvvv\n\n\0"));
    let problem = refusal(SMALL, b"SEND\nkkkkkkkkkk:vvvvvvvvvv");
    assert_eq!(problem, DecodeProblem::HeaderTooLong { limit: 20 });
    assert!(problem.to_string().contains("20 octets (limits.headerSize)"), "{problem}");

    assert!(accepts(SMALL, b"SEND\n\n0123456789\0"));
    let problem = refusal(SMALL, b"SEND\n\n01234567890");
    assert_eq!(problem, DecodeProblem::BodyTooLarge { limit: 10, size: None });
    assert!(problem.to_string().contains("10 that are allowed (limits.messageSize)"), "{problem}");
}

#[test]
fn an_announced_body_is_refused_before_it_comes() {
    assert!(accepts(SMALL, b"SEND\ncontent-length:10\n\n0123456789\0"));
    for size in [11, 1 << 40, u64::MAX] {
        let octets = format!("SEND\ncontent-length:{size}\n\n");
        let limits = DecodeLimits { header_size: 60, ..SMALL };
        let problem = refusal(limits, octets.as_bytes());
        assert_eq!(problem, DecodeProblem::BodyTooLarge { limit: 10, size: Some(size) });
        assert!(problem.to_string().contains(&format!("{size} octets")), "{problem}");
    }
}

#[test]
fn a_frame_before_the_login_is_bounded_as_a_whole() {
    let limits = DecodeLimits { frame_size: 40, ..LIMITS };
    let exact = [&b"SEND\n\n"[..], &[b'x'; 33], b"\0"].concat();
    assert_eq!(exact.len(), 40);
    assert!(accepts(limits, &exact));
    for octets in [
        [&b"SEND\n\n"[..], &[b'x'; 34], b"\0"].concat(),
        [&b"SEND\nk:"[..], &[b'x'; 60]].concat(),
        b"SEND\ncontent-length:100\n\n".to_vec(),
        b"SEND\na:0123456789\na:0123456789\na:0123456789\n\n\0".to_vec(),
    ] {
        let problem = refusal(limits, &octets);
        assert_eq!(problem, DecodeProblem::FrameTooLarge { limit: 40 }, "{:?}", String::from_utf8_lossy(&octets));
        assert!(problem.to_string().contains("40 octets (limits.unauthenticatedFrameSize"), "{problem}");
    }
}

#[test]
fn the_size_of_each_frame_counts_for_itself() {
    let limits = DecodeLimits { frame_size: 10, ..LIMITS };
    let (items, error) = decode_pieces(Some(Version::V1_2), limits, [&b"SEND\n\n123\0SEND\n\n456\0SEND\n\n789\0"[..]]);
    assert_eq!((items.len(), error), (3, None));
}

#[test]
fn new_limits_hold_from_the_next_octet_on() {
    let mut decoder = Decoder::new(DecodeLimits { frame_size: 10, ..LIMITS });
    let mut buffer = BytesMut::from(&b"SEND\n\n"[..]);
    assert_eq!(decoder.decode(&mut buffer), Ok(None));
    decoder.set_limits(LIMITS);
    buffer.extend_from_slice(b"0123456789\0");
    assert!(matches!(decoder.decode(&mut buffer), Ok(Some(Item::Frame(_)))));
}

#[test]
fn a_promised_length_allocates_nothing() {
    let mut decoder = Decoder::new(DecodeLimits { body_size: usize::MAX, ..LIMITS });
    let mut buffer = BytesMut::from(&b"SEND\ncontent-length:9000000000000000\n\nab"[..]);
    let capacity = buffer.capacity();
    assert_eq!(decoder.decode(&mut buffer), Ok(None));
    assert!(buffer.capacity() <= capacity);
    assert_eq!(&buffer[..], b"ab");
}

#[test]
fn a_large_body_is_not_copied_and_a_small_one_does_not_keep_the_buffer() {
    let large = [&b"SEND\ncontent-length:50000\n\n"[..], &vec![b'x'; 50_000], b"\0"].concat();
    let mut decoder = Decoder::new(LIMITS);
    let mut buffer = BytesMut::with_capacity(60_000);
    buffer.extend_from_slice(&large);
    buffer.extend_from_slice(b"SEND\n\nsmall\0");
    let range = buffer.as_ptr_range();
    let mut body = || match decoder.decode(&mut buffer) {
        Ok(Some(Item::Frame(frame))) => frame.body,
        other => panic!("{other:?}"),
    };
    assert!(range.contains(&body().as_ptr()), "most of the buffer is this body, so it is shared");
    assert!(!range.contains(&body().as_ptr()), "a few octets must not keep 60,000");
}

#[test]
fn a_middling_body_at_the_end_of_a_large_buffer_is_copied() {
    let mut decoder = Decoder::new(DecodeLimits { body_size: 1 << 20, ..LIMITS });
    let mut buffer = BytesMut::with_capacity(1 << 20);
    for length in [1_000_000, 8_000] {
        buffer.extend_from_slice(format!("SEND\ncontent-length:{length}\n\n").as_bytes());
        buffer.extend_from_slice(&vec![b'x'; length]);
        buffer.extend_from_slice(b"\0");
    }
    let range = buffer.as_ptr_range();
    let mut bodies = Vec::new();
    while let Ok(Some(Item::Frame(frame))) = decoder.decode(&mut buffer) {
        bodies.push(frame.body);
    }
    assert_eq!(bodies.len(), 2);
    assert!(!range.contains(&bodies[1].as_ptr()), "8,000 octets must not keep a mebibyte");
}
