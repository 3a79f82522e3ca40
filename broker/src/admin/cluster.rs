//! Sessions of all pods: what this one knows, and what the others answer. Who does not answer is named.

use std::borrow::Cow;

use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use stompbroker_config::admin::{SessionList, SessionStatus};

use super::{
    lists::{self, Page, PodScope},
    routes::{Answer, Asked, json, json_text, text},
};
use crate::{broker::Broker, connection::place, peers::Peers};

/// `GET /sessions`.
pub(super) async fn sessions(broker: &Broker, asked: &Asked<'_>) -> Answer {
    match Page::read(asked.query, &["limit", "after", "user", "scope"]) {
        Ok(page) => list(broker, &page, PodScope::Pod).await,
        Err(refusal) => *refusal,
    }
}

/// `GET /users/{name}/sessions`.
pub(super) async fn sessions_of_user(broker: &Broker, asked: &Asked<'_>) -> Answer {
    match Page::read(asked.query, &["limit", "after", "scope"]) {
        Ok(page) => {
            let page = Page { user: Some(Cow::Borrowed(&asked.name)), ..page };
            list(broker, &page, PodScope::Cluster).await
        }
        Err(refusal) => *refusal,
    }
}

async fn list(broker: &Broker, page: &Page<'_>, scope: PodScope) -> Answer {
    let here = match lists::list(broker, page) {
        Ok(here) => here,
        Err(refusal) => return *refusal,
    };
    if page.scope.unwrap_or(scope) == PodScope::Pod {
        return json(&here);
    }
    let (mut parts, mut incomplete) = (vec![here], Vec::new());
    for (address, said) in Peers::ask_all(broker, &Method::GET, &format!("/sessions?{}", page.query())).await {
        match said.ok().and_then(|(_, body)| serde_json::from_slice(&body).ok()) {
            Some(part) => parts.push(part),
            None => incomplete.push(address.to_string()),
        }
    }
    json(&merge(parts, page.limit, incomplete))
}

/// One page of what the pods have answered to the same question, each with so many sessions at most. Pure.
fn merge(parts: Vec<SessionList>, limit: usize, incomplete: Vec<String>) -> SessionList {
    let total = parts.iter().map(|part| part.total).sum();
    let mut is_more = parts.iter().any(|part| part.next.is_some());
    let mut sessions: Vec<SessionStatus> = parts.into_iter().flat_map(|part| part.sessions).collect();
    sessions.sort_by(|one, other| place(&one.id).cmp(&place(&other.id)));
    is_more |= sessions.len() > limit;
    sessions.truncate(limit);
    let next = sessions.last().filter(|_| is_more).map(|last| last.id.clone());
    SessionList { total, sessions, next, incomplete }
}

/// `GET /sessions/{id}` and `DELETE /sessions/{id}`: whichever pod has it.
pub(super) async fn session(broker: &Broker, asked: &Asked<'_>, method: Method) -> Answer {
    let scope = match Page::read(asked.query, &["scope"]) {
        Ok(page) => page.scope,
        Err(refusal) => return *refusal,
    };
    let here = lists::session_here(broker, &method, &asked.name);
    if here.status() != StatusCode::NOT_FOUND || scope == Some(PodScope::Pod) {
        return here;
    }
    let path = format!("/sessions/{}", utf8_percent_encode(&asked.name, NON_ALPHANUMERIC));
    let mut silent = String::new();
    let said = Peers::ask_all(broker, &method, &path).await;
    let is_alone = said.is_empty();
    for (address, said) in said {
        match said {
            Ok((StatusCode::OK, body)) => return json_text(body),
            Ok((StatusCode::ACCEPTED, _)) => return text(StatusCode::ACCEPTED, "closing\n".to_owned()),
            Ok(_) => {}
            Err(_) => silent.extend([", and no answer from ", &address.to_string()]),
        }
    }
    if is_alone {
        here
    } else {
        text(StatusCode::NOT_FOUND, format!("There is no session {:?} in any pod{silent}.\n", asked.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pod's part of the page of so many sessions after one; the pod is `instance` and has five sessions.
    fn part(instance: &str, after: Option<&str>, limit: usize) -> SessionList {
        let ids: Vec<_> = (8..=12).map(|serial| format!("{instance}-{serial}")).collect();
        let after = after.and_then(place);
        let rest: Vec<_> = ids.iter().filter(|id| after.is_none() || place(id) > after).collect();
        let shown = &rest[..limit.min(rest.len())];
        let status = |id: &&String| SessionStatus {
            id: (*id).clone(),
            pod: format!("pod-{instance}"),
            user: None,
            address: String::new(),
            transport: String::new(),
            version: String::new(),
            connected_since: String::new(),
            subscriptions: 0,
            frames_received: 0,
            frames_sent: 0,
            octets_received: 0,
            octets_sent: 0,
            octets_waiting: 0,
        };
        SessionList {
            total: 5,
            sessions: shown.iter().map(status).collect(),
            next: (shown.len() < rest.len()).then(|| shown[shown.len() - 1].clone()),
            incomplete: Vec::new(),
        }
    }

    #[test]
    fn pages_of_any_size_have_every_session_of_every_pod_once() {
        for limit in 1..17 {
            let (mut seen, mut after) = (Vec::new(), None::<String>);
            loop {
                let parts = ["b", "a", "c"].map(|instance| part(instance, after.as_deref(), limit));
                let page = merge(parts.into(), limit, Vec::new());
                assert!(page.total == 15 && page.sessions.len() <= limit, "{limit}: {page:?}");
                seen.extend(page.sessions.into_iter().map(|session| session.id));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let all = ["a", "b", "c"].iter().flat_map(|instance| (8..=12).map(move |n| format!("{instance}-{n}")));
            assert!(all.eq(seen.iter().cloned()), "{limit}: {seen:?}");
        }
    }

    #[test]
    fn a_pod_that_did_not_answer_is_named() {
        let page = merge(vec![part("a", None, 10)], 10, vec!["10.0.0.2:15021".to_owned()]);
        assert_eq!((page.total, page.incomplete), (5, vec!["10.0.0.2:15021".to_owned()]));
    }
}
