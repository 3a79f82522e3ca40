//! What a selector says, as a tree.

use super::{
    like::Pattern,
    value::{Arithmetic, Number},
};

/// A part of a selector, or all of it. Chains are lists, so that a tree is as deep as its text is nested, not as it is long.
#[derive(Debug)]
pub(super) enum Expression {
    Boolean(bool),
    Number(Number),
    Text(Box<str>),
    Field(Field),
    Not(Box<Expression>),
    /// All of them.
    And(Vec<Expression>),
    /// Any of them.
    Or(Vec<Expression>),
    Compare(Box<Expression>, Comparison, Box<Expression>),
    /// From the second to the third, both included.
    Between(Box<Expression>, Box<Expression>, Box<Expression>),
    In(Box<Expression>, Vec<Expression>),
    Like(Box<Expression>, Pattern),
    IsNull(Box<Expression>),
    /// From left to right.
    Calculate(Box<Expression>, Vec<(Arithmetic, Expression)>),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What a name stands for.
#[derive(Debug)]
pub(super) enum Field {
    /// A header.
    Header(Box<str>),
    /// `JMSPriority`, which messages have that say nothing of it.
    Priority,
    /// `JMSDeliveryMode`: PERSISTENT or `NON_PERSISTENT`.
    DeliveryMode,
    /// `JMSMessageID`.
    MessageId,
    /// `JMSDestination`.
    Destination,
}

impl Field {
    /// What this name stands for: a header, unless JMS has a meaning of its own for it.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "JMSPriority" => Self::Priority,
            "JMSDeliveryMode" => Self::DeliveryMode,
            "JMSMessageID" | "message-id" => Self::MessageId,
            "JMSDestination" | "destination" => Self::Destination,
            "JMSCorrelationID" => Self::Header("correlation-id".into()),
            "JMSExpiration" => Self::Header("expires".into()),
            "JMSReplyTo" => Self::Header("reply-to".into()),
            "JMSTimestamp" => Self::Header("timestamp".into()),
            "JMSType" => Self::Header("type".into()),
            name => Self::Header(name.into()),
        }
    }
}
