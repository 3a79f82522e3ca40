//! The README and the example file against the code.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::Path,
};

use serde_json::Value;
use stompbroker_config::{Config, Drain, EmbeddedEngine, Engine, Limits};

use crate::support::{Authority, BrokerUnderTest, Peer as _, config};

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The table of keys: each with its default, where it has one.
fn documented_keys() -> BTreeMap<String, Option<String>> {
    let readme = read("README.md");
    let (_, table) = readme.split_once("## Configuration").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let code = |cell: &str| cell.split('`').nth(1).map(str::to_owned);
    let rows = table.lines().filter(|line| line.starts_with("| `")).map(|line| {
        let cells: Vec<_> = line.split(" | ").collect();
        (code(cells[0]).unwrap(), code(cells[1]))
    });
    rows.collect()
}

/// Every value of a configuration by its key, `[]` for the members of a list; what a rule allows counts as one value.
fn keys(config: &Config) -> BTreeMap<String, Value> {
    fn collect(path: String, value: &Value, into: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(fields) if path != "authorization.rules[].allow" => {
                for (name, value) in fields {
                    collect(if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, value, into);
                }
            }
            Value::Array(members) if members.first().is_some_and(Value::is_object) => {
                for member in members {
                    collect(format!("{path}[]"), member, into);
                }
            }
            _ => {
                into.insert(path, value.clone());
            }
        }
    }
    let mut keys = BTreeMap::new();
    collect(String::new(), &serde_json::to_value(config).unwrap(), &mut keys);
    keys
}

#[test]
fn the_readme_has_every_key_of_the_configuration_and_no_other() {
    let tls = "{port: 3, directory: /t, certificateFile: /c, keyFile: /k, \
               clientCertificates: {caFile: /a, login: Uri}}";
    let common =
        "zone: a\nlisteners: {stomp: {port: 1, tls: TLS, proxyProtocol: {trustedAddresses: [10.0.0.1]}, slowConsumers: DropOldest}, websocket: {port: 2, proxyProtocol: {trustedAddresses: [10.0.0.1]}, forwardedHeaders: {trustedAddresses: [10.0.0.1]}, allowedOrigins: ['*'], pingInterval: 1s, compression: {enabled: true}, tls: TLS, slowConsumers: DropOldest, sockJs: {}}}\n\
                  admin: {tokenFile: /t}\npeers: {dnsName: a, addresses: ['10.0.0.1:1']}\ncredentials: {system: {directory: /s}, client: {directory: /c}}\n\
                  authentication: {users: {file: /u}, tokenHeader: X, jwt: [{issuer: a, audiences: [b], jwksUrl: 'https://a'}, \
                  {issuer: b, audiences: [b], jwksFile: /k, caFile: /a}]}\nlimits: {messagesPerSecondPerPod: 1, connectionsPerAddress: 1, memory: 1}\n\
                  authorization: {rules: [{actions: [Send], destinations: [/a], allow: {nobody: {}}}]}\n\
                  destinations: [{match: /queue/a, autoDelete: true, expires: 1m, messageTtl: 1m, maxDeliveries: 3, \
                  nack: DeadLetter, deadLetter: /queue/d}]\n\
                  applications: [{name: a, prefix: /app, url: 'https://a', path: /b, source: /c, ordered: false, \
                  reply: {destination: /topic/a}, tls: {caFile: /a, serverName: n.test, directory: /t}, signature: {keyFile: /k}}]\n\
                  logging: {level: debug}\ntracing: {otlpEndpoint: 'http://a:1', protocol: grpc}\nuserDestinations: {prefix: /me/, unresolvedTopic: /topic/a}\n"
            .replace("TLS", tls);
    let relay = "engine: {relay: {destinationPrefixes: [/topic], upstreams: [{host: a, port: 1, zone: b}], \
                 tls: {caFile: /a, serverName: n.test, directory: /t}, multiplex: {connections: 2}, \
                 virtualHost: v, userDestinationBroadcast: /topic/u, userRegistryBroadcast: /topic/r, \
                 systemCredentials: {directory: /s}, clientCredentials: {directory: /c}}}\n";
    let mut known = BTreeSet::new();
    let embedded = "engine: {embedded: {persistence: {directory: /s}}}\n";
    let jetstream = "engine: {jetStream: {servers: [a], credentials: {directory: /c}, tls: {directory: /t}, \
                     durableTopics: {match: [/topic/a], expires: 1h}}}\n";
    for text in [embedded, relay, jetstream].map(|engine| format!("{common}{engine}")) {
        let config: Config = serde_saphyr::from_str(&text).unwrap();
        known.extend(keys(&config).into_keys());
    }
    assert_eq!(documented_keys().into_keys().collect::<BTreeSet<_>>(), known);
}

#[test]
fn the_readme_has_the_defaults() {
    let documented = documented_keys();
    let minimal = keys(&Config::parse("listeners: {websocket: {port: 1, sockJs: {}}}").unwrap());
    for (key, value) in minimal.into_iter().filter(|(key, _)| key != "listeners.websocket.port") {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(documented[&key].as_ref(), Some(&value), "{key}");
    }
}

#[test]
fn the_readme_marks_the_keys_that_wait_for_a_restart() {
    let readme = read("README.md");
    let marked: BTreeSet<_> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` *start* |").map(|(key, _)| key))
        .collect();
    for prefix in stompbroker_config::READ_AT_START {
        assert!(marked.iter().any(|key| key.starts_with(prefix)), "{prefix}");
    }
    for key in marked {
        assert!(stompbroker_config::READ_AT_START.iter().any(|prefix| key.starts_with(prefix)), "{key}");
    }
}

#[test]
fn the_example_file_shows_the_defaults() {
    let example = Config::parse(&read("broker.example.yaml")).unwrap();
    assert_eq!(example.limits, Limits::default());
    assert_eq!(example.drain, Drain::default());
    assert_eq!(example.engine, Engine::Embedded(EmbeddedEngine::default()));
    let minimal = Config::parse("listeners: {websocket: {port: 1}}").unwrap();
    assert_eq!((example.heartbeat, example.session_timeout), (minimal.heartbeat, minimal.session_timeout));
    assert_eq!(example.admin, minimal.admin);
    let path = |config: Config| config.listeners.websocket.unwrap().path;
    assert_eq!(path(example), path(minimal));
}

/// The metrics of the table, with the names of their labels.
fn documented_metrics() -> BTreeMap<String, BTreeSet<String>> {
    let readme = read("README.md");
    let (_, table) = readme.split_once("| metric | meaning |").unwrap();
    let rows = table.split("\n\n").next().unwrap().lines().skip(2);
    let cells = rows.map(|row| row.split(" | ").next().unwrap().to_owned());
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>());
    names
        .filter(|name| name != "process_*")
        .map(|name| {
            let (name, labels) = name.split_once('{').unwrap_or((&name, ""));
            let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
            (name.to_owned(), labels.map(str::to_owned).collect())
        })
        .collect()
}

/// The samples of a text of metrics, with the names of their labels.
fn samples(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let lines = text.lines().filter(|line| line.starts_with("stompbroker_"));
    lines
        .map(|line| {
            let (sample, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            let labels = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
            (name.to_owned(), labels.collect())
        })
        .collect()
}

/// The metrics of a broker with everything that the embedded engine and the listeners can have, and of one that relays.
async fn exposed() -> [String; 2] {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), BrokerUnderTest::TOKEN).unwrap();
    Authority::new().issue(&folder.path().join("tls"));
    let embedded = config(
        "engine: {embedded: {persistence: {directory: FOLDER/store}}}\n\
         applications: [{name: shop, prefix: /app, url: 'http://127.0.0.1:1'}]",
    )
    .replace("websocket: {port: 0", "websocket: {port: 0, tls: {directory: FOLDER/tls}");
    let embedded = BrokerUnderTest::start_in(folder, &embedded);
    let mut client = embedded.tcp_session().await;
    client.subscribe("0", "/topic/a").await;

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), BrokerUnderTest::TOKEN).unwrap();
    for file in ["username", "password"] {
        fs::write(folder.path().join(file), "x").unwrap();
    }
    let relay = "engine: {relay: {destinationPrefixes: [/topic], upstreams: [{host: 127.0.0.1, port: 1}], \
                 systemCredentials: {directory: FOLDER}, clientCredentials: {directory: FOLDER}}}";
    let relay = BrokerUnderTest::start_in(folder, &config(relay));
    [embedded.admin("GET", "/metrics").await.body, relay.admin("GET", "/metrics").await.body]
}

/// Holds a generated page against `text`, or writes it when `UPDATE_GOLDEN` is set.
fn assert_current(page: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference").join(page);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, text).unwrap();
    }
    assert!(fs::read_to_string(file).unwrap_or_default() == text, "docs/reference/{page} is stale; run: make generate");
}

#[test]
fn the_reference_of_the_configuration_is_current() {
    let readme = read("README.md");
    let (_, section) = readme.split_once("## Configuration").unwrap();
    let rows = section.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("| `"));
    let mut parts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for row in rows {
        let part = row[3..].split(['.', '[', '`']).next().unwrap();
        let start = if row.contains("` *start* |") { "start" } else { "reload" };
        let (key, rest) =
            row.replace(" *start*", "").split_once(" | ").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let rest = rest.replace("](#", "](../../broker/README.md#").replace("](../docs/", "](../");
        parts.entry(part).or_default().push(format!("{key} | {start} | {rest}\n"));
    }
    let mut page = String::from(
        "# Keys of broker.yaml\n\nGenerated by `make generate` from [`broker/README.md`](../../broker/README.md#configuration), which tests hold \
         against the types in\n`broker/config`; do not edit. Keys read at the `start` wait for a restart, all others are in force two seconds after the \
         file\nhas changed. `[]` stands for the members of a list.\n",
    );
    for (part, rows) in parts {
        write!(page, "\n## {part}\n\n| key | read | default | meaning |\n|---|---|---|---|\n{}", rows.concat())
            .unwrap();
    }
    assert_current("broker-config.md", &page);
}

#[tokio::test]
async fn the_reference_of_metrics_is_current() {
    let text = exposed().await.concat();
    let labels = samples(&text);
    let kinds: BTreeMap<_, _> = described(&text, "# TYPE").collect();
    let mut page = String::from(
        "# Metrics of brokers\n\nGenerated by `make generate` from what a broker answers at `/metrics`; do not edit. The operator's own are in \
         [Status](../status.md#metrics).\n\n| series | type | labels | means |\n|---|---|---|---|\n",
    );
    for (name, help) in described(&text, "# HELP").collect::<BTreeMap<_, _>>() {
        let kind = kinds[name];
        let series = sample(name, kind);
        let of = labels.get(&series).into_iter().flatten().map(|label| format!("`{label}`")).collect::<Vec<_>>();
        writeln!(page, "| `{series}` | {kind} | {} | {help} |", of.join(" ")).unwrap();
    }
    assert_current("metrics.md", &page);
}

/// What the text says of each family after a keyword such as `# HELP`.
fn described<'a>(text: &'a str, keyword: &'static str) -> impl Iterator<Item = (&'a str, &'a str)> {
    text.lines().filter_map(move |line| line.strip_prefix(keyword)?.strip_prefix(' ')?.split_once(' '))
}

/// The name of the series of a family.
fn sample(name: &str, kind: &str) -> String {
    match kind {
        "counter" => format!("{name}_total"),
        "info" => format!("{name}_info"),
        _ => name.to_owned(),
    }
}

#[tokio::test]
async fn the_readme_has_every_metric_with_its_labels_and_no_other() {
    let [embedded, relay] = exposed().await;
    let mut found = samples(&embedded);
    found.extend(samples(&relay));
    assert_eq!(documented_metrics(), found);
}

#[tokio::test]
async fn metrics_are_named_and_explained_as_prometheus_wants_it() {
    let text = exposed().await.concat();
    let help: BTreeMap<_, _> = described(&text, "# HELP").collect();
    for (name, kind) in described(&text, "# TYPE") {
        assert!(name.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'_'), "{name}");
        assert!(help.get(name).is_some_and(|help| help.len() > 5), "{name} is not explained");
        let has_suffix = |suffixes: &[&str]| suffixes.iter().any(|suffix| name.ends_with(suffix));
        assert!(!has_suffix(&["_total", "_sum", "_count", "_bucket", "_gauge", "_counter"]), "{name} is a {kind}");
        let units = ["millisecond", "minute", "hour", "kilobyte", "megabyte", "octet", "percent"];
        assert!(!units.iter().any(|unit| name.contains(unit)), "{name} is in no base unit");
        assert!(["counter", "gauge", "info"].contains(&kind), "{name} is a {kind}");
        assert!(text.contains(&format!("\n{}", sample(name, kind))), "{name} has no sample");
    }
}
