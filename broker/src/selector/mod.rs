//! Selectors: which messages a subscription wants, in the subset of SQL-92 that JMS takes, over their headers.
//!
//! Text becomes tokens ([`lexer`]), tokens become an expression ([`parser`]), and an expression is evaluated for a
//! message ([`evaluate`]). All of it is pure. A selector is at most [`MAX_LENGTH`] octets long and nested [`MAX_DEPTH`]
//! deep, so neither reading nor evaluating one costs much stack or time.
//!
//! Headers are texts. One is taken for a number or a boolean where it is compared or calculated with one and reads like
//! one; where it does not, the comparison is neither true nor false but unknown, as it is for a header that is not there.

mod evaluate;
mod expression;
mod lexer;
mod like;
mod parser;
mod value;

use self::expression::Expression;
use crate::message::Message;

/// The longest selector, in octets.
pub const MAX_LENGTH: usize = 2048;
/// The deepest nesting of parentheses and signs.
pub const MAX_DEPTH: usize = 32;

/// A condition on the headers of messages.
#[derive(Debug)]
pub struct Selector {
    text: Box<str>,
    condition: Expression,
}

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {position}: {problem}")]
pub struct SelectorError {
    /// Where, in characters from 1.
    pub position: usize,
    /// What is wrong there, and what would be right.
    pub problem: Box<str>,
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// Where the text stops being one.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        Ok(Self { text: text.into(), condition: parser::parse(text)? })
    }

    /// Whether the condition is true of this message: neither false nor unknown.
    pub fn matches(&self, message: &Message) -> bool {
        self.condition.evaluate(message).truth() == Some(true)
    }

    /// As the client wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests;
