//! The CEL rules of the schema. Each message names the field, its value and the way out.
//!
//! [`crate::validate`] checks the same in Rust: objects stored before a rule existed reach the operator unchecked.
//! Rules about one field stand on its parent, so that the message can speak of it by its full path.

use kube::core::{Message, Rule};

use super::scalars::DURATION;

/// A rule whose message is a CEL expression, so that it can quote the value.
fn rule(rule: &str, message: &str) -> Rule {
    Rule::new(rule).message(Message::Expression(message.to_owned()))
}

/// `rule` where all of these fields are durations; where one is not, its own rule says so.
fn unless_malformed(durations: &[&str], rule: &str) -> String {
    let malformed = durations.iter().map(|field| format!("!self.{field}.{DURATION} || "));
    format!("{}({rule})", malformed.collect::<String>())
}

/// Children are called `<name>-<zone>` and must stay within the 63 characters of a DNS label.
pub(super) fn name_is_short() -> Rule {
    rule(
        "size(self.metadata.name) <= 35",
        "'metadata.name %s has %d characters, but the names of its Deployments have room for 35; choose a shorter \
         name'.format([self.metadata.name, size(self.metadata.name)])",
    )
}

/// The Service carries the name, and Services want DNS-1035.
pub(super) fn name_is_a_service_name() -> Rule {
    rule(
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "'metadata.name ' + self.metadata.name + ' cannot be the name of a Service; begin with a letter and use only \
         lower-case letters, digits and hyphens'",
    )
}

/// Whether the engine is the embedded one, which it is when none is given.
const EMBEDDED: &str = "(!has(self.engine) || has(self.engine.embedded))";

/// Exactly one engine.
pub(super) fn one_engine() -> Rule {
    rule(
        "[has(self.embedded), has(self.relay), has(self.jetStream)].filter(set, set).size() == 1",
        "has(self.embedded) || has(self.relay) ? 'spec.engine has more than one engine; keep one of embedded, relay and \
         jetStream' : 'spec.engine is empty; set embedded (one pod, messages in memory), relay (any number of pods, messages \
         in an upstream broker) or jetStream (any number of pods, messages in NATS), or leave spec.engine out for embedded'",
    )
}

/// The embedded engine keeps messages in the memory of one pod.
pub(super) fn one_pod_when_embedded() -> Rule {
    const PODS: &str = "(has(self.replicas) ? self.replicas : has(self.zones) && size(self.zones) > 0 ? \
         self.zones.map(z, has(z.replicas) ? z.replicas : 1).sum() : 1)";
    rule(
        &format!("!{EMBEDDED} || {PODS} <= 1"),
        &format!(
            "'the embedded engine keeps messages in the memory of one pod, but spec.replicas and spec.zones ask for %d \
             pods, which would not see each other\\'s messages; either run one pod, or set spec.engine.relay or \
             spec.engine.jetStream to pass messages through an upstream broker or NATS'.format([{PODS}])"
        ),
    )
}

/// One way to say how many pods there are.
pub(super) fn replicas_said_once() -> Rule {
    rule(
        "!has(self.replicas) || !has(self.zones) || !self.zones.exists(z, has(z.replicas))",
        "'spec.replicas is %d and spec.zones[].replicas is set too; keep one: spec.replicas spreads its pods evenly over \
         the zones, spec.zones[].replicas counts each zone by itself'.format([self.replicas])",
    )
}

/// Fixed numbers and autoscaling exclude each other.
pub(super) fn replicas_not_fixed_when_autoscaled() -> Rule {
    rule(
        "!has(self.autoscaling) || !(has(self.replicas) || has(self.zones) && self.zones.exists(z, has(z.replicas)))",
        "'spec.autoscaling decides the number of pods, but ' + (has(self.replicas) ? 'spec.replicas' : \
         'spec.zones[].replicas') + ' is set too; remove it, or remove spec.autoscaling'",
    )
}

/// Autoscaling needs an engine that many pods share.
pub(super) fn distributed_when_autoscaled() -> Rule {
    rule(
        &format!("!has(self.autoscaling) || !{EMBEDDED}"),
        "'spec.autoscaling needs an engine that many pods share, but the embedded engine is exactly one pod; \
         set spec.engine.relay or spec.engine.jetStream, or remove spec.autoscaling'",
    )
}

/// The pod of a zone that is lost may still run there.
pub(super) fn distributed_when_respread() -> Rule {
    rule(
        &format!("!has(self.zoneOutagePolicy) || self.zoneOutagePolicy != 'Respread' || !{EMBEDDED}"),
        "'spec.zoneOutagePolicy is Respread, but with the embedded engine a second pod would not see the messages of the one \
         in the lost zone, which may still run; set spec.engine.relay or spec.engine.jetStream, or set it to Stay'",
    )
}

/// CPU utilisation is a share of the request.
pub(super) fn cpu_requested_when_autoscaled() -> Rule {
    rule(
        "!has(self.autoscaling) || self.autoscaling.mode == 'External' || !has(self.resources) || \
         (has(self.resources.requests) && 'cpu' in self.resources.requests)",
        "'spec.autoscaling.targets.cpu is a percentage of spec.resources.requests.cpu, which is not set; set it, for \
         example to 100m'",
    )
}

/// Bounds of autoscaling in order.
pub(super) fn autoscaling_bounds_in_order() -> Rule {
    rule(
        "!has(self.maxReplicasPerZone) || self.minReplicasPerZone <= self.maxReplicasPerZone",
        "'spec.autoscaling.minReplicasPerZone is %d, more than maxReplicasPerZone, which is %d; lower the one or raise \
         the other'.format([self.minReplicasPerZone, self.maxReplicasPerZone])",
    )
}

/// An autoscaler of ours has to know where to stop.
pub(super) fn autoscaling_has_a_most() -> Rule {
    rule(
        "has(self.maxReplicasPerZone) || self.mode == 'External'",
        "'spec.autoscaling.maxReplicasPerZone is absent, but with mode ' + self.mode + ' the autoscaler has to know the most \
         pods of a zone; set it, or set mode to External to leave the number to somebody else'",
    )
}

/// What only KEDA reads is said to KEDA only.
pub(super) fn keda_in_its_mode() -> Rule {
    rule(
        "!has(self.keda) || self.mode == 'Keda'",
        "'spec.autoscaling.keda is set, but mode is ' + self.mode + ', which does not read it; set mode to Keda, or remove \
         keda'",
    )
}

/// Two periods of silence before a session ends.
pub(super) fn session_outlives_heartbeat() -> Rule {
    rule(
        &unless_malformed(
            &["sessionTimeout", "heartbeat"],
            "duration(self.sessionTimeout) > duration('0s') && \
             duration(self.sessionTimeout) >= duration(self.heartbeat) + duration(self.heartbeat)",
        ),
        "'spec.sessionTimeout is ' + self.sessionTimeout + ', too short for a spec.heartbeat of ' + self.heartbeat + '; \
         make it at least twice as long'",
    )
}

/// A rotation has to be over before the next one begins.
pub(super) fn rotation_outlasts_overlap() -> Rule {
    let malformed = format!("!self.every.{DURATION} || !self.overlap.{DURATION}");
    rule(
        &format!(
            "!has(self.every) || {malformed} || duration(self.every) > duration('0s') && \
             duration(self.every) >= duration(self.overlap) + duration(self.overlap)"
        ),
        "'spec.credentials.rotation.every is ' + self.every + ', too short for a spec.credentials.rotation.overlap of ' + \
         self.overlap + '; make it at least twice as long'",
    )
}

/// Zone names become parts of names of children.
pub(super) fn zone_name_is_a_label() -> Rule {
    rule(
        "size(self.name) <= 27 && self.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "'spec.zones[].name ' + self.name + ' cannot be part of a Deployment\\'s name; use the value of the nodes\\' label \
         topology.kubernetes.io/zone, at most 27 lower-case letters, digits and hyphens'",
    )
}

/// Somebody must be able to connect.
pub(super) fn one_listener() -> Rule {
    Rule::new("has(self.stomp) || has(self.websocket)").message(
        "spec.listeners is empty, so no client could connect; set stomp, websocket or both, or leave spec.listeners out \
         for both",
    )
}

/// One listener a port, and none on those that pods have for themselves.
pub(super) fn listener_ports_are_free() -> Rule {
    rule(
        "!(has(self.stomp) && self.stomp.port in [15020, 15021]) && \
         !(has(self.websocket) && self.websocket.port in [15020, 15021])",
        "'spec.listeners.' + (has(self.stomp) && self.stomp.port in [15020, 15021] ? 'stomp.port' : 'websocket.port') + \
         ' is 15020 or 15021, which each pod listens on for its admin endpoints and for the other pods; choose another port'",
    )
}

/// One listener a port.
pub(super) fn listener_ports_differ() -> Rule {
    rule(
        "!has(self.stomp) || !has(self.websocket) || self.stomp.port != self.websocket.port",
        "'spec.listeners.stomp.port and spec.listeners.websocket.port are both %d; choose two different \
         ports'.format([self.stomp.port])",
    )
}

/// Every port of a listener once, and none on those that pods have for themselves.
pub(super) fn tls_ports_are_free() -> Rule {
    const PLAIN: &str =
        "(has(self.stomp) ? [self.stomp.port] : []) + (has(self.websocket) ? [self.websocket.port] : [])";
    const TLS: &str = "(has(self.stomp) && has(self.stomp.tls) && has(self.stomp.tls.port) ? [self.stomp.tls.port] : []) + \
         (has(self.websocket) && has(self.websocket.tls) && has(self.websocket.tls.port) ? [self.websocket.tls.port] : [])";
    rule(
        &format!("({TLS}).all(p, !(p in [15020, 15021]) && ({TLS}).exists_one(q, q == p) && !(p in {PLAIN}))"),
        &format!(
            "'spec.listeners has a tls.port of %d, which is another port of a listener, or one of 15020 and 15021 that pods have for \
             themselves; choose another one, or leave tls.port out to speak only TLS'.format([({TLS}).filter(p, p in [15020, 15021] || \
             !({TLS}).exists_one(q, q == p) || p in {PLAIN})[0]])"
        ),
    )
}

/// Keys come from one place.
pub(super) fn one_key_source() -> Rule {
    rule(
        "has(self.jwksUrl) != has(self.jwksSecretName)",
        "'spec.authentication.jwt[] of issuer ' + self.issuer + (has(self.jwksUrl) ? ' has both jwksUrl and jwksSecretName; \
         remove one of them' : ' has no keys to check tokens with; set jwksUrl or jwksSecretName')",
    )
}

/// Keys are fetched by HTTP.
pub(super) fn jwks_url_is_an_address() -> Rule {
    rule(
        "!has(self.jwksUrl) || self.jwksUrl.matches('^https?://[^/?#@ ]+([/?][^# ]*)?$')",
        "'spec.authentication.jwt[].jwksUrl is ' + self.jwksUrl + ', which is no address; write for example \
         https://id.example.com/keys'",
    )
}

/// Spans are sent by HTTP.
pub(super) fn otlp_endpoint_is_an_address() -> Rule {
    rule(
        "self.otlpEndpoint.matches('^https?://[^/:?#@ ][^/?#@ ]*(/[^?#@ ]*)?$')",
        "'spec.monitoring.tracing.otlpEndpoint is ' + self.otlpEndpoint + ', which is no address of a collector; write for \
         example http://otel-collector:4317'",
    )
}

/// A path begins with a slash and holds nothing that ends a path.
pub(super) fn websocket_path_is_a_path() -> Rule {
    rule(
        "self.path.matches('^/[^?# ]*$')",
        "'spec.listeners.websocket.path ' + self.path + ' is not a path; begin it with a slash and use no space, ? or #, \
         for example /ws'",
    )
}

/// What a browser sends as `Origin`, with wildcards.
pub(super) fn allowed_origins_are_origins() -> Rule {
    rule(
        "!has(self.allowedOrigins) || self.allowedOrigins.all(o, o == '*' || o.matches('^https?://[^/ ?#]+$'))",
        "'spec.listeners.websocket.allowedOrigins holds ' + self.allowedOrigins.filter(o, o != '*' && \
         !o.matches('^https?://[^/ ?#]+$'))[0] + ', which is not an origin; write scheme, host and port as browsers send \
         them, without a path, for example https://app.example.com or https://*.example.com, or * for all'",
    )
}

/// Pings without a pause would be nothing but pings.
pub(super) fn ping_interval_is_positive() -> Rule {
    rule(
        "!has(self.pingInterval) || self.pingInterval.matches('[1-9]')",
        "'spec.listeners.websocket.pingInterval is ' + self.pingInterval + '; use for example 30s, or leave it out for no pings'",
    )
}

/// A session that may live for no time is over before it begins.
pub(super) fn sock_js_times_are_not_zero() -> Rule {
    rule(
        "self.heartbeat.matches('[1-9]') && self.disconnectDelay.matches('[1-9]')",
        "'spec.listeners.websocket.sockJs.' + (self.heartbeat.matches('[1-9]') ? 'disconnectDelay' : 'heartbeat') + ' of 0 \
         would end every session at once; make it some seconds'",
    )
}

/// What a browser can load a script from.
pub(super) fn sock_js_client_is_a_url() -> Rule {
    rule(
        "self.clientUrl.matches('^(https?:/)?/[^ ]+$')",
        "'spec.listeners.websocket.sockJs.clientUrl ' + self.clientUrl + ' is no URL; begin it with https://, http:// or a \
         slash'",
    )
}

/// One way to say where the upstreams are.
pub(super) fn upstreams_named_once() -> Rule {
    rule(
        "has(self.rabbitmqClusterRef) != has(self.upstreams)",
        "has(self.upstreams) ? 'spec.engine.relay has both upstreams and rabbitmqClusterRef ' + \
         self.rabbitmqClusterRef.name + '; remove one of them' : 'spec.engine.relay names no upstream broker; set upstreams, \
         or rabbitmqClusterRef for one that RabbitMQ\\'s own operator runs'",
    )
}

/// Only a RabbitmqCluster has a login that need not be named.
pub(super) fn upstream_credentials_named() -> Rule {
    rule(
        "has(self.rabbitmqClusterRef) || (has(self.systemCredentials) && has(self.clientCredentials))",
        "'spec.engine.relay.' + (has(self.systemCredentials) ? 'clientCredentials' : 'systemCredentials') + ' is missing; \
         name the Secret with the username and password that the upstream knows'",
    )
}

/// STOMP destinations that go upstream are given by path.
pub(super) fn prefixes_begin_with_a_slash() -> Rule {
    rule(
        "self.destinationPrefixes.all(p, p.startsWith('/'))",
        "'spec.engine.relay.destinationPrefixes holds ' + self.destinationPrefixes.filter(p, !p.startsWith('/'))[0] + '; \
         begin it with a slash, for example /topic'",
    )
}

/// A connection attempt needs some time.
pub(super) fn connect_timeout_is_positive() -> Rule {
    rule(
        &unless_malformed(&["connectTimeout"], "duration(self.connectTimeout) > duration('0s')"),
        "'spec.engine.relay.connectTimeout is ' + self.connectTimeout + ', so that no upstream could ever answer in time; \
         use for example 10s'",
    )
}

/// A broadcast goes to one topic.
pub(super) fn broadcasts_are_topics() -> Rule {
    // A message that names the value would cost more than an API server grants.
    Rule::new(
        "(!has(self.userDestinationBroadcast) || self.userDestinationBroadcast.matches('^/topic/[^*#>]+$')) && \
         (!has(self.userRegistryBroadcast) || self.userRegistryBroadcast.matches('^/topic/[^*#>]+$'))",
    )
    .message(
        "spec.engine.relay.userDestinationBroadcast and userRegistryBroadcast are each one topic; write for example \
         /topic/unresolved-user and /topic/user-registry",
    )
}

/// Users that others are told of must be reached, and neither broadcast may be taken for the other.
pub(super) fn broadcasts_differ() -> Rule {
    Rule::new(
        "!has(self.userRegistryBroadcast) || has(self.userDestinationBroadcast) && \
         self.userDestinationBroadcast != self.userRegistryBroadcast",
    )
    .message(
        "spec.engine.relay.userRegistryBroadcast needs userDestinationBroadcast, by which users are reached, on another \
         topic; set both, such as /topic/user-registry and /topic/unresolved-user",
    )
}

/// Exactly one kind of allowance.
pub(super) fn one_allowance() -> Rule {
    Rule::new(
        "[has(self.anyone), has(self.authenticated), has(self.roles), has(self.users), has(self.nobody)]\
         .filter(set, set).size() == 1",
    )
    .message(
        "spec.authorization.rules[].allow must say once who is let through; set exactly one of anyone: {}, \
         authenticated: {}, roles: [...], users: [...] and nobody: {}",
    )
}

/// Destinations begin with a slash, so patterns that can match do.
pub(super) fn patterns_begin_with_a_slash() -> Rule {
    rule(
        "self.destinations.all(d, d.startsWith('/'))",
        "'spec.authorization.rules[].destinations holds ' + self.destinations.filter(d, !d.startsWith('/'))[0] + ', which \
         matches nothing, for every destination begins with a slash; write for example /topic/prices'",
    )
}

/// Destinations begin with a slash, so patterns that can match do.
pub(super) fn policy_pattern_begins_with_a_slash() -> Rule {
    rule(
        "self.match.startsWith('/')",
        "'spec.destinations[].match ' + self.match + ' matches nothing, for every destination begins with a slash; write for \
         example /queue/jobs'",
    )
}

/// A destination needs some time to be used.
pub(super) fn expiry_is_positive() -> Rule {
    rule(
        &format!("!has(self.expires) || !self.expires.{DURATION} || duration(self.expires) > duration('0s')"),
        "'spec.destinations[].expires of ' + self.match + ' is ' + self.expires + ', which leaves no time to consume \
         anything; use for example 60s'",
    )
}

/// A message needs some time to be delivered.
pub(super) fn message_ttl_is_positive() -> Rule {
    rule(
        &format!("!has(self.messageTtl) || !self.messageTtl.{DURATION} || duration(self.messageTtl) > duration('0s')"),
        "'spec.destinations[].messageTtl of ' + self.match + ' is ' + self.messageTtl + ', which leaves no time to deliver \
         anything; use for example 60s'",
    )
}

/// Dead letters go to one queue or nowhere.
pub(super) fn dead_letter_is_one_queue() -> Rule {
    rule(
        "!has(self.deadLetter) || self.deadLetter == 'discard' || self.deadLetter.matches('^/queue/[^*#>]+$')",
        "'spec.destinations[].deadLetter ' + self.deadLetter + ' is not one queue; write for example /queue/dead-letter, or \
         discard to keep none'",
    )
}

/// The first entry of a pattern hides the others.
pub(super) fn policies_differ() -> Rule {
    // A message that names the pattern would cost more than an API server grants.
    Rule::new(
        "!has(self.destinations) || self.destinations.all(p, self.destinations.exists_one(q, q.match == p.match))",
    )
    .message("spec.destinations lists a pattern twice; only the first counts, so merge them")
}

/// An upstream broker has destinations of its own.
pub(super) fn destinations_are_ours() -> Rule {
    const FIELD: &str = "(has(self.destinations) ? 'spec.destinations' : 'spec.userDestinations')";
    rule(
        "!(has(self.engine) && has(self.engine.relay)) || \
         !(has(self.destinations) && size(self.destinations) > 0 || has(self.userDestinations))",
        &format!(
            "{FIELD} + ' is set, but with spec.engine.relay the upstream broker keeps the messages; set policies there, and \
             remove the field'"
        ),
    )
}

/// NATS keeps queues whether or not somebody consumes from them.
pub(super) fn queues_in_nats_stay() -> Rule {
    // A message that names the pattern would cost more than an API server grants.
    Rule::new(
        "!(has(self.engine) && has(self.engine.jetStream)) || !has(self.destinations) || \
         !self.destinations.exists(p, has(p.autoDelete) && p.autoDelete || has(p.expires))",
    )
    .message(
        "spec.destinations has autoDelete or expires, but with spec.engine.jetStream queues stay; remove these fields",
    )
}

/// Whoever is to decide needs a majority.
pub(super) fn copies_have_a_majority() -> Rule {
    rule(
        "self.replicas in [1, 3, 5]",
        "'spec.engine.jetStream.replicas is %d, of which there is no good majority; write 1, 3 or 5'.format([self.replicas])",
    )
}

/// Slow consumers are not dead.
pub(super) fn ack_wait_is_long_enough() -> Rule {
    rule(
        &unless_malformed(&["ackWait"], "duration(self.ackWait) >= duration('2s')"),
        "'spec.engine.jetStream.ackWait is ' + self.ackWait + ', which would deliver slow messages twice; make it at least 2s'",
    )
}

/// Queues need no durable subscriptions.
pub(super) fn durable_topics_are_topics() -> Rule {
    // A message that names the topic would cost more than an API server grants.
    Rule::new("self.match.all(t, t.startsWith('/topic/') && size(t) > 7)").message(
        "spec.engine.jetStream.durableTopics.match has an entry that is no topic; write for example /topic/orders or \
         /topic/orders/**",
    )
}

/// The oldest messages are dropped when there is no room.
pub(super) fn durable_topics_have_room() -> Rule {
    rule(
        "!isQuantity(string(self.size)) || quantity(string(self.size)).compareTo(quantity('1Mi')) >= 0",
        "'spec.engine.jetStream.durableTopics.size is ' + string(self.size) + ', which holds hardly a message; make it at \
         least 1Mi'",
    )
}

/// Who reconnects wants to find the subscription.
pub(super) fn durable_subscriptions_last() -> Rule {
    rule(
        &format!("!has(self.expires) || !self.expires.{DURATION} || duration(self.expires) >= duration('1m')"),
        "'spec.engine.jetStream.durableTopics.expires is ' + self.expires + ', which is over before a client is back; make \
         it at least 1m'",
    )
}

/// Pods connect to URLs, and log in with what is in a Secret.
pub(super) fn servers_are_urls() -> Rule {
    const OTHER: &str =
        "self.servers.filter(s, !(s.startsWith('nats://') || s.startsWith('tls://')) || s.contains('@'))";
    rule(
        &format!("size({OTHER}) == 0"),
        &format!(
            "'spec.engine.jetStream.external.servers holds ' + {OTHER}[0] + '; write nats://host:4222 or tls://host:4222, and \
             the login into a Secret'"
        ),
    )
}

/// What destinations of other kinds begin with.
const TAKEN_PREFIX: &str = "matches('^/(topic|queue|temp-queue|temp-topic|reply-queue|reply-topic|exchange|amq)/')";

/// An application is in one place.
pub(super) fn application_has_one_target() -> Rule {
    rule(
        "has(self.service) != has(self.url)",
        "'spec.applications ' + self.name + (has(self.url) ? ' has service and url' : ' has neither service nor url') + '; set \
         exactly one of service and url'",
    )
}

/// The prefix of an application is one that nothing else has.
pub(super) fn application_prefix_is_its_own() -> Rule {
    rule(
        &format!(
            "self.prefix.matches('^/[^/{{}}*#>]+(/([^/{{}}*#>]+|[{{][A-Za-z0-9_-]+[}}]))*$') && !(self.prefix + '/').{TAKEN_PREFIX}"
        ),
        "'spec.applications prefix ' + self.prefix + ' cannot be told from other destinations; write segments such as /app or \
         /app/rooms/{room}'",
    )
}

/// The address of an application has no secrets and no more than a path.
pub(super) fn application_url_is_one() -> Rule {
    rule(
        "!has(self.url) || self.url.matches('^https?://[^/:@?#[:space:]][^/@?#[:space:]]*(/[^@?#[:space:]]*)?$')",
        "'spec.applications url ' + self.url + ' is no address of a service; write for example http://orders:8080'",
    )
}

/// TLS that would not be used is a mistake.
pub(super) fn application_tls_is_used() -> Rule {
    rule(
        "!has(self.tls) || !has(self.url) || !self.url.startsWith('http://')",
        "'spec.applications tls is set, but the url ' + self.url + ' is not https://; write it so, or remove tls'",
    )
}

/// An application has some time.
pub(super) fn application_has_time() -> Rule {
    rule(
        &unless_malformed(&["timeout"], "duration(self.timeout) > duration('0s')"),
        "'spec.applications timeout is ' + self.timeout + ', which would end every request at once; make it some seconds'",
    )
}

/// The prefix of user destinations is one that nothing else has.
pub(super) fn user_prefix_is_a_name() -> Rule {
    rule(
        &format!("self.prefix.matches('^/[^*#>]+/$') && !self.prefix.{TAKEN_PREFIX}"),
        "'spec.userDestinations.prefix ' + self.prefix + ' cannot be told from other destinations; write a name of its own \
         between two slashes, for example /user/'",
    )
}

/// A message goes to one topic.
pub(super) fn unresolved_topic_is_one_topic() -> Rule {
    rule(
        "!has(self.unresolvedTopic) || self.unresolvedTopic.matches('^/topic/[^*#>]+$')",
        "'spec.userDestinations.unresolvedTopic ' + self.unresolvedTopic + ' is not one topic; write for example \
         /topic/unresolved-user'",
    )
}

/// The deadline counts from the same moment as the delay.
pub(super) fn drain_deadline_after_delay() -> Rule {
    rule(
        &unless_malformed(&["deadline", "delay"], "duration(self.deadline) >= duration(self.delay)"),
        "'spec.drain.deadline is ' + self.deadline + ', which is over before the spec.drain.delay of ' + self.delay + ' is; \
         make it longer'",
    )
}

/// A store needs room before it takes the first message.
pub(super) fn volume_is_large_enough(field: &str, least: &str) -> Rule {
    rule(
        &format!("!isQuantity(string(self.size)) || quantity(string(self.size)).compareTo(quantity('{least}')) >= 0"),
        &format!(
            "'{field}.size is ' + string(self.size) + ', which leaves no room for messages; make it at least {least}'"
        ),
    )
}

/// No storage class takes room back.
pub(super) fn volume_only_grows(field: &str, remedy: &str) -> Rule {
    rule(
        "!isQuantity(string(self.size)) || !isQuantity(string(oldSelf.size)) || \
         quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0",
        &format!(
            "'{field}.size is ' + string(self.size) + ', less than the ' + string(oldSelf.size) + ' that the volume has, and \
             volumes only grow; {remedy}'"
        ),
    )
}

/// A claim is bound to its class.
pub(super) fn storage_class_is_kept(field: &str, remedy: &str) -> Rule {
    rule(
        "has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || \
         self.storageClassName == oldSelf.storageClassName)",
        &format!(
            "'{field}.storageClassName cannot change from ' + (has(oldSelf.storageClassName) ? oldSelf.storageClassName : \
             'the default') + ' while there is a volume; {remedy}'"
        ),
    )
}

/// Somebody runs NATS.
pub(super) fn one_nats() -> Rule {
    rule(
        "has(self.managed) != has(self.external)",
        "has(self.managed) ? 'spec.engine.jetStream has both managed and external; remove one of them' : \
         'spec.engine.jetStream names no NATS; set managed for one that the operator runs, or external for one that somebody \
         else runs'",
    )
}

/// Each copy is on a server of its own.
pub(super) fn copies_have_servers() -> Rule {
    rule(
        "!has(self.managed) || self.replicas <= self.managed.replicas",
        "'spec.engine.jetStream.replicas is %d, more copies than the %d servers of managed.replicas; lower the one, or have more \
         servers from the beginning'.format([self.replicas, self.managed.replicas])",
    )
}

/// Whoever is to decide needs a majority.
pub(super) fn servers_have_a_majority() -> Rule {
    rule(
        "self.replicas in [1, 3, 5]",
        "'spec.engine.jetStream.managed.replicas is %d, of which there is no good majority; write 1, 3 or \
         5'.format([self.replicas])",
    )
}

/// Queues are on the volumes of the servers that there were when they were made.
pub(super) fn servers_stay() -> Rule {
    rule(
        "self.replicas == oldSelf.replicas",
        "'spec.engine.jetStream.managed.replicas cannot change from %d to %d, for queues stay with the servers that they were \
         made on; leave it, or move to another StompBroker'.format([oldSelf.replicas, self.replicas])",
    )
}

/// Whether the operator runs NATS, of a spec.
const MANAGED: &str = "(has(self.engine) && has(self.engine.jetStream) && has(self.engine.jetStream.managed))";

/// The volumes of servers are in the zones that the servers were made in.
pub(super) fn zones_of_servers_stay() -> Rule {
    const KEPT: &str = "[0, 1, 2, 3, 4].all(i, i >= self.engine.jetStream.managed.replicas || \
         (i >= size(self.zones) && i >= size(oldSelf.zones)) || \
         (i < size(self.zones) && i < size(oldSelf.zones) && self.zones[i].name == oldSelf.zones[i].name))";
    let was_managed = MANAGED.replace("self.", "oldSelf.");
    Rule::new(format!(
        "!{MANAGED} || !{was_managed} || (!has(self.zones) && !has(oldSelf.zones)) || \
         (has(self.zones) && has(oldSelf.zones) && {KEPT})"
    ))
    .message(
        "spec.zones cannot change where NATS servers of spec.engine.jetStream.managed are, for their volumes are in these \
         zones; leave the first ones as they are, or move to another StompBroker",
    )
}

/// StatefulSets are called `<name>-nats-<zone>`, and the labels of their pods must stay within 63 characters.
pub(super) fn names_of_servers_are_short() -> Rule {
    let managed = MANAGED.replace("self.", "self.spec.");
    Rule::new(format!(
        "!{managed} || !has(self.spec.zones) || self.spec.zones.all(z, size(self.metadata.name) + size(z.name) <= 46)"
    ))
    .message(
        "metadata.name and a spec.zones[].name together have more than 46 characters, but the names of the StatefulSets of \
         spec.engine.jetStream.managed have no room for more; choose a shorter metadata.name",
    )
}

/// A window that never opens, or never closes, is a mistake.
pub(super) fn window_is_open_at_some_time() -> Rule {
    rule(
        &unless_malformed(
            &["duration"],
            "duration(self.duration) >= duration('1m') && duration(self.duration) <= duration('24h')",
        ),
        "'spec.maintenanceWindow.duration is ' + self.duration + '; make it at least 1m and at most 24h, or leave \
         spec.maintenanceWindow out and set spec.upgradePolicy to Automatic for any time'",
    )
}

/// What leads to the WebSocket listener needs one.
pub(super) fn exposed_websocket_is_there() -> Rule {
    Rule::new(
        "!has(self.exposure) || !(has(self.exposure.ingress) || has(self.exposure.httpRoute)) || !has(self.listeners) || \
         has(self.listeners.websocket)",
    )
    .message(
        "spec.exposure.ingress and spec.exposure.httpRoute lead to the WebSocket listener, but spec.listeners has none; set \
         spec.listeners.websocket, or remove them",
    )
}

/// A gateway finds the broker by the server name that clients ask for in TLS.
pub(super) fn exposed_stomp_has_tls() -> Rule {
    Rule::new(
        "!has(self.exposure) || !has(self.exposure.tlsRoute) || (has(self.listeners) && has(self.listeners.stomp) && \
         has(self.listeners.stomp.tls))",
    )
    .message(
        "spec.exposure.tlsRoute leads to STOMP over TLS, which spec.listeners.stomp does not speak; set \
         spec.listeners.stomp.tls, or remove tlsRoute",
    )
}

/// What only a load balancer reads is said to one only.
pub(super) fn load_balancer_fields_have_one() -> Rule {
    rule(
        "self.type == 'LoadBalancer' || !(has(self.loadBalancerClass) || has(self.loadBalancerSourceRanges) && \
         size(self.loadBalancerSourceRanges) > 0)",
        "'spec.exposure.service.' + (has(self.loadBalancerClass) ? 'loadBalancerClass' : 'loadBalancerSourceRanges') + ' is \
         set, but type is ' + self.type + ', which has no load balancer; set type to LoadBalancer, or remove the field'",
    )
}

/// Without connections from outside there is no policy for them.
pub(super) fn external_traffic_comes_from_outside() -> Rule {
    Rule::new("self.type != 'ClusterIP' || !has(self.externalTrafficPolicy)").message(
        "spec.exposure.service.externalTrafficPolicy is set, but type is ClusterIP, which nothing reaches from outside; set \
         type to LoadBalancer or NodePort, or remove the field",
    )
}

/// Load balancers take ranges, not single addresses.
pub(super) fn source_ranges_are_ranges() -> Rule {
    Rule::new("!has(self.loadBalancerSourceRanges) || self.loadBalancerSourceRanges.all(r, isCIDR(r))").message(
        "spec.exposure.service.loadBalancerSourceRanges has an entry that is no range of addresses; write for example \
         192.0.2.0/24, or 192.0.2.7/32 for one address",
    )
}

/// A certificate comes from one place.
pub(super) fn one_source_of_the_certificate() -> Rule {
    Rule::new("has(self.secretName) != has(self.issuerRef)").message(
        "spec.listeners tls must say once where its certificate comes from; set exactly one of secretName, for a Secret of \
         yours, and issuerRef, for one that cert-manager issues",
    )
}

/// What only cert-manager reads is said where it is asked.
pub(super) fn certificate_fields_have_an_issuer() -> Rule {
    Rule::new(
        "has(self.issuerRef) || !(has(self.dnsNames) && size(self.dnsNames) > 0 || has(self.duration) || \
         has(self.renewBefore))",
    )
    .message(
        "spec.listeners tls has dnsNames, duration or renewBefore, which only cert-manager reads; set issuerRef, or remove \
         them",
    )
}

/// A certificate that is renewed before it was issued is never good.
pub(super) fn certificate_is_renewed_in_its_time() -> Rule {
    let malformed = format!("!self.duration.{DURATION} || !self.renewBefore.{DURATION}");
    rule(
        &format!(
            "!has(self.duration) || !has(self.renewBefore) || {malformed} || \
             duration(self.renewBefore) < duration(self.duration)"
        ),
        "'spec.listeners tls.renewBefore is ' + self.renewBefore + ', all of the duration of ' + self.duration + '; make it \
         shorter, for example a third of it'",
    )
}
