//! The open connections, so that a reload and a drain can reach every one of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::Waker,
};

use atomic_waker::AtomicWaker;
use parking_lot::Mutex;
use slab::Slab;

/// What a connection can be told from outside, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Commands(u8);

impl Commands {
    const SETTINGS: u8 = 1;
    const DRAIN: u8 = 2;
    const ABORT: u8 = 4;

    /// The configuration has changed.
    pub(crate) const fn settings_changed(self) -> bool {
        self.0 & Self::SETTINGS != 0
    }

    /// The session is to end in an orderly way.
    pub(crate) const fn drain(self) -> bool {
        self.0 & Self::DRAIN != 0
    }

    /// The connection is to end now.
    pub(crate) const fn abort(self) -> bool {
        self.0 & Self::ABORT != 0
    }
}

/// A connection's letter box for commands.
#[derive(Debug, Default)]
struct Inbox {
    commands: AtomicU8,
    drain_asked: std::sync::atomic::AtomicBool,
    owner: AtomicWaker,
}

impl Inbox {
    fn post(&self, command: u8) {
        self.commands.fetch_or(command, Ordering::AcqRel);
        self.owner.wake();
    }
}

/// All open connections.
#[derive(Debug, Default)]
pub(crate) struct ConnectionRegistry(Arc<Mutex<Slab<Arc<Inbox>>>>);

/// A connection's place in the registry, given back when dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    registry: Arc<Mutex<Slab<Arc<Inbox>>>>,
    slot: usize,
    inbox: Arc<Inbox>,
}

impl ConnectionRegistry {
    /// Enters a connection.
    pub(crate) fn enter(&self) -> Registration {
        let inbox = Arc::<Inbox>::default();
        let slot = self.0.lock().insert(Arc::clone(&inbox));
        Registration { registry: Arc::clone(&self.0), slot, inbox }
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Tells all that the configuration has changed.
    pub(crate) fn settings_changed(&self) {
        for (_, inbox) in self.0.lock().iter() {
            inbox.post(Commands::SETTINGS);
        }
    }

    /// Asks at most `most` connections that have not been asked before to end; returns how many.
    pub(crate) fn drain(&self, most: usize) -> usize {
        let connections = self.0.lock();
        let unasked = connections.iter().filter(|(_, inbox)| !inbox.drain_asked.swap(true, Ordering::Relaxed));
        unasked.take(most).map(|(_, inbox)| inbox.post(Commands::DRAIN)).count()
    }

    /// Ends all connections now.
    pub(crate) fn abort(&self) {
        for (_, inbox) in self.0.lock().iter() {
            inbox.post(Commands::ABORT);
        }
    }
}

impl Registration {
    /// Takes what has been posted since the last time; the task of `waker` is woken when more comes.
    pub(crate) fn take(&self, waker: &Waker) -> Commands {
        self.inbox.owner.register(waker);
        if self.inbox.commands.load(Ordering::Relaxed) == 0 {
            return Commands(0);
        }
        Commands(self.inbox.commands.swap(0, Ordering::AcqRel))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.lock().remove(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_asks_each_connection_once_and_no_more_than_it_is_told() {
        let registry = ConnectionRegistry::default();
        let connections: Vec<_> = (0..5).map(|_| registry.enter()).collect();
        let asked = || connections.iter().filter(|one| one.take(Waker::noop()).drain()).count();
        assert_eq!((registry.drain(2), asked()), (2, 2));
        assert_eq!((registry.drain(usize::MAX), asked()), (3, 3));
        assert_eq!((registry.drain(usize::MAX), asked()), (0, 0));
    }

    #[test]
    fn a_connection_that_ended_has_left() {
        let registry = ConnectionRegistry::default();
        let (first, second) = (registry.enter(), registry.enter());
        drop(first);
        registry.settings_changed();
        assert_eq!(registry.len(), 1);
        let commands = second.take(Waker::noop());
        assert!(commands.settings_changed() && !commands.drain() && !commands.abort());
        assert!(!second.take(Waker::noop()).settings_changed());
    }
}
