//! Sizes in octets, written as Kubernetes quantities (`64Ki`, `4Mi`) or plain integers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of octets, for example `64Ki`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// The text is not a size such as `64Ki`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not a size; write octets as an integer or a quantity such as 64Ki, 4Mi or 1G")]
pub struct ParseSizeError {
    text: String,
}

/// Suffixes by falling size, so that printing finds the largest that divides; decimal ones are only read.
const BINARY: [(&str, u64); 4] = [("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
const DECIMAL: [(&str, u64); 4] = [("T", 1_000_000_000_000), ("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)];

impl FromStr for ByteSize {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseSizeError { text: text.to_owned() };
        let (digits, scale) = BINARY
            .iter()
            .chain(&DECIMAL)
            .find_map(|(suffix, scale)| text.strip_suffix(suffix).map(|digits| (digits, *scale)))
            .unwrap_or((text, 1));
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refuse());
        }
        digits.parse::<u64>().ok().and_then(|n| n.checked_mul(scale)).map(Self).ok_or_else(refuse)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match BINARY.iter().find(|(_, scale)| self.0 >= *scale && self.0.is_multiple_of(*scale)) {
            Some((suffix, scale)) => write!(f, "{}{suffix}", self.0 / scale),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 64Ki")
            }
            fn visit_u64<E: de::Error>(self, octets: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(octets))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_quantities_and_prints_the_shortest_binary_one() {
        for (text, octets, printed) in [
            ("64Ki", 65_536, "64Ki"),
            ("4Mi", 4_194_304, "4Mi"),
            ("1G", 1_000_000_000, "1000000000"),
            ("100", 100, "100"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (octets, printed));
        }
    }

    #[test]
    fn refuses_what_is_no_size_and_names_it() {
        for text in ["", "Ki", "-1", "1.5Mi", "64KiB", "99999999Ti"] {
            let error = text.parse::<ByteSize>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
