//! Which pod has which session of SockJS, as far as this pod has had to know. Pure, and bounded: what was not asked for
//! longest is forgotten, and would be asked for again.

use std::{collections::HashMap, mem, net::SocketAddr};

/// Sessions of one generation; two are kept.
const MOST: usize = 16 << 10;

/// The pods by the ids of sessions.
#[derive(Debug, Default)]
pub(super) struct Owners {
    young: HashMap<Box<str>, SocketAddr>,
    /// Those that nobody has asked for since the young generation began.
    old: HashMap<Box<str>, SocketAddr>,
}

impl Owners {
    /// The pod that has a session, if it was learned.
    pub(super) fn get(&mut self, id: &str) -> Option<SocketAddr> {
        if let Some(owner) = self.young.get(id) {
            return Some(*owner);
        }
        let (id, owner) = self.old.remove_entry(id)?;
        self.insert(id, owner);
        Some(owner)
    }

    /// Learns that a pod has a session.
    pub(super) fn learn(&mut self, id: &str, owner: SocketAddr) {
        self.old.remove(id);
        self.insert(id.into(), owner);
    }

    /// Forgets a session that its pod has no longer.
    pub(super) fn forget(&mut self, id: &str) {
        self.young.remove(id);
        self.old.remove(id);
    }

    fn insert(&mut self, id: Box<str>, owner: SocketAddr) {
        if self.young.len() >= MOST {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(id, owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 15021).into()
    }

    #[test]
    fn a_session_has_the_pod_that_was_learned_last_until_it_is_forgotten() {
        let mut owners = Owners::default();
        assert_eq!(owners.get("a"), None);
        owners.learn("a", pod(1));
        owners.learn("a", pod(2));
        owners.learn("b", pod(1));
        assert_eq!((owners.get("a"), owners.get("b")), (Some(pod(2)), Some(pod(1))));
        owners.forget("a");
        assert_eq!((owners.get("a"), owners.get("b")), (None, Some(pod(1))));
    }

    #[test]
    fn there_are_never_more_than_two_generations_and_those_asked_for_stay() {
        let mut owners = Owners::default();
        owners.learn("asked for", pod(1));
        owners.learn("left alone", pod(1));
        for number in 0..5 * MOST {
            owners.learn(&number.to_string(), pod(2));
            assert!(owners.young.len() + owners.old.len() <= 2 * MOST);
            if number % 1000 == 0 {
                assert_eq!(owners.get("asked for"), Some(pod(1)), "{number}");
            }
        }
        assert_eq!(owners.get("left alone"), None);
        owners.forget("asked for");
        assert_eq!(owners.get("asked for"), None);
    }
}
