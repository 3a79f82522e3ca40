//! Destinations of users, as Spring has them. Pure; every engine resolves them by this.
//!
//! SUBSCRIBE to `/user/queue/a` means `/queue/a` of this one session. SEND to `/user/ann/queue/a` means `/queue/a` of each
//! session of `ann`, or of the one session that has `ann` for its id. Who receives it sees `/user/queue/a`, as it was
//! subscribed to.

use std::{borrow::Cow, sync::Arc};

use smol_str::SmolStr;

use crate::message::Message;

/// The header that says what a message was sent to before it was sent on; Spring's name for it.
pub const ORIGINAL_DESTINATION: &str = "simpOrigDestination";

/// What the configuration says of destinations of users.
#[derive(Clone, Debug)]
pub struct UserDestinations {
    /// The prefix without its last slash.
    prefix: Box<str>,
    unresolved_topic: Option<Box<str>>,
}

/// Whom a message is for, and which of their destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressee<'a> {
    /// Name of a user, or id of a session.
    pub name: Cow<'a, str>,
    /// What they subscribed to behind the prefix, such as `/queue/a`.
    pub own: &'a str,
}

impl Default for UserDestinations {
    fn default() -> Self {
        Self::new(&stompbroker_config::UserDestinations::default())
    }
}

impl UserDestinations {
    /// Takes what a checked configuration has.
    pub fn new(config: &stompbroker_config::UserDestinations) -> Self {
        Self {
            prefix: config.prefix.trim_end_matches('/').into(),
            unresolved_topic: config.unresolved_topic.as_deref().map(Into::into),
        }
    }

    /// What is behind the prefix, such as `/queue/a`, in a destination of a user that a session subscribes to.
    pub fn own<'a>(&self, destination: &'a str) -> Option<&'a str> {
        destination.strip_prefix(&*self.prefix).filter(|own| own.len() > 1 && own.starts_with('/'))
    }

    /// Whom a message to this destination is for, if it is a destination of a user.
    pub fn addressee<'a>(&self, destination: &'a str) -> Option<Addressee<'a>> {
        let (name, _) = self.own(destination)?.strip_prefix('/')?.split_once('/')?;
        let own = &destination[self.prefix.len() + 1 + name.len()..];
        // The one escape that there is, for a name with a slash in it.
        let decoded = if name.contains("%2F") { Cow::Owned(name.replace("%2F", "/")) } else { Cow::Borrowed(name) };
        (!name.is_empty() && own.len() > 1).then_some(Addressee { name: decoded, own })
    }

    /// What those subscribed to whose own destination it is.
    pub fn subscribed(&self, own: &str) -> SmolStr {
        format!("{}{own}", self.prefix).into()
    }

    /// The message as those receive it who subscribed to `own`.
    pub fn resolved(&self, message: &Message, own: &str) -> Arc<Message> {
        Arc::new(message.sent_on(self.subscribed(own), None))
    }

    /// The message as it goes to the topic for those that reached nobody, where there is such a topic.
    pub fn unresolved(&self, message: &Message) -> Option<Arc<Message>> {
        let topic = self.unresolved_topic.clone()?;
        let original = (ORIGINAL_DESTINATION.into(), message.destination.clone());
        Some(Arc::new(message.sent_on(topic.into(), Some(original))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destinations(prefix: &str) -> UserDestinations {
        let config = stompbroker_config::UserDestinations {
            prefix: prefix.to_owned(),
            ..stompbroker_config::UserDestinations::default()
        };
        UserDestinations::new(&config)
    }

    #[test]
    fn what_is_behind_the_prefix_is_ones_own() {
        let users = destinations("/user/");
        assert_eq!(users.own("/user/queue/a"), Some("/queue/a"));
        for other in ["/user/", "/user", "/users/a", "/queue/user/a", ""] {
            assert_eq!(users.own(other), None, "{other}");
        }
        assert_eq!(destinations("/me/").own("/me/queue/a"), Some("/queue/a"));
    }

    #[test]
    fn a_message_is_for_the_name_behind_the_prefix() {
        let users = destinations("/user/");
        for (destination, name, own) in [
            ("/user/ann/queue/a", "ann", "/queue/a"),
            ("/user/ann@example.com/queue/a.b", "ann@example.com", "/queue/a.b"),
            ("/user/a%2Fb/queue/c", "a/b", "/queue/c"),
            ("/user/a%2eb/queue/c", "a%2eb", "/queue/c"),
        ] {
            let name = Cow::Borrowed(name);
            assert_eq!(users.addressee(destination), Some(Addressee { name, own }), "{destination}");
        }
        for nobody in ["/user/ann", "/user/ann/", "/user//queue/a", "/topic/ann/queue/a"] {
            assert_eq!(users.addressee(nobody), None, "{nobody}");
        }
    }
}
