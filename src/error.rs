//! What can make a pass fail.

use crate::{plan::PlanError, status};

/// What made a pass fail; the variant is the failed act. What users have to change is no error here, but a
/// [`crate::validate::SpecError`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that the spec refers to could not be read.
    #[error("failed to read {kind} {name}")]
    Observe {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What the API server said.
        #[source]
        source: kube::Error,
    },
    /// The desired objects could not be made.
    #[error("failed to plan the objects")]
    Plan(#[from] PlanError),
    /// A desired object could not be written as JSON.
    #[error("failed to serialize {kind} {name}")]
    Serialize {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A child could not be written.
    #[error("failed to apply {kind} {name}")]
    Apply {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What the API server said.
        #[source]
        source: kube::Error,
    },
    /// The StompBroker is on its way out, or no longer one of those that this operator looks after. Children made now would hold its
    /// deletion up, or come between it and its new operator.
    #[error("the StompBroker is being deleted, or its labels are no longer those that this operator looks after")]
    Gone,
    /// The child of an earlier StompBroker of the same name is still there.
    #[error(
        "{kind} {name} of a deleted StompBroker of the same name is still there; its garbage collection is awaited"
    )]
    Leftover {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A generated Secret has lost a value; a new one would lock out everybody who has the old one.
    #[error(
        "generated Secret {name} has lost the value of its key {key}; put it back, or delete the Secret to get a new one"
    )]
    SecretKeyLost {
        /// Name of the Secret.
        name: String,
        /// The key without a value.
        key: &'static str,
    },
    /// Whether a generated Secret exists cannot be found out; a new one might replace one that is in use.
    #[error("generated Secret {name} cannot be read, so it is left as it is: {why}")]
    SecretUnreadable {
        /// Name of the Secret.
        name: String,
        /// What the API server said.
        why: String,
    },
    /// The system has no random numbers.
    #[error("failed to generate a secret")]
    Random(#[source] rand::rand_core::OsError),
    /// No certificate for NATS servers can be made.
    #[error("failed to make a certificate for NATS servers")]
    Certificate(#[source] rcgen::Error),
    /// No login for NATS can be made.
    #[error("failed to make a login for NATS")]
    NKey(#[source] nkeys::error::Error),
    /// A child that is no longer wanted could not be deleted.
    #[error("failed to delete {kind} {name}, which is no longer wanted")]
    Prune {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What the API server said.
        #[source]
        source: kube::Error,
    },
    /// The status could not be written.
    #[error("failed to write the status")]
    WriteStatus(#[source] kube::Error),
    /// The pass took too long.
    #[error("the pass was not done within {} s", .0.as_secs())]
    Timeout(std::time::Duration),
}

impl Error {
    /// Name of the variant, for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Observe { .. } => "Observe",
            Self::Plan(_) => "Plan",
            Self::Serialize { .. } => "Serialize",
            Self::Apply { .. } => "Apply",
            Self::Gone => "Gone",
            Self::Leftover { .. } => "Leftover",
            Self::SecretKeyLost { .. } => "SecretKeyLost",
            Self::SecretUnreadable { .. } => "SecretUnreadable",
            Self::Random(_) => "Random",
            Self::Certificate(_) => "Certificate",
            Self::NKey(_) => "NKey",
            Self::Prune { .. } => "Prune",
            Self::WriteStatus(_) => "WriteStatus",
            Self::Timeout(_) => "Timeout",
        }
    }

    /// Whether trying the same again can only fail again, because the API server refuses the object itself (422) or
    /// somebody has to act. Such a pass waits for a change or the resync, not for a backoff.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Apply { source: kube::Error::Api(status), .. } => status.is_invalid(),
            Self::SecretKeyLost { .. } | Self::Plan(_) | Self::Serialize { .. } => true,
            _ => false,
        }
    }

    /// What the status says of it.
    pub fn failure(&self) -> status::Failure {
        let reason = match self {
            Self::Observe { .. } | Self::Timeout(_) => status::Reason::ObserveFailed,
            _ => status::Reason::ApplyFailed,
        };
        status::Failure { reason, message: chain(self) }
    }
}

/// An error and all its causes, for people.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = words(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = words(error);
        // Many wrappers repeat what they wrap.
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        // The words of an answer are the whole of it.
        cause = error.source().filter(|_| !matches!(error.downcast_ref(), Some(kube::Error::Api(_))));
    }
    text
}

/// What one error says itself. An answer of the API server is a sentence and a name; the rest of it is for programs.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref() {
        Some(kube::Error::Api(status)) => format!("{} ({} {})", status.message, status.code, status.reason),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16, reason: &str) -> Error {
        let status = Status::failure("spec.selector: field is immutable", reason).with_code(code);
        Error::Apply { kind: "Deployment", name: "trading".to_owned(), source: kube::Error::Api(Box::new(status)) }
    }

    #[test]
    fn what_the_server_refuses_is_final_and_what_passes_is_not() {
        assert!(refused(422, "Invalid").is_final());
        assert!(!refused(409, "Conflict").is_final());
        assert!(!refused(500, "InternalError").is_final());
    }

    #[test]
    fn the_status_gets_the_act_and_the_servers_words() {
        let failure = refused(422, "Invalid").failure();
        assert_eq!(failure.reason, status::Reason::ApplyFailed);
        let words = "failed to apply Deployment trading: spec.selector: field is immutable (422 Invalid)";
        assert_eq!(failure.message, words);
    }
}
