//! `draining`: how far the pods are that let their sessions go.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{api::DrainProgress, observed::PodView};

/// How far those of `pods` are that let their sessions go; absent when none does.
pub(super) fn progress<'a>(pods: impl Iterator<Item = &'a PodView>) -> Option<DrainProgress> {
    let mut progress = DrainProgress::default();
    for pod in pods {
        let said = pod.admin.as_ref().and_then(|admin| admin.as_ref().ok());
        let drain = said.and_then(|status| status.drain.as_ref());
        if !pod.terminating && drain.is_none() {
            continue;
        }
        progress.pods += 1;
        let Some(drain) = drain else {
            progress.silent += 1;
            continue;
        };
        let number = |connections: u64| i64::try_from(connections).unwrap_or(i64::MAX);
        progress.connections_at_start =
            progress.connections_at_start.saturating_add(number(drain.connections_at_start));
        progress.connections_left = progress.connections_left.saturating_add(number(drain.connections_left));
        let deadline = drain.deadline.parse().ok().map(Time);
        progress.deadline = deadline.max(progress.deadline);
    }
    (progress.pods > 0).then_some(progress)
}
