//! Any text as a selector over any headers: an error or an answer, never a panic, and always the same answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stompbroker::{message::Message, selector::Selector};

fuzz_target!(|input: (&str, Vec<(&str, &str)>)| {
    let (text, headers) = input;
    let headers = headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    let message = Message::new("1".into(), "/topic/a".into(), headers, Vec::new().into(), true);
    match (Selector::parse(text), Selector::parse(text)) {
        (Ok(one), Ok(other)) => assert_eq!(one.matches(&message), other.matches(&message)),
        (Err(one), Err(other)) => assert_eq!(one, other),
        (one, other) => panic!("{one:?} is not {other:?}"),
    }
});
