//! `metadata.uid` in the room that it needs (pure): ten are kept for each StompBroker.

use std::fmt;

/// Where a UUID has its hyphens.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// A UID.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Uid {
    /// As Kubernetes makes them: a UUID in lower case.
    Uuid([u8; 16]),
    /// Any other text.
    Text(Box<str>),
}

impl Uid {
    pub(crate) fn new(text: &str) -> Self {
        uuid(text).map_or_else(|| Self::Text(text.into()), Self::Uuid)
    }
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    if text.len() != 36 || HYPHENS.iter().any(|place| text[*place] != b'-') {
        return None;
    }
    let mut octets = [0; 16];
    let mut digits =
        text.iter().enumerate().filter(|(place, _)| !HYPHENS.contains(place)).map(|(_, digit)| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        });
    for octet in &mut octets {
        *octet = digits.next()?? << 4 | digits.next()??;
    }
    Some(octets)
}

impl fmt::Display for Uid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Uuid(octets) => octets.iter().enumerate().try_for_each(|(place, octet)| {
                let hyphen = if [4, 6, 8, 10].contains(&place) { "-" } else { "" };
                write!(formatter, "{hyphen}{octet:02x}")
            }),
        }
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_uid_comes_back_as_it_was() {
        let uuid = "0f8fad5b-d9cb-469f-a165-70867728950e";
        assert!(matches!(Uid::new(uuid), Uid::Uuid(_)));
        for text in ["", "uid", uuid, &uuid.to_uppercase(), &uuid.replace('-', "0"), &uuid.replace('f', "g")] {
            assert_eq!(Uid::new(text).to_string(), text);
        }
        assert_ne!(Uid::new(uuid), Uid::new(&uuid.replace('e', "d")));
    }
}
