//! `diff`: the objects that a manifest would change, line by line. Pure.

use std::io;

use similar::{ChangeTag, TextDiff};
use stompbroker_operator::{
    api::StompBroker,
    observed::Observed,
    plan::{self, PlanError, Settings},
    validate::{SpecError, validate},
};

use crate::{
    error::Failure,
    paint::{Painted, Tone},
};

/// Lines that are shown around a change.
const CONTEXT: usize = 3;

/// The objects that the operator makes of a manifest, as `stompbroker-operator render` prints them.
///
/// # Errors
/// When the manifest would be refused.
pub(crate) fn objects(broker: &StompBroker, settings: &Settings) -> Result<String, Failure> {
    let observed = Observed::assuming_references(broker);
    let refused = |errors: &[SpecError]| Failure::Refused {
        errors: errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    };
    let validated = validate(broker, &observed).map_err(|errors| refused(&errors))?;
    let plan = plan::plan(&validated, &observed, settings).map_err(|error| match error {
        PlanError::Overrides(errors) => refused(&errors),
        error => error.into(),
    })?;
    Ok(plan.objects.to_yaml()?)
}

/// Prints what differs; returns whether anything does.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn print(old: &str, new: &str, out: &mut impl io::Write) -> io::Result<bool> {
    let diff = TextDiff::from_lines(old, new);
    let mut differs = false;
    for group in diff.grouped_ops(CONTEXT) {
        differs = true;
        writeln!(out, "{}", Painted(Tone::Strong, "@@"))?;
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let line = change.value().trim_end_matches('\n');
            match change.tag() {
                ChangeTag::Delete => writeln!(out, "{}", Painted(Tone::Bad, format!("-{line}")))?,
                ChangeTag::Insert => writeln!(out, "{}", Painted(Tone::Good, format!("+{line}")))?,
                ChangeTag::Equal => writeln!(out, " {line}")?,
            }
        }
    }
    Ok(differs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown_with_what_is_around_it() {
        let old = (0..20).map(|line| format!("line {line}\n")).collect::<Vec<_>>().concat();
        let new = old.replace("line 10\n", "line ten\n");
        let mut out = anstream::StripStream::new(Vec::new());
        assert!(print(&old, &new, &mut out).unwrap());
        let text = String::from_utf8(out.into_inner()).unwrap();
        assert!(text.contains("-line 10\n+line ten\n"), "{text}");
        assert!(text.contains(" line 7\n") && !text.contains("line 6\n"), "{text}");
        assert!(!print(&old, &old, &mut Vec::new()).unwrap());
    }
}
