//! Whether the lease may be taken (pure).

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use tokio::time::Instant;

/// A lease as this replica has seen it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    /// Who holds it; empty when nobody does.
    pub(super) holder: String,
    /// How long it holds after a renewal.
    duration: Duration,
    /// The holder's own clock; only ever compared for equality.
    renewed: Option<MicroTime>,
    /// When this replica first saw this renewal.
    since: Instant,
}

impl Seen {
    /// What is known after `lease` was read at `now`.
    pub(super) fn update(before: Option<Self>, lease: &Lease, now: Instant) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        let LeaseSpec { holder_identity, lease_duration_seconds, renew_time, .. } = spec;
        let holder = holder_identity.unwrap_or_default();
        let seconds = u64::try_from(lease_duration_seconds.unwrap_or(1)).unwrap_or(1);
        let since = before
            .filter(|before| before.holder == holder && before.renewed == renew_time)
            .map_or(now, |before| before.since);
        Self { holder, duration: Duration::from_secs(seconds), renewed: renew_time, since }
    }
}

/// What to do with the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Take it: it is free, or its holder has not renewed it for its whole duration.
    Acquire,
    /// It is this replica's: renew it.
    Renew,
    /// It is another one's.
    Wait,
}

/// What `me` is to do with the lease at `now`.
pub(super) fn decide(seen: Option<&Seen>, me: &str, now: Instant) -> Decision {
    match seen {
        None => Decision::Acquire,
        Some(seen) if seen.holder == me => Decision::Renew,
        Some(seen) if seen.holder.is_empty() => Decision::Acquire,
        Some(seen) if now.duration_since(seen.since) > seen.duration => Decision::Acquire,
        Some(_) => Decision::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, renewed: i64) -> Lease {
        let renew_time = k8s_openapi::jiff::Timestamp::from_second(renewed).ok().map(MicroTime);
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()).filter(|holder| !holder.is_empty()),
            lease_duration_seconds: Some(15),
            renew_time,
            ..LeaseSpec::default()
        };
        Lease { spec: Some(spec), ..Lease::default() }
    }

    #[test]
    fn a_free_lease_is_taken_at_once() {
        let now = Instant::now();
        assert_eq!(decide(None, "a", now), Decision::Acquire);
        assert_eq!(decide(Some(&Seen::update(None, &lease("", 1), now)), "a", now), Decision::Acquire);
    }

    #[test]
    fn the_holder_renews_even_when_its_lease_has_run_out() {
        let start = Instant::now();
        let seen = Seen::update(None, &lease("a", 1), start);
        assert_eq!(decide(Some(&seen), "a", start + Duration::from_mins(1)), Decision::Renew);
    }

    #[test]
    fn anothers_lease_is_taken_only_after_its_duration_without_a_renewal_as_seen_here() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        // The holder's clock is far in the past; that alone means nothing.
        let seen = Seen::update(None, &lease("b", 1), start);
        assert_eq!(decide(Some(&seen), "a", at(15)), Decision::Wait);
        let renewed = Seen::update(Some(seen), &lease("b", 2), at(10));
        assert_eq!(decide(Some(&renewed), "a", at(25)), Decision::Wait);
        let silent = Seen::update(Some(renewed), &lease("b", 2), at(20));
        assert_eq!(decide(Some(&silent), "a", at(26)), Decision::Acquire);
    }

    #[test]
    fn a_new_holder_starts_a_new_count() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let first = Seen::update(None, &lease("b", 1), start);
        let second = Seen::update(Some(first), &lease("c", 1), at(16));
        assert_eq!(decide(Some(&second), "a", at(17)), Decision::Wait);
    }
}
