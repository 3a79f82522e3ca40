//! The figures of a run, for people and for programs.

use std::fmt;

use serde::Serialize;

/// The figures of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The load, in words.
    pub work: String,
    /// The broker.
    pub url: String,
    /// How long it was measured.
    pub seconds: f64,
    /// Messages sent in that time.
    pub sent: u64,
    /// Messages received in that time.
    pub received: u64,
    /// Messages of the whole run that had not arrived some time after its end.
    pub lost: u64,
    /// How late messages arrived, at a fixed rate only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// What the broker used, with `--server-pid` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerUse>,
    /// The broker's resident memory at the end in octets, with `--server-pid` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident: Option<u64>,
    /// What the load generator itself used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<ServerUse>,
    /// Memory of idle sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
}

/// Milliseconds from when a message was due until it was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// Of every second message at most.
    pub p50: f64,
    /// Of nine in ten.
    pub p90: f64,
    /// Of 99 in 100.
    pub p99: f64,
    /// Of 999 in 1,000.
    pub p999: f64,
    /// Of all.
    pub max: f64,
}

/// Processor time of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerUse {
    /// Share of one core, in percent.
    pub cpu_percent: f64,
    /// Microseconds for each message received.
    pub microseconds_per_delivery: f64,
}

/// Memory of idle sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// How many there were.
    pub sessions: u64,
    /// Resident octets that each added.
    pub per_session: u64,
}

impl ServerUse {
    /// The use of so many seconds of processor time in a time that brought so many messages.
    pub(super) fn new(cpu: f64, seconds: f64, received: u64) -> Self {
        let per = |total: f64, count: f64| if count > 0.0 { total / count } else { 0.0 };
        Self { cpu_percent: per(cpu * 100.0, seconds), microseconds_per_delivery: per(cpu * 1e6, count(received)) }
    }
}

impl Report {
    /// Messages received a second.
    pub fn received_per_second(&self) -> f64 {
        if self.seconds > 0.0 { count(self.received) / self.seconds } else { 0.0 }
    }

    /// One JSON object.
    pub fn to_json(&self) -> String {
        let mut value = serde_json::json!(self);
        value["receivedPerSecond"] = self.received_per_second().into();
        value.to_string()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.work, self.url)?;
        if self.seconds > 0.0 {
            let sent = if self.seconds > 0.0 { count(self.sent) / self.seconds } else { 0.0 };
            write!(f, "\n  sent              {:>14}/s", grouped(sent))?;
            write!(f, "\n  received          {:>14}/s", grouped(self.received_per_second()))?;
            write!(f, "\n  lost              {:>14}", grouped(count(self.lost)))?;
        }
        if let Some(Latency { p50, p90, p99, p999, max }) = self.latency {
            write!(
                f,
                "\n  latency           p50 {p50:.1} ms, p90 {p90:.1} ms, p99 {p99:.1} ms, p99.9 {p999:.1} ms, max {max:.1} ms"
            )?;
        }
        for (name, usage) in [("broker", self.server), ("load generator", self.load)] {
            if let Some(ServerUse { cpu_percent, microseconds_per_delivery }) = usage {
                write!(
                    f,
                    "\n  {name:<18}{microseconds_per_delivery:.2} us per delivery, {cpu_percent:.0} % of a core"
                )?;
            }
        }
        if let Some(octets) = self.resident {
            write!(f, "\n  broker's memory   {:.1} MiB", count(octets) / f64::from(1 << 20))?;
        }
        if let Some(Memory { per_session, .. }) = self.memory {
            write!(f, "\n  a session         {} octets", grouped(count(per_session)))?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of more than 2^52 is beyond any run")]
fn count(number: u64) -> f64 {
    number as f64
}

/// A whole number with commas.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            work: "fan-out: 1 publisher".to_owned(),
            url: "tcp://h:1".to_owned(),
            seconds: 2.0,
            sent: 2_469,
            received: 246_912,
            server: Some(ServerUse::new(0.5, 2.0, 246_912)),
            ..Report::default()
        }
    }

    #[test]
    fn a_table_is_for_people() {
        let text = report().to_string();
        assert!(text.starts_with("fan-out: 1 publisher at tcp://h:1\n"), "{text}");
        assert!(text.contains("123,456/s"), "{text}");
        assert!(text.contains("2.03 us per delivery, 25 % of a core"), "{text}");
        assert!(!text.contains("latency"), "{text}");
    }

    #[test]
    fn json_has_what_was_measured_and_nothing_else() {
        let value: serde_json::Value = serde_json::from_str(&report().to_json()).unwrap();
        assert_eq!(value["receivedPerSecond"], 123_456.0);
        assert_eq!(value["server"]["cpuPercent"], 25.0);
        assert!(value.get("latency").is_none() && value.get("memory").is_none(), "{value}");
    }

    #[test]
    fn nothing_received_is_no_division_by_zero() {
        assert_eq!(ServerUse::new(1.0, 0.0, 0), ServerUse::default());
        assert_eq!(Report::default().received_per_second().to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn thousands_are_told_apart() {
        assert_eq!([999.0, 1000.0, 1_234_567.4].map(grouped), ["999", "1,000", "1,234,567"]);
    }
}
