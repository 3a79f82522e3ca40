//! From objects that lead into the cluster to what is kept of them (pure).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::shapes::{IngressShape, ServiceShape};
use crate::{
    observed::{ExposedView, RouteView},
    plan::{
        custom::CustomKind,
        gateway::{Route, RouteStatus},
    },
};

/// How a Service is reached from outside the cluster; absent when it is not.
pub(super) fn service(service: &ServiceShape) -> Option<ExposedView> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
    let node_ports =
        ports.filter_map(|port| Some((port.name.clone().unwrap_or_default(), port.node_port?.try_into().ok()?)));
    let ingress = service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    let ingress = ingress.into_iter().flatten();
    let addresses = ingress.filter_map(|one| one.hostname.clone().or_else(|| one.ip.clone()));
    let view = ExposedView { addresses: addresses.collect(), node_ports: node_ports.collect() };
    (view != ExposedView::default()).then_some(view)
}

/// How an Ingress is reached; absent when it does not tell.
pub(super) fn ingress(ingress: &IngressShape) -> Option<ExposedView> {
    let all = ingress.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?;
    let addresses: Vec<_> = all.iter().filter_map(|one| one.hostname.clone().or_else(|| one.ip.clone())).collect();
    (!addresses.is_empty()).then(|| ExposedView { addresses, ..ExposedView::default() })
}

/// What gateways say of the newest form of a route.
pub(crate) fn route<K: CustomKind<Status = RouteStatus>>(route: &Route<K>) -> RouteView {
    let mut view = RouteView::default();
    for parent in route.status.iter().flat_map(|status| &status.parents) {
        let newest = |condition: &&Condition| condition.observed_generation >= route.metadata.generation;
        let conditions = || parent.conditions.iter().filter(newest);
        let refused = conditions()
            .find(|condition| ["Accepted", "ResolvedRefs"].contains(&&*condition.type_) && condition.status == "False");
        if let Some(Condition { reason, message, .. }) = refused {
            view.refused.push(format!("{}: {reason}: {message}", parent.parent_ref.name));
        } else if conditions().any(|condition| condition.type_ == "Accepted" && condition.status == "True") {
            view.accepted += 1;
        }
    }
    view
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::gateway::Http;

    fn seen(parents: &Value) -> RouteView {
        let live = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "trading", "generation": 2}, "spec": {}, "status": {"parents": parents},
        });
        route(&serde_json::from_value::<Route<Http>>(live).unwrap())
    }

    fn parent(generation: i64, type_: &str, status: &str) -> Value {
        json!({"parentRef": {"name": "edge"}, "controllerName": "c", "conditions": [{"type": type_, "status": status,
            "reason": "R", "message": "m", "observedGeneration": generation, "lastTransitionTime": "2026-01-02T03:04:05Z"}]})
    }

    #[test]
    fn a_gateway_that_speaks_of_an_older_route_says_nothing_of_this_one() {
        assert_eq!(seen(&json!([parent(1, "Accepted", "True"), parent(1, "Accepted", "False")])), RouteView::default());
        assert_eq!(seen(&json!([parent(2, "Accepted", "True")])).accepted, 1);
    }

    #[test]
    fn a_route_that_is_accepted_but_leads_nowhere_is_refused() {
        let refused = RouteView { accepted: 0, refused: vec!["edge: R: m".to_owned()] };
        assert_eq!(seen(&json!([parent(2, "ResolvedRefs", "False")])), refused);
    }

    #[test]
    fn a_service_is_exposed_by_addresses_and_by_ports_of_nodes() {
        let view = |spec: Value, status: Value| {
            service(&serde_json::from_value(json!({"metadata": {}, "spec": spec, "status": status})).unwrap())
        };
        assert_eq!(view(json!({"ports": [{"port": 80}]}), json!({"loadBalancer": {}})), None);
        let ports = json!({"ports": [{"name": "stomp", "port": 61613, "nodePort": 31613}]});
        let ingress = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "lb.example"}]}});
        let view = view(ports, ingress).unwrap();
        assert_eq!(view.addresses, ["192.0.2.1", "lb.example"]);
        assert_eq!(view.node_ports, [("stomp".to_owned(), 31613)]);
    }
}
