//! What leads into the cluster: the schema's rules about it once more, in Rust.

use stompbroker_config::AddressRange;

use crate::{
    api::{Exposure, ServiceExposure, ServiceType, StompBroker},
    validate::SpecError,
};

/// Errors for ways into the cluster that lead nowhere.
pub(super) fn check(broker: &StompBroker, errors: &mut Vec<SpecError>) {
    let Some(Exposure { service, ingress, http_route, tls_route }) = &broker.spec.exposure else { return };
    let listeners = broker.spec.listeners.clone().unwrap_or_default();
    for (field, is_set) in [("ingress", ingress.is_some()), ("httpRoute", http_route.is_some())] {
        if is_set && listeners.websocket.is_none() {
            errors.push(SpecError::invalid(
                format!("spec.exposure.{field}"),
                "set",
                "it leads to the WebSocket listener, and there is none; set spec.listeners.websocket, or remove it",
            ));
        }
    }
    if tls_route.is_some() && listeners.stomp.is_none_or(|stomp| stomp.tls.is_none()) {
        errors.push(SpecError::invalid(
            "spec.exposure.tlsRoute",
            "set",
            "it leads to STOMP over TLS, which spec.listeners.stomp does not speak; set spec.listeners.stomp.tls, or remove it",
        ));
    }
    if let Some(exposed) = service {
        of_service(exposed, errors);
    }
}

fn of_service(service: &ServiceExposure, errors: &mut Vec<SpecError>) {
    let ServiceExposure { type_, load_balancer_class, load_balancer_source_ranges, external_traffic_policy, .. } =
        service;
    let for_load_balancers = [
        ("loadBalancerClass", load_balancer_class.is_some()),
        ("loadBalancerSourceRanges", !load_balancer_source_ranges.is_empty()),
    ];
    for (field, _) in
        for_load_balancers.into_iter().filter(|(_, is_set)| *is_set && *type_ != ServiceType::LoadBalancer)
    {
        errors.push(SpecError::invalid(
            format!("spec.exposure.service.{field}"),
            "set",
            format!(
                "type is {}, which has no load balancer; set type to LoadBalancer, or remove the field",
                type_.as_str()
            ),
        ));
    }
    if external_traffic_policy.is_some() && *type_ == ServiceType::ClusterIP {
        errors.push(SpecError::invalid(
            "spec.exposure.service.externalTrafficPolicy",
            "set",
            "type is ClusterIP, which nothing reaches from outside; set type to LoadBalancer or NodePort, or remove the field",
        ));
    }
    let is_range = |range: &str| range.contains('/') && range.parse::<AddressRange>().is_ok();
    for range in load_balancer_source_ranges.iter().filter(|range| !is_range(range)) {
        errors.push(SpecError::invalid(
            "spec.exposure.service.loadBalancerSourceRanges",
            range,
            "it is no range of addresses; write for example 192.0.2.0/24, or 192.0.2.7/32 for one address",
        ));
    }
}
