//! What a CONNECT frame says: the version, the heart-beats, the login.

use std::time::Duration;

use super::{Login, error::SessionError};
use crate::stomp::{Command, Frame, Version};

/// A CONNECT that follows the rules.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Handshake {
    /// The highest version that both sides speak.
    pub(super) version: Version,
    /// The client's heart-beat periods: what it can send, and what it wants to receive.
    pub(super) heartbeat: (Duration, Duration),
    /// The `host` header. Never required: Spring's relay and stomp.js leave it out, others send an address.
    pub(super) virtual_host: Option<Box<str>>,
    /// The `client-id` header: whose durable subscriptions the session means.
    pub(super) client_id: Option<Box<str>>,
}

/// Reads a CONNECT; `token_header` is a further header that may bring a token. An error comes with the version to write the ERROR in, where one was agreed on.
pub(super) fn read_connect(
    frame: &Frame,
    token_header: Option<&str>,
) -> Result<(Handshake, Login), (SessionError, Option<Version>)> {
    let version = negotiate(frame.header("accept-version")).ok_or((SessionError::NoCommonVersion, None))?;
    let refuse = |error| (error, Some(version));
    let heartbeat = match frame.header("heart-beat") {
        Some(text) if version > Version::V1_0 => heartbeat(text).map_err(refuse)?,
        _ => (Duration::ZERO, Duration::ZERO),
    };
    if version > Version::V1_0 && !frame.body.is_empty() {
        return Err(refuse(SessionError::BodyNotAllowed(Command::Connect)));
    }
    let header = |name| {
        frame.header(name).map(|value| {
            // The examples of the 1.0 specification pad their values; the version is known only now.
            Box::from(if version == Version::V1_0 { value.trim_start_matches(' ') } else { value })
        })
    };
    let login = Login {
        login: header("login"),
        passcode: header("passcode"),
        authorization: header("Authorization").or_else(|| header("authorization")),
        token: token_header.and_then(header),
    };
    let client_id = header("client-id").filter(|id| !id.is_empty());
    Ok((Handshake { version, heartbeat, virtual_host: header("host"), client_id }, login))
}

/// The highest version of ours that the client accepts; without the header it speaks 1.0.
fn negotiate(accept_version: Option<&str>) -> Option<Version> {
    let Some(list) = accept_version else { return Some(Version::V1_0) };
    list.split(',').filter_map(Version::parse).max()
}

/// Two numbers of milliseconds.
fn heartbeat(text: &str) -> Result<(Duration, Duration), SessionError> {
    let period = |text: &str| {
        let digits = text.trim();
        let is_number = !digits.is_empty() && digits.len() <= 10 && digits.bytes().all(|octet| octet.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten().map(Duration::from_millis)
    };
    let expected = "two numbers of milliseconds such as 10000,10000";
    text.split_once(',')
        .and_then(|(send, receive)| Some((period(send)?, period(receive)?)))
        .ok_or_else(|| SessionError::invalid(Command::Connect, "heart-beat", text, expected))
}
