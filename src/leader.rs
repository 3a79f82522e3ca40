//! Leader election by a Lease: of all replicas one works, the others keep their caches warm.
//!
//! Time is never compared between machines: a replica counts from when it itself saw the lease change, so wrong clocks
//! cannot make two leaders. Who cannot renew gives up before the lease runs out for the others.

mod decide;

use std::time::Duration;

use decide::{Decision, Seen, decide};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{FIELD_MANAGER, settings::LeaderElection};

/// Why the lease could not be read or written this time.
#[derive(Debug, thiserror::Error)]
enum LeaseError {
    #[error("failed to read the lease")]
    Read(#[source] kube::Error),
    #[error("failed to write the lease")]
    Write(#[source] kube::Error),
}

/// One replica's part in the election.
pub(crate) struct Elector {
    api: Api<Lease>,
    settings: LeaderElection,
    seen: Option<Seen>,
}

impl Elector {
    /// Takes part with `client`, which is to have short deadlines.
    pub(crate) fn new(client: Client, settings: LeaderElection) -> Self {
        Self { api: Api::namespaced(client, &settings.namespace), settings, seen: None }
    }

    /// Ends when this replica is the leader. Drop the future to stop trying.
    pub(crate) async fn acquire(&mut self) {
        let mut holder = None;
        loop {
            match self.step().await {
                Ok(true) => {
                    info!(identity = self.settings.identity, "this replica leads");
                    return;
                }
                Ok(false) => {
                    let now = self.seen.as_ref().map(|seen| seen.holder.clone());
                    if holder != now {
                        info!(leader = now.as_deref().unwrap_or_default(), "another replica leads");
                        holder = now;
                    }
                }
                Err(error) => warn!(error = &error as &dyn std::error::Error, "no part in the election for now"),
            }
            sleep(self.retry()).await;
        }
    }

    /// Renews the lease until `stop`, or until it is lost, which `true` says.
    pub(crate) async fn hold(&mut self, stop: &CancellationToken) -> bool {
        let mut renewed = Instant::now();
        loop {
            // A third of the duration between renewals, and two thirds without success to give up: the last third is
            // for passes that are under way.
            let pause = self.settings.duration / 3;
            tokio::select! { () = stop.cancelled() => return false, () = sleep(pause) => {} }
            let deadline = renewed + self.settings.duration * 2 / 3;
            loop {
                let started = Instant::now();
                let step = tokio::select! {
                    () = stop.cancelled() => return false,
                    step = tokio::time::timeout_at(deadline, self.step()) => step,
                };
                match step {
                    Ok(Ok(true)) => {
                        renewed = started;
                        break;
                    }
                    Ok(Ok(false)) => {
                        warn!("another replica has taken the lease");
                        return true;
                    }
                    Ok(Err(error)) => warn!(error = &error as &dyn std::error::Error, "the lease is not renewed yet"),
                    Err(_) => {
                        warn!("the lease could not be renewed in time");
                        return true;
                    }
                }
                if Instant::now() + self.retry() >= deadline {
                    warn!("the lease could not be renewed in time");
                    return true;
                }
                sleep(self.retry()).await;
            }
        }
    }

    /// Gives the lease up, so that another replica need not wait for it to run out.
    pub(crate) async fn release(&mut self) {
        let result = async {
            let Some(mut lease) = self.api.get_opt(&self.settings.lease_name).await? else { return Ok(false) };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(&self.settings.identity) {
                return Ok(false);
            }
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(Timestamp::now()));
            self.api.replace(&self.settings.lease_name, &post(), &lease).await.map(|_| true)
        };
        match result.await {
            Ok(true) => info!("gave up the lease"),
            Ok(false) => {}
            Err(error) => warn!(error = &error as &dyn std::error::Error, "failed to give up the lease"),
        }
    }

    /// The part of the duration that is left when [`Self::hold`] gives up.
    pub(crate) fn share(&self) -> Duration {
        self.settings.duration / 3
    }

    fn retry(&self) -> Duration {
        (self.settings.duration / 8).clamp(Duration::from_millis(200), Duration::from_secs(2))
    }

    /// Looks at the lease and takes or renews it if it may; says whether this replica now holds it.
    async fn step(&mut self) -> Result<bool, LeaseError> {
        let name = &self.settings.lease_name;
        let lease = self.api.get_opt(name).await.map_err(LeaseError::Read)?;
        let now = Instant::now();
        self.seen = lease.as_ref().map(|lease| Seen::update(self.seen.take(), lease, now));
        let transitions = match decide(self.seen.as_ref(), &self.settings.identity, now) {
            Decision::Wait => return Ok(false),
            Decision::Renew => 0,
            Decision::Acquire => 1,
        };
        let written = if let Some(mut lease) = lease {
            // The resourceVersion that was read makes the write fail if somebody else was faster.
            self.claim(lease.spec.get_or_insert_default(), transitions);
            self.api.replace(name, &post(), &lease).await
        } else {
            let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
            let mut spec = LeaseSpec::default();
            self.claim(&mut spec, 0);
            self.api.create(&post(), &Lease { metadata, spec: Some(spec) }).await
        };
        match written {
            Ok(lease) => {
                self.seen = Some(Seen::update(self.seen.take(), &lease, now));
                Ok(true)
            }
            // Somebody wrote at the same time: another candidate, or, when renewing, nobody that the next try would mind.
            Err(kube::Error::Api(status)) if transitions > 0 && status.is_conflict() => Ok(false),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
            Err(error) => Err(LeaseError::Write(error)),
        }
    }

    fn claim(&self, spec: &mut LeaseSpec, transitions: i32) {
        let now = MicroTime(Timestamp::now());
        if transitions > 0 || spec.acquire_time.is_none() {
            spec.acquire_time = Some(now.clone());
        }
        spec.holder_identity = Some(self.settings.identity.clone());
        spec.lease_duration_seconds = Some(i32::try_from(self.settings.duration.as_secs()).unwrap_or(i32::MAX).max(1));
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(transitions));
        spec.renew_time = Some(now);
    }
}

fn post() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}
