//! Which StompBrokers this operator looks after: those that their watches show, which go by namespace and labels. Children and pods
//! are seen of all, so that one that comes from another operator is found as it is.

use kube::{Resource as _, runtime::reflector::Store};

use super::{
    triggers::BrokerRef,
    watches::{cache::Key, kept::KeptBroker, views::version},
};
use crate::error::Error;

/// The StompBrokers that this operator looks after.
#[derive(Clone, Debug)]
pub(crate) struct Managed(Store<KeptBroker>);

impl Managed {
    /// Those in `store`.
    pub(crate) fn new(store: Store<KeptBroker>) -> Self {
        Self(store)
    }

    /// Whether one of this name is among them.
    pub(crate) fn has(&self, broker: &Key) -> bool {
        self.0.get(&reference(broker)).is_some()
    }

    /// Whether it still is the one with this UID.
    pub(crate) fn is(&self, broker: &Key, uid: &str) -> bool {
        self.0.get(&reference(broker)).is_some_and(|broker| broker.meta().uid.as_deref() == Some(uid))
    }

    /// The version of the one of this name that the watch shows.
    pub(crate) fn version(&self, broker: &Key) -> Option<u64> {
        self.0.get(&reference(broker)).map(|broker| version(broker.meta()))
    }

    /// Before each write for one: what has left may be another operator's by now.
    ///
    /// # Errors
    /// When it is not the one with this UID any more.
    pub(crate) fn require(&self, broker: &Key, uid: &str) -> Result<(), Error> {
        if self.is(broker, uid) { Ok(()) } else { Err(Error::Gone) }
    }
}

fn reference(broker: &Key) -> BrokerRef {
    BrokerRef::new(&broker.name).within(&broker.namespace)
}
