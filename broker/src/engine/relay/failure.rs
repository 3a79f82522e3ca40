//! Why an upstream could not be used, and what an ERROR of an upstream means. Pure.

use std::io;

use stompbroker_config::admin::UpstreamState;

pub(super) use crate::engine::failure::Failure;
use crate::stomp::Frame;

/// Longest text of an upstream that is passed on, in characters.
const MAX_TEXT: usize = 300;

impl Failure {
    /// The connection broke or could not be made.
    pub(super) fn unreachable(act: &str, error: &io::Error) -> Self {
        Self::new(UpstreamState::Unreachable, format!("{act}: {error}"))
    }

    /// The same, told of a connection of a client session.
    pub(super) fn of_clients(self) -> Self {
        Self { message: format!("for client sessions, with clientCredentials: {}", self.message), ..self }
    }

    /// What an ERROR during the login means, by the wordings of `RabbitMQ`, `ActiveMQ` and Artemis.
    pub(super) fn refused(error: &Frame) -> Self {
        let text = spoken(error);
        let lower = text.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let state = if says(&["virtual host", "vhost"]) {
            UpstreamState::VhostMissing
        } else if says(&["version"]) {
            UpstreamState::ProtocolError
        } else if says(&[
            "access refused",
            "bad connect",
            "authenticat",
            "login",
            "passcode",
            "password",
            "credential",
            "not authorized",
            "unable to validate user",
            "amq229031",
            "localhost",
        ]) {
            UpstreamState::AuthFailed
        } else {
            UpstreamState::ProtocolError
        };
        Self::new(state, format!("the upstream refused the connection: {text}"))
    }
}

/// The text of an ERROR for the log: its `message` header and the first line of its body, where that says more.
pub(super) fn spoken(error: &Frame) -> String {
    let message = first_line(error.header("message").unwrap_or_default());
    let body = String::from_utf8_lossy(&error.body);
    let body = first_line(&body);
    if body.is_empty() || body == message {
        message.to_owned()
    } else if message.is_empty() {
        body.to_owned()
    } else {
        format!("{message}: {body}")
    }
}

/// The text of an ERROR for a client: the first line of its `message` header, without the name of a Java class before it.
pub(super) fn for_client(error: &Frame) -> Box<str> {
    let message = without_class(first_line(error.header("message").unwrap_or_default()));
    if message.is_empty() { "The upstream broker refused the operation.".into() } else { message.into() }
}

fn first_line(text: &str) -> &str {
    let line = text.trim_start().lines().next().unwrap_or_default().trim_end();
    line.char_indices().nth(MAX_TEXT).map_or(line, |(end, _)| &line[..end])
}

/// `ActiveMQ` puts the class of the exception in front of its text.
fn without_class(text: &str) -> &str {
    match text.split_once(':') {
        Some((class, rest)) if class.contains('.') && !class.contains(' ') && class.ends_with(['n', 'r']) => {
            rest.trim_start()
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::stomp::Command;

    fn error(message: &str, body: &'static str) -> Frame {
        Frame {
            command: Command::Error,
            headers: vec![("message".into(), message.into())],
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn the_wordings_of_the_common_brokers_are_told_apart() {
        for (message, body, state) in [
            ("Bad CONNECT", "Access refused for user 'relay'\n", UpstreamState::AuthFailed),
            ("Bad CONNECT", "Virtual host 'missing' access denied", UpstreamState::VhostMissing),
            (
                "User name [relay] or password is invalid.",
                "java.lang.SecurityException\n\tat x",
                UpstreamState::AuthFailed,
            ),
            ("AMQ229031: Unable to validate user from /10.0.0.1:5. Username: relay", "", UpstreamState::AuthFailed),
            ("Version mismatch", "Supported versions are 1.0\n", UpstreamState::ProtocolError),
            ("Broker is starting", "", UpstreamState::ProtocolError),
        ] {
            assert_eq!(Failure::refused(&error(message, body)).state, state, "{message} / {body}");
        }
    }

    #[test]
    fn the_log_gets_the_first_line_of_the_body_too() {
        let failure = Failure::refused(&error("Bad CONNECT", "Access refused for user 'x'\nmore\n"));
        assert_eq!(failure.message, "the upstream refused the connection: Bad CONNECT: Access refused for user 'x'");
    }

    #[test]
    fn a_client_sees_one_line_without_class_names_or_traces() {
        let text =
            for_client(&error("javax.jms.InvalidDestinationException: no such queue\n\tat org.x.Y(Z.java)", "trace"));
        assert_eq!(&*text, "no such queue");
        assert_eq!(&*for_client(&error("Unknown destination: /a", "internal")), "Unknown destination: /a");
        assert_eq!(&*for_client(&error("", "internal")), "The upstream broker refused the operation.");
        assert_eq!(for_client(&error(&"é".repeat(1000), "")).chars().count(), MAX_TEXT);
    }
}
