//! Which zones may be given another revision now (pure, and about names of revisions only, so that the simulation can try
//! very many worlds).
//!
//! Invariants: at most one zone that has something to lose is being replaced; no zone is begun while another one is not
//! well; but a zone that is broken, or has nothing to lose, is not made to wait for its own recovery.

use crate::api::OnFailure;

/// What is known of one zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct ZoneFacts<'a> {
    /// The revision that its Deployment has; absent when there is none.
    pub at: Option<&'a str>,
    /// The revision that the spec wants it to have: the newest, or the one that it is pinned to.
    pub target: &'a str,
    /// The revision before, while a rollout is under way.
    pub good: Option<&'a str>,
    /// The revision that did not come up here.
    pub failed: Option<&'a str>,
    /// No pod is ready, so that nothing is lost by replacing them.
    pub empty: bool,
    /// The Deployment's controller has not replaced all pods yet.
    pub mixed: bool,
    /// All wanted pods are there, of one revision, and ready.
    pub ready: bool,
    /// Every pod reports that it runs with the wanted configuration.
    pub verified: bool,
    /// Pods fail, cannot be created or find no room.
    pub broken: bool,
    /// The Deployment's progress deadline is over.
    pub stalled: bool,
    /// What the pods need is being replaced in another zone.
    pub blocked: bool,
}

/// What is done with one zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It keeps what it has.
    Keep,
    /// It is made, with the newest revision.
    Create,
    /// It gets the newest revision.
    Roll,
    /// It gets the revision that it had before.
    Return,
}

/// What is done with all zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// By zone.
    pub acts: Vec<Act>,
    /// By zone: whether it is to get another revision, but not yet.
    pub held: Vec<bool>,
    /// The newest revision did not come up, and the zones go back or have gone.
    pub back: bool,
    /// The zone that does not come up, when that holds the rollout up.
    pub halted: Option<usize>,
    /// Every zone has what it is to have, and is well.
    pub complete: bool,
    /// All that is awaited are sessions.
    pub awaits_sessions: bool,
}

/// Decides for zones in the order in which they are to be replaced. `newest` is the revision of the spec as it is now.
pub fn decide(zones: &[ZoneFacts<'_>], newest: &str, on_failure: OnFailure, sessions_back: bool) -> Decision {
    // What failed goes back, and with it what had failed before and was not corrected.
    let can_return = |zone: &ZoneFacts<'_>| {
        zone.good.is_some_and(|good| good != newest && zone.at != Some(good))
            && (zone.at == Some(newest) || zone.stalled)
    };
    let fails = |zone: &ZoneFacts<'_>| zone.stalled && zone.at == Some(newest) && can_return(zone);
    let back = zones.iter().any(|zone| zone.failed == Some(newest))
        || on_failure == OnFailure::Rollback && zones.iter().any(fails);
    let needs: Vec<bool> = zones
        .iter()
        .map(|zone| match zone.at {
            None => false,
            Some(_) if back => can_return(zone),
            Some(at) => at != zone.target,
        })
        .collect();
    let well = |index: usize| {
        let zone = &zones[index];
        zone.at.is_none() || zone.ready && (needs[index] || zone.verified)
    };
    let act = |zone: &ZoneFacts<'_>| if back && can_return(zone) { Act::Return } else { Act::Roll };
    let mut acts: Vec<Act> = zones
        .iter()
        .zip(&needs)
        .map(|(zone, needs)| match zone.at {
            None => Act::Create,
            Some(_) if *needs && zone.empty => act(zone),
            Some(_) => Act::Keep,
        })
        .collect();
    let in_hand = |zone: &ZoneFacts<'_>| zone.mixed && zone.good.is_some() && !zone.empty;
    let open = |wanted: &dyn Fn(&ZoneFacts<'_>) -> bool| {
        (0..zones.len()).find(|&index| needs[index] && acts[index] == Act::Keep && wanted(&zones[index]))
    };
    // What is being replaced already goes first, then what is broken, then the order of the spec.
    let first = open(&in_hand).or_else(|| open(&|zone| zone.broken)).or_else(|| open(&|_| true));
    let others_well = |chosen: usize| (0..zones.len()).all(|index| index == chosen || well(index));
    let mut awaits_sessions = false;
    if let Some(chosen) = first {
        let zone = &zones[chosen];
        let busy = (0..zones.len()).any(|index| index != chosen && !needs[index] && in_hand(&zones[index]));
        let urgent = in_hand(zone) || zone.broken;
        if !busy && (urgent || !zone.blocked && others_well(chosen)) {
            awaits_sessions = !urgent && !sessions_back;
            if !awaits_sessions {
                acts[chosen] = act(zone);
            }
        }
    }
    let held: Vec<bool> = needs.iter().zip(&acts).map(|(needs, act)| *needs && *act == Act::Keep).collect();
    let stuck = |index: &usize| {
        let zone = &zones[*index];
        zone.stalled && acts[*index] == Act::Keep && !needs[*index] && (zone.good.is_some() || held.contains(&true))
    };
    let complete = (0..zones.len()).all(|index| zones[index].at.is_some() && !needs[index] && well(index));
    Decision {
        halted: (0..zones.len()).find(stuck),
        complete: complete && sessions_back,
        awaits_sessions: awaits_sessions || complete && !sessions_back,
        acts,
        held,
        back,
    }
}
