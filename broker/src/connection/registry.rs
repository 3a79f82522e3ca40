//! The open connections, so that a reload, a drain and the admin port can reach every one of them.

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

use super::record::SessionRecord;

/// What a connection can be told from outside, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Commands(u8);

impl Commands {
    const SETTINGS: u8 = 1;
    const DRAIN: u8 = 2;
    const ABORT: u8 = 4;
    const CLOSE: u8 = 8;

    /// The configuration has changed.
    pub(crate) const fn settings_changed(self) -> bool {
        self.0 & Self::SETTINGS != 0
    }

    /// The session is to end in an orderly way.
    pub(crate) const fn drain(self) -> bool {
        self.0 & Self::DRAIN != 0
    }

    /// An operator wants this session to end.
    pub(crate) const fn close(self) -> bool {
        self.0 & Self::CLOSE != 0
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

/// An open connection.
#[derive(Debug)]
pub(crate) struct Member {
    inbox: Inbox,
    /// What is told of it.
    pub(crate) record: SessionRecord,
}

/// All open connections.
#[derive(Debug, Default)]
pub(crate) struct ConnectionRegistry(Arc<Mutex<Slab<Arc<Member>>>>);

/// A connection's place in the registry, given back when dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    registry: Arc<Mutex<Slab<Arc<Member>>>>,
    slot: usize,
    member: Arc<Member>,
}

impl ConnectionRegistry {
    /// Enters a connection.
    pub(crate) fn enter(&self, record: SessionRecord) -> Registration {
        let member = Arc::new(Member { inbox: Inbox::default(), record });
        let slot = self.0.lock().insert(Arc::clone(&member));
        Registration { registry: Arc::clone(&self.0), slot, member }
    }

    /// The live sessions for which `wanted` is true, the oldest first.
    pub(crate) fn sessions(&self, wanted: impl Fn(&SessionRecord) -> bool) -> Vec<Arc<Member>> {
        let mut sessions: Vec<_> = {
            let members = self.0.lock();
            let live = members.iter().map(|(_, member)| member).filter(|member| member.record.is_live());
            live.filter(|member| wanted(&member.record)).cloned().collect()
        };
        sessions.sort_by_cached_key(|member| member.record.serial());
        sessions
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Tells all that the configuration has changed.
    pub(crate) fn settings_changed(&self) {
        for (_, member) in self.0.lock().iter() {
            member.inbox.post(Commands::SETTINGS);
        }
    }

    /// Asks at most `most` connections that have not been asked before to end; returns how many.
    pub(crate) fn drain(&self, most: usize) -> usize {
        let connections = self.0.lock();
        let inboxes = connections.iter().map(|(_, member)| &member.inbox);
        let unasked = inboxes.filter(|inbox| !inbox.drain_asked.swap(true, Ordering::Relaxed));
        unasked.take(most).map(|inbox| inbox.post(Commands::DRAIN)).count()
    }

    /// Ends all connections now.
    pub(crate) fn abort(&self) {
        for (_, member) in self.0.lock().iter() {
            member.inbox.post(Commands::ABORT);
        }
    }
}

impl Member {
    /// Asks the session to end.
    pub(crate) fn close(&self) {
        self.inbox.post(Commands::CLOSE);
    }
}

impl Registration {
    /// Takes what has been posted since the last time; the task of `waker` is woken when more comes.
    pub(crate) fn take(&self, waker: &Waker) -> Commands {
        let inbox = &self.member.inbox;
        inbox.owner.register(waker);
        if inbox.commands.load(Ordering::Relaxed) == 0 {
            return Commands(0);
        }
        Commands(inbox.commands.swap(0, Ordering::AcqRel))
    }

    /// What is told of the connection.
    pub(crate) fn record(&self) -> &SessionRecord {
        &self.member.record
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
    use crate::{mailbox::Mailbox, stomp::Version, transport::Transport};

    fn record(id: &str) -> SessionRecord {
        let peer = ([127, 0, 0, 1], 9).into();
        SessionRecord::new(id.into(), peer, Transport::Tcp, Arc::new(Mailbox::new(1)))
    }

    #[test]
    fn a_drain_asks_each_connection_once_and_no_more_than_it_is_told() {
        let registry = ConnectionRegistry::default();
        let connections: Vec<_> = (0..5).map(|_| registry.enter(record("a-1"))).collect();
        let asked = || connections.iter().filter(|one| one.take(Waker::noop()).drain()).count();
        assert_eq!((registry.drain(2), asked()), (2, 2));
        assert_eq!((registry.drain(usize::MAX), asked()), (3, 3));
        assert_eq!((registry.drain(usize::MAX), asked()), (0, 0));
    }

    #[test]
    fn a_connection_that_ended_has_left() {
        let registry = ConnectionRegistry::default();
        let (first, second) = (registry.enter(record("a-1")), registry.enter(record("a-2")));
        drop(first);
        registry.settings_changed();
        assert_eq!(registry.len(), 1);
        let commands = second.take(Waker::noop());
        assert!(commands.settings_changed() && !commands.drain() && !commands.abort());
        assert!(!second.take(Waker::noop()).settings_changed());
    }

    #[test]
    fn sessions_are_told_from_their_login_on_the_oldest_first() {
        let registry = ConnectionRegistry::default();
        let connections: Vec<_> = ["a-10", "a-9", "a-11"].map(|id| registry.enter(record(id))).into();
        for connection in &connections[..2] {
            connection.record().logged_in("ann".into(), Version::V1_2);
        }
        let told = registry.sessions(|record| record.user() == Some("ann"));
        assert!(told.iter().map(|member| &*member.record.id).eq(["a-9", "a-10"]));
        told[0].close();
        assert!(connections[1].take(Waker::noop()).close());
        assert!(!connections[0].take(Waker::noop()).close());
    }
}
