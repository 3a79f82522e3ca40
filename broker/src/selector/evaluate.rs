//! What an expression is for a message, in the three-valued logic of SQL: true, false or unknown.

use std::cmp::Ordering;

use super::{
    expression::{Comparison, Expression, Field},
    value::{Number, Value},
};
use crate::message::Message;

/// The priority of a message that names none, as in JMS.
const DEFAULT_PRIORITY: i64 = 4;

impl Expression {
    /// The value for this message.
    pub(super) fn evaluate<'a>(&'a self, message: &'a Message) -> Value<'a> {
        match self {
            Self::Boolean(truth) => Value::Boolean(*truth),
            Self::Number(number) => Value::Number(*number),
            Self::Text(text) => Value::Text(text),
            Self::Field(field) => field.of(message),
            Self::Not(inner) => Value::of(inner.truth(message).map(|truth| !truth)),
            // One that is false decides, else one that is unknown; for OR it is the other way round.
            Self::And(all) => Value::of(decided(all, false, message)),
            Self::Or(any) => Value::of(decided(any, true, message)),
            Self::Compare(one, comparison, other) => {
                let order = one.evaluate(message).compare(other.evaluate(message));
                Value::of(order.map(|order| comparison.holds(order)))
            }
            Self::Between(value, low, high) => {
                let value = value.evaluate(message);
                let above = value.compare(low.evaluate(message)).map(Ordering::is_ge);
                let below = value.compare(high.evaluate(message)).map(Ordering::is_le);
                Value::of(match (above, below) {
                    (Some(false), _) | (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                })
            }
            Self::In(value, list) => {
                let value = value.evaluate(message);
                let mut unknown = value == Value::Unknown;
                for item in list {
                    match value.compare(item.evaluate(message)) {
                        Some(Ordering::Equal) => return Value::Boolean(true),
                        Some(_) => {}
                        None => unknown = true,
                    }
                }
                Value::of((!unknown).then_some(false))
            }
            Self::Like(value, pattern) => Value::of(value.evaluate(message).text().map(|text| pattern.matches(text))),
            Self::IsNull(value) => Value::Boolean(value.evaluate(message) == Value::Unknown),
            Self::Calculate(first, steps) => steps.iter().fold(first.evaluate(message), |value, (what, operand)| {
                value.calculate(*what, operand.evaluate(message))
            }),
        }
    }

    fn truth(&self, message: &Message) -> Option<bool> {
        self.evaluate(message).truth()
    }
}

/// What a chain comes to in which one part that is `decisive` decides.
fn decided(parts: &[Expression], decisive: bool, message: &Message) -> Option<bool> {
    let mut result = Some(!decisive);
    for part in parts {
        match part.truth(message) {
            Some(truth) if truth == decisive => return Some(decisive),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

impl Comparison {
    const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Field {
    fn of<'a>(&self, message: &'a Message) -> Value<'a> {
        match self {
            Self::Header(name) => message.header(name).map_or(Value::Unknown, Value::Header),
            Self::Priority => {
                message.header("priority").map_or(Value::Number(Number::Integer(DEFAULT_PRIORITY)), Value::Header)
            }
            Self::DeliveryMode => Value::Text(if message.is_persistent() { "PERSISTENT" } else { "NON_PERSISTENT" }),
            Self::MessageId => Value::Text(&message.id),
            Self::Destination => Value::Text(&message.destination),
        }
    }
}
