//! Who a session is.

use std::sync::Arc;

/// A role's name, as destination rules write it.
pub type Role = Box<str>;

/// The user of a session, once it has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The user's name; empty for an anonymous session.
    pub user: Arc<str>,
    /// What the user may be matched by besides the name.
    pub roles: Arc<[Role]>,
}

impl Principal {
    /// Whether somebody logged in.
    pub fn is_authenticated(&self) -> bool {
        !self.user.is_empty()
    }
}
