//! The Grafana dashboards of the chart.
//!
//! Invariant: a panel asks for series by the names that operator and brokers expose; `tests/chart_dashboards.rs` holds them
//! against both.

use serde_json::{Value, json};

/// Panels are three in a row of Grafana's 24 columns.
const COLUMNS: usize = 3;
const WIDTH: usize = 8;
const HEIGHT: usize = 8;

struct Dashboard {
    /// Its file in the chart, and its identity in Grafana.
    file: &'static str,
    title: &'static str,
    /// Variables by which the user chooses, each with the series whose label it is.
    variables: &'static [(&'static str, &'static str)],
    rows: &'static [(&'static str, &'static [Panel])],
}

struct Panel {
    title: &'static str,
    /// Unit as Grafana calls it.
    unit: &'static str,
    /// PromQL with the legend of its lines. `$of` stands for what the user has chosen.
    series: &'static [(&'static str, &'static str)],
}

const fn panel(title: &'static str, unit: &'static str, series: &'static [(&'static str, &'static str)]) -> Panel {
    Panel { title, unit, series }
}

const OPERATOR: Dashboard = Dashboard {
    file: "stompbroker-operator",
    title: "Stompbroker / operator",
    variables: &[],
    rows: &[
        (
            "StompBrokers",
            &[
                panel(
                    "Not Ready",
                    "short",
                    &[("count(stompbroker_operator_broker_ready == 0) or vector(0)", "not Ready")],
                ),
                panel(
                    "Sessions",
                    "short",
                    &[("sum by (namespace, name) (stompbroker_operator_broker_sessions)", "{{namespace}}/{{name}}")],
                ),
                panel(
                    "Zones restarted in an hour, by reason",
                    "short",
                    &[("sum by (reason) (increase(stompbroker_operator_zone_restarts_total[1h]))", "{{reason}}")],
                ),
                panel(
                    "Steps of rotations in an hour",
                    "short",
                    &[("sum by (reason) (increase(stompbroker_operator_rotation_steps_total[1h]))", "{{reason}}")],
                ),
                panel(
                    "Questions to pods",
                    "ops",
                    &[("sum by (result) (rate(stompbroker_operator_pod_polls_total[5m]))", "{{result}}")],
                ),
                panel(
                    "Questions for custom metrics",
                    "ops",
                    &[("sum by (result) (rate(stompbroker_operator_custom_metrics_requests_total[5m]))", "{{result}}")],
                ),
            ],
        ),
        (
            "The operator",
            &[
                panel("Replica that works", "short", &[("stompbroker_operator_leader", "{{pod}}")]),
                panel(
                    "Passes",
                    "ops",
                    &[("sum by (result) (rate(stompbroker_operator_reconciles_total[5m]))", "{{result}}")],
                ),
                panel(
                    "Passes that failed",
                    "ops",
                    &[("sum by (reason) (rate(stompbroker_operator_reconcile_errors_total[5m]))", "{{reason}}")],
                ),
                panel(
                    "Length of a pass",
                    "s",
                    &[
                        (
                            "histogram_quantile(0.5, sum by (le) (rate(stompbroker_operator_reconcile_duration_seconds_bucket[5m])))",
                            "half of them",
                        ),
                        (
                            "histogram_quantile(0.99, sum by (le) (rate(stompbroker_operator_reconcile_duration_seconds_bucket[5m])))",
                            "99 of 100",
                        ),
                    ],
                ),
                panel(
                    "Writes to the API server",
                    "ops",
                    &[(
                        "sum by (resource) (rate(stompbroker_operator_kube_requests_total{method!=\"GET\"}[5m]))",
                        "{{resource}}",
                    )],
                ),
                panel(
                    "Requests that failed",
                    "ops",
                    &[(
                        "sum by (resource, code) (rate(stompbroker_operator_kube_requests_total{code!~\"2..\"}[5m]))",
                        "{{resource}} {{code}}",
                    )],
                ),
                panel(
                    "Watches that broke",
                    "ops",
                    &[("sum by (kind) (rate(stompbroker_operator_watch_errors_total[5m]))", "{{kind}}")],
                ),
                panel(
                    "Events",
                    "ops",
                    &[("sum by (result) (rate(stompbroker_operator_events_total[5m]))", "{{result}}")],
                ),
                panel(
                    "Memory",
                    "bytes",
                    &[("process_resident_memory_bytes and on (instance) stompbroker_operator_leader", "{{pod}}")],
                ),
            ],
        ),
    ],
};

const BROKERS: Dashboard = Dashboard {
    file: "stompbroker-brokers",
    title: "Stompbroker / brokers",
    variables: &[
        ("namespace", "stompbroker_build_info"),
        ("name", "stompbroker_build_info{namespace=~\"$namespace\"}"),
    ],
    rows: &[
        (
            "Sessions",
            &[
                panel(
                    "Sessions by transport",
                    "short",
                    &[("sum by (transport) (stompbroker_sessions$of)", "{{transport}}")],
                ),
                panel("Sessions by zone", "short", &[("sum by (zone) (stompbroker_sessions$of)", "{{zone}}")]),
                panel("Connections by pod", "short", &[("sum by (pod) (stompbroker_connections$of)", "{{pod}}")]),
                panel(
                    "Sessions opened",
                    "ops",
                    &[("sum by (transport) (rate(stompbroker_sessions_opened_total$of[5m]))", "{{transport}}")],
                ),
                panel(
                    "Sessions that ended, by reason",
                    "ops",
                    &[("sum by (reason) (rate(stompbroker_sessions_closed_total$of[5m]))", "{{reason}}")],
                ),
                panel(
                    "Refused",
                    "ops",
                    &[
                        ("sum(rate(stompbroker_connections_refused_total$of[5m]))", "connections"),
                        ("sum(rate(stompbroker_origins_refused_total$of[5m]))", "origins"),
                        ("sum(rate(stompbroker_tls_handshakes_failed_total$of[5m]))", "TLS handshakes"),
                    ],
                ),
            ],
        ),
        (
            "Messages",
            &[
                panel(
                    "From clients",
                    "ops",
                    &[(
                        "sum by (pod) (rate(stompbroker_frames_total$of{command=\"SEND\",direction=\"in\"}[5m]))",
                        "{{pod}}",
                    )],
                ),
                panel(
                    "To clients",
                    "ops",
                    &[(
                        "sum by (pod) (rate(stompbroker_frames_total$of{command=\"MESSAGE\",direction=\"out\"}[5m]))",
                        "{{pod}}",
                    )],
                ),
                panel(
                    "Octets",
                    "Bps",
                    &[
                        ("sum(rate(stompbroker_received_bytes_total$of[5m]))", "from clients"),
                        ("sum(rate(stompbroker_sent_bytes_total$of[5m]))", "to clients"),
                    ],
                ),
                panel(
                    "Slow consumers",
                    "ops",
                    &[
                        ("sum(rate(stompbroker_slow_consumers_total$of[5m]))", "sessions closed"),
                        ("sum(rate(stompbroker_messages_dropped_total$of[5m]))", "messages dropped"),
                    ],
                ),
                panel(
                    "ERROR frames",
                    "ops",
                    &[(
                        "sum by (pod) (rate(stompbroker_frames_total$of{command=\"ERROR\",direction=\"out\"}[5m]))",
                        "{{pod}}",
                    )],
                ),
                panel("Throttled", "ops", &[("sum by (pod) (rate(stompbroker_throttled_total$of[5m]))", "{{pod}}")]),
            ],
        ),
        (
            "Queues of the embedded engine",
            &[
                panel(
                    "Messages that wait, deepest destinations",
                    "short",
                    &[("topk(10, sum by (destination) (stompbroker_messages_waiting$of))", "{{destination}}")],
                ),
                panel(
                    "Messages unsettled, deepest destinations",
                    "short",
                    &[("topk(10, sum by (destination) (stompbroker_messages_unsettled$of))", "{{destination}}")],
                ),
                panel(
                    "Over all destinations",
                    "short",
                    &[
                        ("sum(stompbroker_all_messages_waiting$of)", "wait"),
                        ("sum(stompbroker_all_messages_unsettled$of)", "unsettled"),
                        ("sum(stompbroker_all_subscriptions$of)", "subscriptions"),
                        ("sum(stompbroker_destinations$of)", "destinations"),
                    ],
                ),
                panel(
                    "Store",
                    "bytes",
                    &[
                        ("stompbroker_store_used_bytes$of", "used, {{pod}}"),
                        ("stompbroker_store_size_bytes$of", "at most, {{pod}}"),
                    ],
                ),
                panel(
                    "Commits of the store",
                    "ops",
                    &[
                        ("sum(rate(stompbroker_store_commits_total$of[5m]))", "commits"),
                        ("sum(rate(stompbroker_store_failures_total$of[5m]))", "failures"),
                    ],
                ),
                panel(
                    "Messages that reached nobody",
                    "ops",
                    &[
                        (
                            "sum(rate(stompbroker_durable_messages_dropped_total$of[5m]))",
                            "no room in a durable subscription",
                        ),
                        ("sum(rate(stompbroker_unresolved_user_messages_total$of[5m]))", "no session of the user"),
                    ],
                ),
            ],
        ),
        (
            "Relay and JetStream",
            &[
                panel("Engine ready", "short", &[("stompbroker_engine_ready$of", "{{pod}}")]),
                panel(
                    "Pods connected upstream",
                    "short",
                    &[
                        ("sum by (upstream) (stompbroker_relay_upstream_connected$of)", "{{upstream}}"),
                        ("sum(stompbroker_relay_connected$of)", "any upstream"),
                    ],
                ),
                panel(
                    "Connections of sessions upstream",
                    "short",
                    &[("sum by (pod) (stompbroker_relay_client_connections$of)", "{{pod}}")],
                ),
            ],
        ),
        (
            "Pods",
            &[
                panel(
                    "Memory that counts for the limit",
                    "percentunit",
                    &[("stompbroker_memory_held_bytes$of / (stompbroker_memory_limit_bytes$of > 0)", "{{pod}}")],
                ),
                panel("Resident memory", "bytes", &[("process_resident_memory_bytes$of", "{{pod}}")]),
                panel(
                    "Refused for memory",
                    "ops",
                    &[("sum by (pod) (rate(stompbroker_memory_refusals_total$of[5m]))", "{{pod}}")],
                ),
                panel(
                    "Configuration",
                    "short",
                    &[
                        ("sum by (pod) (stompbroker_config_rejected$of)", "rejected, {{pod}}"),
                        ("sum by (result) (increase(stompbroker_config_reloads_total$of[5m]))", "reloads: {{result}}"),
                        ("sum by (pod) (stompbroker_draining$of)", "draining, {{pod}}"),
                    ],
                ),
                panel(
                    "Certificates are valid for",
                    "s",
                    &[(
                        "min by (listener) (stompbroker_certificate_expiry_timestamp_seconds$of) - time()",
                        "{{listener}}",
                    )],
                ),
                panel(
                    "Spans",
                    "ops",
                    &[
                        ("sum(rate(stompbroker_spans_exported_total$of[5m]))", "exported"),
                        ("sum by (reason) (rate(stompbroker_spans_dropped_total$of[5m]))", "dropped: {{reason}}"),
                    ],
                ),
            ],
        ),
    ],
};

/// The dashboards by the names of their files, without extension.
pub fn dashboards() -> [(&'static str, Value); 2] {
    [OPERATOR, BROKERS].map(|dashboard| (dashboard.file, dashboard.render()))
}

impl Dashboard {
    fn render(&self) -> Value {
        let mut panels = Vec::new();
        let mut top = 0;
        for (title, row) in self.rows {
            panels.push(json!({
                "id": panels.len() + 1, "type": "row", "title": title, "collapsed": false, "panels": [],
                "gridPos": {"x": 0, "y": top, "w": WIDTH * COLUMNS, "h": 1},
            }));
            top += 1;
            for (index, panel) in row.iter().enumerate() {
                let (x, y) = (index % COLUMNS * WIDTH, top + index / COLUMNS * HEIGHT);
                panels.push(self.panel(panel, panels.len() + 1, x, y));
            }
            top += row.len().div_ceil(COLUMNS) * HEIGHT;
        }
        json!({
            "uid": self.file, "title": self.title, "tags": ["stompbroker"], "schemaVersion": 39, "version": 1,
            "editable": true, "refresh": "30s", "timezone": "browser", "graphTooltip": 1,
            "time": {"from": "now-3h", "to": "now"},
            "templating": {"list": self.templating()},
            "panels": panels,
        })
    }

    fn templating(&self) -> Vec<Value> {
        let source = json!({"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"});
        let variables = self.variables.iter().map(|(name, series)| {
            json!({
                "name": name, "type": "query", "datasource": datasource(), "query": format!("label_values({series}, {name})"),
                "refresh": 2, "sort": 1, "includeAll": true, "multi": true, "allValue": ".*",
                "current": {"text": "All", "value": "$__all"},
            })
        });
        std::iter::once(source).chain(variables).collect()
    }

    fn panel(&self, panel: &Panel, id: usize, x: usize, y: usize) -> Value {
        let targets = panel.series.iter().zip('A'..).map(|((expression, legend), letter)| {
            json!({"refId": letter, "expr": self.chosen(expression), "legendFormat": legend, "datasource": datasource()})
        });
        json!({
            "id": id, "type": "timeseries", "title": panel.title, "datasource": datasource(),
            "gridPos": {"x": x, "y": y, "w": WIDTH, "h": HEIGHT},
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
            "targets": targets.collect::<Vec<_>>(),
        })
    }

    /// The expression with what the user has chosen in place of `$of`, beside matchers that it has itself.
    fn chosen(&self, expression: &str) -> String {
        let matchers: Vec<_> = self.variables.iter().map(|(name, _)| format!("{name}=~\"${name}\"")).collect();
        let matchers = matchers.join(",");
        expression.replace("$of{", &format!("{{{matchers},")).replace("$of", &format!("{{{matchers}}}"))
    }
}

/// The data source that the user has chosen.
fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}
