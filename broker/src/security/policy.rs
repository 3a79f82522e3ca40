//! Whether a session may do something with a destination: ordered rules, the first that matches decides.
//!
//! A destination with wildcards stands for many, so it is allowed only if all of them are. Going through the rules in
//! order, an allowing pattern that covers everything asked for decides for it; a denying pattern that overlaps what is
//! asked for decides against it; an allowing pattern that covers only a part is passed over. This refuses some requests
//! that an exact computation would allow, and never the other way round.

use std::{borrow::Cow, fmt::Write as _};

use stompbroker_config::{Action, Allow, Authorization, CLAIM, Rule, RuleError, pattern_segments};

use super::{Principal, upstream};
use crate::destination::{Segment, alias, segments, spans};

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

/// A pattern of a rule.
#[derive(Clone, Debug)]
struct Pattern {
    segments: Box<[PatternSegment]>,
}

#[derive(Clone, Debug)]
enum PatternSegment {
    Any,
    /// Any number of segments.
    Rest,
    Literal(Box<str>),
    /// What the session says of itself, between two texts.
    Own {
        before: Box<str>,
        name: Own,
        after: Box<str>,
    },
}

/// Something that a session says of itself.
#[derive(Clone, Debug)]
enum Own {
    User,
    Claim(Box<str>),
}

impl Own {
    /// Its value; none when the session says nothing of the kind.
    fn of<'p>(&self, principal: &'p Principal) -> Option<Cow<'p, str>> {
        let value = match self {
            Self::User => Some(&*principal.user),
            Self::Claim(name) => principal.claim(name),
        };
        value.filter(|value| !value.is_empty()).map(escaped)
    }
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

    /// Whether this session may do this with this destination, which may have wildcards. An alias is decided on as what it
    /// stands for.
    pub fn allows(&self, principal: &Principal, action: Action, destination: &str) -> bool {
        let Some(rules) = &self.rules else { return true };
        if self.for_upstream {
            upstream::readings(destination)
                .all(|reading| decide(rules, principal, action, &segments_for_upstream(&reading)))
        } else {
            decide(rules, principal, action, &segments(&alias::canonical(destination)))
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

fn decide<'a>(
    rules: &[CompiledRule],
    principal: &Principal,
    action: Action,
    asked: &(impl Iterator<Item = Segment<'a>> + Clone),
) -> bool {
    for rule in rules.iter().filter(|rule| rule.actions.contains(&action)) {
        let admits = rule.admits(principal);
        for pattern in &rule.patterns {
            // A rule about one's own destinations says nothing to a session without a name, or without that claim.
            if !pattern.speaks_of(principal) {
                continue;
            }
            if admits && pattern.covers(asked.clone(), principal) {
                return true;
            }
            if !admits && pattern.overlaps(asked.clone(), principal) {
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
        let read = |segment| match segment {
            Segment::Any => PatternSegment::Any,
            Segment::Rest => PatternSegment::Rest,
            Segment::Literal(text) => PatternSegment::new(text),
        };
        Self { segments: segments(&pattern_segments(text)).map(read).collect() }
    }

    /// Whether the session says everything of itself that the pattern has a place for.
    fn speaks_of(&self, principal: &Principal) -> bool {
        self.segments.iter().all(|segment| match segment {
            PatternSegment::Own { name, .. } => name.of(principal).is_some(),
            PatternSegment::Any | PatternSegment::Rest | PatternSegment::Literal(_) => true,
        })
    }

    /// Whether all that is asked for is of this pattern. A wildcard that is asked for is covered by one that is as wide.
    fn covers<'a>(&self, asked: impl Iterator<Item = Segment<'a>> + Clone, principal: &Principal) -> bool {
        self.spans(asked, |own, segment| match (own, segment) {
            (PatternSegment::Any, Segment::Any | Segment::Literal(_)) => true,
            (own, Segment::Literal(text)) => own.is(text, principal),
            (_, Segment::Any | Segment::Rest) => false,
        })
    }

    /// Whether any of what is asked for is of this pattern.
    fn overlaps<'a>(&self, asked: impl Iterator<Item = Segment<'a>> + Clone, principal: &Principal) -> bool {
        let meets = |own: &PatternSegment, segment| match segment {
            Segment::Literal(text) => own.is(text, principal),
            Segment::Any | Segment::Rest => true,
        };
        if asked.clone().any(|segment| segment == Segment::Rest) {
            self.meets_somewhere(&asked.collect::<Vec<_>>(), meets)
        } else {
            self.spans(asked, meets)
        }
    }

    /// Whether what is asked for is a way through the pattern.
    fn spans<'a>(
        &self,
        asked: impl Iterator<Item = Segment<'a>> + Clone,
        fits: impl Fn(&PatternSegment, Segment<'a>) -> bool,
    ) -> bool {
        spans(&self.segments, |own| matches!(own, PatternSegment::Rest), asked, fits)
    }

    /// Whether a destination is both of this pattern and of what is asked for, whatever wildcards for the rest either has.
    fn meets_somewhere<'a>(&self, asked: &[Segment<'a>], meets: impl Fn(&PatternSegment, Segment<'a>) -> bool) -> bool {
        // For each number of the last segments of what is asked for: whether the last ones of the pattern meet them.
        let mut before: Vec<bool> = Vec::new();
        for at in (0..=self.segments.len()).rev() {
            let own = self.segments.get(at);
            let is_rest = matches!(own, Some(PatternSegment::Rest));
            let mut row = Vec::with_capacity(asked.len() + 1);
            row.push(own.is_none() || is_rest && before[0]);
            for (left, segment) in (1..).zip(asked.iter().rev()) {
                let met = if is_rest {
                    before[left] || row[left - 1]
                } else if *segment == Segment::Rest {
                    row[left - 1] || own.is_some() && before[left]
                } else {
                    own.is_some_and(|own| meets(own, *segment)) && before[left - 1]
                };
                row.push(met);
            }
            before = row;
        }
        before.last() == Some(&true)
    }
}

impl PatternSegment {
    /// Reads a segment that is no wildcard.
    fn new(text: &str) -> Self {
        let placeholder = text.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
        let Some((before, (name, after))) = placeholder else { return Self::Literal(text.into()) };
        let name = name.strip_prefix(CLAIM).map_or(Own::User, |claim| Own::Claim(claim.into()));
        Self::Own { before: before.into(), name, after: after.into() }
    }

    fn is(&self, text: &str, principal: &Principal) -> bool {
        match self {
            Self::Any | Self::Rest => true,
            Self::Literal(own) => **own == *text,
            Self::Own { before, name, after } => text
                .strip_prefix(&**before)
                .and_then(|text| text.strip_suffix(&**after))
                .is_some_and(|text| name.of(principal).is_some_and(|own| own == text)),
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
