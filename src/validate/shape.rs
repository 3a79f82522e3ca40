//! The rules of the schema once more, in Rust. A test holds both together.

use std::time::Duration;

use stompbroker_config::GoDuration;

use crate::{
    api::{
        ADMIN_PORT, AutoscalingMode, ExternalNats, JetStreamEngine, ListenerTls, NatsStorage, PEERS_PORT, Persistence,
        StompBroker, StompBrokerSpec, Tracing, ZoneOutagePolicy,
    },
    validate::SpecError,
};

/// Room for the broker's name in the names of its Deployments.
const NAME_LENGTH: usize = 35;
/// Room for a zone's name in the names of its Deployments.
const ZONE_LENGTH: usize = 27;
/// Room for the broker's and a zone's name in the names of StatefulSets.
const SERVER_NAME_LENGTH: usize = 46;

/// Shortest and longest maintenance window.
const WINDOW: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(24));

/// Errors for all that the schema's rules refuse, except what the parsing steps refuse themselves.
pub(super) fn check(broker: &StompBroker, errors: &mut Vec<SpecError>) {
    let mut refuse = |field: &str, value: String, remedy: String| {
        errors.push(SpecError::invalid(field, value, remedy));
    };
    name(broker.metadata.name.as_deref().unwrap_or_default(), &mut refuse);
    names_of_servers(broker, &mut refuse);
    size(&broker.spec, &mut refuse);
    zones(&broker.spec, &mut refuse);
    persistence(&broker.spec, &mut refuse);
    relay(&broker.spec, &mut refuse);
    jetstream(&broker.spec, &mut refuse);
    listeners(&broker.spec, &mut refuse);
    issuers(&broker.spec, &mut refuse);
    tracing(&broker.spec, &mut refuse);
    times(&broker.spec, &mut refuse);
}

fn name(name: &str, refuse: &mut impl FnMut(&str, String, String)) {
    if name.len() > NAME_LENGTH {
        refuse(
            "metadata.name",
            name.to_owned(),
            format!(
                "it has {} characters, but the names of its Deployments have room for {NAME_LENGTH}; choose a shorter name",
                name.len()
            ),
        );
    }
    if !is_label(name) || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        refuse(
            "metadata.name",
            name.to_owned(),
            "it cannot be the name of a Service; begin with a letter and use only lower-case letters, digits and hyphens"
                .to_owned(),
        );
    }
}

/// StatefulSets of NATS are called `<name>-nats-<zone>`.
fn names_of_servers(broker: &StompBroker, refuse: &mut impl FnMut(&str, String, String)) {
    let engine = broker.spec.engine.as_ref().and_then(|engine| engine.jet_stream.as_ref());
    if engine.is_none_or(|engine| engine.managed.is_none()) {
        return;
    }
    let name = broker.metadata.name.as_deref().unwrap_or_default();
    for zone in broker.spec.zones.iter().filter(|zone| name.len() + zone.name.len() > SERVER_NAME_LENGTH) {
        refuse(
            "metadata.name",
            name.to_owned(),
            format!(
                "with the zone {} it is too long for the names of the StatefulSets of spec.engine.jetStream.managed, which have \
                 room for {SERVER_NAME_LENGTH} characters of both; choose a shorter name",
                zone.name
            ),
        );
    }
}

/// Whether a text is a DNS label, but for its length.
fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// Whether the engine is the embedded one, which it is when none is given.
fn is_embedded(spec: &StompBrokerSpec) -> bool {
    spec.engine.as_ref().is_none_or(|engine| engine.embedded.is_some())
}

fn size(spec: &StompBrokerSpec, refuse: &mut impl FnMut(&str, String, String)) {
    let zone_replicas = spec.zones.iter().any(|zone| zone.replicas.is_some());
    let pods = spec.replicas.unwrap_or_else(|| match spec.zones.as_slice() {
        [] => 1,
        zones => zones.iter().map(|zone| zone.replicas.unwrap_or(1)).fold(0, i32::saturating_add),
    });
    if is_embedded(spec) && spec.autoscaling.is_none() && pods > 1 {
        refuse(
            "spec.replicas",
            format!("{pods} over all zones"),
            "the embedded engine keeps messages in the memory of one pod, and more pods would not see each other's \
             messages; either run one pod, or set spec.engine.relay or spec.engine.jetStream to pass messages through an \
             upstream broker or NATS"
                .to_owned(),
        );
    }
    if let Some(replicas) = spec.replicas
        && zone_replicas
    {
        refuse("spec.replicas", replicas.to_string(), "spec.zones[].replicas is set too; keep one of them".to_owned());
    }
    if is_embedded(spec) && spec.zone_outage_policy == ZoneOutagePolicy::Respread {
        refuse(
            "spec.zoneOutagePolicy",
            "Respread".to_owned(),
            "with the embedded engine a second pod would not see the messages of the one in the lost zone, which may still \
             run; set spec.engine.relay or spec.engine.jetStream, or set it to Stay"
                .to_owned(),
        );
    }
    let Some(autoscaling) = &spec.autoscaling else { return };
    if spec.replicas.is_some() || zone_replicas {
        let field = if spec.replicas.is_some() { "spec.replicas" } else { "spec.zones[].replicas" };
        refuse(
            field,
            "set".to_owned(),
            "spec.autoscaling decides the number of pods; remove one of the two".to_owned(),
        );
    }
    if is_embedded(spec) {
        refuse(
            "spec.autoscaling",
            "set".to_owned(),
            "the embedded engine is exactly one pod; set spec.engine.relay or spec.engine.jetStream, or remove \
             spec.autoscaling"
                .to_owned(),
        );
    }
    let external = autoscaling.mode == AutoscalingMode::External;
    if !external && spec.resources.as_ref().is_some_and(|resources| !resources.requests.contains_key("cpu")) {
        refuse(
            "spec.resources.requests.cpu",
            "absent".to_owned(),
            "spec.autoscaling.targets.cpu is a percentage of it; set it, for example to 100m".to_owned(),
        );
    }
    match autoscaling.max_replicas_per_zone {
        Some(most) if autoscaling.min_replicas_per_zone > most => refuse(
            "spec.autoscaling.minReplicasPerZone",
            autoscaling.min_replicas_per_zone.to_string(),
            format!("more than maxReplicasPerZone, which is {most}; lower the one or raise the other"),
        ),
        None if !external => refuse(
            "spec.autoscaling.maxReplicasPerZone",
            "absent".to_owned(),
            "the autoscaler has to know the most pods of a zone; set it, or set mode to External".to_owned(),
        ),
        _ => {}
    }
    if autoscaling.keda.is_some() && autoscaling.mode != AutoscalingMode::Keda {
        refuse(
            "spec.autoscaling.keda",
            "set".to_owned(),
            format!("mode is {}, which does not read it; set mode to Keda, or remove keda", autoscaling.mode.as_str()),
        );
    }
}

fn zones(spec: &StompBrokerSpec, refuse: &mut impl FnMut(&str, String, String)) {
    for (index, zone) in spec.zones.iter().enumerate() {
        if zone.name.len() > ZONE_LENGTH || !is_label(&zone.name) {
            refuse(
                "spec.zones[].name",
                zone.name.clone(),
                format!(
                    "it cannot be part of a Deployment's name; use the value of the nodes' label \
                     topology.kubernetes.io/zone, at most {ZONE_LENGTH} lower-case letters, digits and hyphens"
                ),
            );
        }
        if spec.zones.iter().take(index).any(|earlier| earlier.name == zone.name) {
            refuse("spec.zones[].name", zone.name.clone(), "it stands there twice; remove one of the two".to_owned());
        }
    }
}

fn persistence(spec: &StompBrokerSpec, refuse: &mut impl FnMut(&str, String, String)) {
    let embedded = spec.engine.as_ref().and_then(|engine| engine.embedded.as_ref());
    let Some(persistence) = embedded.and_then(|embedded| embedded.persistence.as_ref()) else { return };
    if persistence.size < Persistence::MIN_SIZE {
        refuse(
            "spec.engine.embedded.persistence.size",
            persistence.size.to_string(),
            format!("it leaves no room for messages; make it at least {}", Persistence::MIN_SIZE),
        );
    }
}

fn relay(spec: &StompBrokerSpec, refuse: &mut impl FnMut(&str, String, String)) {
    let Some(relay) = spec.engine.as_ref().and_then(|engine| engine.relay.as_ref()) else { return };
    match (relay.upstreams.is_empty(), &relay.rabbitmq_cluster_ref) {
        (true, None) => refuse(
            "spec.engine.relay.upstreams",
            "empty".to_owned(),
            "name at least one upstream broker, or set rabbitmqClusterRef".to_owned(),
        ),
        (false, Some(cluster)) => refuse(
            "spec.engine.relay.rabbitmqClusterRef",
            cluster.name.clone(),
            "upstreams are named too; remove one of the two".to_owned(),
        ),
        _ => {}
    }
    for (field, secret) in [("systemCredentials", relay.system_secret()), ("clientCredentials", relay.client_secret())]
    {
        if secret.is_none() {
            refuse(
                &format!("spec.engine.relay.{field}"),
                "missing".to_owned(),
                "name the Secret with the username and password that the upstream knows".to_owned(),
            );
        }
    }
    for prefix in relay.destination_prefixes.iter().filter(|prefix| !prefix.starts_with('/')) {
        refuse(
            "spec.engine.relay.destinationPrefixes",
            prefix.clone(),
            "begin it with a slash, for example /topic".to_owned(),
        );
    }
    let broadcasts = (relay.user_destination_broadcast.as_deref(), relay.user_registry_broadcast.as_deref());
    if let Err((field, problem)) = stompbroker_config::check_broadcasts(broadcasts.0, broadcasts.1) {
        refuse(&format!("spec.engine.relay.{field}"), String::new(), problem);
    }
    if relay.connect_timeout.0.is_zero() {
        refuse(
            "spec.engine.relay.connectTimeout",
            relay.connect_timeout.to_string(),
            "no upstream could ever answer in time; use for example 10s".to_owned(),
        );
    }
}

fn jetstream(spec: &StompBrokerSpec, refuse: &mut impl FnMut(&str, String, String)) {
    let Some(engine) = spec.engine.as_ref().and_then(|engine| engine.jet_stream.as_ref()) else { return };
    if engine.external.is_some() == engine.managed.is_some() {
        let (is, remedy) = if engine.managed.is_some() {
            ("with both managed and external", "remove one of them")
        } else {
            ("without NATS", "set managed for one that the operator runs, or external for one that somebody else runs")
        };
        refuse("spec.engine.jetStream", is.to_owned(), remedy.to_owned());
    }
    external_nats(engine.external.as_ref(), refuse);
    managed_nats(engine, refuse);
    if !JetStreamEngine::REPLICAS.contains(&engine.replicas) {
        refuse(
            "spec.engine.jetStream.replicas",
            engine.replicas.to_string(),
            "there is no good majority of so many; write 1, 3 or 5".to_owned(),
        );
    }
    if let Some(topics) = &engine.durable_topics
        && let Err((key, problem)) = stompbroker_config::DurableTopics::from(topics).check()
    {
        refuse(&format!("spec.engine.jetStream.{key}"), String::new(), problem);
    }
    if engine.ack_wait < stompbroker_config::JetStreamEngine::MIN_ACK_WAIT {
        refuse(
            "spec.engine.jetStream.ackWait",
            engine.ack_wait.to_string(),
            "it would deliver slow messages twice; make it at least 2s".to_owned(),
        );
    }
}

fn external_nats(external: Option<&ExternalNats>, refuse: &mut impl FnMut(&str, String, String)) {
    let Some(ExternalNats { servers, .. }) = external else { return };
    if servers.is_empty() {
        refuse("spec.engine.jetStream.external.servers", "empty".to_owned(), "name at least one".to_owned());
    }
    for server in servers.iter().filter(|server| !ExternalNats::is_url(server)) {
        refuse(
            "spec.engine.jetStream.external.servers",
            server.clone(),
            "write nats://host:4222 or tls://host:4222, and the login into a Secret".to_owned(),
        );
    }
}

fn managed_nats(engine: &JetStreamEngine, refuse: &mut impl FnMut(&str, String, String)) {
    let Some(managed) = &engine.managed else { return };
    if !JetStreamEngine::REPLICAS.contains(&managed.replicas) {
        refuse(
            "spec.engine.jetStream.managed.replicas",
            managed.replicas.to_string(),
            "there is no good majority of so many; write 1, 3 or 5".to_owned(),
        );
    }
    if engine.replicas > managed.replicas {
        refuse(
            "spec.engine.jetStream.replicas",
            engine.replicas.to_string(),
            format!(
                "more copies than the {} servers of managed.replicas; lower the one, or have more servers from the beginning",
                managed.replicas
            ),
        );
    }
    if managed.storage.size < NatsStorage::MIN_SIZE {
        refuse(
            "spec.engine.jetStream.managed.storage.size",
            managed.storage.size.to_string(),
            format!("it leaves no room for messages; make it at least {}", NatsStorage::MIN_SIZE),
        );
    }
}

fn listeners(spec: &StompBrokerSpec, refuse: &mut impl FnMut(&str, String, String)) {
    let Some(listeners) = &spec.listeners else { return };
    let ports = [
        ("spec.listeners.stomp.port", listeners.stomp.as_ref().map(|stomp| stomp.port)),
        ("spec.listeners.websocket.port", listeners.websocket.as_ref().map(|websocket| websocket.port)),
    ];
    let own = [ADMIN_PORT, PEERS_PORT];
    for (field, port) in
        ports.into_iter().filter_map(|(field, port)| Some((field, port.filter(|port| own.contains(port))?)))
    {
        refuse(
            field,
            port.to_string(),
            "each pod listens there for its admin endpoints or for the other pods; choose another port".to_owned(),
        );
    }
    match ports.map(|(_, port)| port) {
        [None, None] => refuse(
            "spec.listeners",
            "empty".to_owned(),
            "no client could connect; set stomp, websocket or both".to_owned(),
        ),
        [Some(stomp), Some(websocket)] if stomp == websocket => refuse(
            "spec.listeners.websocket.port",
            websocket.to_string(),
            "spec.listeners.stomp.port is the same; choose two different ports".to_owned(),
        ),
        _ => {}
    }
    let every: Vec<_> = listeners.ports().collect();
    for (index, port) in every.iter().enumerate().filter(|(_, port)| port.field.ends_with("tls.port")) {
        let is_taken = every.iter().enumerate().any(|(other, taken)| other != index && taken.number == port.number);
        if is_taken || own.contains(&port.number) {
            refuse(
                port.field,
                port.number.to_string(),
                "it is another port of a listener, or one that pods have for themselves; choose another one, or leave \
                 tls.port out to speak only TLS"
                    .to_owned(),
            );
        }
    }
    for (listener, tls) in listeners.tls() {
        certificate(&format!("spec.listeners.{listener}.tls"), tls, refuse);
    }
    let Some(websocket) = &listeners.websocket else { return };
    if !websocket.path.starts_with('/') || websocket.path.contains(['?', '#', ' ']) {
        refuse(
            "spec.listeners.websocket.path",
            websocket.path.clone(),
            "begin it with a slash and use no space, ? or #, for example /ws".to_owned(),
        );
    }
    if let Some(interval) = websocket.ping_interval.filter(|interval| interval.0.is_zero()) {
        refuse(
            "spec.listeners.websocket.pingInterval",
            interval.to_string(),
            "use for example 30s, or leave it out for no pings".to_owned(),
        );
    }
    if let Some(sock_js) = &websocket.sock_js {
        for (field, duration) in [("heartbeat", sock_js.heartbeat), ("disconnectDelay", sock_js.disconnect_delay)] {
            if duration.0.is_zero() {
                refuse(
                    &format!("spec.listeners.websocket.sockJs.{field}"),
                    duration.to_string(),
                    "it would end every session at once; make it some seconds".to_owned(),
                );
            }
        }
        if !["https://", "http://", "/"].iter().any(|begin| sock_js.client_url.starts_with(begin)) {
            refuse(
                "spec.listeners.websocket.sockJs.clientUrl",
                sock_js.client_url.clone(),
                "begin it with https://, http:// or a slash".to_owned(),
            );
        }
    }
    for origin in websocket.allowed_origins.iter().filter(|origin| !is_origin(origin)) {
        refuse(
            "spec.listeners.websocket.allowedOrigins",
            origin.clone(),
            "write scheme, host and port as browsers send them, without a path, for example https://app.example.com or \
             https://*.example.com, or * for all"
                .to_owned(),
        );
    }
}

fn certificate(field: &str, tls: &ListenerTls, refuse: &mut impl FnMut(&str, String, String)) {
    let ListenerTls { secret_name, issuer_ref, dns_names, duration, renew_before, .. } = tls;
    if secret_name.is_some() == issuer_ref.is_some() {
        refuse(field, "unclear".to_owned(), "set exactly one of secretName and issuerRef".to_owned());
    }
    if issuer_ref.is_none() && (!dns_names.is_empty() || duration.is_some() || renew_before.is_some()) {
        refuse(
            field,
            "without issuerRef".to_owned(),
            "only cert-manager reads dnsNames, duration and renewBefore; set issuerRef, or remove them".to_owned(),
        );
    }
    if let (Some(duration), Some(renew_before)) = (duration, renew_before)
        && renew_before >= duration
    {
        refuse(
            &format!("{field}.renewBefore"),
            renew_before.to_string(),
            format!("it is all of the duration of {duration}; make it shorter, for example a third of it"),
        );
    }
}

fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    text == "*" || host.is_some_and(|host| !host.is_empty() && !host.contains(['/', ' ', '?', '#']))
}

fn issuers(spec: &StompBrokerSpec, refuse: &mut impl FnMut(&str, String, String)) {
    for issuer in &spec.authentication.jwt {
        let remedy = match (&issuer.jwks_url, &issuer.jwks_secret_name) {
            (Some(_), None) | (None, Some(_)) => None,
            (Some(_), Some(_)) => Some("has both jwksUrl and jwksSecretName; remove one of them"),
            (None, None) => Some("has no keys to check tokens with; set jwksUrl or jwksSecretName"),
        };
        if let Some(remedy) = remedy {
            refuse("spec.authentication.jwt[]", issuer.issuer.clone(), remedy.to_owned());
        }
        if let Some(url) = issuer.jwks_url.as_ref().filter(|url| !is_address(url)) {
            refuse(
                "spec.authentication.jwt[].jwksUrl",
                url.clone(),
                "it is no address; write for example https://id.example.com/keys".to_owned(),
            );
        }
    }
}

fn tracing(spec: &StompBrokerSpec, refuse: &mut impl FnMut(&str, String, String)) {
    let tracing = spec.monitoring.as_ref().and_then(|monitoring| monitoring.tracing.as_ref());
    let Some(Tracing { otlp_endpoint, sampling_ratio, .. }) = tracing else { return };
    if !is_address(otlp_endpoint) || otlp_endpoint.contains(['?', '@']) || otlp_endpoint.contains("://:") {
        refuse(
            "spec.monitoring.tracing.otlpEndpoint",
            otlp_endpoint.clone(),
            "it is no address of a collector; write for example http://otel-collector:4317".to_owned(),
        );
    }
    if !(0.0..=1.0).contains(sampling_ratio) {
        refuse(
            "spec.monitoring.tracing.samplingRatio",
            sampling_ratio.to_string(),
            "it is no share; write a number from 0 for none to 1 for all".to_owned(),
        );
    }
}

fn is_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        !host.is_empty() && !host.contains('@') && !rest.contains(['#', ' '])
    })
}

fn times(spec: &StompBrokerSpec, refuse: &mut impl FnMut(&str, String, String)) {
    let GoDuration(timeout) = spec.session_timeout;
    if timeout.is_zero() || timeout < spec.heartbeat.0.saturating_mul(2) {
        refuse(
            "spec.sessionTimeout",
            spec.session_timeout.to_string(),
            format!("too short for a spec.heartbeat of {}; make it at least twice as long", spec.heartbeat),
        );
    }
    let rotation = &spec.credentials.rotation;
    if let Some(every) =
        rotation.every.filter(|every| every.0.is_zero() || every.0 < rotation.overlap.0.saturating_mul(2))
    {
        refuse(
            "spec.credentials.rotation.every",
            every.to_string(),
            format!(
                "too short for a spec.credentials.rotation.overlap of {}; make it at least twice as long",
                rotation.overlap
            ),
        );
    }
    if spec.drain.deadline < spec.drain.delay {
        refuse(
            "spec.drain.deadline",
            spec.drain.deadline.to_string(),
            format!("it is over before the spec.drain.delay of {} is; make it longer", spec.drain.delay),
        );
    }
    if let Some(window) = &spec.maintenance_window
        && !(WINDOW.0..=WINDOW.1).contains(&window.duration.0)
    {
        refuse(
            "spec.maintenanceWindow.duration",
            window.duration.to_string(),
            "make it at least 1m and at most 24h, or leave spec.maintenanceWindow out and set spec.upgradePolicy to \
             Automatic for any time"
                .to_owned(),
        );
    }
}
