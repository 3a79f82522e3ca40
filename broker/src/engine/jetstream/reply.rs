//! What JetStream answers to a message or a settlement. Pure.

use async_nats::StatusCode;
use serde::Deserialize;

use crate::engine::EngineError;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// A message is stored under this sequence, or was before.
    Stored(u64),
    /// A settlement is known.
    Empty,
    /// It cannot now; it may later.
    NotNow,
    /// It will not.
    Refused(EngineError),
}

#[derive(Deserialize)]
struct Ack {
    #[serde(default)]
    error: Option<Refusal>,
    #[serde(default)]
    seq: u64,
}

#[derive(Deserialize)]
struct Refusal {
    code: u16,
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

impl Refusal {
    /// JetStream's number for a message that came again while it is being stored.
    const IN_PROCESS: u32 = 10158;

    /// Whether it may be different later: no leader, no resources for the moment, or not decided yet.
    const fn is_passing(&self) -> bool {
        self.code == 503 || self.err_code == Self::IN_PROCESS
    }
}

impl Reply {
    /// Reads an answer.
    pub(super) fn read(message: &async_nats::Message) -> Self {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Self::NotNow;
        }
        Self::of(&message.payload)
    }

    fn of(payload: &[u8]) -> Self {
        if payload.is_empty() {
            return Self::Empty;
        }
        match serde_json::from_slice::<Ack>(payload) {
            Ok(Ack { error: None, seq }) if seq > 0 => Self::Stored(seq),
            Ok(Ack { error: Some(refusal), .. }) if !refusal.is_passing() => {
                let text = format!("NATS JetStream refused it: {}", refusal.description);
                Self::Refused(EngineError::Upstream(text.into()))
            }
            _ => Self::NotNow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_what_may_be_later_and_what_never_will_be_are_told_apart() {
        assert_eq!(Reply::of(br#"{"stream":"s","seq":7}"#), Reply::Stored(7));
        assert_eq!(Reply::of(br#"{"stream":"s","seq":7,"duplicate":true}"#), Reply::Stored(7));
        assert_eq!(Reply::of(b""), Reply::Empty);
        assert_eq!(Reply::of(br#"{"error":{"code":503,"description":"no leader"}}"#), Reply::NotNow);
        assert_eq!(Reply::of(b"?"), Reply::NotNow);
        let in_process =
            br#"{"error":{"code":409,"err_code":10158,"description":"duplicate message id is in process"},"seq":0}"#;
        assert_eq!(Reply::of(in_process), Reply::NotNow);
        let Reply::Refused(error) = Reply::of(br#"{"error":{"code":400,"description":"maximum messages exceeded"}}"#)
        else {
            panic!("not refused")
        };
        assert!(error.to_string().contains("maximum messages exceeded"));
    }
}
