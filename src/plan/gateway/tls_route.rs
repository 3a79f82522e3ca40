//! TLSRoute: STOMP over TCP, which the gateway passes on as it is by the server name that clients ask for.

use super::{BackendReference, Route, RouteRule, route};
use crate::{
    plan::{custom::CustomKind, exposure, names},
    validate::ValidatedBroker,
};

/// The TLSRoute, when there is to be one; the same in every version.
pub(in crate::plan) fn tls_route<K: CustomKind>(broker: &ValidatedBroker) -> Option<Route<K>> {
    let exposure = broker.spec.exposure.as_ref()?.tls_route.as_ref()?;
    let port = exposure::stomp_tls_port(broker)?;
    let backend = BackendReference { name: names::service(&broker.name), port: i32::from(port.number) };
    Some(route(broker, exposure, RouteRule { backend_refs: vec![backend], ..RouteRule::default() }))
}
