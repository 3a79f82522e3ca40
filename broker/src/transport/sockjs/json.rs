//! JSON as SockJS uses it: strings out, an array of strings (or one string) in. Without I/O, and in pieces of any size.

use crate::transport::websocket::Utf8;

/// Appends `text` as a JSON string. Characters that browsers or proxies have been seen to change are escaped, too.
pub(crate) fn push_string(text: &str, out: &mut String) {
    out.push('"');
    push_escaped(text, out);
    out.push('"');
}

/// Appends `text` as the inside of a JSON string.
pub(crate) fn push_escaped(text: &str, out: &mut String) {
    let mut copied = 0;
    for (at, character) in text.char_indices() {
        if !needs_escape(character) {
            continue;
        }
        out.push_str(&text[copied..at]);
        copied = at + character.len_utf8();
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other => push_unicode(other, out),
        }
    }
    out.push_str(&text[copied..]);
}

const fn needs_escape(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}' | '"' | '\\' | '\u{200c}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{2060}'..='\u{206f}'
            | '\u{fff0}'..='\u{ffff}'
    )
}

fn push_unicode(character: char, out: &mut String) {
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        let digit = (character as u32 >> shift) & 0xF;
        out.extend(char::from_digit(digit, 16));
    }
}

/// What [`StringsReader`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// More of a string, decoded; UTF-8 when all pieces of it are put together.
    Text(&'a [u8]),
    /// The end of a string.
    End,
}

/// The text is not an array of strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON array of strings")]
pub(crate) struct Broken;

/// Which text is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accept {
    /// Only an array of strings.
    Array,
    /// Also a single string.
    ArrayOrString,
}

/// Decodes an array of strings that comes in pieces. Small, for one lives in every SockJS session over WebSocket.
#[derive(Debug)]
pub(crate) struct StringsReader {
    accept: Accept,
    state: State,
    in_array: bool,
    /// The first half of a surrogate pair.
    high: Option<u16>,
    utf8: Utf8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the text, which may turn out to be empty.
    Start,
    /// After the bracket.
    FirstElement,
    /// After a comma.
    Element,
    Text,
    Escape,
    Hex {
        digits: u8,
        value: u16,
    },
    AfterElement,
    Done,
}

impl StringsReader {
    pub(crate) fn new(accept: Accept) -> Self {
        Self { accept, state: State::Start, in_array: false, high: None, utf8: Utf8::default() }
    }

    /// Takes the next octets of the text and hands on what is in them.
    ///
    /// # Errors
    /// When the text cannot become an array of strings any more; what was handed on before stands.
    pub(crate) fn read(&mut self, mut octets: &[u8], mut hand_on: impl FnMut(Piece<'_>)) -> Result<(), Broken> {
        if !self.utf8.push(octets) {
            return Err(Broken);
        }
        while let Some((&octet, rest)) = octets.split_first() {
            if self.state == State::Text {
                let plain = memchr::memchr2(b'"', b'\\', octets).unwrap_or(octets.len());
                let (text, rest) = octets.split_at(plain);
                if text.iter().any(|octet| *octet < 0x20) {
                    return Err(Broken);
                }
                if !text.is_empty() {
                    self.end_pair(&mut hand_on);
                    hand_on(Piece::Text(text));
                }
                octets = rest;
                if let Some((&octet, rest)) = rest.split_first() {
                    octets = rest;
                    if octet == b'\\' {
                        self.state = State::Escape;
                    } else {
                        self.end_pair(&mut hand_on);
                        hand_on(Piece::End);
                        self.state = if self.in_array { State::AfterElement } else { State::Done };
                    }
                }
                continue;
            }
            octets = rest;
            self.step(octet, &mut hand_on)?;
        }
        Ok(())
    }

    /// Ends the text; says whether there was any. Ready for the next one.
    ///
    /// # Errors
    /// When it ended too early.
    pub(crate) fn finish(&mut self) -> Result<bool, Broken> {
        let state = std::mem::replace(&mut self.state, State::Start);
        let is_utf8 = self.utf8.finish();
        self.in_array = false;
        self.high = None;
        match state {
            State::Start if is_utf8 => Ok(false),
            State::Done if is_utf8 => Ok(true),
            _ => Err(Broken),
        }
    }

    /// Takes one octet outside the plain text of a string.
    fn step(&mut self, octet: u8, hand_on: &mut impl FnMut(Piece<'_>)) -> Result<(), Broken> {
        self.state = match (self.state, octet) {
            (State::Hex { digits, value }, _) => {
                let digit = char::from(octet).to_digit(16).and_then(|digit| u16::try_from(digit).ok()).ok_or(Broken)?;
                let value = value << 4 | digit;
                if digits == 3 {
                    self.unit(value, hand_on);
                    State::Text
                } else {
                    State::Hex { digits: digits + 1, value }
                }
            }
            (State::Escape, b'u') => State::Hex { digits: 0, value: 0 },
            (State::Escape, _) => {
                let character = match octet {
                    b'"' | b'\\' | b'/' => octet,
                    b'b' => 0x08,
                    b'f' => 0x0C,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    _ => return Err(Broken),
                };
                self.end_pair(hand_on);
                hand_on(Piece::Text(&[character]));
                State::Text
            }
            (state, b' ' | b'\t' | b'\n' | b'\r') => state,
            (State::Start, b'[') => {
                self.in_array = true;
                State::FirstElement
            }
            (State::Start, b'"') if self.accept == Accept::ArrayOrString => State::Text,
            (State::FirstElement | State::Element, b'"') => State::Text,
            (State::AfterElement, b',') => State::Element,
            (State::FirstElement | State::AfterElement, b']') => State::Done,
            _ => return Err(Broken),
        };
        Ok(())
    }

    /// Takes one `\uXXXX`.
    fn unit(&mut self, unit: u16, hand_on: &mut impl FnMut(Piece<'_>)) {
        if let (Some(high), 0xDC00..=0xDFFF) = (self.high, unit) {
            self.high = None;
            let scalar = 0x1_0000 + ((u32::from(high) - 0xD800) << 10) + (u32::from(unit) - 0xDC00);
            return put_scalar(scalar, hand_on);
        }
        self.end_pair(hand_on);
        if let 0xD800..=0xDBFF = unit {
            self.high = Some(unit);
        } else {
            put_scalar(u32::from(unit), hand_on);
        }
    }

    /// The first half of a pair is not followed by the second.
    fn end_pair(&mut self, hand_on: &mut impl FnMut(Piece<'_>)) {
        if let Some(high) = self.high.take() {
            put_scalar(u32::from(high), hand_on);
        }
    }
}

/// Hands on one character; half of a surrogate pair, which no text can hold, becomes U+FFFD.
fn put_scalar(scalar: u32, hand_on: &mut impl FnMut(Piece<'_>)) {
    let character = char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER);
    hand_on(Piece::Text(character.encode_utf8(&mut [0; 4]).as_bytes()));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_in_pieces(text: &[u8], size: usize) -> Result<Vec<String>, Broken> {
        let mut reader = StringsReader::new(Accept::ArrayOrString);
        let (mut strings, mut string) = (Vec::new(), Vec::new());
        for piece in text.chunks(size) {
            reader.read(piece, |piece| match piece {
                Piece::Text(text) => string.extend_from_slice(text),
                Piece::End => strings.push(String::from_utf8(std::mem::take(&mut string)).unwrap()),
            })?;
        }
        reader.finish().map(|_| strings)
    }

    fn read(text: &str) -> Result<Vec<String>, Broken> {
        read_in_pieces(text.as_bytes(), 1)
    }

    fn encoded(text: &str) -> String {
        let mut out = String::new();
        push_string(text, &mut out);
        out
    }

    #[test]
    fn what_browsers_or_proxies_change_is_escaped_in_lower_case() {
        assert_eq!(encoded("a\"\\\n\r\t\0\u{1f}"), r#""a\"\\\n\r\t\u0000\u001f""#);
        for (first, last) in [(0x200c, 0x200f), (0x2028, 0x202f), (0x2060, 0x206f), (0xfff0, 0xffff)] {
            for code in [first, last] {
                assert_eq!(encoded(&char::from_u32(code).unwrap().to_string()), format!("\"\\u{code:04x}\""));
            }
            let after = char::from_u32(last + 1).unwrap().to_string();
            assert_eq!(encoded(&after), format!("\"{after}\""));
        }
    }

    #[test]
    fn an_array_a_string_and_nothing_are_read() {
        assert_eq!(
            read(r#" [ "a" , "" , "\u00e9\/\b\f\n\r\t\"\\" ] "#).unwrap(),
            ["a", "", "\u{e9}/\u{8}\u{c}\n\r\t\"\\"]
        );
        assert_eq!(read(r#""one""#).unwrap(), ["one"]);
        for empty in ["", " \n", "[]", "[ ]"] {
            assert_eq!(read(empty).unwrap(), [""; 0], "{empty:?}");
        }
    }

    #[test]
    fn surrogates_make_characters_and_lone_ones_the_replacement_character() {
        assert_eq!(read(r#"["\ud83d\ude00"]"#).unwrap(), ["\u{1f600}"]);
        for lone in [r"\ud83d", r"\ude00", r"\ud83d\n", r"\ud83dx", r"\ud83d\u0041", r"\ud83d\ud83d\ude00"] {
            let string = read(&format!("[\"{lone}\"]")).unwrap().remove(0);
            assert!(string.starts_with('\u{fffd}'), "{lone}: {string:?}");
        }
        assert_eq!(read(r#"["\ud83d\ud83d\ude00"]"#).unwrap(), ["\u{fffd}\u{1f600}"]);
    }

    #[test]
    fn anything_else_is_broken() {
        for broken in [
            r#"["a"#,
            r#"["a""#,
            r#"["a","#,
            r#"["a",]"#,
            r#"[,"a"]"#,
            "[1]",
            "null",
            "{}",
            r#"[["a"]]"#,
            r#"["a"]]"#,
            r#"["\x"]"#,
            r#"["\u12"]"#,
            r#"["\u12g4"]"#,
            "[\"a\nb\"]",
            r#""a" "b""#,
            r#"["a" "b"]"#,
            "[",
        ] {
            assert_eq!(read(broken), Err(Broken), "{broken}");
        }
        assert_eq!(read_in_pieces(b"[\"\xFF\"]", 1), Err(Broken));
        assert_eq!(StringsReader::new(Accept::Array).read(b"\"a\"", |_| ()), Err(Broken));
    }

    proptest! {
        #[test]
        fn any_strings_come_back_however_the_text_is_cut(strings: Vec<String>, size in 1usize..9) {
            let mut text = String::from("[");
            for (index, string) in strings.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                push_string(string, &mut text);
            }
            text.push(']');
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), strings.clone());
            prop_assert_eq!(read_in_pieces(text.as_bytes(), size).unwrap(), strings);
        }

        #[test]
        fn agrees_with_a_full_parser_on_what_is_an_array_of_strings(text in r#"[\[\],"\\un0-9a-dD \t]{0,12}"#) {
            let theirs = serde_json::from_str::<Vec<String>>(&text);
            let mut reader = StringsReader::new(Accept::Array);
            let mut count = 0;
            let ours = reader
                .read(text.as_bytes(), |piece| count += usize::from(piece == Piece::End))
                .and_then(|()| reader.finish());
            match (theirs, ours) {
                (Ok(strings), Ok(true)) => prop_assert_eq!(strings.len(), count),
                // Theirs refuses lone surrogates, which ours replaces.
                (Err(_), Ok(true)) => prop_assert!(text.contains("\\u")),
                (Ok(_), other) => prop_assert!(false, "{:?}", other),
                (Err(_), _) => {}
            }
        }

        #[test]
        fn no_octets_make_the_reader_panic(octets: Vec<u8>) {
            let mut reader = StringsReader::new(Accept::ArrayOrString);
            let _ = reader.read(&octets, |_| ()).and_then(|()| reader.finish());
        }
    }
}
