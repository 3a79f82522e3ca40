//! Rotation of one login (pure): what is done with it now, and what that makes of its Secret.
//!
//! The Secret is the truth. It holds one value that consumers read, and during a rotation a second one that pods accept alike:
//!
//! ```text
//!          Stage                 Switch                    Retire
//!  [now]  ──────► [now, next] ──────────► [next, now] ───────────► [next]
//!    ▲               │    all pods accept   │      ▲  after the overlap
//!    └───────────────┘    both              └──────┘
//!        Unstage                           SwitchBack
//! ```
//!
//! Invariants: what consumers read is accepted by every pod that has taken up the Secret as it is, and by every pod that has
//! it as it was before; a value is given to consumers only after every pod that clients may reach has said that it accepts it;
//! what consumers have read stays accepted for the overlap. Each step is one write, on the very Secret that it was decided on,
//! so an operator may end before or after any of them.

use std::time::Duration;

/// The values of one login, of whatever type: the operator's are octets, those of tests are numbers.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub struct Values<V> {
    /// What consumers read.
    pub now: V,
    /// What comes.
    pub next: Option<V>,
    /// What goes.
    pub previous: Option<V>,
    /// Another text for every value that is staged.
    pub rotation: Option<String>,
}

/// Which values a Secret holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holds {
    /// One.
    #[default]
    One,
    /// The one in use and the one that comes.
    Next,
    /// The one in use and the one that goes.
    Previous,
}

/// Where new values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The operator makes them.
    Generated,
    /// The user's own Secret, whose value now is this one of ours.
    Referenced(Matches),
}

/// Which of our values the user's Secret has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matches {
    /// The one in use.
    Now,
    /// The one that comes.
    Next,
    /// The one that goes.
    Previous,
    /// Another one.
    None,
}

/// What is known of one login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginFacts {
    /// Which values its Secret holds.
    pub holds: Holds,
    /// Where new values come from.
    pub source: Source,
    /// Every pod that clients may reach, now or soon, says that it accepts exactly what the Secret holds.
    pub acknowledged: bool,
    /// Somebody wishes for a rotation, and this wish was not seen to yet.
    pub wished: bool,
    /// Somebody wishes that a rotation be taken back, and this wish was not seen to yet.
    pub taken_back: bool,
    /// Since consumers have the value in use.
    pub age: Duration,
}

/// When to rotate, and for how long both values count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Age at which a generated value is replaced; absent: at none.
    pub every: Option<Duration>,
    /// How long the old value is accepted.
    pub overlap: Duration,
}

/// What is done with a login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    #[default]
    Keep,
    /// A further value is given to the pods.
    Stage,
    /// The further value is given to consumers.
    Switch,
    /// The further value is taken from the pods.
    Unstage,
    /// The old value is given to consumers again.
    SwitchBack,
    /// The old value is taken from the pods.
    Retire,
}

impl Step {
    /// The name, as in the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "Keep",
            Self::Stage => "Stage",
            Self::Switch => "Switch",
            Self::Unstage => "Unstage",
            Self::SwitchBack => "SwitchBack",
            Self::Retire => "Retire",
        }
    }
}

/// Decides what is done now.
#[allow(clippy::match_same_arms, reason = "one arm for each state, in their order")]
pub fn decide(login: &LoginFacts, rules: &Rules) -> Step {
    let LoginFacts { holds, source, acknowledged, wished, taken_back, age } = *login;
    match (holds, source) {
        (Holds::One, Source::Referenced(Matches::Now)) => Step::Keep,
        (Holds::One, Source::Referenced(_)) => Step::Stage,
        (Holds::One, Source::Generated) if wished || rules.every.is_some_and(|every| age >= every) => Step::Stage,
        (Holds::Next, Source::Generated) if taken_back => Step::Unstage,
        (Holds::Next, Source::Referenced(Matches::Now)) => Step::Unstage,
        // The user has changed it once more; what was staged was given to nobody yet.
        (Holds::Next, Source::Referenced(Matches::Previous | Matches::None)) => Step::Stage,
        (Holds::Next, _) if acknowledged => Step::Switch,
        (Holds::Previous, Source::Generated) if taken_back => Step::SwitchBack,
        (Holds::Previous, Source::Referenced(Matches::Previous)) => Step::SwitchBack,
        (Holds::Previous, _) if age >= rules.overlap => Step::Retire,
        _ => Step::Keep,
    }
}

/// How long until [`decide`] may say something else although nothing but time goes by.
pub fn due_in(login: &LoginFacts, rules: &Rules) -> Option<Duration> {
    let until = |at: Duration| at.saturating_sub(login.age);
    match (login.holds, login.source) {
        (Holds::One, Source::Generated) => rules.every.map(until),
        (Holds::Previous, _) => Some(until(rules.overlap)),
        _ => None,
    }
}

impl<V> Values<V> {
    /// Which there are. What goes is told first: it is taken away before anything else comes.
    pub fn holds(&self) -> Holds {
        match (&self.next, &self.previous) {
            (_, Some(_)) => Holds::Previous,
            (Some(_), None) => Holds::Next,
            (None, None) => Holds::One,
        }
    }

    /// The values after `step`; a value to stage comes with a text that tells it from all others.
    #[must_use]
    pub fn after(self, step: Step, fresh: Option<(V, String)>) -> Self {
        match (step, fresh) {
            (Step::Stage, Some((next, rotation))) => Self { next: Some(next), rotation: Some(rotation), ..self },
            (Step::Unstage, _) => Self { next: None, ..self },
            (Step::Retire, _) => Self { previous: None, ..self },
            (Step::Switch, _) => match self.next {
                Some(next) => Self { now: next, next: None, previous: Some(self.now), ..self },
                None => self,
            },
            (Step::SwitchBack, _) => match self.previous {
                Some(previous) => Self { now: previous, previous: Some(self.now), ..self },
                None => self,
            },
            (Step::Keep | Step::Stage, _) => self,
        }
    }
}
