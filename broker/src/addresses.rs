//! What clients of one network address hold and have done: connections, and logins that were refused.
//!
//! An IPv6 client has a whole /64 to choose from, so that is one address here. Both tables are bounded: the first by the
//! connections, the second by its own size.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// The refusal of a login is held back at least this long, so that guessing is slow.
const DELAY: Duration = Duration::from_secs(1);
/// And at most this long.
const MOST_DELAY: Duration = Duration::from_secs(8);
/// Refusals at the shortest delay; each further one doubles it. People mistype, and a rotation may catch up late.
const PATIENCE: u32 = 5;
/// An address without refusals for this long begins anew.
const MEMORY: Duration = Duration::from_mins(10);
/// Addresses whose refusals are remembered.
const MOST_ADDRESSES: usize = 10_000;

/// The open connections by address.
#[derive(Debug, Default)]
pub(crate) struct Addresses(Mutex<HashMap<IpAddr, u32>>);

impl Addresses {
    /// Counts one more connection, unless the address has as many as it may.
    pub(crate) fn enter(&self, address: IpAddr, most: Option<u32>) -> bool {
        let mut addresses = self.0.lock();
        let open = addresses.entry(network(address)).or_default();
        let may_enter = most.is_none_or(|most| *open < most);
        if may_enter {
            *open += 1;
        }
        may_enter
    }

    /// Counts one less.
    pub(crate) fn leave(&self, address: IpAddr) {
        let (mut addresses, address) = (self.0.lock(), network(address));
        if let Some(open) = addresses.get_mut(&address) {
            *open -= 1;
            if *open == 0 {
                addresses.remove(&address);
            }
        }
    }
}

/// The refused logins by address.
#[derive(Debug, Default)]
pub(crate) struct RefusedLogins(Mutex<HashMap<IpAddr, Refused>>);

#[derive(Clone, Copy, Debug)]
struct Refused {
    times: u32,
    last: Instant,
}

impl RefusedLogins {
    /// Counts a refused login; how long to hold the refusal back.
    pub(crate) fn add(&self, address: IpAddr, now: Instant) -> Duration {
        let (mut addresses, address) = (self.0.lock(), network(address));
        let is_remembered = |refused: &Refused| now.saturating_duration_since(refused.last) < MEMORY;
        if addresses.len() >= MOST_ADDRESSES && !addresses.contains_key(&address) {
            addresses.retain(|_, refused| is_remembered(refused));
            if addresses.len() >= MOST_ADDRESSES {
                return DELAY;
            }
        }
        let refused = addresses.entry(address).or_insert(Refused { times: 0, last: now });
        if !is_remembered(refused) {
            refused.times = 0;
        }
        *refused = Refused { times: refused.times.saturating_add(1), last: now };
        let doublings = refused.times.saturating_sub(PATIENCE).min(8);
        DELAY.saturating_mul(1 << doublings).min(MOST_DELAY)
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_no_more_connections_than_it_may_and_others_are_not_counted_with_it() {
        let addresses = Addresses::default();
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        assert!(addresses.enter(one, Some(2)) && addresses.enter(one, Some(2)));
        assert!(!addresses.enter(one, Some(2)) && addresses.enter(other, Some(2)));
        addresses.leave(one);
        assert!(addresses.enter(one, Some(2)) && !addresses.enter(one, Some(2)));
        assert!(addresses.enter(one, None), "without a limit");
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let addresses = Addresses::default();
        assert!(addresses.enter(address("2001:db8::1"), Some(1)));
        assert!(!addresses.enter(address("2001:db8::2"), Some(1)));
        assert!(addresses.enter(address("2001:db8:0:1::1"), Some(1)));
    }

    #[test]
    fn an_address_that_has_left_takes_no_memory() {
        let addresses = Addresses::default();
        addresses.enter(address("192.0.2.1"), None);
        addresses.leave(address("192.0.2.1"));
        assert!(addresses.0.lock().is_empty());
    }

    #[test]
    fn who_goes_on_guessing_waits_longer_and_who_stops_is_forgotten() {
        let (refused, now, one) = (RefusedLogins::default(), Instant::now(), address("192.0.2.1"));
        let delays: Vec<_> = (0..10).map(|_| refused.add(one, now).as_secs()).collect();
        assert_eq!(delays, [1, 1, 1, 1, 1, 2, 4, 8, 8, 8]);
        assert_eq!(refused.add(address("192.0.2.2"), now).as_secs(), 1, "another address");
        assert_eq!(refused.add(one, now + MEMORY).as_secs(), 1, "much later");
    }

    #[test]
    fn the_table_of_refusals_is_bounded_and_makes_room_for_new_ones() {
        let (refused, now) = (RefusedLogins::default(), Instant::now());
        for number in 0..20_000_u32 {
            refused.add(IpAddr::from(number.to_be_bytes()), now);
        }
        assert_eq!(refused.0.lock().len(), MOST_ADDRESSES);
        refused.add(address("192.0.2.1"), now + MEMORY);
        assert_eq!(refused.0.lock().len(), 1);
    }
}
