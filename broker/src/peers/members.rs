//! Who the peers are, what DNS or the configuration says and for a while whoever has asked something; and which are silent.

use std::{collections::HashMap, io, net::SocketAddr, time::Duration};

use stompbroker_config::Peers;
use tokio::{
    net::{UdpSocket, lookup_host},
    time::{Instant, timeout},
};

/// How long DNS may take.
const LOOK_UP_TIME: Duration = Duration::from_secs(5);
/// How long a pod is known that has shown itself before DNS knew it; caches of DNS keep an answer for about half of that.
const INTRODUCED: Duration = Duration::from_mins(1);
/// A pod that has answered nothing for so long, although it is asked every few seconds, is lost.
const LOST: Duration = Duration::from_secs(6);
/// Pods at most; beyond it the answers of DNS would be cut anyway.
const MOST: usize = 512;

/// The peers of this pod. Pure.
#[derive(Debug, Default)]
pub(super) struct Members {
    found: Vec<SocketAddr>,
    /// Until when those are known that have shown themselves.
    introduced: HashMap<SocketAddr, Instant>,
    /// Since when those are silent that do not answer.
    silent: HashMap<SocketAddr, Instant>,
}

/// Why the peers are not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookUpError {
    #[error("{name} cannot be resolved: {source}")]
    Dns { name: String, source: io::Error },
    #[error("{0} was not resolved within {LOOK_UP_TIME:?}")]
    Late(String),
}

impl Members {
    /// Takes the addresses that were looked up, in order; whether they are others than before.
    pub(super) fn replace(&mut self, mut addresses: Vec<SocketAddr>) -> bool {
        addresses.truncate(MOST);
        self.introduced.retain(|address, _| !addresses.contains(address));
        self.silent.retain(|address, _| addresses.contains(address));
        let changed = self.found != addresses;
        self.found = addresses;
        changed
    }

    /// Remembers a pod that has asked something, for a while: a new one is heard of before DNS tells of it.
    pub(super) fn introduce(&mut self, address: SocketAddr, now: Instant) {
        self.answers(address);
        self.introduced.retain(|_, until| *until > now);
        if !self.found.contains(&address) && self.introduced.len() < MOST {
            self.introduced.insert(address, now + INTRODUCED);
        }
    }

    /// Learns that a pod does not answer now; that it has shown itself counts no longer.
    pub(super) fn does_not_answer(&mut self, address: SocketAddr, now: Instant) {
        self.introduced.remove(&address);
        if self.found.contains(&address) {
            self.silent.entry(address).or_insert(now);
        }
    }

    /// Learns that a pod is there.
    pub(super) fn answers(&mut self, address: SocketAddr) {
        self.silent.remove(&address);
    }

    /// Whether nothing is to be expected of a pod any more: it is silent for long, or is none of this broker now.
    pub(super) fn has_lost(&self, address: SocketAddr, now: Instant) -> bool {
        let is_silent = self.silent.get(&address).is_some_and(|since| now.duration_since(*since) >= LOST);
        is_silent || !(self.found.contains(&address) || self.introduced.contains_key(&address))
    }

    /// All that are known and answer. The others are not asked on behalf of clients, who would wait for them each time.
    pub(super) fn talkative(&self, now: Instant) -> Vec<SocketAddr> {
        self.all(now).into_iter().filter(|address| !self.silent.contains_key(address)).collect()
    }

    /// All that are known.
    pub(super) fn all(&self, now: Instant) -> Vec<SocketAddr> {
        let introduced = self.introduced.iter().filter(|(_, until)| **until > now).map(|(address, _)| *address);
        self.found.iter().copied().chain(introduced).collect()
    }
}

/// The addresses of the other pods, sorted; this one, which listens on `own_port`, is left out.
pub(super) async fn look_up(peers: &Peers, own_port: u16) -> Result<Vec<SocketAddr>, LookUpError> {
    let addresses = match &peers.dns_name {
        None => peers.addresses.clone(),
        Some(name) => {
            let found = timeout(LOOK_UP_TIME, lookup_host((name.as_str(), own_port))).await;
            let found = found.map_err(|_| LookUpError::Late(name.clone()))?;
            found.map_err(|source| LookUpError::Dns { name: name.clone(), source })?.collect()
        }
    };
    let addresses = one_each(addresses);
    let mut others = Vec::with_capacity(addresses.len());
    for address in addresses {
        if !is_own(address, own_port).await {
            others.push(address);
        }
    }
    Ok(others)
}

/// One address for each pod, in order. Where there are some of IPv4 and of IPv6, every pod has one of either.
fn one_each(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if addresses.iter().any(SocketAddr::is_ipv4) {
        addresses.retain(SocketAddr::is_ipv4);
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Whether an address is one of this machine: then the way there begins at the very same address. Nothing is sent.
async fn is_own(address: SocketAddr, own_port: u16) -> bool {
    let here: SocketAddr =
        if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { (std::net::Ipv6Addr::UNSPECIFIED, 0).into() };
    let way = async {
        let socket = UdpSocket::bind(here).await?;
        socket.connect(address).await?;
        socket.local_addr()
    };
    address.port() == own_port && way.await.is_ok_and(|begin| begin.ip() == address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 15021).into()
    }

    #[test]
    fn a_pod_that_shows_itself_is_known_for_a_while_or_for_as_long_as_dns_tells_of_it() {
        let (mut members, now) = (Members::default(), Instant::now());
        assert!(members.replace(vec![address(1)]));
        members.introduce(address(1), now);
        members.introduce(address(2), now);
        assert_eq!(members.all(now), [address(1), address(2)]);
        assert!(!members.replace(vec![address(1)]), "DNS says the same");
        assert_eq!(members.all(now + INTRODUCED), [address(1)]);
        assert!(members.replace(vec![address(1), address(2)]));
        assert_eq!(members.all(now + INTRODUCED), [address(1), address(2)]);
        assert!(members.replace(vec![address(1)]));
        assert_eq!(members.all(now), [address(1)], "it has gone");
    }

    #[test]
    fn one_that_does_not_answer_is_known_only_by_dns() {
        let (mut members, now) = (Members::default(), Instant::now());
        members.replace(vec![address(1)]);
        members.introduce(address(2), now);
        members.does_not_answer(address(1), now);
        members.does_not_answer(address(2), now);
        assert_eq!(members.all(now), [address(1)]);
    }

    #[test]
    fn one_that_is_silent_is_not_asked_for_clients_and_is_lost_after_a_while() {
        let (mut members, now) = (Members::default(), Instant::now());
        members.replace(vec![address(1), address(2)]);
        members.does_not_answer(address(2), now);
        members.does_not_answer(address(2), now + LOST / 2);
        assert_eq!((members.talkative(now), members.all(now)), (vec![address(1)], vec![address(1), address(2)]));
        assert!(!members.has_lost(address(2), now + LOST / 2));
        assert!(members.has_lost(address(2), now + LOST));
        assert!(!members.has_lost(address(1), now + LOST));
        members.answers(address(2));
        assert_eq!(members.talkative(now), [address(1), address(2)]);
        assert!(!members.has_lost(address(2), now + LOST));
        members.replace(vec![address(1)]);
        assert!(members.has_lost(address(2), now), "DNS does not tell of it any more");
    }

    #[test]
    fn a_pod_with_addresses_of_both_families_is_one_pod() {
        let six: SocketAddr = "[2001:db8::1]:15021".parse().unwrap();
        assert_eq!(one_each(vec![address(2), six, address(1), address(1)]), [address(1), address(2)]);
        assert_eq!(one_each(vec![six, six]), [six]);
    }

    #[tokio::test]
    async fn the_own_address_is_no_peer() {
        let addresses = ["127.0.0.1:7", "127.0.0.1:8", "192.0.2.1:7"].map(|address| address.parse().unwrap());
        let peers = Peers { port: 7, dns_name: None, addresses: addresses.to_vec() };
        assert_eq!(look_up(&peers, 7).await.unwrap(), addresses[1..]);
        let peers = Peers { port: 7, dns_name: Some("localhost".to_owned()), addresses: Vec::new() };
        assert_eq!(look_up(&peers, 7).await.unwrap(), []);
        assert!(!look_up(&peers, 8).await.unwrap().contains(&addresses[1]));
    }
}
