//! Who a session is.

use std::{sync::Arc, time::Instant};

/// A role's name, as destination rules write it.
pub type Role = Box<str>;

/// Claims of a token by name.
pub type Claims = Arc<[(Box<str>, Box<str>)]>;

/// The user of a session, once it has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The user's name; empty for an anonymous session.
    pub user: Arc<str>,
    /// What the user may be matched by besides the name.
    pub roles: Arc<[Role]>,
    /// What the token says of the user besides, where there was one.
    pub claims: Option<Claims>,
    /// When what the user logged in with expires, and with it the session.
    pub expires_at: Option<Instant>,
}

impl Principal {
    /// The value of a claim.
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.claims.iter().flat_map(|claims| claims.iter()).find(|(own, _)| **own == *name).map(|(_, value)| &**value)
    }

    /// Whether somebody logged in.
    pub fn is_authenticated(&self) -> bool {
        !self.user.is_empty()
    }
}
