//! What the relay knows of its upstreams now: written by the system connection, read by sessions and the admin port.

use std::collections::HashMap;

use parking_lot::Mutex;
use stompbroker_config::admin::{UpstreamState, UpstreamStatus};
use tokio_util::sync::CancellationToken;

use super::{
    failure::Failure,
    settings::{Address, Candidate},
};

/// An upstream that sessions may use.
#[derive(Clone, Debug)]
pub(super) struct Reign {
    /// Where it is.
    pub(super) address: Address,
    /// Cancelled when sessions may use it no longer.
    pub(super) over: CancellationToken,
}

#[derive(Debug)]
struct Known {
    state: UpstreamState,
    message: Option<String>,
    /// Why the upstream refused client connections last, while the system connection stood.
    clients: Option<Failure>,
}

impl Default for Known {
    fn default() -> Self {
        Self { state: UpstreamState::Idle, message: None, clients: None }
    }
}

#[derive(Debug, Default)]
struct State {
    upstreams: HashMap<Address, Known>,
    /// Where the system connection stands.
    active: Option<Address>,
    /// All upstreams that have sessions, also those that the system connection has left for its own zone.
    reigns: HashMap<Address, CancellationToken>,
}

/// The board.
#[derive(Debug, Default)]
pub(super) struct Board {
    state: Mutex<State>,
}

impl Board {
    /// The upstream that new connections of sessions go to.
    pub(super) fn active(&self) -> Option<Reign> {
        let state = self.state.lock();
        let address = state.active.clone()?;
        let over = state.reigns.get(&address)?.clone();
        Some(Reign { address, over })
    }

    /// Notes a failed try. True when it says something new.
    pub(super) fn failed(&self, address: &Address, failure: &Failure) -> bool {
        let mut state = self.state.lock();
        if state.active.as_ref() == Some(address) {
            return false;
        }
        let known = state.upstreams.entry(address.clone()).or_default();
        let news = known.state != failure.state || known.message.as_ref() != Some(&failure.message);
        *known = Known { state: failure.state, message: Some(failure.message.clone()), clients: None };
        news
    }

    /// The system connection stands at this upstream from now on. Sessions on another one stay there.
    pub(super) fn connected(&self, address: &Address) {
        let mut state = self.state.lock();
        if let Some(previous) = state.active.replace(address.clone()).filter(|previous| previous != address) {
            state.upstreams.insert(previous, Known::default());
        }
        let clients = state.upstreams.get_mut(address).and_then(|known| known.clients.take());
        state.upstreams.insert(address.clone(), Known { state: UpstreamState::Connected, message: None, clients });
        state.reigns.entry(address.clone()).or_default();
    }

    /// The system connection is lost, and with it every session on the same upstream.
    pub(super) fn lost(&self, failure: &Failure) {
        let mut state = self.state.lock();
        let Some(address) = state.active.take() else { return };
        if let Some(over) = state.reigns.remove(&address) {
            over.cancel();
        }
        let known = Known { state: failure.state, message: Some(failure.message.clone()), clients: None };
        state.upstreams.insert(address, known);
    }

    /// Ends what a changed configuration no longer has; with `all`, also what it still has.
    pub(super) fn retain(&self, keep: impl Fn(&Address) -> bool, all: bool) {
        let mut state = self.state.lock();
        let keeps = |address: &Address| !all && keep(address);
        state.reigns.retain(|address, over| {
            let stays = keeps(address);
            if !stays {
                over.cancel();
            }
            stays
        });
        if state.active.as_ref().is_some_and(|address| !keeps(address)) {
            state.active = None;
        }
        state.upstreams.retain(|address, _| keeps(address));
    }

    /// Notes how the upstream takes connections of sessions. True when it says something new.
    pub(super) fn clients(&self, address: &Address, refusal: Option<&Failure>) -> bool {
        let mut state = self.state.lock();
        let Some(known) = state.upstreams.get_mut(address) else { return false };
        let news = known.clients.as_ref() != refusal;
        known.clients = refusal.cloned();
        news
    }

    /// The upstreams in the given order.
    pub(super) fn status(&self, candidates: &[Candidate]) -> (bool, Vec<UpstreamStatus>) {
        let state = self.state.lock();
        let untried = Known::default();
        let upstreams = candidates.iter().map(|Candidate { address, .. }| {
            let known = state.upstreams.get(address).unwrap_or(&untried);
            let (class, message) = match &known.clients {
                Some(failure) if known.state == UpstreamState::Connected => {
                    (failure.state, Some(failure.message.clone()))
                }
                _ => (known.state, known.message.clone()),
            };
            UpstreamStatus { host: (*address.host).to_owned(), port: address.port, state: class, message }
        });
        (state.active.is_some(), upstreams.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(host: &str) -> Candidate {
        Candidate { address: Address { host: host.into(), port: 1 }, home: false }
    }

    fn states(board: &Board, candidates: &[Candidate]) -> Vec<UpstreamState> {
        board.status(candidates).1.into_iter().map(|status| status.state).collect()
    }

    #[test]
    fn moving_home_leaves_the_sessions_of_the_other_upstream_alone() {
        let (near, far) = (candidate("near"), candidate("far"));
        let board = Board::default();
        board.connected(&far.address);
        let on_far = board.active().unwrap();
        board.connected(&near.address);
        assert!(!on_far.over.is_cancelled());
        assert_eq!(board.active().unwrap().address, near.address);
        assert_eq!(states(&board, &[near, far]), [UpstreamState::Connected, UpstreamState::Idle]);
    }

    #[test]
    fn a_loss_ends_the_reign_and_the_next_connection_begins_another() {
        let only = candidate("only");
        let board = Board::default();
        board.connected(&only.address);
        let first = board.active().unwrap();
        board.lost(&Failure::new(UpstreamState::Unreachable, "closed"));
        assert!(first.over.is_cancelled());
        assert!(board.active().is_none());
        assert_eq!(states(&board, std::slice::from_ref(&only)), [UpstreamState::Unreachable]);
        board.connected(&only.address);
        assert!(!board.active().unwrap().over.is_cancelled());
    }

    #[test]
    fn refused_client_credentials_show_though_the_system_connection_stands() {
        let only = candidate("only");
        let board = Board::default();
        board.connected(&only.address);
        let refusal = Failure::new(UpstreamState::AuthFailed, "no");
        assert!(board.clients(&only.address, Some(&refusal)));
        assert!(!board.clients(&only.address, Some(&refusal)), "the same again is no news");
        let (connected, upstreams) = board.status(std::slice::from_ref(&only));
        assert!(connected);
        assert_eq!(upstreams[0].state, UpstreamState::AuthFailed);
        assert_eq!(upstreams[0].message.as_deref(), Some("no"));
        assert!(board.clients(&only.address, None));
        assert_eq!(states(&board, &[only]), [UpstreamState::Connected]);
    }

    #[test]
    fn an_upstream_that_left_the_configuration_takes_its_sessions_with_it() {
        let (stays, goes) = (candidate("stays"), candidate("goes"));
        let board = Board::default();
        board.connected(&goes.address);
        let gone = board.active().unwrap();
        board.connected(&stays.address);
        let kept = board.active().unwrap();
        board.retain(|address| *address == stays.address, false);
        assert!(gone.over.is_cancelled() && !kept.over.is_cancelled());
        board.retain(|_| true, true);
        assert!(kept.over.is_cancelled() && board.active().is_none());
    }
}
