//! `RelayConnected`: every pod has an upstream.

use stompbroker_config::admin::{RelayStatus, UpstreamState, UpstreamStatus};

use super::{
    Reason,
    config::nobody_to_ask,
    pools::PoolFacts,
    verdict::{Holds, Verdict},
};

/// Judges by what the pods themselves report. The reason is what the first pod without an upstream last saw.
pub(super) fn relay_connected(pools: &[PoolFacts<'_>]) -> Verdict {
    let mut connected = 0_usize;
    let (mut apart, mut silent) = (Vec::new(), Vec::new());
    for (pod, answer) in pools.iter().flat_map(PoolFacts::answers) {
        match answer {
            Ok(status) => match &status.relay {
                Some(relay) if relay.connected => connected += 1,
                Some(relay) => apart.push((&pod.name, cause(relay))),
                None => silent.push(format!("pod {} still runs another engine", pod.name)),
            },
            Err(why) => silent.push(format!("pod {}: {why}", pod.name)),
        }
    }
    let asked = connected + apart.len() + silent.len();
    if let Some((pod, cause)) = apart.first() {
        let state = cause.map_or(UpstreamState::Idle, |upstream| upstream.state);
        let detail =
            cause.map_or_else(|| format!("pod {pod} has not tried any upstream yet"), |cause| describe(pod, cause));
        let text = format!("{} of {asked} pods have no upstream; {detail}", apart.len());
        Verdict::new(Holds::False, state.into(), text)
    } else if let Some(first) = silent.first() {
        let text = format!("{} of {asked} pods do not say; {first}", silent.len());
        Verdict::new(Holds::Unknown, Reason::PodsNotAnswering, text)
    } else if connected > 0 {
        let text = format!("all {connected} pods are connected to an upstream");
        Verdict::new(Holds::True, Reason::Connected, text)
    } else {
        nobody_to_ask(pools)
    }
}

/// The first upstream that was tried in vain.
fn cause(relay: &RelayStatus) -> Option<&UpstreamStatus> {
    relay.upstreams.iter().find(|upstream| !matches!(upstream.state, UpstreamState::Idle | UpstreamState::Connected))
}

fn describe(pod: &str, upstream: &UpstreamStatus) -> String {
    let UpstreamStatus { host, port, state, message } = upstream;
    let state = Reason::from(*state);
    match message {
        Some(message) => format!("pod {pod}: {host}:{port} {state}: {message}"),
        None => format!("pod {pod}: {host}:{port} {state}"),
    }
}
