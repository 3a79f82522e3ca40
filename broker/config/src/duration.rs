//! Durations written as Go writes them (`10s`, `1h30m`, `250ms`), as Kubernetes users expect.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A non-negative span of time in Go's notation, for example `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(pub Duration);

impl GoDuration {
    /// A duration of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

/// The text is not a duration such as `10s`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not a duration; write for example 250ms, 10s, 5m or 1h30m")]
pub struct ParseDurationError {
    text: String,
}

/// Units in the order in which they are printed, with their length in nanoseconds.
const UNITS: [(&str, u128); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl FromStr for GoDuration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseDurationError { text: text.to_owned() };
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let mut rest = text;
        let mut nanoseconds: u128 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|&n| n > 0).ok_or_else(refuse)?;
            let (number, tail) = rest.split_at(digits);
            let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, next) = tail.split_at(letters);
            let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refuse)?;
            let part = scaled(number, *scale).ok_or_else(refuse)?;
            nanoseconds = nanoseconds.checked_add(part).ok_or_else(refuse)?;
            rest = next;
        }
        if text.is_empty() {
            return Err(refuse());
        }
        u64::try_from(nanoseconds).map(|n| Self(Duration::from_nanos(n))).map_err(|_| refuse())
    }
}

/// `number` (digits with at most one point) times `scale`, exact as far as `scale` reaches.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(scale)?;
    let mut weight = scale;
    for digit in fraction.chars() {
        weight /= 10;
        total = total.checked_add(u128::from(digit.to_digit(10)?).checked_mul(weight)?)?;
    }
    Some(total)
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_nanos();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, scale) in UNITS {
            if rest >= scale {
                write!(f, "{}{unit}", rest / scale)?;
                rest %= scale;
            }
        }
        Ok(())
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_the_notation_of_go() {
        for (text, milliseconds) in [("10s", 10_000), ("1h30m", 5_400_000), ("250ms", 250), ("1.5s", 1_500), ("0", 0)] {
            assert_eq!(text.parse::<GoDuration>().unwrap().0, Duration::from_millis(milliseconds), "{text}");
        }
        assert_eq!(GoDuration(Duration::from_millis(90_500)).to_string(), "1m30s500ms");
        assert_eq!(GoDuration(Duration::ZERO).to_string(), "0s");
    }

    #[test]
    fn refuses_what_is_no_duration_and_names_it() {
        for text in ["", "10", "s", "-1s", "1y", "1..2s", ".s", "99999999999999999999h", "1 s"] {
            let error = text.parse::<GoDuration>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
