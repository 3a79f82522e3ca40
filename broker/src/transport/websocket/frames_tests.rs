use proptest::prelude::*;

use super::*;

/// What a client puts on the wire.
fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x11, 0x22, 0x33, 0x44];
    let mut frame = Vec::new();
    write_head(first & 0x0F, payload.len(), 0, &mut frame);
    frame[0] = first;
    frame[1] |= MASKED;
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(octet, mask)| octet ^ mask));
    frame
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    data: Vec<u8>,
    messages: Vec<MessageKind>,
    pings: Vec<Vec<u8>>,
    closes: Vec<Option<u16>>,
}

fn read_in_pieces(wire: &[u8], size: usize) -> (Seen, Result<(), Violation>) {
    let mut reader = FrameReader::default();
    let mut seen = Seen::default();
    let mut result = Ok(());
    for piece in wire.to_vec().chunks_mut(size) {
        result = reader.read(piece, |part| match part {
            Part::Payload(octets) => seen.data.extend_from_slice(octets),
            Part::End(kind) => seen.messages.push(kind),
            Part::Ping(payload) => seen.pings.push(payload.to_vec()),
            Part::Close(code) => seen.closes.push(code),
        });
        if result.is_err() {
            break;
        }
    }
    (seen, result)
}

fn refusal(wire: &[u8]) -> Violation {
    read_in_pieces(wire, wire.len()).1.unwrap_err()
}

#[test]
fn a_message_may_come_in_fragments_with_control_frames_between() {
    let wire = [
        client_frame(TEXT, b"SEND\n"),
        client_frame(FIN | PING, b"are you there"),
        client_frame(CONTINUATION, "gr\u{fc}\u{df}e".as_bytes()),
        client_frame(FIN | CONTINUATION, b"\0"),
        client_frame(FIN | PONG, b""),
        client_frame(FIN | CLOSE, &1000u16.to_be_bytes()),
        client_frame(FIN | BINARY, b"ignored after Close"),
    ]
    .concat();
    for size in [1, 2, 3, 7, wire.len()] {
        let (seen, result) = read_in_pieces(&wire, size);
        assert_eq!(result, Ok(()), "in pieces of {size}");
        assert_eq!(seen.data, "SEND\ngr\u{fc}\u{df}e\0".as_bytes());
        assert_eq!(seen.pings, [b"are you there"]);
        assert_eq!(seen.messages, [MessageKind::Text]);
        assert_eq!(seen.closes, [Some(1000)]);
    }
}

#[test]
fn a_text_message_may_be_cut_inside_a_character_but_must_not_end_there() {
    let cut = [client_frame(TEXT, &[0xC3]), client_frame(FIN | CONTINUATION, &[0xBC])].concat();
    assert_eq!(read_in_pieces(&cut, 1).0.data, "\u{fc}".as_bytes());
    assert_eq!(refusal(&client_frame(FIN | TEXT, &[0xC3])), Violation::InvalidText);
    assert_eq!(refusal(&client_frame(FIN | TEXT, &[0xFF, b'a'])), Violation::InvalidText);
    assert_eq!(Violation::InvalidText.code().number(), 1007);
    assert_eq!(read_in_pieces(&client_frame(FIN | BINARY, &[0xFF]), 1).1, Ok(()));
}

#[test]
fn what_the_rfc_forbids_is_refused() {
    let mut unmasked = Vec::new();
    write_message([b"a", b""], &mut unmasked);
    assert_eq!(refusal(&unmasked), Violation::Unmasked);
    assert_eq!(refusal(&client_frame(FIN | 0x40 | TEXT, b"")), Violation::ReservedBit);
    assert_eq!(refusal(&client_frame(FIN | 0x3, b"")), Violation::Opcode(3));
    assert_eq!(refusal(&client_frame(PING, b"")), Violation::Control);
    assert_eq!(refusal(&client_frame(FIN | PING, &[0; 126])), Violation::Control);
    assert_eq!(refusal(&client_frame(FIN | CONTINUATION, b"")), Violation::NothingToContinue);
    assert_eq!(refusal(&[client_frame(TEXT, b"a"), client_frame(TEXT, b"b")].concat()), Violation::Interleaved);
    assert_eq!(refusal(&[FIN | BINARY, MASKED | 0x7E, 0, 5, 0, 0, 0, 0]), Violation::Length);
    assert_eq!(refusal(&[FIN | BINARY, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Violation::Length);
    assert_eq!(refusal(&client_frame(FIN | CLOSE, b"x")), Violation::Close);
    assert_eq!(refusal(&client_frame(FIN | CLOSE, &1005u16.to_be_bytes())), Violation::Close);
}

#[test]
fn a_declared_length_costs_no_memory() {
    let mut head = [FIN | BINARY, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, b'x'];
    let mut got = 0;
    FrameReader::default()
        .read(&mut head, |part| {
            if let Part::Payload(data) = part {
                got += data.len();
            }
        })
        .unwrap();
    assert_eq!(got, 1);
}

#[test]
fn messages_are_text_where_all_of_them_is_utf8_and_heads_are_as_short_as_they_can_be() {
    for (parts, first, head) in [
        ([&b"MESSAGE\n\n"[..], &b"a\0"[..]], FIN | TEXT, 2),
        ([b"MESSAGE\n\n", b"\xFF\0"], FIN | BINARY, 2),
        ([b"MESSAGE\n\n", &[b'a'; 300]], FIN | TEXT, 4),
        ([b"", &*vec![b'a'; 70_000]], FIN | TEXT, 10),
    ] {
        let mut out = Vec::new();
        write_message(parts, &mut out);
        assert_eq!((out[0], out.len()), (first, head + parts[0].len() + parts[1].len()));
        assert_eq!(out[head..], parts.concat());
    }
}

#[test]
fn the_reason_of_a_close_is_cut_at_a_character() {
    let mut out = Vec::new();
    write_close(CloseCode::TooBig.number(), &"\u{fc}".repeat(100), &mut out);
    assert_eq!(out[..4], [FIN | CLOSE, 124, 0x03, 0xF1]);
    assert_eq!(std::str::from_utf8(&out[4..]).unwrap().chars().count(), 61);
}

proptest! {
    #[test]
    fn any_payload_arrives_however_the_wire_is_cut(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..4),
        size in 1usize..50,
    ) {
        let wire = payloads.iter().map(|payload| client_frame(FIN | BINARY, payload)).collect::<Vec<_>>().concat();
        let (seen, result) = read_in_pieces(&wire, size);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(seen.messages.len(), payloads.len());
        prop_assert_eq!(seen.data, payloads.concat());
    }

    #[test]
    fn no_octets_make_the_reader_panic(mut octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = FrameReader::default().read(&mut octets, |_| ());
    }
}
