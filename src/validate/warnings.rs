//! What works but is probably not meant.

use crate::{
    api::{AutoscalingMode, REVERT_CREDENTIALS, ROTATE_CREDENTIALS, StompBroker, StompBrokerSpec, ZoneOutagePolicy},
    validate::{Engine, Pool, PoolSize},
};

/// Warnings for the message of the condition `Accepted`.
pub(super) fn warnings(broker: &StompBroker, engine: &Engine, pools: &[Pool]) -> Vec<String> {
    let spec = &broker.spec;
    let mut warnings = Vec::new();
    if let Engine::Relay(relay) = engine {
        for upstream in &relay.upstreams {
            if let Some(zone) = &upstream.zone
                && !spec.zones.iter().any(|known| known.name == *zone)
            {
                warnings.push(format!(
                    "spec.engine.relay.upstreams[].zone is {zone} for {}, which is none of spec.zones, so no pod prefers it",
                    upstream.host
                ));
            }
        }
    }
    let without_pods: Vec<_> =
        pools.iter().filter(|pool| pool.size == PoolSize::Fixed(0)).filter_map(|pool| pool.zone.as_deref()).collect();
    if let Some(replicas) = spec.replicas.filter(|replicas| *replicas > 0)
        && !without_pods.is_empty()
    {
        warnings.push(format!(
            "spec.replicas is {replicas}, fewer than there are zones, so there is no pod in {}",
            without_pods.join(", ")
        ));
    }
    if spec.zone_outage_policy == ZoneOutagePolicy::Respread {
        let external = spec.autoscaling.as_ref().is_some_and(|wanted| wanted.mode == AutoscalingMode::External);
        if external {
            warnings.push(
                "spec.zoneOutagePolicy Respread has no effect, for with spec.autoscaling.mode External the numbers of pods are \
                 somebody else's"
                    .to_owned(),
            );
        } else if spec.zones.len() < 2 {
            warnings.push(
                "spec.zoneOutagePolicy Respread has no effect, for there is no second zone in spec.zones that could get pods"
                    .to_owned(),
            );
        }
    }
    if spec.authentication.anonymous && spec.authorization.is_none() {
        warnings.push(
            "spec.authentication.anonymous is true and there is no spec.authorization, so everybody may send and subscribe \
             everywhere"
                .to_owned(),
        );
    }
    warnings.extend(exposure(spec));
    let credentials = &spec.credentials;
    if let (Some(system), Some(client)) = (&credentials.system.secret_name, &credentials.client.secret_name) {
        let annotated = |name: &str| broker.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(name));
        let annotations = [ROTATE_CREDENTIALS, REVERT_CREDENTIALS].into_iter().filter(|name| annotated(name));
        let schedule = credentials.rotation.every.map(|_| "spec.credentials.rotation.every");
        for idle in annotations.chain(schedule) {
            warnings.push(format!(
                "{idle} has no effect, for both logins follow Secrets of yours; change the content of {system} and {client}"
            ));
        }
    }
    warnings
}

/// What comes in over HTTP comes from a proxy.
fn exposure(spec: &StompBrokerSpec) -> Vec<String> {
    let mut warnings = Vec::new();
    let Some(exposure) = &spec.exposure else { return warnings };
    let by_http = [("ingress", exposure.ingress.is_some()), ("httpRoute", exposure.http_route.is_some())];
    let Some((field, _)) = by_http.into_iter().find(|(_, is_set)| *is_set) else { return warnings };
    let websocket = spec.listeners.clone().unwrap_or_default().websocket.unwrap_or_default();
    if websocket.tls.as_ref().is_some_and(|tls| tls.port.is_none()) {
        warnings.push(format!(
            "spec.exposure.{field} leads to a port that speaks only TLS, which the proxy has to be told; set \
             spec.listeners.websocket.tls.port for an unencrypted port beside it"
        ));
    }
    let is_told = websocket.forwarded_headers.is_some() || websocket.proxy_protocol.is_some();
    if spec.limits.connections_per_address.is_some() && !is_told {
        warnings.push(format!(
            "spec.limits.connectionsPerAddress counts everybody who comes by spec.exposure.{field} as one; set \
             spec.listeners.websocket.forwardedHeaders"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use crate::{cli::brokers, observed::Observed, validate::validate};

    fn warnings_of(more: &str) -> Vec<String> {
        let text = format!(
            "apiVersion: stompbroker.dev/v1alpha1\nkind: StompBroker\nmetadata: {{name: trading}}\n\
             spec: {{engine: {{relay: {{upstreams: [{{host: h, zone: a}}], systemCredentials: {{secretName: s}}, \
             clientCredentials: {{secretName: s}}}}}}{more}}}\n"
        );
        let broker = brokers(&text).unwrap().remove(0);
        validate(&broker, &Observed::assuming_references(&broker)).unwrap().warnings
    }

    #[test]
    fn an_upstream_in_a_zone_without_pods_is_told() {
        assert!(warnings_of(", zones: [{name: b}]")[0].contains("upstreams[].zone is a for h"));
        assert_eq!(warnings_of(", zones: [{name: a}]"), Vec::<String>::new());
    }

    #[test]
    fn a_proxy_that_hides_everybody_or_cannot_connect_is_told() {
        let ingress = ", exposure: {ingress: {host: a.example.com}}, limits: {connectionsPerAddress: 9}";
        let warnings = warnings_of(&format!("{ingress}, listeners: {{websocket: {{tls: {{secretName: s}}}}}}"));
        assert!(warnings[1].contains("speaks only TLS") && warnings[2].contains("forwardedHeaders"), "{warnings:?}");
    }

    #[test]
    fn zones_that_get_no_pod_are_told() {
        let warnings = warnings_of(", replicas: 1, zones: [{name: a}, {name: b}, {name: c}]");
        assert!(warnings[0].ends_with("no pod in b, c"), "{warnings:?}");
        assert_eq!(warnings_of(", replicas: 0, zones: [{name: a}]"), Vec::<String>::new());
    }

    #[test]
    fn a_respread_that_can_never_be_is_told() {
        let respread = |more: &str| warnings_of(&format!(", zoneOutagePolicy: Respread{more}"));
        assert!(respread(", zones: [{name: a}]")[0].contains("no second zone"));
        let external = ", zones: [{name: a}, {name: b}], autoscaling: {mode: External, minReplicasPerZone: 1}";
        assert!(respread(external)[0].contains("mode External"));
        assert_eq!(respread(", zones: [{name: a}, {name: b}]"), Vec::<String>::new());
    }

    #[test]
    fn a_broker_that_is_open_to_everybody_is_told() {
        let zones = ", zones: [{name: a}], authentication: {anonymous: true}";
        assert!(warnings_of(zones)[0].contains("everybody"));
        assert_eq!(warnings_of(&format!("{zones}, authorization: {{rules: []}}")), Vec::<String>::new());
    }
}
