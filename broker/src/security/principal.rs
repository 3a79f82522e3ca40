//! Who a session is.

use std::{sync::Arc, time::Instant};

/// A role's name, as destination rules write it.
pub type Role = Box<str>;

/// The user of a session, once it has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The user's name; empty for an anonymous session.
    pub user: Arc<str>,
    /// What the user may be matched by besides the name.
    pub roles: Arc<[Role]>,
    /// When what the user logged in with expires, and with it the session.
    pub expires_at: Option<Instant>,
}

impl Principal {
    /// Whether somebody logged in.
    pub fn is_authenticated(&self) -> bool {
        !self.user.is_empty()
    }
}
