//! `ConfigApplied`: every pod runs with the configuration that the spec asks for.

use super::{
    Reason,
    pools::PoolFacts,
    verdict::{Holds, Verdict},
};

/// Judges by what the pods themselves report. A refusal is told before a delay, a delay before silence.
pub(super) fn config_applied(pools: &[PoolFacts<'_>]) -> Verdict {
    let (mut answering, mut passed_over) = (0_usize, 0_usize);
    let (mut pending, mut restarts, mut silent, mut rejected) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for pool in pools {
        for (pod, answer) in pool.answers() {
            let status = match answer {
                Ok(status) => status,
                Err(why) => {
                    passed_over += usize::from(pool.passes_over(pod));
                    silent.push(format!("pod {}: {why}", pod.name));
                    continue;
                }
            };
            answering += 1;
            if let Some(why) = &status.config.rejected {
                rejected.push(format!("pod {}: {why}", pod.name));
            } else if status.config.hash != pool.config_hash {
                pending.push(&pod.name);
            } else if !status.config.needs_restart.is_empty() {
                restarts.push(format!("pod {}: {}", pod.name, status.config.needs_restart.join(", ")));
            }
        }
    }
    let asked = answering + silent.len();
    if let Some(first) = rejected.first() {
        let text = format!("{} of {asked} pods refused the newest configuration; {first}", rejected.len());
        Verdict::new(Holds::False, Reason::ConfigRejected, text)
    } else if !pending.is_empty() {
        let text = format!("{} of {asked} pods have not taken up the newest configuration yet", pending.len());
        Verdict::new(Holds::False, Reason::ConfigPending, text)
    } else if let Some(first) = restarts.first() {
        let text = format!("{} of {asked} pods need a restart for the newest configuration; {first}", restarts.len());
        Verdict::new(Holds::False, Reason::RestartNeeded, text)
    } else if let Some(first) = silent.first() {
        let text = format!("{} of {asked} pods do not answer on their admin port; {first}", silent.len());
        if passed_over == 0 {
            return Verdict::new(Holds::Unknown, Reason::PodsNotAnswering, text);
        }
        let text =
            format!("{text}; spec.rollout.silenceWait is over, so rollouts no longer wait for {passed_over} of them");
        Verdict::new(Holds::Unknown, Reason::PodsPassedOver, text)
    } else if answering > 0 {
        Verdict::new(Holds::True, Reason::AsExpected, format!("all {answering} pods run with the newest configuration"))
    } else {
        nobody_to_ask(pools)
    }
}

/// The verdict of conditions that only pods can tell, when there are none.
pub(super) fn nobody_to_ask(pools: &[PoolFacts<'_>]) -> Verdict {
    if pools.iter().all(|pool| pool.desired == 0) {
        Verdict::new(Holds::True, Reason::ScaledToZero, "the spec asks for no pods")
    } else {
        Verdict::new(Holds::Unknown, Reason::PodsNotReady, "no pod runs yet that could be asked")
    }
}
