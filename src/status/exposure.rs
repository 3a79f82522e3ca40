//! `Exposed` and `status.exposure`: how clients outside the cluster reach the broker.

use super::{
    Reason,
    verdict::{Holds, Verdict},
};
use crate::{
    api::{ExposureStatus, IngressExposure, ListenerPort, ParentReference, RouteExposure, ServiceType},
    observed::{ExposedView, Observed, RouteView},
    plan::{
        custom::CustomKind as _,
        gateway::{Http, Tls},
        names,
    },
    validate::ValidatedBroker,
};

/// Ports that URLs leave out.
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// What is told of an object that the spec no longer asks for.
pub(super) const LEFT: &str = "the spec no longer asks for it, and it is still to be deleted";

/// One way into the cluster: what is told of it, and what it lacks.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) told: ExposureStatus,
    lacks: Option<Reason>,
}

/// The ways that the spec asks for, in the order of its fields.
pub(super) fn ways(broker: &ValidatedBroker, observed: &Observed) -> Vec<Way> {
    let Some(exposure) = &broker.spec.exposure else { return Vec::new() };
    let service = exposure.service.as_ref().map(|service| service.type_);
    let service = service.and_then(|type_| of_service(broker, type_, observed.service.as_ref()));
    let ingress = exposure.ingress.as_ref().map(|ingress| of_ingress(broker, ingress, observed.ingress.as_ref()));
    let http = exposure.http_route.as_ref().map(|route| {
        let urls = route.hostnames.iter().flat_map(|host| browser_urls(broker, host, edge(&route.parent_refs)));
        of_route(broker, Http::KIND, route, urls.collect(), observed.gateway_api.http_routes, observed)
    });
    let tls = exposure.tls_route.as_ref().map(|route| {
        let port = route.parent_refs.iter().find_map(|parent| parent.port).unwrap_or(HTTPS);
        let urls = route.hostnames.iter().map(|host| format!("stomps://{host}:{port}"));
        of_route(broker, Tls::KIND, route, urls.collect(), observed.gateway_api.tls_routes.is_some(), observed)
    });
    service.into_iter().chain([ingress, http, tls].into_iter().flatten()).collect()
}

/// Keeps routes that were told of and are to be deleted yet: no watch shows them, and who deletes them goes by the status.
pub(super) fn keep_left(told: &mut Vec<ExposureStatus>, previous: &[ExposureStatus]) {
    let is_route = |way: &&ExposureStatus| [Http::KIND, Tls::KIND].contains(&&*way.kind);
    for left in previous.iter().filter(is_route) {
        if !told.iter().any(|way| way.kind == left.kind) {
            told.push(ExposureStatus { ready: false, message: Some(LEFT.to_owned()), ..left.clone() });
        }
    }
}

/// Judges whether clients outside the cluster can come in.
pub(super) fn exposed(ways: &[Way]) -> Verdict {
    let lacking = ways.iter().filter_map(|way| Some((way.lacks?, &way.told)));
    // What passes by itself is told last.
    let first = lacking.min_by_key(|(reason, _)| passes(*reason));
    match first {
        Some((reason, told)) => {
            let what = told.message.as_deref().unwrap_or_default();
            Verdict::new(Holds::False, reason, format!("{} {}: {what}", told.kind, told.name))
        }
        None => Verdict::new(Holds::True, Reason::AsExpected, "clients outside the cluster can come in"),
    }
}

/// Whether what is lacking comes by itself.
pub(super) const fn passes(reason: Reason) -> bool {
    matches!(reason, Reason::AddressPending | Reason::RoutePending)
}

fn of_service(broker: &ValidatedBroker, type_: ServiceType, view: Option<&ExposedView>) -> Option<Way> {
    let view = view.cloned().unwrap_or_default();
    let (urls, message, lacks) = match type_ {
        ServiceType::ClusterIP => return None,
        ServiceType::NodePort if view.node_ports.is_empty() => {
            (Vec::new(), Some("it has no ports of nodes yet".to_owned()), Some(Reason::AddressPending))
        }
        ServiceType::NodePort => {
            let ports: Vec<_> = view.node_ports.iter().map(|(name, port)| format!("{name} on {port}")).collect();
            (Vec::new(), Some(format!("every node takes {}", ports.join(", "))), None)
        }
        ServiceType::LoadBalancer if view.addresses.is_empty() => {
            (Vec::new(), Some("its load balancer has no address yet".to_owned()), Some(Reason::AddressPending))
        }
        ServiceType::LoadBalancer => {
            let of_address =
                |address: &String| broker.listeners.ports().map(|port| url(broker, address, port)).collect::<Vec<_>>();
            (view.addresses.iter().flat_map(of_address).collect(), None, None)
        }
    };
    Some(way(broker, "Service", urls, message, lacks))
}

/// Not every Ingress controller tells its address, so that nothing is waited for.
fn of_ingress(broker: &ValidatedBroker, ingress: &IngressExposure, view: Option<&ExposedView>) -> Way {
    let port = if ingress.tls.is_some() { HTTPS } else { HTTP };
    let urls = browser_urls(broker, &ingress.host, port);
    let message = view.map(|view| format!("{} has to lead to {}", ingress.host, view.addresses.join(" or ")));
    way(broker, "Ingress", urls, message, None)
}

fn of_route(
    broker: &ValidatedBroker,
    kind: &str,
    route: &RouteExposure,
    urls: Vec<String>,
    is_known: bool,
    observed: &Observed,
) -> Way {
    let seen = observed.routes.get(kind).cloned().unwrap_or_default();
    let RouteView { accepted, refused } = seen;
    let wanted = route.parent_refs.len();
    let (message, lacks) = if !is_known {
        let text =
            format!("the API server does not know {kind}s; install the CRDs of Gateway API, or remove the field");
        (Some(text), Some(Reason::GatewayApiMissing))
    } else if !refused.is_empty() {
        (Some(refused.join("; ")), Some(Reason::RouteRefused))
    } else if accepted < wanted {
        (Some(format!("{accepted} of {wanted} gateways have taken it")), Some(Reason::RoutePending))
    } else {
        (None, None)
    };
    way(broker, kind, urls, message, lacks)
}

fn way(broker: &ValidatedBroker, kind: &str, urls: Vec<String>, message: Option<String>, lacks: Option<Reason>) -> Way {
    let name = names::service(&broker.name);
    Way { told: ExposureStatus { kind: kind.to_owned(), name, ready: lacks.is_none(), urls, message }, lacks }
}

/// The port of gateways. What their listeners speak is not ours to read: 80 stands for no TLS, as everywhere.
fn edge(parents: &[ParentReference]) -> u16 {
    parents.iter().find_map(|parent| parent.port).unwrap_or(HTTPS)
}

/// What browsers connect to where a proxy speaks TLS, or none on port 80: WebSocket, and SockJS.
fn browser_urls(broker: &ValidatedBroker, host: &str, port: u16) -> Vec<String> {
    let Some(websocket) = &broker.listeners.websocket else { return Vec::new() };
    let s = if port == HTTP { "" } else { "s" };
    let port = if [HTTP, HTTPS].contains(&port) { String::new() } else { format!(":{port}") };
    let path = &websocket.path;
    let sock_js = websocket.serves_sock_js().then(|| format!("http{s}://{host}{port}{path}"));
    [format!("ws{s}://{host}{port}{path}")].into_iter().chain(sock_js).collect()
}

/// What clients of the port itself connect to.
fn url(broker: &ValidatedBroker, host: &str, port: ListenerPort) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let s = if port.is_tls { "s" } else { "" };
    match broker.listeners.websocket.as_ref().filter(|_| port.is_websocket) {
        Some(websocket) => format!("ws{s}://{host}:{}{}", port.number, websocket.path),
        None => format!("stomp{s}://{host}:{}", port.number),
    }
}
