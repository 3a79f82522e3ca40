//! Sessions and destinations, page by page.

use std::{borrow::Cow, sync::Arc};

use hyper::StatusCode;
use stompbroker_config::admin::{DestinationList, NamedDestination, SessionList};

use super::routes::{Answer, Asked, json, text};
use crate::{
    broker::Broker,
    connection::{Member, serial},
};

/// Members of a page unless the query says otherwise.
const PAGE: usize = 100;
/// Members of a page at most.
const MOST_PAGE: usize = 1000;

/// Which part of a list is asked for.
struct Page<'a> {
    limit: usize,
    /// The last member of the page before.
    after: Option<Cow<'a, str>>,
    user: Option<Cow<'a, str>>,
}

impl<'a> Page<'a> {
    /// Reads a query of which these keys are known.
    ///
    /// # Errors
    /// An answer that names the key that is not known, or whose value cannot be used.
    fn read(query: &'a str, known: &[&str]) -> Result<Self, Box<Answer>> {
        let refuse = |why: String| Err(Box::new(text(StatusCode::BAD_REQUEST, why)));
        let mut page = Self { limit: PAGE, after: None, user: None };
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                key if !known.contains(&key) => {
                    return refuse(format!("There is no parameter {key:?} here; there is {}.\n", known.join(", ")));
                }
                "limit" => match value.parse() {
                    Ok(limit @ 1..=MOST_PAGE) => page.limit = limit,
                    _ => return refuse(format!("limit is {value:?}; make it a number from 1 to {MOST_PAGE}.\n")),
                },
                "after" => page.after = Some(value),
                _ => page.user = Some(value),
            }
        }
        Ok(page)
    }
}

/// `GET /sessions`.
pub(super) fn sessions(broker: &Broker, asked: &Asked<'_>) -> Answer {
    match Page::read(asked.query, &["limit", "after", "user"]) {
        Ok(page) => list_sessions(broker, &page),
        Err(refusal) => *refusal,
    }
}

/// `GET /users/{name}/sessions`.
pub(super) fn sessions_of_user(broker: &Broker, asked: &Asked<'_>) -> Answer {
    match Page::read(asked.query, &["limit", "after"]) {
        Ok(page) => list_sessions(broker, &Page { user: Some(Cow::Borrowed(&asked.name)), ..page }),
        Err(refusal) => *refusal,
    }
}

fn list_sessions(broker: &Broker, page: &Page<'_>) -> Answer {
    let after = match page.after.as_deref().map(|id| serial(id).ok_or(id)) {
        None => 0,
        Some(Ok(serial)) => serial,
        Some(Err(id)) => {
            let why = format!("after is {id:?}, which is no session's id; take it from next of the page before.\n");
            return text(StatusCode::BAD_REQUEST, why);
        }
    };
    let all = broker.registry.sessions(|record| page.user.as_deref().is_none_or(|user| record.user() == Some(user)));
    let rest = &all[all.partition_point(|member| member.record.serial() <= after)..];
    let shown = &rest[..page.limit.min(rest.len())];
    json(&SessionList {
        total: all.len() as u64,
        sessions: shown.iter().filter_map(|member| member.record.status()).collect(),
        next: shown.last().filter(|_| shown.len() < rest.len()).map(|member| member.record.id.as_ref().to_owned()),
    })
}

/// `GET /sessions/{id}`.
pub(super) fn session(broker: &Broker, asked: &Asked<'_>) -> Answer {
    match find(broker, asked).and_then(|member| member.record.status()) {
        Some(status) => json(&status),
        None => no_session(asked),
    }
}

/// `DELETE /sessions/{id}`.
pub(super) fn close_session(broker: &Broker, asked: &Asked<'_>) -> Answer {
    let Some(member) = find(broker, asked) else { return no_session(asked) };
    tracing::info!(session.id = %member.record.id, user = member.record.user(), "told to close a session by the admin port");
    member.close();
    text(StatusCode::ACCEPTED, "closing\n".to_owned())
}

fn find(broker: &Broker, asked: &Asked<'_>) -> Option<Arc<Member>> {
    broker.registry.sessions(|record| *record.id == *asked.name).pop()
}

fn no_session(asked: &Asked<'_>) -> Answer {
    text(StatusCode::NOT_FOUND, format!("There is no session {:?} in this pod.\n", asked.name))
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
