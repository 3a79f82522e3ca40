//! What reaches the broker's configuration and its Secrets.

use super::*;

#[test]
fn every_setting_of_the_spec_reaches_the_configuration() {
    let configuration = |spec: &str| {
        let text = planned(spec).objects.config_maps.remove(0).data.unwrap()["broker.yaml"].clone();
        serde_saphyr::from_str::<Value>(&text).unwrap()
    };
    let relay = configuration(
        "{zones: [{name: a}], heartbeat: 1s, sessionTimeout: 2s, \
         authentication: {anonymous: true, tokenHeader: X-Token, users: {secretName: people}, \
           jwt: [{issuer: i, audiences: [a], jwksUrl: 'https://i/k', rolesClaim: r, userClaim: u, clockSkew: 9s}, \
             {issuer: j, audiences: [b], jwksSecretName: keys}]}, \
         listeners: {stomp: {port: 2001}, websocket: {port: 2002, path: /p, allowedOrigins: ['https://o'], \
           sockJs: {heartbeat: 16s, disconnectDelay: 17s, responseLimit: 18, sessionCookie: true, clientUrl: /c}}}, \
         limits: {connectionsPerPod: 11, connectionsPerAddress: 16, memory: 17, messagesPerSecondPerPod: 12, subscriptionsPerSession: 13, messageSize: 14}, \
         monitoring: {tracing: {otlpEndpoint: 'http://otel:4318', protocol: grpc, samplingRatio: 0.5}}, \
         logging: {format: text, level: debug}, drain: {delay: 3s, deadline: 4s, connectionsPerSecond: 15}, \
         authorization: {rules: [{actions: [Subscribe], destinations: [/d], allow: {roles: [r]}}]}, \
         engine: {relay: {destinationPrefixes: [/x], virtualHost: v, userDestinationBroadcast: /topic/users, \
         userRegistryBroadcast: /topic/registry, connectTimeout: 5s, \
           heartbeat: {send: 6s, receive: 7s}, upstreams: [{host: h, port: 8, zone: z}], \
           tls: {caSecretName: roots, serverName: up.test, certificateSecretName: shown}, multiplex: {connections: 9}, \
           systemCredentials: {secretName: s}, clientCredentials: {secretName: c}}}}",
    );
    for (pointer, value) in [
        ("/zone", json!("a")),
        ("/heartbeat", json!("1s")),
        ("/sessionTimeout", json!("2s")),
        (
            "/authentication",
            json!({
                "anonymous": true,
                "tokenHeader": "X-Token",
                "users": {"file": "/etc/stompbroker/users/users.yaml"},
                "jwt": [
                    {"issuer": "i", "audiences": ["a"], "jwksUrl": "https://i/k", "rolesClaim": "r", "userClaim": "u", "clockSkew": "9s"},
                    {"issuer": "j", "audiences": ["b"], "jwksFile": "/etc/stompbroker/jwt-1/jwks.json", "rolesClaim": "roles",
                        "userClaim": "sub", "clockSkew": "30s"},
                ],
            }),
        ),
        ("/limits/connectionsPerAddress", json!(16)),
        ("/limits/memory", json!("17")),
        (
            "/listeners",
            json!({"stomp": {"port": 2001}, "websocket": {"port": 2002, "path": "/p", "allowedOrigins": ["https://o"],
                "sockJs": {"enabled": true, "heartbeat": "16s", "disconnectDelay": "17s", "responseLimit": "18",
                    "sessionCookie": true, "clientUrl": "/c"}}}),
        ),
        ("/limits/connectionsPerPod", json!(11)),
        ("/limits/messagesPerSecondPerPod", json!(12)),
        ("/limits/subscriptionsPerSession", json!(13)),
        ("/limits/messageSize", json!("14")),
        (
            "/tracing",
            json!({"otlpEndpoint": "http://otel:4318", "protocol": "grpc", "samplingRatio": 0.5, "serviceName": "trading"}),
        ),
        ("/logging", json!({"format": "text", "level": "debug"})),
        ("/drain", json!({"delay": "3s", "deadline": "4s", "connectionsPerSecond": 15})),
        (
            "/authorization/rules/0",
            json!({"actions": ["Subscribe"], "destinations": ["/d"], "allow": {"roles": ["r"]}}),
        ),
        ("/engine/relay/destinationPrefixes", json!(["/x"])),
        (
            "/engine/relay/tls",
            json!({"caFile": "/etc/stompbroker/relay-tls/ca.crt", "serverName": "up.test",
                "directory": "/etc/stompbroker/relay-tls"}),
        ),
        ("/engine/relay/multiplex", json!({"connections": 9})),
        ("/engine/relay/userDestinationBroadcast", json!("/topic/users")),
        ("/engine/relay/userRegistryBroadcast", json!("/topic/registry")),
        ("/engine/relay/virtualHost", json!("v")),
        ("/engine/relay/connectTimeout", json!("5s")),
        ("/engine/relay/heartbeat", json!({"send": "6s", "receive": "7s"})),
        ("/engine/relay/upstreams", json!([{"host": "h", "port": 8, "zone": "z"}])),
        ("/admin/port", json!(15020)),
    ] {
        assert_eq!(relay.pointer(pointer), Some(&value), "{pointer}");
    }
    let embedded = configuration(
        "{engine: {embedded: {queueSize: 1Mi, prefetch: 16}}, \
         destinations: [{match: /queue/a, autoDelete: true, expires: 1m, messageTtl: 2m, maxDeliveries: 3, nack: DeadLetter, \
           deadLetter: /queue/dead}], \
         userDestinations: {prefix: /me/, unresolvedTopic: /topic/nobody}}",
    );
    assert_eq!(embedded["engine"], json!({"embedded": {"queueSize": "1Mi", "prefetch": 16}}));
    assert_eq!(
        embedded["destinations"],
        json!([{"match": "/queue/a", "autoDelete": true, "expires": "1m", "messageTtl": "2m", "maxDeliveries": 3,
                "nack": "DeadLetter", "deadLetter": "/queue/dead"}])
    );
    assert_eq!(embedded["userDestinations"], json!({"prefix": "/me/", "unresolvedTopic": "/topic/nobody"}));
}

#[test]
fn a_rabbitmq_cluster_gives_host_port_and_logins() {
    for (more, port) in [("", 61613), (", tls: {caSecretName: roots}", 61614)] {
        let plan = planned(&format!("{{engine: {{relay: {{rabbitmqClusterRef: {{name: hare}}{more}}}}}}}"));
        let text = plan.objects.config_maps[0].data.as_ref().unwrap()["broker.yaml"].clone();
        let config = serde_saphyr::from_str::<Value>(&text).unwrap();
        let host = format!("hare.{}.svc", plan.objects.config_maps[0].metadata.namespace.as_deref().unwrap());
        assert_eq!(config["engine"]["relay"]["upstreams"], json!([{"host": host, "port": port}]));
        let pod = serde_json::to_value(pod(&plan)).unwrap();
        let sources = pod["volumes"][0]["projected"]["sources"].as_array().unwrap();
        let logins = sources.iter().filter(|source| source["secret"]["name"] == "hare-default-user").count();
        assert_eq!(logins, 2, "for the system connection and for those of clients");
    }
}

#[test]
fn every_file_that_the_configuration_names_is_mounted() {
    for plan in [planned("{credentials: {client: {secretName: mine}}}"), relayed("")] {
        let pod = serde_json::to_value(pod(&plan)).unwrap();
        let root = pod["containers"][0]["volumeMounts"][0]["mountPath"].as_str().unwrap().to_owned();
        let sources = pod["volumes"][0]["projected"]["sources"].as_array().unwrap();
        let items =
            |source: &Value| ["configMap", "secret"].iter().find_map(|kind| source[kind]["items"].as_array().cloned());
        let mounted: Vec<String> = sources
            .iter()
            .flat_map(|source| items(source).unwrap())
            .map(|item| format!("{root}/{}", item["path"].as_str().unwrap()))
            .collect();
        let text = &plan.objects.config_maps[0].data.as_ref().unwrap()["broker.yaml"];
        let named = text.lines().filter_map(|line| line.trim().strip_prefix("directory: "));
        for folder in named {
            for file in LOGIN_KEYS {
                assert!(mounted.contains(&format!("{folder}/{file}")), "{folder}/{file} is not in {mounted:?}");
            }
        }
        let token = text.lines().find_map(|line| line.trim().strip_prefix("tokenFile: ")).unwrap();
        assert!(mounted.iter().any(|file| file == token), "{token} is not in {mounted:?}");
        let argument = pod["containers"][0]["args"][1].as_str().unwrap();
        assert!(mounted.iter().any(|file| argument == format!("--config={file}")), "{argument}");
    }
}

const ENCRYPTED: &str = "{listeners: {stomp: {port: 2001, tls: {secretName: c1, port: 2003}}, \
    websocket: {port: 2002, tls: {secretName: c2, clientCertificates: {secretName: c3, required: true, login: Uri}}}}}";

#[test]
fn certificates_of_listeners_reach_the_configuration_and_the_pod() {
    let plan = planned(ENCRYPTED);
    let text = plan.objects.config_maps[0].data.as_ref().unwrap()["broker.yaml"].clone();
    let config = stompbroker_config::Config::parse(&text).unwrap();
    let listeners = serde_json::to_value(&config.listeners).unwrap();
    assert_eq!(listeners["stomp"]["tls"], json!({"port": 2003, "directory": "/etc/stompbroker/stomp-tls"}));
    let clients = json!({"caFile": "/etc/stompbroker/websocket-tls/ca.crt", "required": true, "login": "Uri"});
    assert_eq!(listeners["websocket"]["tls"]["clientCertificates"], clients);
    let sources = serde_json::to_value(pod(&plan)).unwrap()["volumes"][0]["projected"]["sources"].clone();
    let mounted: Vec<(String, String)> = sources
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|source| source.get("secret"))
        .flat_map(|secret| {
            secret["items"].as_array().unwrap().iter().map(|item| (secret["name"].clone(), item["path"].clone()))
        })
        .map(|(name, path)| (name.as_str().unwrap().to_owned(), format!("/etc/stompbroker/{}", path.as_str().unwrap())))
        .collect();
    for (_, _, tls) in config.listeners.tls() {
        for file in tls.files() {
            assert!(mounted.iter().any(|(_, path)| *path == *file.to_string_lossy()), "{file:?} is not in {mounted:?}");
        }
    }
    assert!(mounted.contains(&("c3".to_owned(), "/etc/stompbroker/websocket-tls/ca.crt".to_owned())), "{mounted:?}");
}

#[test]
fn ports_of_tls_are_served_and_told() {
    let plan = planned(ENCRYPTED);
    let service = serde_json::to_value(&plan.objects.services[0]).unwrap();
    let ports: Vec<_> = service["spec"]["ports"].as_array().unwrap().iter().map(|port| port["name"].clone()).collect();
    assert_eq!(ports, ["stomp", "stomp-tls", "websocket"]);
    assert_eq!(service["spec"]["ports"][2]["appProtocol"], "kubernetes.io/wss");
    let host = "trading.markets.svc.corp.example";
    let endpoints = serde_json::to_value(&plan.endpoints).unwrap();
    let expected = json!({"stomp": format!("{host}:2001"), "stompTls": format!("{host}:2003"),
        "websocketTls": format!("wss://{host}:2002/ws")});
    assert_eq!(endpoints, expected);
    let container = serde_json::to_value(pod(&plan)).unwrap()["containers"][0].clone();
    assert!(container["ports"].as_array().unwrap().iter().any(|port| port["containerPort"] == 2003), "{container}");
    assert_eq!(container["readinessProbe"]["httpGet"]["port"], "admin", "probes need no TLS");
}

#[test]
fn a_login_has_a_secret_of_ours_whether_it_is_generated_or_follows_one_of_the_users() {
    let plan = planned("{credentials: {system: {secretName: mine}}}");
    let names: Vec<_> = plan.objects.logins.iter().map(|login| login.metadata.name.clone().unwrap()).collect();
    assert_eq!(names, ["trading-system", "trading-client"]);
    assert_eq!(plan.objects.logins[0].origin, Origin::Copied { secret_name: "mine".to_owned() });
    assert_eq!(plan.objects.logins[1].origin, Origin::Generated { username: "client" });
    assert_eq!(templates(&plan), templates(&planned("{}")), "no pod is restarted for another Secret");
}

#[test]
fn logins_have_the_keys_of_a_service_binding() {
    let login = planned("{listeners: {websocket: {port: 8081}}}").objects.logins.remove(0);
    assert_eq!(login.type_, "servicebinding.io/stomp");
    let values = login.without_secrets().string_data.unwrap();
    let values: Vec<_> = values.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let expected = [
        ("host", "trading.markets.svc.corp.example"),
        ("port", "8081"),
        ("provider", "stompbroker"),
        ("type", "stomp"),
        ("username", "system"),
    ];
    assert_eq!(values, expected);
}

#[test]
fn the_uri_of_a_binding_says_how_to_connect_and_takes_any_password() {
    for (listeners, uri) in [
        ("stomp: {}, websocket: {}", "stomp://a%40b:x%2Fy%3A_-@HOST:61613"),
        ("stomp: {tls: {secretName: c1}}", "stomp+ssl://a%40b:x%2Fy%3A_-@HOST:61613"),
        ("websocket: {port: 8081, path: /chat}", "ws://a%40b:x%2Fy%3A_-@HOST:8081/chat"),
        ("websocket: {tls: {secretName: c1}}", "wss://a%40b:x%2Fy%3A_-@HOST:8080/ws"),
    ] {
        let login = planned(&format!("{{listeners: {{{listeners}}}}}")).objects.logins.remove(0);
        let expected = uri.replace("HOST", "trading.markets.svc.corp.example");
        assert_eq!(login.address.with_login("a@b", "x/y:_-"), expected);
    }
}

#[test]
fn proxies_that_are_trusted_reach_the_configuration() {
    let plan = planned(
        "{listeners: {stomp: {proxyProtocol: {trustedAddresses: [10.0.0.0/16, 192.0.2.7]}}, \
         websocket: {proxyProtocol: {trustedAddresses: [10.1.0.0/16]}, forwardedHeaders: {trustedAddresses: ['2001:db8::/32']}}}}",
    );
    let text = &plan.objects.config_maps[0].data.as_ref().unwrap()["broker.yaml"];
    let config = stompbroker_config::Config::parse(text).unwrap();
    let trusted = config.listeners.proxies().map(|(key, proxies)| (key, json!(proxies)["trustedAddresses"].clone()));
    let expected = [
        ("stomp.proxyProtocol", json!(["10.0.0.0/16", "192.0.2.7"])),
        ("websocket.proxyProtocol", json!(["10.1.0.0/16"])),
        ("websocket.forwardedHeaders", json!(["2001:db8::/32"])),
    ];
    assert_eq!(trusted.collect::<Vec<_>>(), expected);
}

#[test]
fn applications_reach_the_configuration_with_what_they_are_trusted_by() {
    let plan = planned(
        "{applications: [{name: shop, prefix: '/app/{x}', service: {name: orders, namespace: eu, port: 8443}, path: '/s{path}', \
         timeout: 1s, concurrency: 2, waiting: 3, ordered: false, retry: {attempts: 4, backoff: 5ms}, \
         reply: {destination: /topic/a, replyTo: false}, tls: {caSecretName: roots, certificateSecretName: shown, serverName: n.test}, \
         signature: {secretName: shared}}, {name: plain, prefix: /plain, service: {name: plain}}]}",
    );
    let text = &plan.objects.config_maps[0].data.as_ref().unwrap()["broker.yaml"];
    let config = serde_saphyr::from_str::<Value>(text).unwrap();
    let folder = "/etc/stompbroker/application-shop";
    let source = "/apis/stompbroker.dev/v1alpha1/namespaces/markets/stompbrokers/trading";
    assert_eq!(
        config["applications"][0],
        json!({
            "name": "shop", "prefix": "/app/{x}", "url": "https://orders.eu.svc:8443", "path": "/s{path}", "source": source,
            "timeout": "1s", "concurrency": 2, "waiting": 3, "ordered": false, "retry": {"attempts": 4, "backoff": "5ms"},
            "reply": {"destination": "/topic/a", "replyTo": false},
            "tls": {"caFile": format!("{folder}/ca.crt"), "serverName": "n.test", "directory": folder},
            "signature": {"keyFile": format!("{folder}/key")},
        })
    );
    assert_eq!(config["applications"][1]["url"], "http://plain.markets.svc:80");
    let sources = pod(&plan).volumes.unwrap().remove(0).projected.unwrap().sources.unwrap();
    let mounted = |name: &str| {
        let secret = sources.iter().filter_map(|source| source.secret.as_ref()).find(|secret| secret.name == name);
        secret.unwrap().items.as_ref().unwrap().iter().map(|item| item.path.clone()).collect::<Vec<_>>()
    };
    for (secret, files) in [
        ("shared", vec!["application-shop/key"]),
        ("roots", vec!["application-shop/ca.crt"]),
        ("shown", vec!["application-shop/tls.crt", "application-shop/tls.key"]),
    ] {
        assert_eq!(mounted(secret), files, "{secret}");
    }
}

#[test]
fn applications_that_cannot_work_are_named_with_field_and_remedy() {
    for (application, field, remedy) in [
        ("prefix: /app, service: {name: a}, path: '/{id}'", "spec.applications[0].path", "no variable"),
        ("prefix: /user/a, service: {name: a}", "spec.applications[0].prefix", "destinations of users"),
        ("prefix: /app", "spec.applications[0]", "exactly one of service and url"),
    ] {
        let broker = broker(&format!("{{applications: [{{name: a, {application}}}]}}"));
        let errors = validate(&broker, &Observed::assuming_references(&broker)).unwrap_err();
        assert!(errors[0].field == field && errors[0].remedy.contains(remedy), "{errors:?}");
    }
}
