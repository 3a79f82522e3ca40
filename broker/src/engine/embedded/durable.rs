//! Durable subscriptions to topics: what asks for one, what it is called, and who may be whom.
//!
//! A durable subscription is a queue that its topic feeds ([`super::topics`]) whether or not somebody consumes from it. Its
//! name is `/durable/NAME/topic/...` as `RabbitMQ`'s clients ask for it, where whoever names the same one shares it, and
//! `/durable/CLIENT:NAME/topic/...` for those of `ActiveMQ` and Artemis, who say by `client-id` which client they are.

use std::{borrow::Cow, collections::HashSet, sync::Arc};

use parking_lot::Mutex;

use super::{
    names::{self, Kind},
    temporary,
};
use crate::{engine::EngineError, stomp::Header};

const PREFIX: &str = "/durable/";
/// Each costs memory though nobody is there, so there are no more than this.
pub(super) const MOST: usize = 10_000;
/// Headers that name a durable subscription of a client, in `ActiveMQ` and in Artemis.
const NAMES: [&str; 3] = ["activemq.subscriptionName", "durable-subscription-name", "durable-subscriber-name"];
/// Headers by which `RabbitMQ`'s clients say that the id of a subscription names a durable one.
const FLAGS: [&str; 2] = ["durable", "persistent"];
const FLAG_VALUES: &str = "true or false";
/// The header by which `RabbitMQ`'s clients name the queue behind a subscription to a topic.
const QUEUE_NAME: &str = "x-queue-name";

/// What a SUBSCRIBE to a topic asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Requested {
    /// The name of the queue that the topic feeds.
    pub(super) queue: Box<str>,
    /// Whether it stays when nobody consumes from it: else it is only shared by those who do.
    pub(super) stays: bool,
}

/// The durable or shared subscription that a SUBSCRIBE to what is called `name` here asks for; none if it asks for an
/// ordinary one. `written`: how the client calls it.
///
/// # Errors
/// When what it needs is missing, or there can be none for such a destination.
pub(super) fn requested(
    headers: &[Header],
    client_id: Option<&str>,
    kind: Kind,
    written: &str,
    name: &str,
) -> Result<Option<Requested>, EngineError> {
    // Every queue keeps its messages, whoever is there.
    if kind == Kind::Queue {
        return match header(headers, QUEUE_NAME) {
            Some(other) if name.strip_prefix("/queue/") != Some(other) => {
                Err(invalid(QUEUE_NAME, other, "left out, for the destination names the queue"))
            }
            _ => Ok(None),
        };
    }
    let Some((by, own, stays)) = named(headers, client_id)? else { return Ok(None) };
    if stays && header(headers, "auto-delete") == Some("true") {
        return Err(invalid("auto-delete", "true", "false for a durable subscription"));
    }
    if kind == Kind::User || temporary::is_reply_topic(name) {
        return names::refuse(written, &format!("it ends with the session; leave out the header {by}"));
    }
    Ok(Some(Requested { queue: format!("{PREFIX}{own}{name}").into(), stays }))
}

/// The header that asks for a durable or shared subscription, how the part of its name before the destination reads, and
/// whether it is durable.
fn named(headers: &[Header], client_id: Option<&str>) -> Result<Option<(&'static str, String, bool)>, EngineError> {
    if let Some((by, name)) = NAMES.into_iter().find_map(|by| Some((by, header(headers, by)?))) {
        if name.is_empty() {
            return Err(invalid(by, name, "the name of the durable subscription"));
        }
        let needs = "the header client-id in CONNECT, which says whose it is";
        let client = client_id.ok_or(EngineError::IncompleteDurable { header: by, needs })?;
        return Ok(Some((by, format!("{}:{}", escaped(client), escaped(name)), true)));
    }
    let mut flag = None;
    for by in FLAGS {
        match header(headers, by) {
            Some("true") => flag = flag.or(Some(by)),
            None | Some("false") => {}
            Some(other) => return Err(invalid(by, other, FLAG_VALUES)),
        }
    }
    if let Some(queue) = header(headers, QUEUE_NAME) {
        if queue.is_empty() {
            return Err(invalid(QUEUE_NAME, queue, "the name of the queue that subscribers share"));
        }
        return Ok(Some((flag.unwrap_or(QUEUE_NAME), escaped(queue).into_owned(), flag.is_some())));
    }
    let Some(by) = flag else { return Ok(None) };
    let needs = "the header id, which names it over all sessions";
    let id = header(headers, "id").filter(|id| !id.is_empty());
    let id = id.ok_or(EngineError::IncompleteDurable { header: by, needs })?;
    Ok(Some((by, escaped(id).into_owned(), true)))
}

/// Whether an UNSUBSCRIBE with these headers deletes a durable subscription; else it leaves it without this consumer.
pub(in crate::engine) fn deletes(headers: &[Header]) -> bool {
    NAMES.into_iter().any(|by| header(headers, by).is_some())
        || FLAGS.into_iter().any(|by| header(headers, by) == Some("true"))
}

/// The topic or pattern of the durable subscription that a queue of this name is; none if it is another queue.
pub(in crate::engine) fn topic_of(queue: &str) -> Option<&str> {
    let name = queue.strip_prefix(PREFIX)?;
    name.find('/').map(|end| &name[end..])
}

/// Makes one segment of a text, and no two texts the same.
fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '/', ':']) {
        return text.into();
    }
    text.replace('%', "%25").replace('/', "%2F").replace(':', "%3A").into()
}

fn header<'a>(headers: &'a [Header], wanted: &str) -> Option<&'a str> {
    headers.iter().find(|(name, _)| &**name == wanted).map(|(_, value)| &**value)
}

fn invalid(header: &str, value: &str, expected: &'static str) -> EngineError {
    EngineError::InvalidHeader { header: header.into(), value: value.into(), expected }
}

/// The clients that are connected, by what they call themselves.
#[derive(Debug, Default)]
pub(super) struct ClientIds(Arc<Mutex<HashSet<Box<str>>>>);

/// A `client-id` that one session has, until it is dropped.
#[derive(Debug)]
pub(super) struct ClientId {
    name: Box<str>,
    taken: Arc<Mutex<HashSet<Box<str>>>>,
}

impl ClientIds {
    /// Takes a `client-id` for a session.
    ///
    /// # Errors
    /// When another session has it.
    pub(super) fn take(&self, name: &str) -> Result<ClientId, EngineError> {
        if !self.0.lock().insert(name.into()) {
            return Err(EngineError::ClientIdTaken(name.into()));
        }
        Ok(ClientId { name: name.into(), taken: Arc::clone(&self.0) })
    }
}

impl ClientId {
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for ClientId {
    fn drop(&mut self) {
        self.taken.lock().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(headers: &[(&str, &str)], client: Option<&str>) -> Result<Option<Box<str>>, EngineError> {
        let headers: Vec<Header> = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Ok(requested(&headers, client, Kind::Topic, "written", "/topic/a")?.map(|requested| requested.queue))
    }

    #[test]
    fn each_broker_has_its_own_words_for_a_durable_subscription() {
        for flag in FLAGS {
            let headers = [("id", "jobs"), (flag, "true"), ("auto-delete", "false")];
            assert_eq!(name(&headers, Some("c")).unwrap().as_deref(), Some("/durable/jobs/topic/a"));
        }
        for by in NAMES {
            let headers = [("id", "0"), (by, "jobs")];
            assert_eq!(name(&headers, Some("c")).unwrap().as_deref(), Some("/durable/c:jobs/topic/a"));
        }
        assert_eq!(name(&[("id", "jobs"), ("durable", "false")], Some("c")), Ok(None));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_by_its_header() {
        for (headers, header) in [
            (&[("id", "0"), ("activemq.subscriptionName", "jobs")][..], "activemq.subscriptionName"),
            (&[("durable", "true")], "durable"),
            (&[("id", ""), ("persistent", "true")], "persistent"),
            (&[("id", "0"), ("durable", "yes")], "durable"),
            (&[("id", "0"), ("durable", "true"), ("auto-delete", "true")], "auto-delete"),
            (&[("id", "0"), ("durable-subscription-name", "")], "durable-subscription-name"),
        ] {
            let refusal = name(headers, None).unwrap_err().to_string();
            assert!(refusal.contains(header), "{headers:?}: {refusal}");
        }
    }

    #[test]
    fn no_two_durable_subscriptions_share_a_name_and_each_tells_its_topic() {
        let ids = ["a", "a:b", "a/b", "a%2Fb", "a%3Ab"].map(|id| name(&[("id", id), ("durable", "true")], None));
        let by_client = [("a", "b"), ("a:b", "c"), ("a", "b:c")].map(|(client, own)| {
            let headers = [("durable-subscriber-name", own)];
            name(&headers, Some(client))
        });
        let names: Vec<_> = ids.into_iter().chain(by_client).map(|name| name.unwrap().unwrap()).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{names:?}");
        assert!(names.iter().all(|name| topic_of(name) == Some("/topic/a")), "{names:?}");
        assert_eq!(topic_of("/queue/durable/a"), None);
    }
}
