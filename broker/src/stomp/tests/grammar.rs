//! Which octets are a frame, and what it says.

use super::*;

#[test]
fn a_frame_is_command_headers_and_body() {
    for version in Version::ALL {
        let frame = frame(version, b"SEND\ndestination:/queue/a\nk:v\n\nhello\0");
        assert_eq!(frame.command, Command::Send);
        assert_eq!(frame.header("destination"), Some("/queue/a"));
        assert_eq!(frame.headers.len(), 2);
        assert_eq!(&frame.body[..], b"hello");
    }
}

#[test]
fn version_1_2_takes_crlf_wherever_a_line_may_end() {
    let octets = b"\r\nSEND\r\nk:v\r\n\r\na\r\nb\0\r\nSEND\n\n\0\r\n";
    let (items, error) = decode(Some(Version::V1_2), octets);
    assert_eq!(error, None);
    let [Item::Heartbeat, Item::Frame(first), Item::Heartbeat, Item::Frame(_), Item::Heartbeat] = &items[..] else {
        panic!("{items:?}")
    };
    assert_eq!(first.header("k"), Some("v"));
    assert_eq!(&first.body[..], b"a\r\nb", "a body is left as it is");
}

#[test]
fn a_client_may_connect_with_crlf_before_a_version_is_agreed_on() {
    let (items, error) = decode(None, b"STOMP\r\naccept-version:1.2\r\nhost:a\r\n\r\n\0");
    assert_eq!(error, None);
    let [Item::Frame(frame)] = &items[..] else { panic!("{items:?}") };
    assert_eq!((frame.command, frame.header("accept-version")), (Command::Connect, Some("1.2")));
}

#[test]
fn a_carriage_return_is_an_error_inside_a_1_2_header_and_a_value_before() {
    assert_eq!(
        problem(Version::V1_2, b"SEND\nk:a\rb\n\n\0"),
        DecodeProblem::StrayCarriageReturn { place: Place::Header(1) }
    );
    for version in [Version::V1_0, Version::V1_1] {
        assert_eq!(frame(version, b"SEND\nk:a\rb\r\n\n\0").header("k"), Some("a\rb\r"));
    }
    assert_eq!(
        problem(Version::V1_2, b"\rSEND\n\n\0"),
        DecodeProblem::StrayCarriageReturn { place: Place::BetweenFrames }
    );
}

#[test]
fn line_ends_between_frames_are_heartbeats_and_stray_nuls_are_nothing() {
    let (items, error) = decode(Some(Version::V1_1), b"\n\0\nSEND\n\n\0\n\0\0");
    assert_eq!(error, None);
    assert!(matches!(&items[..], [Item::Heartbeat, Item::Heartbeat, Item::Frame(_), Item::Heartbeat]), "{items:?}");
}

#[test]
fn commands_are_case_sensitive_and_stand_alone() {
    for octets in [&b"send\n\n\0"[..], b"SEND \n\n\0", b"SENDX\n\n\0", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\n", b" \n"]
    {
        assert!(matches!(problem(Version::V1_2, octets), DecodeProblem::UnknownCommand(_)), "{octets:?}");
    }
}

#[test]
fn octets_that_never_become_a_command_are_refused_without_a_line_end() {
    let DecodeProblem::UnknownCommand(shown) = problem(Version::V1_2, &[b'A'; 33]) else { panic!() };
    assert_eq!(&*shown, "A".repeat(32));
}

#[test]
fn every_command_is_known_by_its_name() {
    for command in Command::ALL {
        let octets = format!("{}\n\n\0", command.as_str());
        assert_eq!(frame(Version::V1_2, octets.as_bytes()).command, command);
    }
    assert_eq!(frame(Version::V1_2, b"STOMP\n\n\0").command, Command::Connect);
}

#[test]
fn a_header_is_split_at_its_first_colon_and_needs_one() {
    let frame = frame(Version::V1_2, b"SEND\na:b:c\nempty:\n\n\0");
    assert_eq!((frame.header("a"), frame.header("empty")), (Some("b:c"), Some("")));
    assert_eq!(
        problem(Version::V1_2, b"SEND\na:b\nno colon\n\n\0"),
        DecodeProblem::NoColon { command: Command::Send, line: 2 }
    );
    assert_eq!(problem(Version::V1_2, b"SEND\n:v\n\n\0"), DecodeProblem::NoName { command: Command::Send, line: 1 });
}

#[test]
fn headers_are_utf_8_of_up_to_four_octets_a_character() {
    let frame = frame(Version::V1_2, "SEND\n\u{1f600}:\u{e9}\u{1f980}\n\n\0".as_bytes());
    assert_eq!(frame.header("\u{1f600}"), Some("\u{e9}\u{1f980}"));
    assert_eq!(
        problem(Version::V1_2, b"SEND\nk:\xff\n\n\0"),
        DecodeProblem::NotUtf8 { command: Command::Send, line: 1 }
    );
}

#[test]
fn of_a_repeated_header_the_first_counts() {
    let frame = frame(Version::V1_2, b"SEND\nk:first\nk:second\ncontent-length:1\ncontent-length:3\n\na\0");
    assert_eq!(frame.header("k"), Some("first"));
    assert_eq!(&frame.body[..], b"a");
    assert_eq!(frame.headers.len(), 4, "the repeats are kept for those who want them");
}

#[test]
fn values_keep_their_spaces_but_for_the_padding_of_1_0() {
    for version in [Version::V1_1, Version::V1_2] {
        assert_eq!(frame(version, b"SEND\nk:  a \n\n\0").header("k"), Some("  a "));
    }
    assert_eq!(frame(Version::V1_0, b"SEND\nk:  a \n\n\0").header("k"), Some("a "));
}

#[test]
fn escapes_are_those_of_the_version_in_names_and_values() {
    let octets = b"SEND\na\\cb:c\\n\\\\d\n\n\0";
    for version in [Version::V1_1, Version::V1_2] {
        assert_eq!(frame(version, octets).header("a:b"), Some("c\n\\d"));
    }
    assert_eq!(frame(Version::V1_0, octets).header("a\\cb"), Some("c\\n\\\\d"));
    assert_eq!(frame(Version::V1_2, b"SEND\nk:a\\rb\n\n\0").header("k"), Some("a\rb"));
}

#[test]
fn an_undefined_escape_is_fatal() {
    for (version, octets, escape) in [
        (Version::V1_1, &b"SEND\nk:\\r\n\n\0"[..], "\\r"),
        (Version::V1_1, b"SEND\nk:\\t\n\n\0", "\\t"),
        (Version::V1_2, b"SEND\nk\\t:v\n\n\0", "\\t"),
        (Version::V1_2, b"SEND\nk:v\\\n\n\0", "\\"),
    ] {
        let escape = escape.into();
        assert_eq!(
            problem(version, octets),
            DecodeProblem::UndefinedEscape { command: Command::Send, line: 1, escape },
            "{version:?}"
        );
    }
}

#[test]
fn connect_and_connected_are_not_unescaped_in_any_version() {
    for version in [None, Some(Version::V1_0), Some(Version::V1_1), Some(Version::V1_2)] {
        let (items, error) = decode(version, b"CONNECT\npasscode:a\\c:b\\t\n\n\0CONNECTED\nuser-name:\\x\n\n\0");
        assert_eq!(error, None, "{version:?}");
        let [Item::Frame(connect), Item::Frame(connected)] = &items[..] else { panic!("{items:?}") };
        assert_eq!(connect.header("passcode"), Some("a\\c:b\\t"));
        assert_eq!(connected.header("user-name"), Some("\\x"));
    }
}

#[test]
fn content_length_says_how_much_is_body_nuls_included() {
    let (items, error) = decode(Some(Version::V1_2), b"SEND\ncontent-length:3\n\na\0b\0SEND\n\nno\0");
    assert_eq!(error, None);
    let [Item::Frame(first), Item::Frame(second)] = &items[..] else { panic!("{items:?}") };
    assert_eq!((&first.body[..], &second.body[..]), (&b"a\0b"[..], &b"no"[..]));
}

#[test]
fn a_body_that_goes_on_after_content_length_is_fatal_and_the_text_says_octets() {
    let problem = problem(Version::V1_2, "SEND\ncontent-length:4\n\ncaf\u{e9}\0".as_bytes());
    assert_eq!(problem, DecodeProblem::NoNulAfterBody(4));
    assert!(problem.to_string().contains("octets, not characters"), "{problem}");
}

#[test]
fn a_content_length_that_is_no_number_is_fatal() {
    for value in ["-1", "x", "", "1.0", "+1", "0x10", "99999999999999999999999"] {
        let octets = format!("SEND\ncontent-length:{value}\n\n\0");
        assert_eq!(problem(Version::V1_2, octets.as_bytes()), DecodeProblem::BadContentLength(value.into()));
    }
}

#[test]
fn an_error_knows_the_receipt_of_the_frame_it_broke() {
    let (_, error) = decode(Some(Version::V1_2), b"SEND\nreceipt:r-1\nno colon\n\n\0");
    assert_eq!(error.unwrap().receipt.as_deref(), Some("r-1"));
    let (_, error) = decode(Some(Version::V1_2), b"SEND\nreceipt:r-2\ncontent-length:1\n\nab\0");
    assert_eq!(error.unwrap().receipt.as_deref(), Some("r-2"));
    let (_, error) = decode(None, b"CONNECT\nreceipt:r-3\nno colon\n\n\0");
    assert_eq!(error.unwrap().receipt, None, "CONNECT has no receipts");
}

#[test]
fn no_header_value_is_shown_in_an_error() {
    for octets in
        [&b"CONNECT\npasscode secret\n\n\0"[..], b"CONNECT\npasscode:secret\xff\n\n\0", b"SEND\n:secret\n\n\0"]
    {
        let text = problem(Version::V1_2, octets).to_string();
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn a_decoder_knows_whether_it_is_inside_a_frame() {
    let mut decoder = Decoder::new(LIMITS);
    let mut buffer = BytesMut::from(&b"\nSEND\n\nab"[..]);
    assert!(!decoder.is_inside_frame());
    while decoder.decode(&mut buffer).unwrap().is_some() {}
    assert!(decoder.is_inside_frame());
    buffer.extend_from_slice(b"\0");
    assert!(decoder.decode(&mut buffer).unwrap().is_some());
    assert!(!decoder.is_inside_frame());
}
