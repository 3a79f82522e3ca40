//! `NatsReady` and `status.nats`: the NATS servers that the operator runs.

use super::{
    Reason,
    verdict::{Holds, Verdict},
};
use crate::{
    api::{NatsServerStatus, NatsStatus},
    plan::nats::{NatsStep, ServerStep},
};

/// What `status.nats` says.
pub(super) fn report(step: &NatsStep) -> NatsStatus {
    let servers = step.servers.iter().map(|server| NatsServerStatus {
        name: server.name.clone(),
        zone: server.zone.clone(),
        ready: server.is_well(),
        version: server.view.as_ref().and_then(|view| Some(view.report.as_ref()?.as_ref().ok()?.version.clone())),
        message: trouble(server).map(|(_, what)| what),
    });
    let well = step.servers.iter().filter(|server| server.is_well()).count();
    NatsStatus { ready: format!("{well}/{}", step.servers.len()), servers: servers.collect() }
}

/// Judges by pods and by what the servers say. What does not pass by itself is told first.
pub(super) fn nats_ready(step: &NatsStep) -> Verdict {
    let mut troubles: Vec<_> = step.servers.iter().filter_map(|server| Some((server, trouble(server)?))).collect();
    troubles.sort_by_key(|(_, (reason, _))| *reason != Reason::PodsFailing);
    let all = step.servers.len();
    match troubles.first() {
        Some((server, (reason, what))) => {
            let text = format!("{} of {all} NATS servers are not ready; {}: {what}", troubles.len(), server.name);
            Verdict::new(Holds::False, *reason, text)
        }
        None => Verdict::new(Holds::True, Reason::AsExpected, format!("all {all} NATS servers are ready")),
    }
}

/// Servers that have to be replaced, and what they wait for.
pub(super) fn waiting(step: &NatsStep) -> Option<Verdict> {
    let outdated: Vec<_> = step.servers.iter().filter(|server| server.outdated).map(|server| &*server.name).collect();
    let first = outdated.first()?;
    let text = match &step.evicted {
        Some(evicted) => format!("the NATS server {} is being replaced", evicted.pod),
        None => format!(
            "{} of {} NATS servers have to be replaced; {first} waits until all others have caught up and no broker of another \
             zone is being replaced",
            outdated.len(),
            step.servers.len()
        ),
    };
    Some(Verdict::new(Holds::True, Reason::RollingOut, text))
}

/// What is wrong with a server.
fn trouble(server: &ServerStep) -> Option<(Reason, String)> {
    let Some(view) = &server.view else { return Some((Reason::PodsNotReady, "it has no pod yet".to_owned())) };
    if let Some(why) = &view.failing {
        return Some((Reason::PodsFailing, why.clone()));
    }
    if view.terminating {
        return Some((Reason::PodsNotReady, "its pod is about to go".to_owned()));
    }
    match &view.report {
        Some(Ok(report)) => match &report.unhealthy {
            Some(why) => Some((Reason::CatchingUp, why.clone())),
            None => (!view.ready).then(|| (Reason::PodsNotReady, "its pod is not ready yet".to_owned())),
        },
        Some(Err(why)) => Some((Reason::PodsNotAnswering, why.clone())),
        None => Some((Reason::PodsNotReady, "it was not asked yet".to_owned())),
    }
}
