//! What an upstream broker may make of a destination before it looks it up.
//!
//! `RabbitMQ` decodes percent escapes; `ActiveMQ` splits at commas and cuts options off at a question mark; Artemis reads
//! `address::queue`. A rule must hold for every reading, or a client could write a denied destination in another way.

use std::borrow::Cow;

/// All readings of a destination, itself first.
pub(super) fn readings(destination: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let mut readings = vec![Cow::Borrowed(destination)];
    if destination.contains('%') {
        readings.push(Cow::Owned(percent_decoded(destination)));
    }
    let parts: Vec<Cow<'_, str>> = readings
        .iter()
        .flat_map(|reading| {
            let pieces = reading.split(',').filter(|piece| piece.len() < reading.len());
            let cuts = reading
                .split(',')
                .flat_map(|piece| [piece.split_once('?'), piece.split_once("::")])
                .flatten()
                .map(|(before, _)| before);
            pieces.chain(cuts).map(|part| Cow::Owned(part.trim().to_owned())).collect::<Vec<_>>()
        })
        .collect();
    readings.into_iter().chain(parts)
}

/// Decodes `%2F` and the like once; what is no escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let octets = text.as_bytes();
    let mut decoded = Vec::with_capacity(octets.len());
    let mut at = 0;
    while let Some(&octet) = octets.get(at) {
        let escape = text.get(at + 1..at + 3).filter(|_| octet == b'%');
        if let Some(value) = escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            decoded.push(value);
            at += 3;
        } else {
            decoded.push(octet);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_an_upstream_could_read_a_destination_is_found() {
        for (destination, reading) in [
            ("/topic/a", "/topic/a"),
            ("/topic/%73ecret%2Fx", "/topic/secret/x"),
            ("/topic/a, /topic/b", "/topic/b"),
            ("/topic/a%2C/topic/b", "/topic/b"),
            ("/queue/a?consumer.prefetchSize=1", "/queue/a"),
            ("/queue/a%3Fx=1", "/queue/a"),
            ("/topic/a::q", "/topic/a"),
            ("/topic/x,/topic/a::q", "/topic/a"),
        ] {
            assert!(readings(destination).any(|found| found == reading), "{destination}");
            assert!(readings(destination).any(|found| found == destination), "{destination}");
        }
        assert_eq!(readings("/topic/a").count(), 1);
    }

    #[test]
    fn what_is_no_escape_stays() {
        for text in ["%", "%2", "%zz", "100%é", "%é"] {
            assert_eq!(percent_decoded(text), text);
        }
    }
}
