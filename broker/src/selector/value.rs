//! Values, and what can be done with two of them.

use std::cmp::Ordering;

/// A number: exact as long as it is an integer of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Integer(i64),
    Real(f64),
}

/// What an expression is for one message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// Not there, or not to be told.
    Unknown,
    Boolean(bool),
    Number(Number),
    /// A text of the selector, which is never anything else.
    Text(&'a str),
    /// A header, which may read like a number or a boolean.
    Header(&'a str),
}

/// What is done with two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Number {
    /// Reads a number such as `12`, `-1.5` or `2e3`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
        if !text.chars().all(plain) {
            return None;
        }
        text.parse().map(Self::Integer).or_else(|_| text.parse().map(Self::Real)).ok()
    }

    #[expect(clippy::cast_precision_loss, reason = "what is not exact any more is compared as it can be")]
    const fn real(self) -> f64 {
        match self {
            Self::Integer(number) => number as f64,
            Self::Real(number) => number,
        }
    }

    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(one), Self::Integer(other)) => Some(one.cmp(&other)),
            (one, other) => one.real().partial_cmp(&other.real()),
        }
    }

    /// The result; none for a division by zero. Integers stay integers, as in SQL, unless they grow out of 64 bits.
    fn calculate(self, what: Arithmetic, other: Self) -> Option<Self> {
        if let (Self::Integer(one), Self::Integer(other)) = (self, other) {
            let exact = match what {
                Arithmetic::Add => one.checked_add(other),
                Arithmetic::Subtract => one.checked_sub(other),
                Arithmetic::Multiply => one.checked_mul(other),
                Arithmetic::Divide | Arithmetic::Remainder if other == 0 => return None,
                Arithmetic::Divide => one.checked_div(other),
                Arithmetic::Remainder => one.checked_rem(other),
            };
            if let Some(exact) = exact {
                return Some(Self::Integer(exact));
            }
        }
        let (one, other) = (self.real(), other.real());
        let result = match what {
            Arithmetic::Add => one + other,
            Arithmetic::Subtract => one - other,
            Arithmetic::Multiply => one * other,
            Arithmetic::Divide => one / other,
            Arithmetic::Remainder => one % other,
        };
        result.is_finite().then_some(Self::Real(result))
    }
}

impl<'a> Value<'a> {
    /// True, false or unknown.
    pub(super) fn truth(self) -> Option<bool> {
        match self {
            Self::Boolean(truth) => Some(truth),
            Self::Header(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Self::Header(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// The value of a condition.
    pub(super) fn of(truth: Option<bool>) -> Self {
        truth.map_or(Self::Unknown, Self::Boolean)
    }

    fn number(self) -> Option<Number> {
        match self {
            Self::Number(number) => Some(number),
            Self::Header(text) => Number::parse(text),
            _ => None,
        }
    }

    /// The value as text, where it is one.
    pub(super) const fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) | Self::Header(text) => Some(text),
            _ => None,
        }
    }

    /// How two values compare; nothing where that cannot be told. Two headers are compared as numbers if both read like
    /// numbers.
    pub(super) fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) => None,
            (Self::Boolean(_), _) | (_, Self::Boolean(_)) => Some(self.truth()?.cmp(&other.truth()?)),
            (Self::Number(_), _) | (_, Self::Number(_)) => self.number()?.compare(other.number()?),
            (Self::Header(_), Self::Header(_)) => match (self.number(), other.number()) {
                (Some(one), Some(other)) => one.compare(other),
                _ => Some(self.text()?.cmp(other.text()?)),
            },
            _ => Some(self.text()?.cmp(other.text()?)),
        }
    }

    /// The result of a calculation; unknown where the values are no numbers.
    pub(super) fn calculate(self, what: Arithmetic, other: Self) -> Self {
        let result = self.number().zip(other.number()).and_then(|(one, other)| one.calculate(what, other));
        result.map_or(Self::Unknown, Self::Number)
    }
}
