//! Transactions: what a client wants done all at once, kept until its COMMIT.

use smol_str::SmolStr;

use crate::{
    applications::Request,
    engine::{Operation, SubscriptionKey},
};

/// The session's name for an open transaction; never reused, unlike the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TransactionKey(u32);

/// The open transactions of a session.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    open: Vec<Transaction>,
    opened: u32,
}

/// What a frame of a transaction does at COMMIT.
#[derive(Debug)]
pub(super) enum Work {
    Operation(Operation),
    Request(Request),
}

/// An open transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    id: Box<str>,
    pub(super) key: TransactionKey,
    pub(super) operations: Vec<Operation>,
    /// What applications are asked for, in order.
    pub(super) requests: Vec<Request>,
    /// The receipts of its frames, owed once it is committed.
    pub(super) receipts: Vec<SmolStr>,
    /// Frames that it holds.
    pub(super) frames: u32,
    /// Octets of the messages that it holds.
    octets: usize,
}

impl Transactions {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Octets of the messages that all of them hold.
    pub(super) fn octets(&self) -> usize {
        self.open.iter().map(|transaction| transaction.octets).sum()
    }

    pub(super) fn get(&mut self, id: &str) -> Option<&mut Transaction> {
        self.open.iter_mut().find(|transaction| &*transaction.id == id)
    }

    /// Opens one under an id that no open one has.
    pub(super) fn begin(&mut self, id: Box<str>) {
        self.opened = self.opened.wrapping_add(1);
        self.open.push(Transaction {
            id,
            key: TransactionKey(self.opened),
            operations: Vec::new(),
            requests: Vec::new(),
            receipts: Vec::new(),
            frames: 0,
            octets: 0,
        });
    }

    /// Ends one, committed or aborted.
    pub(super) fn end(&mut self, id: &str) -> Option<Transaction> {
        let at = self.open.iter().position(|transaction| &*transaction.id == id)?;
        Some(self.open.remove(at))
    }

    /// A subscription has ended: its deliveries are requeued, so no COMMIT may settle them.
    pub(super) fn forget_subscription(&mut self, key: SubscriptionKey) {
        for transaction in &mut self.open {
            transaction.operations.retain(
                |operation| !matches!(operation, Operation::Settle { subscription, .. } if *subscription == key),
            );
        }
    }
}

impl Transaction {
    /// Adds a frame that was checked: what it does at COMMIT, how much memory it takes, and its receipt.
    pub(super) fn add(&mut self, work: Option<Work>, octets: usize, receipt: Option<SmolStr>) {
        self.frames += 1;
        self.octets += octets;
        match work {
            Some(Work::Operation(operation)) => self.operations.push(operation),
            Some(Work::Request(request)) => self.requests.push(request),
            None => {}
        }
        self.receipts.extend(receipt);
    }
}
