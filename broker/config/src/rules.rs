//! Destination rules: who may send to what and subscribe to what.

use serde::{Deserialize, Serialize};

/// Destination rules in order; the first that matches decides, and what matches none is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authorization {
    /// The rules in the order in which they are tried.
    pub rules: Vec<Rule>,
}

/// One destination rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// What the session wants to do; the rule is skipped for any other action.
    pub actions: Vec<Action>,
    /// Destination patterns: `*` is one segment, `**` at the end is the rest, `{user}` is the name of the session's user.
    pub destinations: Vec<String>,
    /// Who is let through; everybody else whom the rule matches is denied.
    pub allow: Allow,
}

/// What a session does with a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Publish to it.
    Send,
    /// Consume from it.
    Subscribe,
}

/// Whom a rule lets through: one of the variants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Allow {
    /// Everybody, also sessions without a login.
    Anyone {},
    /// Every session that logged in.
    Authenticated {},
    /// Sessions that carry at least one of these roles.
    Roles(Vec<String>),
    /// Sessions of these users.
    Users(Vec<String>),
    /// Nobody: the rule denies.
    Nobody {},
}
