//! `Managed`: whether the operator puts the spec into effect; told only where it does not.

use super::{
    Reason,
    build::StatusInput,
    verdict::{Holds, Verdict},
};

/// That nothing is written, when the spec wants it so.
pub(super) fn managed(input: &StatusInput<'_>) -> Option<Verdict> {
    let spec = &input.broker.spec;
    if spec.suspend {
        let text = "spec.suspend is true, so every object stays as it is";
        return Some(Verdict::new(Holds::False, Reason::Suspended, text));
    }
    if !spec.is_hands_off() {
        return None;
    }
    let text = match input.changes.len() {
        _ if input.planned.is_none() => "spec.managementPolicy is Observe, so nothing is written".to_owned(),
        0 => "spec.managementPolicy is Observe; there is nothing that would be written".to_owned(),
        count => format!(
            "spec.managementPolicy is Observe, so nothing is written; {count} objects would be, see status.plannedChanges"
        ),
    };
    Some(Verdict::new(Holds::False, Reason::Observing, text))
}
