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
    /// Destination patterns: segments are separated by `/` or `.`; `*` is one segment, `**` (also `#` and `>`) is any
    /// number of segments, none included. `{user}` is the name of the session's user with everything that separates segments
    /// or is special elsewhere written as `=` and two hex digits (`a.b` as `a=2Eb`), so that no name reaches further.
    /// `{claim.tenant}` is the value of that claim of the session's token, in the same way; without it nothing matches.
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

/// A rule that could never do what it was written for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct RuleError {
    /// Path of the key below `authorization`, for example `rules[2].destinations[0]`.
    pub key: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl Authorization {
    /// Checks that every rule can match something.
    ///
    /// # Errors
    /// Names the first rule that cannot, by its index, with the pattern and the remedy.
    pub fn check(&self) -> Result<(), RuleError> {
        for (index, rule) in self.rules.iter().enumerate() {
            let refuse = |key: &str, problem: &str| {
                Err(RuleError { key: format!("rules[{index}].{key}"), problem: problem.to_owned() })
            };
            if rule.actions.is_empty() {
                return refuse(
                    "actions",
                    "the list is empty, so the rule never matches; write Send, Subscribe or both",
                );
            }
            if rule.destinations.is_empty() {
                return refuse(
                    "destinations",
                    "the list is empty, so the rule never matches; write /** for everything",
                );
            }
            let named = match &rule.allow {
                Allow::Roles(names) => Some(("allow.roles", names)),
                Allow::Users(names) => Some(("allow.users", names)),
                Allow::Anyone {} | Allow::Authenticated {} | Allow::Nobody {} => None,
            };
            if let Some((key, names)) = named {
                if names.is_empty() {
                    return refuse(key, "the list is empty; write nobody: {} for a rule that denies");
                }
                if names.iter().any(String::is_empty) {
                    return refuse(
                        key,
                        "an empty name matches nobody; write anyone: {} to let in sessions without a login",
                    );
                }
            }
            for (position, pattern) in rule.destinations.iter().enumerate() {
                if let Err(problem) = check_pattern(pattern) {
                    return refuse(&format!("destinations[{position}]"), &format!("{pattern:?} {problem}"));
                }
            }
        }
        Ok(())
    }
}

/// Whether a segment of a pattern stands for any number of segments.
fn is_rest(segment: &str) -> bool {
    matches!(segment, "**" | "#" | ">")
}

/// What stands between the braces of a placeholder for a claim, before its name. In a pattern it is written with a dot, which
/// would be a border of segments.
pub const CLAIM: &str = "claim:";

/// A pattern with its placeholders written so that its segments can be told apart: `{claim.a}` as `{claim:a}`.
pub fn pattern_segments(pattern: &str) -> String {
    pattern.replace("{claim.", "{claim:")
}

fn check_pattern(pattern: &str) -> Result<(), &'static str> {
    let pattern = &*pattern_segments(pattern);
    if !pattern.starts_with('/') {
        return Err("matches nothing, for every destination begins with a slash; write one, as in /topic/prices");
    }
    for segment in pattern.split(['/', '.']) {
        if !is_rest(segment) && segment != "*" && segment.contains(['*', '#', '>', '?']) {
            return Err("has a wildcard inside a segment; a wildcard is a whole segment: * for one, ** for any number");
        }
        let text = match segment.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?))) {
            Some((before, (name, after))) if is_placeholder(name) => before.to_owned() + after,
            _ => segment.to_owned(),
        };
        if text.contains(['{', '}']) {
            return Err(
                "has a placeholder that means nothing here; only {user} does, and {claim.NAME} with a name of letters, \
                 digits, _ and -, once a segment",
            );
        }
    }
    Ok(())
}

/// Whether a text between braces stands for something.
fn is_placeholder(text: &str) -> bool {
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    text == "user" || text.strip_prefix(CLAIM).is_some_and(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: &str) -> Rule {
        Rule { actions: vec![Action::Send], destinations: vec![pattern.to_owned()], allow: Allow::Anyone {} }
    }

    #[test]
    fn patterns_that_can_match_are_accepted() {
        for pattern in [
            "/**",
            "/topic/*",
            "/topic/a.*.b",
            "/topic/#",
            "/topic.>",
            "/topic/**/a",
            "/topic/#.a/>",
            "/queue/x-user{user}",
            "/u/{user}/**",
            "/t/{claim.tenant}-x/{user}",
        ] {
            assert_eq!(Authorization { rules: vec![rule(pattern)] }.check(), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn patterns_that_cannot_work_are_named_with_rule_and_remedy() {
        for (pattern, remedy) in [
            ("topic/a", "begins with a slash"),
            ("", "begins with a slash"),
            ("/topic/a*", "whole segment"),
            ("/topic/a?", "whole segment"),
            ("/topic/***", "whole segment"),
            ("/topic/{id}", "only {user}"),
            ("/topic/{user", "only {user}"),
            ("/topic/{user}{user}", "once a segment"),
            ("/topic/{claim.}", "{claim.NAME}"),
            ("/topic/{claim.a.b}", "{claim.NAME}"),
            ("/topic/{user}{claim.a}", "once a segment"),
        ] {
            let error = Authorization { rules: vec![rule("/**"), rule(pattern)] }.check().unwrap_err();
            assert_eq!(error.key, "rules[1].destinations[0]", "{pattern}");
            assert!(error.problem.contains(&format!("{pattern:?}")) && error.problem.contains(remedy), "{error}");
        }
    }

    #[test]
    fn rules_that_match_nothing_or_nobody_are_refused() {
        let rules = [
            (Rule { actions: vec![], ..rule("/**") }, "rules[0].actions"),
            (Rule { destinations: vec![], ..rule("/**") }, "rules[0].destinations"),
            (Rule { allow: Allow::Roles(vec![]), ..rule("/**") }, "rules[0].allow.roles"),
            (Rule { allow: Allow::Users(vec![String::new()]), ..rule("/**") }, "rules[0].allow.users"),
        ];
        for (rule, key) in rules {
            assert_eq!(Authorization { rules: vec![rule] }.check().unwrap_err().key, key);
        }
    }
}
