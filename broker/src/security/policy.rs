//! Whether a session may do something with a destination: ordered rules, the first that matches decides.
//!
//! A destination with wildcards stands for many, so it is allowed only if all of them are. Going through the rules in
//! order, an allowing pattern that covers everything asked for decides for it; a denying pattern that overlaps what is
//! asked for decides against it; an allowing pattern that covers only a part is passed over. This refuses some requests
//! that an exact computation would allow, and never the other way round.

use std::{borrow::Cow, fmt::Write as _};

use stompbroker_config::{Action, Allow, Authorization, Rule, RuleError};

use super::{Principal, upstream};
use crate::destination::{Segment, segments};

/// The destination rules, compiled.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Absent: every session that got in may do everything.
    rules: Option<Box<[CompiledRule]>>,
    for_upstream: bool,
}

#[derive(Clone, Debug)]
struct CompiledRule {
    actions: Box<[Action]>,
    patterns: Box<[Pattern]>,
    allow: Allow,
}

/// A pattern of a rule: its segments, then the rest or nothing.
#[derive(Clone, Debug)]
struct Pattern {
    segments: Box<[PatternSegment]>,
    rest: bool,
}

#[derive(Clone, Debug)]
enum PatternSegment {
    Any,
    Literal(Box<str>),
    User { before: Box<str>, after: Box<str> },
}

impl Policy {
    /// Compiles the rules; without any, every session that got in may do everything.
    ///
    /// # Errors
    /// Names the first rule that cannot work.
    pub fn new(authorization: Option<&Authorization>) -> Result<Self, RuleError> {
        let compile = |authorization: &Authorization| {
            authorization.check()?;
            Ok(authorization.rules.iter().map(CompiledRule::new).collect())
        };
        Ok(Self { rules: authorization.map(compile).transpose()?, for_upstream: false })
    }

    /// The same rules for destinations that an upstream broker interprets in its own way: its wildcards may reach further
    /// than one segment, and it may decode, split or cut a destination. Whatever it could make of it must be allowed.
    #[must_use]
    pub fn for_upstream(self) -> Self {
        Self { for_upstream: true, ..self }
    }

    /// Whether this session may do this with this destination, which may have wildcards.
    pub fn allows(&self, principal: &Principal, action: Action, destination: &str) -> bool {
        let Some(rules) = &self.rules else { return true };
        let mut user = None;
        if self.for_upstream {
            upstream::readings(destination)
                .all(|reading| decide(rules, principal, &mut user, action, &segments_for_upstream(&reading)))
        } else {
            decide(rules, principal, &mut user, action, &segments(destination))
        }
    }
}

/// A wildcard of an upstream stands for everything from its place on, for its separators are not known here.
fn segments_for_upstream(destination: &str) -> impl Iterator<Item = Segment<'_>> + Clone {
    segments(destination).map(|segment| match segment {
        Segment::Literal(text) if !text.contains(['*', '#', '>']) => segment,
        _ => Segment::Rest,
    })
}

fn decide<'a, 'p>(
    rules: &[CompiledRule],
    principal: &'p Principal,
    user: &mut Option<Cow<'p, str>>,
    action: Action,
    asked: &(impl Iterator<Item = Segment<'a>> + Clone),
) -> bool {
    for rule in rules.iter().filter(|rule| rule.actions.contains(&action)) {
        let admits = rule.admits(principal);
        for pattern in &rule.patterns {
            if pattern.names_user() && user.is_none() {
                *user = Some(escaped(&principal.user));
            }
            // A rule about one's own destinations says nothing to a session without a name.
            if pattern.names_user() && !principal.is_authenticated() {
                continue;
            }
            let user = user.as_deref().unwrap_or_default();
            if admits && pattern.covers(asked.clone(), user) {
                return true;
            }
            if !admits && pattern.overlaps(asked.clone(), user) {
                return false;
            }
        }
    }
    false
}

impl CompiledRule {
    fn new(rule: &Rule) -> Self {
        Self {
            actions: rule.actions.as_slice().into(),
            patterns: rule.destinations.iter().map(|pattern| Pattern::new(pattern)).collect(),
            allow: rule.allow.clone(),
        }
    }

    fn admits(&self, principal: &Principal) -> bool {
        match &self.allow {
            Allow::Anyone {} => true,
            Allow::Authenticated {} => principal.is_authenticated(),
            Allow::Roles(roles) => roles.iter().any(|role| principal.roles.iter().any(|own| **own == **role)),
            Allow::Users(users) => users.iter().any(|user| **user == *principal.user),
            Allow::Nobody {} => false,
        }
    }
}

impl Pattern {
    /// Reads a pattern that [`Authorization::check`] has passed.
    fn new(text: &str) -> Self {
        let mut rest = false;
        let read = |segment| match segment {
            Segment::Any => Some(PatternSegment::Any),
            Segment::Rest => {
                rest = true;
                None
            }
            Segment::Literal(text) => Some(match text.split_once("{user}") {
                Some((before, after)) => PatternSegment::User { before: before.into(), after: after.into() },
                None => PatternSegment::Literal(text.into()),
            }),
        };
        let segments = segments(text).map_while(read).collect();
        Self { segments, rest }
    }

    fn names_user(&self) -> bool {
        self.segments.iter().any(|segment| matches!(segment, PatternSegment::User { .. }))
    }

    /// Whether all that is asked for is of this pattern.
    fn covers<'a>(&self, mut asked: impl Iterator<Item = Segment<'a>>, user: &str) -> bool {
        for own in &self.segments {
            let covered = match (own, asked.next()) {
                (PatternSegment::Any, Some(Segment::Any | Segment::Literal(_))) => true,
                (own, Some(Segment::Literal(text))) => own.is(text, user),
                (_, Some(Segment::Any | Segment::Rest) | None) => false,
            };
            if !covered {
                return false;
            }
        }
        self.rest || asked.next().is_none()
    }

    /// Whether any of what is asked for is of this pattern.
    fn overlaps<'a>(&self, mut asked: impl Iterator<Item = Segment<'a>>, user: &str) -> bool {
        for own in &self.segments {
            match asked.next() {
                Some(Segment::Rest) => return true,
                Some(Segment::Literal(text)) if !own.is(text, user) => return false,
                Some(Segment::Any | Segment::Literal(_)) => {}
                None => return false,
            }
        }
        self.rest || matches!(asked.next(), None | Some(Segment::Rest))
    }
}

impl PatternSegment {
    fn is(&self, text: &str, user: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Literal(own) => **own == *text,
            Self::User { before, after } => text
                .strip_prefix(&**before)
                .and_then(|text| text.strip_suffix(&**after))
                .is_some_and(|name| name == user),
        }
    }
}

/// A user's name as one segment that stands only for itself: whatever separates, matches, escapes or cuts, here or in an
/// upstream, becomes `=` and two hex digits. Different names stay different.
fn escaped(name: &str) -> Cow<'_, str> {
    let special = |c: char| c.is_ascii_control() || " /.*#>%,=?:".contains(c);
    if !name.contains(special) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.chars().fold(String::with_capacity(name.len() + 8), |mut escaped, c| {
        if special(c) {
            let _ = write!(escaped, "={:02X}", u32::from(c));
        } else {
            escaped.push(c);
        }
        escaped
    }))
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
