//! The alerts of the chart.

use std::fmt::{self, Write};

use serde_json::{Value, json};

struct Alert {
    name: &'static str,
    /// In PromQL, over series of the operator only.
    expression: &'static str,
    /// For how long it has to hold, as Prometheus writes durations.
    lasting: &'static str,
    severity: &'static str,
    /// May name labels of the series, as Prometheus' templates do.
    summary: &'static str,
    description: &'static str,
}

const ALERTS: [Alert; 5] = [
    Alert {
        name: "StompBrokerNotReady",
        expression: "max by (namespace, name) (stompbroker_operator_broker_ready) == 0",
        lasting: "10m",
        severity: "critical",
        summary: "StompBroker {{ $labels.namespace }}/{{ $labels.name }} is not Ready",
        description: "The conditions of the object say why; see kubectl describe stompbroker.",
    },
    Alert {
        name: "StompBrokerCertificateExpiring",
        expression: "min by (namespace, name, secret) (stompbroker_operator_certificate_renewal_deadline_timestamp_seconds) < time()",
        lasting: "15m",
        severity: "warning",
        summary: "The certificate in Secret {{ $labels.namespace }}/{{ $labels.secret }} of StompBroker {{ $labels.name }} ends soon",
        description: "Renew it, or see in status.certificates and by kubectl describe certificate why cert-manager has not; pods take a new one up without a restart.",
    },
    Alert {
        name: "StompBrokerOperatorAbsent",
        expression: "max by (namespace, job) (stompbroker_operator_leader) == 0 or absent(stompbroker_operator_leader)",
        lasting: "5m",
        severity: "warning",
        summary: "No replica of the operator works",
        description: "Brokers go on serving, but changes, new credentials of generated Secrets and lost pools are not looked after.",
    },
    Alert {
        name: "StompBrokerPassesFail",
        expression: "sum by (reason) (rate(stompbroker_operator_reconcile_errors_total[10m])) > 0",
        lasting: "15m",
        severity: "warning",
        summary: "Passes of the operator fail: {{ $labels.reason }}",
        description: "The operator's log and the Events of the StompBrokers name the object and the cause.",
    },
    Alert {
        name: "StompBrokerCrdMissing",
        expression: "max(stompbroker_operator_crd_missing) == 1",
        lasting: "5m",
        severity: "warning",
        summary: "The CustomResourceDefinition of StompBroker is not installed",
        description: "Install crds/stompbrokers.yaml, or let the chart do it with crds.install.",
    },
];

/// The groups of the chart's PrometheusRule.
pub fn alerts() -> Value {
    let rule = |alert: &Alert| {
        json!({
            "alert": alert.name,
            "expr": alert.expression,
            "for": alert.lasting,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary, "description": alert.description},
        })
    };
    json!([{"name": "stompbroker", "rules": ALERTS.iter().map(rule).collect::<Vec<_>>()}])
}

pub(super) fn write(page: &mut String) -> fmt::Result {
    page.push_str(
        "\n## Alerts\n\nIn the chart with `monitoring.prometheusRule.enabled`.\n\n\
         | alert | severity | when | for | what to do |\n|---|---|---|---|---|\n",
    );
    for Alert { name, expression, lasting, severity, summary: _, description } in &ALERTS {
        writeln!(page, "| `{name}` | {severity} | `{expression}` | {lasting} | {description} |")?;
    }
    Ok(())
}
