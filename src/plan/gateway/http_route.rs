//! HTTPRoute: WebSocket and SockJS.

use super::{BackendReference, Http, PathMatch, Route, RouteMatch, RouteRule, Timeouts, route};
use crate::{
    plan::{exposure, names},
    validate::ValidatedBroker,
};

/// No limit: a WebSocket is one request, and lasts as long as its session.
const FOR_EVER: &str = "0s";

/// The HTTPRoute, when there is to be one.
pub(in crate::plan) fn http_route(broker: &ValidatedBroker) -> Option<Route<Http>> {
    let exposure = broker.spec.exposure.as_ref()?.http_route.as_ref()?;
    let port = exposure::websocket_port(broker)?;
    let path = exposure::websocket_path(broker)?;
    let type_ = if path.is_prefix { "PathPrefix" } else { "Exact" };
    let rule = RouteRule {
        matches: vec![RouteMatch { path: PathMatch { type_: type_.to_owned(), value: path.value.to_owned() } }],
        timeouts: Some(Timeouts { request: FOR_EVER.to_owned(), backend_request: FOR_EVER.to_owned() }),
        backend_refs: vec![BackendReference { name: names::service(&broker.name), port: i32::from(port.number) }],
    };
    Some(route(broker, exposure, rule))
}
