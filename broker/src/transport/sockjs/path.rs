//! What a request's path asks for, below the path of the service.

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    Greeting,
    Info,
    Iframe,
    RawWebSocket,
    Session { id: &'a str, transport: SessionTransport },
}

/// How a client sends to or receives from a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionTransport {
    WebSocket,
    Xhr,
    XhrStreaming,
    XhrSend,
    EventSource,
    HtmlFile,
    Jsonp,
    JsonpSend,
}

impl SessionTransport {
    const ALL: [Self; 8] = [
        Self::WebSocket,
        Self::Xhr,
        Self::XhrStreaming,
        Self::XhrSend,
        Self::EventSource,
        Self::HtmlFile,
        Self::Jsonp,
        Self::JsonpSend,
    ];

    /// The segment of the path that asks for it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Xhr => "xhr",
            Self::XhrStreaming => "xhr_streaming",
            Self::XhrSend => "xhr_send",
            Self::EventSource => "eventsource",
            Self::HtmlFile => "htmlfile",
            Self::Jsonp => "jsonp",
            Self::JsonpSend => "jsonp_send",
        }
    }

    /// The one with this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transport| transport.name() == name)
    }
}

/// Octets of a session's id; clients choose eight characters.
const MOST_ID: usize = 256;

/// Finds the target; none where there is nothing.
pub(super) fn parse<'a>(base: &str, path: &'a str) -> Option<Target<'a>> {
    let rest = path.strip_prefix(base.trim_end_matches('/'))?;
    match rest {
        "" | "/" => return Some(Target::Greeting),
        "/info" => return Some(Target::Info),
        "/websocket" => return Some(Target::RawWebSocket),
        _ => {}
    }
    let rest = rest.strip_prefix('/')?;
    if is_iframe(rest) {
        return Some(Target::Iframe);
    }
    let mut segments = rest.split('/');
    // The first segment is for load balancers alone.
    let (server, id, transport) = (segments.next()?, segments.next()?, segments.next()?);
    let is_name = |segment: &str| !segment.is_empty() && !segment.contains('.');
    if segments.next().is_some() || !is_name(server) || !is_name(id) || id.len() > MOST_ID {
        return None;
    }
    let transport = SessionTransport::named(transport)?;
    Some(Target::Session { id, transport })
}

/// `iframe.html`, and with anything between that names a version: `iframe-1.6.1.html`.
fn is_iframe(name: &str) -> bool {
    let version = name.strip_prefix("iframe").and_then(|rest| rest.strip_suffix(".html"));
    let is_part = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_');
    version.is_some_and(|version| (version.is_empty() || version.starts_with('-')) && version.bytes().all(is_part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_by_the_second_segment() {
        for (path, id) in [("/ws/000/abc/xhr", "abc"), ("/ws/a/a/xhr", "a"), ("/ws/_/i-j%20/xhr", "i-j%20")] {
            assert_eq!(parse("/ws", path), Some(Target::Session { id, transport: SessionTransport::Xhr }), "{path}");
        }
        for path in [
            "/ws/a/xhr",
            "/ws//a/xhr",
            "/ws/a//xhr",
            "/ws/a./a/xhr",
            "/ws/a/a./xhr",
            "/ws/./a/xhr",
            "/ws/a/a/xhr/",
            "/ws/a/a/b/xhr",
            "/ws/a/a/",
            "/ws/a/a",
            "/ws/a/a/XHR",
            "/ws///",
            "/wsx",
            "/w",
            "/other/a/a/xhr",
        ] {
            assert_eq!(parse("/ws", path), None, "{path}");
        }
    }

    #[test]
    fn the_service_may_be_anywhere() {
        for (base, path) in [("/", "/"), ("/ws", "/ws"), ("/ws", "/ws/"), ("/ws/", "/ws"), ("/a/b", "/a/b/")] {
            assert_eq!(parse(base, path), Some(Target::Greeting), "{base} {path}");
        }
        assert_eq!(parse("/", "/info"), Some(Target::Info));
        assert_eq!(parse("/a/b", "/a/b/websocket"), Some(Target::RawWebSocket));
    }

    #[test]
    fn the_page_for_iframes_may_have_a_version_in_its_name() {
        for name in ["iframe.html", "iframe-.html", "iframe-a.html", "iframe-0.1.2abc-dirty.2144.html"] {
            assert_eq!(parse("/ws", &format!("/ws/{name}")), Some(Target::Iframe), "{name}");
        }
        for name in
            ["iframe.htm", "iframe", "IFRAME.HTML", "iframe.HTML", "iframe.xml", "iframe-/.html", "iframes.html"]
        {
            assert_eq!(parse("/ws", &format!("/ws/{name}")), None, "{name}");
        }
    }
}
