//! Sessions and destinations of this pod, page by page.

use std::{borrow::Cow, sync::Arc};

use form_urlencoded::Serializer;
use hyper::{Method, StatusCode};
use stompbroker_config::admin::{DestinationList, NamedDestination, SessionList};

use super::routes::{Answer, Asked, json, text};
use crate::{
    broker::Broker,
    connection::{Member, place},
};

/// Members of a page unless the query says otherwise.
const PAGE: usize = 100;
/// Members of a page at most.
const MOST_PAGE: usize = 1000;

/// Which pods a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PodScope {
    /// This one.
    Pod,
    /// All of the broker.
    Cluster,
}

/// Which part of a list is asked for.
pub(super) struct Page<'a> {
    pub(super) limit: usize,
    /// The last member of the page before.
    pub(super) after: Option<Cow<'a, str>>,
    pub(super) user: Option<Cow<'a, str>>,
    pub(super) scope: Option<PodScope>,
}

impl<'a> Page<'a> {
    /// Reads a query of which these keys are known.
    ///
    /// # Errors
    /// An answer that names the key that is not known, or whose value cannot be used.
    pub(super) fn read(query: &'a str, known: &[&str]) -> Result<Self, Box<Answer>> {
        let refuse = |why: String| Err(Box::new(text(StatusCode::BAD_REQUEST, why)));
        let mut page = Self { limit: PAGE, after: None, user: None, scope: None };
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                key if !known.contains(&key) => {
                    return refuse(format!("There is no parameter {key:?} here; there is {}.\n", known.join(", ")));
                }
                "limit" => match value.parse() {
                    Ok(limit @ 1..=MOST_PAGE) => page.limit = limit,
                    _ => return refuse(format!("limit is {value:?}; make it a number from 1 to {MOST_PAGE}.\n")),
                },
                "scope" => match &*value {
                    "pod" => page.scope = Some(PodScope::Pod),
                    "cluster" => page.scope = Some(PodScope::Cluster),
                    _ => return refuse(format!("scope is {value:?}; make it pod or cluster.\n")),
                },
                "after" => page.after = Some(value),
                _ => page.user = Some(value),
            }
        }
        Ok(page)
    }

    /// The query that asks another pod for its part of the same page.
    pub(super) fn query(&self) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair("limit", &self.limit.to_string());
        for (key, value) in [("after", &self.after), ("user", &self.user)] {
            query.extend_pairs(value.iter().map(|value| (key, value)));
        }
        query.finish()
    }
}

/// The sessions of this pod, for one of its peers.
pub(crate) fn sessions_here(broker: &Broker, query: &str) -> Answer {
    match Page::read(query, &["limit", "after", "user"]).and_then(|page| list(broker, &page)) {
        Ok(list) => json(&list),
        Err(refusal) => *refusal,
    }
}

/// This pod's part of a page.
///
/// # Errors
/// An answer that says what of the page cannot be used.
pub(super) fn list(broker: &Broker, page: &Page<'_>) -> Result<SessionList, Box<Answer>> {
    let after = match page.after.as_deref().map(|id| place(id).ok_or(id)) {
        None => None,
        Some(Ok(place)) => Some(place),
        Some(Err(id)) => {
            let why = format!("after is {id:?}, which is no session's id; take it from next of the page before.\n");
            return Err(Box::new(text(StatusCode::BAD_REQUEST, why)));
        }
    };
    let all = broker.registry.sessions(|record| page.user.as_deref().is_none_or(|user| record.user() == Some(user)));
    let shown_before = |member: &Arc<Member>| Some((broker.instance(), member.record.serial())) <= after;
    let rest = &all[all.partition_point(shown_before)..];
    let shown = &rest[..page.limit.min(rest.len())];
    Ok(SessionList {
        total: all.len() as u64,
        sessions: shown.iter().filter_map(|member| member.record.status(&broker.pod)).collect(),
        next: shown.last().filter(|_| shown.len() < rest.len()).map(|member| member.record.id.as_ref().to_owned()),
        incomplete: Vec::new(),
    })
}

/// One session of this pod: told of on GET, ended on DELETE; 404 when it is not here.
pub(crate) fn session_here(broker: &Broker, method: &Method, id: &str) -> Answer {
    let member = broker.registry.sessions(|record| *record.id == *id).pop();
    if *method == Method::DELETE
        && let Some(member) = member
    {
        tracing::info!(session.id = id, user = member.record.user(), "told to close a session by the admin port");
        member.close();
        return text(StatusCode::ACCEPTED, "closing\n".to_owned());
    }
    match member.and_then(|member| member.record.status(&broker.pod)) {
        Some(status) => json(&status),
        None => text(StatusCode::NOT_FOUND, format!("There is no session {id:?} in this pod.\n")),
    }
}

/// `GET /destinations`.
pub(super) fn destinations(broker: &Broker, asked: &Asked<'_>) -> Answer {
    let page = match Page::read(asked.query, &["limit", "after"]) {
        Ok(page) => page,
        Err(refusal) => return *refusal,
    };
    let all = broker.destinations();
    let total = all.len() as u64;
    let is_shown = |name: &String| page.after.as_deref().is_none_or(|after| name.as_str() > after);
    let mut rest = all.into_iter().filter(|(name, _)| is_shown(name));
    let destinations: Vec<_> =
        rest.by_ref().take(page.limit).map(|(name, stats)| NamedDestination { name, stats }).collect();
    let next = rest.next().and_then(|_| destinations.last()).map(|last| last.name.clone());
    json(&DestinationList { total, destinations, next })
}
