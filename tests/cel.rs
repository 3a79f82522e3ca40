//! The rules of the schema: each refuses what it is there for, with a message that helps, and nothing else; and the
//! operator's own validation refuses the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod fixtures;

use std::collections::BTreeSet;

use fixtures::{assume_references, broker, manifest, schema};
use kube::core::cel::{ValidationErrors, Validator};
use serde_json::Value;
use stompbroker_operator::{api, validate::validate};

const RELAY: &str =
    "upstreams: [{host: rabbitmq}], systemCredentials: {secretName: s}, clientCredentials: {secretName: c}";

/// A spec that one rule refuses, one next to it that it does not, and what the message has to name.
struct Case {
    bad: String,
    good: String,
    /// The field, its value and the remedy.
    says: &'static [&'static str],
}

fn case(bad: impl Into<String>, good: impl Into<String>, says: &'static [&'static str]) -> Case {
    Case { bad: bad.into(), good: good.into(), says }
}

fn relay(more: &str) -> String {
    format!("{{engine: {{relay: {{{RELAY}}}}}{more}}}")
}

fn application(more: &str) -> String {
    format!("{{applications: [{{name: shop, prefix: '/app', service: {{name: shop}}{more}}}]}}")
}

fn managed(engine: &str, more: &str) -> String {
    format!("{{engine: {{jetStream: {engine}}}{more}}}")
}

fn jetstream(server: &str, engine: &str, more: &str) -> String {
    format!("{{engine: {{jetStream: {{external: {{servers: ['{server}']}}{engine}}}}}{more}}}")
}

#[allow(clippy::too_many_lines, reason = "one table, a line or a few for each rule")]
fn cases() -> Vec<Case> {
    let rule = |allow: &str, destination: &str| {
        format!("{{authorization: {{rules: [{{actions: [Send], destinations: ['{destination}'], allow: {allow}}}]}}}}")
    };
    vec![
        case("{replicas: 3}", "{replicas: 1}", &["spec.replicas", "3 pods", "one pod", "spec.engine.relay"]),
        case("{zones: [{name: a}, {name: b}]}", "{zones: [{name: a}]}", &["spec.zones", "2 pods", "spec.engine.relay"]),
        case(
            "{zones: [{name: a, replicas: 2}, {name: b, replicas: 0}]}",
            relay(", zones: [{name: a, replicas: 2}, {name: b}]"),
            &["spec.zones", "2 pods", "one pod"],
        ),
        case(
            format!("{{engine: {{embedded: {{}}, relay: {{{RELAY}}}}}}}"),
            relay(""),
            &["spec.engine", "more than one engine", "keep one of embedded, relay and jetStream"],
        ),
        case(
            "{engine: {embedded: {persistence: {size: 100Mi}}}}",
            "{engine: {embedded: {persistence: {size: 128Mi}}}}",
            &["spec.engine.embedded.persistence.size", "100Mi", "at least 128Mi"],
        ),
        case(
            "{engine: {}}",
            "{engine: {embedded: {}}}",
            &["spec.engine", "empty", "set embedded", "relay", "jetStream"],
        ),
        case(
            application(", url: 'http://shop'"),
            application(""),
            &["spec.applications shop has service and url", "exactly one of service and url"],
        ),
        case(
            application("").replace("/app", "/queue/app"),
            application("").replace("/app", "/app/{room}"),
            &["spec.applications prefix /queue/app", "/app/rooms/{room}"],
        ),
        case(
            application("").replace("service: {name: shop}", "url: 'ftp://shop'"),
            application("").replace("service: {name: shop}", "url: 'http://shop:8080/api'"),
            &["spec.applications url ftp://shop", "http://orders:8080"],
        ),
        case(
            application(", tls: {serverName: a}").replace("service: {name: shop}", "url: 'http://shop'"),
            application(", tls: {serverName: a}").replace("service: {name: shop}", "url: 'https://shop'"),
            &["spec.applications tls is set", "http://shop", "remove tls"],
        ),
        case(
            application(", timeout: 0s"),
            application(", timeout: 1s"),
            &["spec.applications timeout is 0s", "some seconds"],
        ),
        case(
            "{listeners: {stomp: {}}, exposure: {ingress: {host: a.example.com}}}",
            "{exposure: {ingress: {host: a.example.com, tls: {}}}}",
            &["spec.exposure.ingress", "spec.exposure.httpRoute", "set spec.listeners.websocket"],
        ),
        case(
            "{exposure: {tlsRoute: {parentRefs: [{name: edge}], hostnames: [a.example.com]}}}",
            "{listeners: {stomp: {tls: {secretName: s}}}, exposure: {tlsRoute: {parentRefs: [{name: edge}], hostnames: ['*.b.c']}}}",
            &["spec.exposure.tlsRoute", "set spec.listeners.stomp.tls"],
        ),
        case(
            "{exposure: {service: {type: NodePort, loadBalancerClass: a}}}",
            "{exposure: {service: {type: LoadBalancer, loadBalancerClass: a, loadBalancerSourceRanges: [10.0.0.0/8]}}}",
            &["spec.exposure.service.loadBalancerClass", "type is NodePort", "set type to LoadBalancer"],
        ),
        case(
            "{exposure: {service: {externalTrafficPolicy: Local}}}",
            "{exposure: {service: {type: NodePort, externalTrafficPolicy: Local}}}",
            &["spec.exposure.service.externalTrafficPolicy", "type is ClusterIP", "or remove the field"],
        ),
        case(
            "{exposure: {service: {type: LoadBalancer, loadBalancerSourceRanges: [10.0.0.1]}}}",
            "{exposure: {service: {type: LoadBalancer, loadBalancerSourceRanges: ['2001:db8::/32']}}}",
            &["spec.exposure.service.loadBalancerSourceRanges", "192.0.2.7/32"],
        ),
        case(
            "{listeners: {stomp: {tls: {}}}}",
            "{listeners: {stomp: {tls: {issuerRef: {name: ca}}}}}",
            &["spec.listeners", "tls", "exactly one of secretName", "issuerRef"],
        ),
        case(
            "{listeners: {stomp: {tls: {secretName: s, duration: 24h}}}}",
            "{listeners: {stomp: {tls: {issuerRef: {name: ca}, duration: 24h, dnsNames: ['*.example.com']}}}}",
            &["spec.listeners", "tls", "only cert-manager reads", "set issuerRef"],
        ),
        case(
            "{listeners: {websocket: {tls: {issuerRef: {name: ca}, duration: 24h, renewBefore: 24h}}}}",
            "{listeners: {websocket: {tls: {issuerRef: {name: ca}, duration: 24h, renewBefore: 8h}}}}",
            &["spec.listeners", "tls.renewBefore is 24h", "shorter"],
        ),
        case(
            jetstream("nats", "", ""),
            jetstream("nats://nats:4222", "", ""),
            &["spec.engine.jetStream.external.servers", "nats://host:4222", "Secret"],
        ),
        case(
            jetstream("nats://n", ", replicas: 2", ""),
            jetstream("nats://n", ", replicas: 3", ""),
            &["spec.engine.jetStream.replicas", "2", "write 1, 3 or 5"],
        ),
        case(
            jetstream("nats://n", ", durableTopics: {match: [/queue/a]}", ""),
            jetstream("nats://n", ", durableTopics: {match: ['/topic/a/**']}", ""),
            &["spec.engine.jetStream.durableTopics.match", "no topic", "/topic/orders/**"],
        ),
        case(
            jetstream("nats://n", ", durableTopics: {match: [/topic/a], size: 1k}", ""),
            jetstream("nats://n", ", durableTopics: {match: [/topic/a], size: 1Mi}", ""),
            &["spec.engine.jetStream.durableTopics.size", "at least 1Mi"],
        ),
        case(
            jetstream("nats://n", ", durableTopics: {match: [/topic/a], expires: 59s}", ""),
            jetstream("nats://n", ", durableTopics: {match: [/topic/a], expires: 1m}", ""),
            &["spec.engine.jetStream.durableTopics.expires", "59s", "at least 1m"],
        ),
        case(
            jetstream("nats://n", ", ackWait: 1s", ""),
            jetstream("nats://n", ", ackWait: 2s", ""),
            &["spec.engine.jetStream.ackWait", "1s", "at least 2s"],
        ),
        case(
            managed("{}", ""),
            managed("{managed: {}}", ""),
            &["spec.engine.jetStream", "set managed", "external for one that somebody else runs"],
        ),
        case(
            managed("{managed: {}, external: {servers: ['nats://n']}}", ""),
            managed("{external: {servers: ['nats://n']}}", ""),
            &["spec.engine.jetStream", "both managed and external", "remove one"],
        ),
        case(
            managed("{replicas: 1, managed: {replicas: 2}}", ""),
            managed("{replicas: 1, managed: {replicas: 1}}", ""),
            &["spec.engine.jetStream.managed.replicas", "2", "write 1, 3 or 5"],
        ),
        case(
            managed("{managed: {replicas: 1}}", ""),
            managed("{managed: {replicas: 5}}", ""),
            &["spec.engine.jetStream.replicas", "3", "1 servers of managed.replicas", "lower"],
        ),
        case(
            managed("{managed: {storage: {size: 100Mi}}}", ""),
            managed("{managed: {storage: {size: 256Mi}}}", ""),
            &["spec.engine.jetStream.managed.storage.size", "100Mi", "at least 256Mi"],
        ),
        case(
            jetstream("nats://n", "", ", destinations: [{match: /queue/a, expires: 1m}]"),
            jetstream("nats://n", "", ", destinations: [{match: /queue/a, messageTtl: 1m}]"),
            &["spec.destinations", "autoDelete", "queues stay"],
        ),
        case(
            relay(", replicas: 4, zones: [{name: a, replicas: 2}]"),
            relay(", replicas: 4, zones: [{name: a}]"),
            &["spec.replicas is 4", "spec.zones[].replicas", "keep one"],
        ),
        case(
            relay(", replicas: 4, autoscaling: {maxReplicasPerZone: 3}"),
            relay(", autoscaling: {maxReplicasPerZone: 3}"),
            &["spec.autoscaling", "spec.replicas", "remove"],
        ),
        case(
            relay(", zones: [{name: a, replicas: 2}], autoscaling: {maxReplicasPerZone: 3}"),
            relay(", zones: [{name: a}], autoscaling: {maxReplicasPerZone: 3}"),
            &["spec.autoscaling", "spec.zones[].replicas", "remove"],
        ),
        case(
            "{autoscaling: {maxReplicasPerZone: 3}}",
            relay(", autoscaling: {maxReplicasPerZone: 3}"),
            &["spec.autoscaling", "embedded engine is exactly one pod", "set spec.engine.relay"],
        ),
        case(
            "{zoneOutagePolicy: Respread}",
            relay(", zoneOutagePolicy: Respread, zoneOutageWait: 5m"),
            &["spec.zoneOutagePolicy", "Respread", "set spec.engine.relay", "Stay"],
        ),
        case(
            relay(", autoscaling: {maxReplicasPerZone: 3}, resources: {requests: {memory: 1Gi}}"),
            relay(", autoscaling: {maxReplicasPerZone: 3}, resources: {requests: {cpu: 1}}"),
            &["spec.resources.requests.cpu", "not set", "100m"],
        ),
        case(
            relay(", autoscaling: {minReplicasPerZone: 5, maxReplicasPerZone: 3}"),
            relay(", autoscaling: {minReplicasPerZone: 3, maxReplicasPerZone: 3}"),
            &["spec.autoscaling.minReplicasPerZone is 5", "maxReplicasPerZone", "3", "raise the other"],
        ),
        case(
            relay(", autoscaling: {minReplicasPerZone: 2}"),
            relay(", autoscaling: {minReplicasPerZone: 2, mode: External}, resources: {}"),
            &["spec.autoscaling.maxReplicasPerZone is absent", "Hpa", "External"],
        ),
        case(
            relay(", autoscaling: {maxReplicasPerZone: 2, keda: {}}"),
            relay(", autoscaling: {maxReplicasPerZone: 2, mode: Keda, keda: {prometheusAddress: 'http://p:9090'}}"),
            &["spec.autoscaling.keda", "Hpa", "set mode to Keda"],
        ),
        case(
            "{credentials: {rotation: {every: 90m}}}",
            "{credentials: {rotation: {every: 2h}}}",
            &["spec.credentials.rotation.every is 90m", "spec.credentials.rotation.overlap of 1h", "at least twice"],
        ),
        case(
            "{credentials: {rotation: {every: 0s, overlap: 0s}}}",
            "{credentials: {rotation: {every: 1s, overlap: 0s}}}",
            &["spec.credentials.rotation.every is 0s", "at least twice"],
        ),
        case(
            "{heartbeat: 20s}",
            "{heartbeat: 15s}",
            &["spec.sessionTimeout is 30s", "spec.heartbeat of 20s", "at least twice as long"],
        ),
        case(
            "{sessionTimeout: 0s, heartbeat: 0s}",
            "{sessionTimeout: 1s, heartbeat: 0s}",
            &["spec.sessionTimeout is 0s"],
        ),
        case(
            "{zones: [{name: EU_West}]}",
            "{zones: [{name: eu-west-1a}]}",
            &["spec.zones[].name EU_West", "topology.kubernetes.io/zone", "27"],
        ),
        case(
            "{zones: [{name: a23456789-123456789-12345678}]}",
            "{zones: [{name: a23456789-123456789-1234567}]}",
            &["spec.zones[].name a23456789-123456789-12345678", "at most 27"],
        ),
        case(
            "{listeners: {}}",
            "{listeners: {stomp: {}}}",
            &["spec.listeners is empty", "set stomp, websocket or both"],
        ),
        case(
            "{listeners: {stomp: {port: 8080}, websocket: {}}}",
            "{listeners: {stomp: {port: 8081}, websocket: {}}}",
            &["spec.listeners.stomp.port", "8080", "two different ports"],
        ),
        case(
            "{listeners: {websocket: {port: 15020}}}",
            "{listeners: {websocket: {port: 15022}}}",
            &["spec.listeners.websocket.port", "15020", "admin", "choose another"],
        ),
        case(
            "{listeners: {stomp: {port: 15021}}}",
            "{listeners: {stomp: {port: 15019}}}",
            &["spec.listeners.stomp.port", "15021", "other pods", "choose another"],
        ),
        case(
            "{listeners: {stomp: {tls: {secretName: c, port: 8080}}, websocket: {}}}",
            "{listeners: {stomp: {tls: {secretName: c, port: 61614}}, websocket: {tls: {secretName: c, port: 8443}}}}",
            &["spec.listeners", "tls.port", "8080", "choose another"],
        ),
        case(
            "{listeners: {stomp: {tls: {secretName: c, port: 15020}}}}",
            "{listeners: {stomp: {tls: {secretName: c}}}}",
            &["spec.listeners", "tls.port", "15020", "choose another"],
        ),
        case(
            "{authentication: {jwt: [{issuer: i, audiences: [a]}]}}",
            "{authentication: {jwt: [{issuer: i, audiences: [a], jwksSecretName: k}]}}",
            &["spec.authentication.jwt[]", "i", "set jwksUrl or jwksSecretName"],
        ),
        case(
            "{authentication: {jwt: [{issuer: i, audiences: [a], jwksSecretName: k, jwksUrl: 'https://i/k'}]}}",
            "{authentication: {jwt: [{issuer: i, audiences: [a], jwksUrl: 'https://i/k'}]}}",
            &["spec.authentication.jwt[]", "both", "remove one"],
        ),
        case(
            "{authentication: {jwt: [{issuer: i, audiences: [a], jwksUrl: 'id.example.com'}]}}",
            "{authentication: {jwt: [{issuer: i, audiences: [a], jwksUrl: 'http://id:8080'}]}}",
            &["spec.authentication.jwt[].jwksUrl", "id.example.com", "https://"],
        ),
        case(
            "{monitoring: {tracing: {otlpEndpoint: 'otel:4317'}}}",
            "{monitoring: {tracing: {otlpEndpoint: 'http://otel:4317'}}}",
            &["spec.monitoring.tracing.otlpEndpoint", "otel:4317", "http://otel-collector:4317"],
        ),
        case(
            "{listeners: {websocket: {path: ws}}}",
            "{listeners: {websocket: {path: /}}}",
            &["spec.listeners.websocket.path ws", "begin it with a slash"],
        ),
        case(
            "{listeners: {websocket: {allowedOrigins: ['*', app.example.com]}}}",
            "{listeners: {websocket: {allowedOrigins: ['*', 'https://*.example.com', 'http://localhost:3000']}}}",
            &["spec.listeners.websocket.allowedOrigins", "app.example.com", "https://app.example.com"],
        ),
        case(
            format!("{{engine: {{relay: {{destinationPrefixes: [/topic, queue], {RELAY}}}}}}}"),
            format!("{{engine: {{relay: {{destinationPrefixes: [/topic, /queue], {RELAY}}}}}}}"),
            &["spec.engine.relay.destinationPrefixes", "queue", "slash"],
        ),
        case(
            format!("{{engine: {{relay: {{rabbitmqClusterRef: {{name: hare}}, {RELAY}}}}}}}"),
            "{engine: {relay: {rabbitmqClusterRef: {name: hare}}}}",
            &["spec.engine.relay", "upstreams", "rabbitmqClusterRef", "hare", "remove one"],
        ),
        case(
            "{engine: {relay: {upstreams: [{host: rabbitmq}], systemCredentials: {secretName: s}}}}",
            relay(""),
            &["spec.engine.relay.clientCredentials", "missing", "name the Secret"],
        ),
        case(
            format!("{{engine: {{relay: {{userDestinationBroadcast: /queue/a, {RELAY}}}}}}}"),
            format!("{{engine: {{relay: {{userDestinationBroadcast: /topic/a, {RELAY}}}}}}}"),
            &["spec.engine.relay.userDestinationBroadcast", "one topic", "/topic/unresolved-user"],
        ),
        case(
            format!("{{engine: {{relay: {{userRegistryBroadcast: /topic/a, {RELAY}}}}}}}"),
            format!(
                "{{engine: {{relay: {{userRegistryBroadcast: /topic/a, userDestinationBroadcast: /topic/b, {RELAY}}}}}}}"
            ),
            &["spec.engine.relay.userRegistryBroadcast", "userDestinationBroadcast", "set both"],
        ),
        case(
            format!("{{engine: {{relay: {{connectTimeout: 0s, {RELAY}}}}}}}"),
            format!("{{engine: {{relay: {{connectTimeout: 1ms, {RELAY}}}}}}}"),
            &["spec.engine.relay.connectTimeout is 0s", "10s"],
        ),
        case(
            rule("{}", "/a"),
            rule("{anyone: {}}", "/a"),
            &["spec.authorization.rules[].allow", "exactly one", "nobody"],
        ),
        case(
            rule("{anyone: {}, roles: [a]}", "/a"),
            rule("{roles: [a]}", "/a"),
            &["spec.authorization.rules[].allow", "exactly one"],
        ),
        case(
            rule("{anyone: {}}", "a"),
            rule("{anyone: {}}", "/a/**/b"),
            &["spec.authorization.rules[].destinations", "a", "begins with a slash"],
        ),
        case(
            "{destinations: [{match: queue/a}]}",
            "{destinations: [{match: /queue/**/*-user*, autoDelete: true, expires: 1m}]}",
            &["spec.destinations[]", "match", "queue/a", "begins with a slash"],
        ),
        case(
            "{destinations: [{match: /queue/a, expires: 0s}]}",
            "{destinations: [{match: /queue/a, expires: 1s}]}",
            &["spec.destinations[]", "expires", "0s", "60s"],
        ),
        case(
            "{destinations: [{match: /queue/a, messageTtl: 0s}]}",
            "{destinations: [{match: /queue/a, messageTtl: 1s}]}",
            &["spec.destinations[]", "messageTtl", "0s", "60s"],
        ),
        case(
            "{destinations: [{match: /queue/a, deadLetter: /queue/dead/*}]}",
            "{destinations: [{match: /queue/a, deadLetter: /queue/dead}, {match: /queue/b, deadLetter: discard}]}",
            &["spec.destinations[]", "deadLetter", "/queue/dead"],
        ),
        case(
            "{listeners: {websocket: {pingInterval: 0s}}}",
            "{listeners: {websocket: {pingInterval: 30s, compression: {}, slowConsumers: DropOldest}}}",
            &["spec.listeners.websocket.pingInterval", "0s", "30s"],
        ),
        case(
            "{listeners: {websocket: {sockJs: {heartbeat: 0s}}}}",
            "{listeners: {websocket: {sockJs: {heartbeat: 1s}}}}",
            &["spec.listeners.websocket.sockJs.heartbeat", "some seconds"],
        ),
        case(
            "{listeners: {websocket: {sockJs: {clientUrl: sockjs.js}}}}",
            "{listeners: {websocket: {sockJs: {clientUrl: /sockjs.js}}}}",
            &["spec.listeners.websocket.sockJs.clientUrl", "sockjs.js", "https://"],
        ),
        case(
            "{destinations: [{match: /queue/a}, {match: /queue/a}]}",
            "{destinations: [{match: /queue/a}, {match: /queue/b}]}",
            &["spec.destinations", "a pattern twice", "merge"],
        ),
        case(
            relay(", destinations: [{match: /queue/a}]"),
            "{destinations: [{match: /queue/a}]}",
            &["spec.destinations", "spec.engine.relay", "remove"],
        ),
        case(
            relay(", userDestinations: {}"),
            "{userDestinations: {}}",
            &["spec.userDestinations", "spec.engine.relay", "remove"],
        ),
        case(
            "{userDestinations: {prefix: /queue/user/}}",
            "{userDestinations: {prefix: /me/}}",
            &["spec.userDestinations.prefix", "/queue/user/", "/user/"],
        ),
        case(
            "{userDestinations: {unresolvedTopic: /queue/a}}",
            "{userDestinations: {unresolvedTopic: /topic/unresolved-user}}",
            &["spec.userDestinations.unresolvedTopic", "/queue/a", "/topic/unresolved-user"],
        ),
        case(
            "{drain: {deadline: 4s}}",
            "{drain: {deadline: 5s}}",
            &["spec.drain.deadline is 4s", "spec.drain.delay of 5s", "longer"],
        ),
        case(
            "{maintenanceWindow: {start: '02:00', duration: 25h}}",
            "{maintenanceWindow: {start: '02:00', duration: 24h, days: [Sat, Sun]}}",
            &["spec.maintenanceWindow.duration is 25h", "at most 24h", "upgradePolicy"],
        ),
    ]
}

/// Specs with a value that is not even of the right notation; the operator's own types refuse those.
fn malformed() -> Vec<Case> {
    let duration: &[&str] = &["soon", "is not a duration", "10s"];
    let size: &[&str] = &["64KiB", "is not a size", "64Ki"];
    let range: &[&str] = &["lb.example.com", "neither an IP address nor a range", "10.0.0.0/16"];
    let proxies =
        |address: &str| format!("{{listeners: {{stomp: {{proxyProtocol: {{trustedAddresses: ['{address}']}}}}}}}}");
    let headers = |address: &str| {
        format!("{{listeners: {{websocket: {{forwardedHeaders: {{trustedAddresses: ['{address}']}}}}}}}}")
    };
    vec![
        case(proxies("lb.example.com"), proxies("10.0.0.0/8"), range),
        case(headers("lb.example.com"), headers("2001:db8::7"), range),
        case("{heartbeat: soon}", "{heartbeat: 1.5s}", duration),
        case("{credentials: {rotation: {every: soon}}}", "{credentials: {rotation: {every: 720h}}}", duration),
        case("{credentials: {rotation: {overlap: soon}}}", "{credentials: {rotation: {overlap: 5m}}}", duration),
        case("{sessionTimeout: soon}", "{sessionTimeout: 1m30s}", duration),
        case("{drain: {delay: soon}}", "{drain: {delay: 0s}}", duration),
        case(
            relay(", zoneOutagePolicy: Respread, zoneOutageWait: soon"),
            relay(", zoneOutagePolicy: Respread, zoneOutageWait: 0s"),
            duration,
        ),
        case("{rollout: {sessionWait: soon}}", "{rollout: {sessionWait: 0s}}", duration),
        case("{rollout: {silenceWait: soon}}", "{rollout: {silenceWait: 0s}}", duration),
        case(
            "{maintenanceWindow: {start: '02:00', duration: soon}}",
            "{maintenanceWindow: {start: '02:00', duration: 1m}}",
            duration,
        ),
        case("{drain: {deadline: soon}}", "{drain: {deadline: 1h}}", duration),
        case(
            format!("{{engine: {{relay: {{connectTimeout: soon, {RELAY}}}}}}}"),
            format!("{{engine: {{relay: {{connectTimeout: 250ms, {RELAY}}}}}}}"),
            duration,
        ),
        case(
            format!("{{engine: {{relay: {{heartbeat: {{send: soon, receive: soon}}, {RELAY}}}}}}}"),
            format!("{{engine: {{relay: {{heartbeat: {{send: 0s, receive: 5s}}, {RELAY}}}}}}}"),
            duration,
        ),
        case(
            managed("{managed: {storage: {size: 64KiB}}}", ""),
            managed("{managed: {storage: {size: 1Gi}}}", ""),
            size,
        ),
        case("{limits: {messageSize: 64KiB}}", "{limits: {messageSize: 65536}}", size),
        case("{engine: {embedded: {queueSize: 64KiB}}}", "{engine: {embedded: {queueSize: 1Gi}}}", size),
    ]
}

/// Changes of a stored spec that a rule refuses, each with one that it does not.
fn changes() -> Vec<(String, Case)> {
    let persistence = |fields: &str| format!("{{engine: {{embedded: {{persistence: {{{fields}}}}}}}}}");
    let storage = |more: &str| managed(&format!("{{managed: {{storage: {{{more}}}}}}}"), "");
    let zones = |names: &str| managed("{managed: {}}", &format!(", zones: [{names}]"));
    vec![
        (
            storage("size: 2Gi"),
            case(
                storage("size: 1Gi"),
                storage("size: 3Gi"),
                &["spec.engine.jetStream.managed.storage.size", "1Gi", "2Gi", "leave it"],
            ),
        ),
        (
            storage("storageClassName: fast"),
            case(
                storage("storageClassName: slow"),
                storage("size: 20Gi, storageClassName: fast"),
                &["spec.engine.jetStream.managed.storage.storageClassName", "from fast", "leave it"],
            ),
        ),
        (
            managed("{managed: {replicas: 3}}", ""),
            case(
                managed("{managed: {replicas: 5}}", ""),
                managed("{external: {servers: ['nats://n']}}", ""),
                &["spec.engine.jetStream.managed.replicas", "from 3 to 5", "another StompBroker"],
            ),
        ),
        (
            zones("{name: a}, {name: b}, {name: c}"),
            case(
                zones("{name: b}, {name: a}, {name: c}"),
                zones("{name: a}, {name: b}, {name: c}, {name: d}"),
                &["spec.zones", "spec.engine.jetStream.managed", "leave the first ones"],
            ),
        ),
        (
            zones("{name: a}, {name: b}"),
            case(
                managed("{managed: {}}", ""),
                managed("{external: {servers: ['nats://n']}}", ""),
                &["spec.zones", "leave the first ones"],
            ),
        ),
        (
            persistence("size: 2Gi"),
            case(
                persistence("size: 2000Mi"),
                persistence("size: 3Gi"),
                &[
                    "spec.engine.embedded.persistence.size",
                    "2000Mi",
                    "2Gi",
                    "only grow",
                    "delete the PersistentVolumeClaim",
                ],
            ),
        ),
        (
            persistence("storageClassName: fast"),
            case(
                persistence("storageClassName: slow"),
                "{engine: {embedded: {}}}",
                &["spec.engine.embedded.persistence.storageClassName", "from fast", "delete the PersistentVolumeClaim"],
            ),
        ),
        (
            persistence(""),
            case(
                persistence("storageClassName: slow"),
                persistence("size: 2Gi"),
                &["spec.engine.embedded.persistence.storageClassName", "from the default", "leave it"],
            ),
        ),
    ]
}

fn check(name: &str, spec: &str) -> Result<(), ValidationErrors> {
    Validator::new().validate(&schema(), &manifest(name, spec), None)
}

fn check_change(old: &str, new: &str) -> Result<(), ValidationErrors> {
    Validator::new().validate(&schema(), &manifest("trading", new), Some(&manifest("trading", old)))
}

#[test]
fn changes_that_cannot_be_made_are_refused_with_the_way_out() {
    for (old, Case { bad, good, says }) in changes() {
        let text = check_change(&old, &bad).expect_err(&bad).to_string();
        for part in says {
            assert!(text.contains(part), "{old} to {bad}: {text} does not say {part:?}");
        }
        if let Err(errors) = check_change(&old, &good) {
            panic!("{old} to {good}: {errors}");
        }
    }
}

#[test]
fn every_rule_refuses_its_case_and_names_field_value_and_remedy() {
    for Case { bad, good, says } in cases().into_iter().chain(malformed()) {
        let errors = check("trading", &bad).expect_err(&bad);
        let text = errors.to_string();
        assert_eq!(
            errors.into_vec().iter().filter(|error| !error.message.contains(says[0])).count(),
            0,
            "{bad}: {text}"
        );
        for part in says {
            assert!(text.contains(part), "{bad}: {text} does not say {part:?}");
        }
        if let Err(errors) = check("trading", &good) {
            panic!("{good}: {errors}");
        }
    }
}

#[test]
fn names_that_children_cannot_carry_are_refused() {
    for (bad, good, says) in [
        ("a23456789-123456789-123456789-123456", "a23456789-123456789-123456789-12345", "36 characters"),
        ("1st", "first", "begin with a letter"),
        ("my.broker", "my-broker", "lower-case letters, digits and hyphens"),
    ] {
        let text = check(bad, "{}").unwrap_err().to_string();
        assert!(text.contains("metadata.name") && text.contains(bad) && text.contains(says), "{text}");
        if let Err(errors) = check(good, "{}") {
            panic!("{good}: {errors}");
        }
        assert!(validate(&broker(bad, "{}"), &assume_references(&broker(bad, "{}"))).is_err(), "{bad}");
    }
}

/// A name and a spec that together leave no room for the names of StatefulSets.
const LONG: (&str, &str) = ("a-name-of-exactly-thirty-characters", "{name: a-long-zone1}");

#[test]
fn names_of_brokers_and_zones_that_are_too_long_for_servers_are_refused() {
    let (name, zone) = LONG;
    let spec = managed("{managed: {}}", &format!(", zones: [{zone}]"));
    let text = check(name, &spec).unwrap_err().to_string();
    assert!(text.contains("metadata.name") && text.contains("46 characters") && text.contains("shorter"), "{text}");
    assert!(validate(&broker(name, &spec), &assume_references(&broker(name, &spec))).is_err());
    let short = managed("{managed: {}}", ", zones: [{name: a-long-zone}]");
    assert!(
        check(name, &short).is_ok()
            && validate(&broker(name, &short), &assume_references(&broker(name, &short))).is_ok()
    );
}

#[test]
fn every_rule_of_the_schema_has_a_case_that_breaks_it() {
    let mut rules = BTreeSet::new();
    collect(&schema(), &mut rules);
    let mut broken = BTreeSet::new();
    for case in cases().into_iter().chain(malformed()) {
        broken.extend(check("trading", &case.bad).unwrap_err().into_vec().into_iter().map(|error| error.rule));
    }
    for (old, case) in changes() {
        broken.extend(check_change(&old, &case.bad).unwrap_err().into_vec().into_iter().map(|error| error.rule));
    }
    for name in ["1st", "a-name-that-is-longer-than-thirty-five"] {
        broken.extend(check(name, "{}").unwrap_err().into_vec().into_iter().map(|error| error.rule));
    }
    let (name, zone) = LONG;
    let spec = managed("{managed: {}}", &format!(", zones: [{zone}]"));
    broken.extend(check(name, &spec).unwrap_err().into_vec().into_iter().map(|error| error.rule));
    assert!(rules.len() > 20, "{rules:?}");
    assert_eq!(rules.difference(&broken).collect::<Vec<_>>(), Vec::<&String>::new());
}

fn collect(schema: &Value, rules: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "x-kubernetes-validations" {
                    let all = value.as_array().unwrap().iter();
                    rules.extend(all.map(|rule| rule["rule"].as_str().unwrap().to_owned()));
                }
                collect(value, rules);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, rules)),
        _ => {}
    }
}

#[test]
fn the_operator_refuses_what_the_schema_refuses_and_accepts_what_it_accepts() {
    for Case { bad, good, says } in cases() {
        let refused = broker("trading", &bad);
        let errors = validate(&refused, &assume_references(&refused)).expect_err(&bad);
        let text = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let field = says[0].split(' ').next().unwrap().replace("[]", "");
        let field = field.rsplit('.').next().unwrap();
        assert!(text.contains(field), "{bad}: {text} does not name {field}");
        let accepted = broker("trading", &good);
        assert!(validate(&accepted, &assume_references(&accepted)).is_ok(), "{good}");
    }
}

#[test]
fn null_means_absent() {
    let crd = serde_json::to_value(api::crd()).unwrap();
    assert!(!crd.to_string().contains("\"nullable\""));
    let spec = "{engine: null, listeners: null, replicas: null, authorization: null}";
    assert!(validate(&broker("trading", spec), &assume_references(&broker("trading", spec))).is_ok());
}
