//! Which destinations are an application's, and where a request goes that is made of one. Pure.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use smol_str::{SmolStr, ToSmolStr as _};
use stompbroker_config::{Application, Config, TemplatePiece, template_pieces, variable};

/// What is encoded in a path: all but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where the messages of requests that failed go, behind the prefix of destinations of users.
const ERRORS: &str = "queue/errors";
/// What a destination of the own session begins with, behind the prefix of destinations of users.
const OWN: [&str; 2] = ["queue/", "topic/"];

/// The destinations of all applications.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    /// The most specific first.
    routes: Box<[Route]>,
    users: Users,
}

/// What destinations of users begin with, without the last slash.
#[derive(Clone, Debug, Default)]
pub(crate) struct Users(Box<str>);

/// The destinations of one application.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    application: Arc<str>,
    prefix: Box<[Segment]>,
    path: Template,
    reply: Option<Template>,
    reply_to: bool,
}

/// A segment of a prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    // Before the other: plain text is more specific.
    Text(Box<str>),
    Variable(Box<str>),
}

#[derive(Clone, Debug)]
struct Template(Box<[Piece]>);

#[derive(Clone, Debug)]
enum Piece {
    Text(Box<str>),
    Variable(Box<str>),
}

/// Where one request goes, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The application's name.
    pub(crate) application: Arc<str>,
    /// What comes behind the path of its address.
    pub(crate) path: String,
    /// Where the body of the answer goes.
    pub(crate) reply: Option<SmolStr>,
}

/// Who sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender<'a> {
    pub(crate) session: &'a str,
    pub(crate) user: &'a str,
}

impl Routes {
    /// Takes what a checked configuration has.
    pub(crate) fn new(config: &Config) -> Self {
        let mut routes: Vec<_> = config.applications.iter().map(Route::new).collect();
        routes.sort_by(|a, b| b.prefix.len().cmp(&a.prefix.len()).then_with(|| a.prefix.cmp(&b.prefix)));
        Self { routes: routes.into(), users: Users::new(config) }
    }

    /// The application that this destination is of.
    pub(crate) fn of(&self, destination: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.is_of(destination))
    }

    /// What destinations of users begin with.
    pub(crate) const fn users(&self) -> &Users {
        &self.users
    }
}

impl Users {
    /// Takes what a checked configuration has.
    pub(crate) fn new(config: &Config) -> Self {
        Self(config.user_destinations.prefix.trim_end_matches('/').into())
    }

    /// How all of the cluster call a destination that a session calls its own, such as `/user/queue/a`; none if it is no
    /// such destination.
    pub(crate) fn of_session(&self, destination: &str, session: &str) -> Option<SmolStr> {
        let own = destination.strip_prefix(&*self.0)?.strip_prefix('/')?;
        let is_own = OWN.iter().any(|kind| own.strip_prefix(kind).is_some_and(|name| !name.is_empty()));
        is_own.then(|| format!("{}/{session}/{own}", self.0).into())
    }

    /// Where a session learns of requests that failed.
    pub(crate) fn errors(&self, session: &str) -> SmolStr {
        format!("{}/{session}/{ERRORS}", self.0).into()
    }
}

impl Route {
    fn new(application: &Application) -> Self {
        let segment = |text: &str| match variable(text) {
            Some(name) => Segment::Variable(name.into()),
            None => Segment::Text(text.into()),
        };
        Self {
            application: application.name.as_str().into(),
            prefix: application.segments().map(segment).collect(),
            path: Template::new(&application.path),
            reply: application.reply.destination.as_deref().map(Template::new),
            reply_to: application.reply.reply_to,
        }
    }

    fn is_of(&self, destination: &str) -> bool {
        let mut segments = destination.split('/').skip(1);
        destination.starts_with('/')
            && self.prefix.iter().all(|own| match (own, segments.next()) {
                (Segment::Text(own), Some(segment)) => **own == *segment,
                (Segment::Variable(_), Some(segment)) => !segment.is_empty(),
                (_, None) => false,
            })
    }

    /// Whether a SEND may say where its reply goes.
    pub(crate) const fn honours_reply_to(&self) -> bool {
        self.reply_to
    }

    /// Where a request goes that is made of a frame for this destination, which is the application's.
    ///
    /// # Errors
    /// Why there is no such place.
    pub(crate) fn target(&self, destination: &str, sender: Sender<'_>) -> Result<Target, &'static str> {
        let segments: Vec<_> = destination.split('/').skip(1).collect();
        // Servers resolve these, so that a rule for the destination would not be one for the path.
        if segments.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return Err("an application is sent to by segments that are not empty, \".\" or \"..\"");
        }
        let (matched, rest) = segments.split_at(self.prefix.len().min(segments.len()));
        let value = |name: &str| match name {
            "user" => sender.user,
            "session" => sender.session,
            name => {
                let of_prefix = self.prefix.iter().zip(matched).find_map(|(own, segment)| match own {
                    Segment::Variable(own) => (**own == *name).then_some(*segment),
                    Segment::Text(_) => None,
                });
                of_prefix.unwrap_or_default()
            }
        };
        let encoded = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
        let path = self.path.expand(|name| match name {
            "path" => rest.iter().flat_map(|segment| ["/".to_owned(), encoded(segment)]).collect(),
            name => encoded(value(name)),
        });
        if path.split(['/', '?']).any(|segment| matches!(segment, "." | "..")) {
            return Err("the path of its request would not be below the address of the application");
        }
        let reply = self.reply.as_ref().map(|reply| {
            let destination = reply.expand(|name| match name {
                "path" => rest.iter().flat_map(|segment| ["/", segment]).collect(),
                // The one escape of destinations of users.
                "user" => sender.user.replace('/', "%2F"),
                name => value(name).to_owned(),
            });
            destination.to_smolstr()
        });
        Ok(Target { application: Arc::clone(&self.application), path, reply })
    }
}

impl Template {
    fn new(text: &str) -> Self {
        // A checked template has no braces that are wrong.
        let pieces = template_pieces(text).unwrap_or_default().into_iter().map(|piece| match piece {
            TemplatePiece::Text(text) => Piece::Text(text.into()),
            TemplatePiece::Variable(name) => Piece::Variable(name.into()),
        });
        Self(pieces.collect())
    }

    fn expand(&self, value: impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Variable(name) => text.push_str(&value(name)),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(applications: &str) -> Routes {
        let text = format!("listeners: {{stomp: {{port: 1}}}}\napplications: [{applications}]\n");
        Routes::new(&Config::parse(&text).unwrap())
    }

    const ANN: Sender<'_> = Sender { session: "s-1", user: "ann/x" };

    #[test]
    fn the_most_specific_prefix_counts_and_only_whole_segments_match() {
        let routes = routes(
            "{name: all, prefix: /app, url: 'http://a'}, {name: room, prefix: '/app/rooms/{room}', url: 'http://a'}, \
             {name: lobby, prefix: /app/rooms/lobby, url: 'http://a'}",
        );
        for (destination, application) in [
            ("/app", Some("all")),
            ("/app/a", Some("all")),
            ("/app/rooms", Some("all")),
            ("/app/rooms/7", Some("room")),
            ("/app/rooms/7/x", Some("room")),
            ("/app/rooms/lobby", Some("lobby")),
            ("/apps/a", None),
            ("app/a", None),
            ("/topic/app", None),
        ] {
            let found = routes.of(destination).map(|route| &*route.application);
            assert_eq!(found, application, "{destination}");
        }
    }

    #[test]
    fn variables_are_filled_in_and_encoded_where_they_go_into_a_path() {
        let routes = routes(
            "{name: a, prefix: '/app/{room}', url: 'http://a', path: '/v1/{room}{path}?by={user}&of={session}', \
             reply: {destination: '/user/{user}/queue/{room}'}}",
        );
        let destination = "/app/a b%2F;é/x?y/z#";
        let target = routes.of(destination).unwrap().target(destination, ANN).unwrap();
        assert_eq!(target.path, "/v1/a%20b%252F%3B%C3%A9/x%3Fy/z%23?by=ann%2Fx&of=s-1");
        assert_eq!(target.reply.as_deref(), Some("/user/ann%2Fx/queue/a b%2F;é"));
    }

    #[test]
    fn no_destination_leaves_the_address_of_its_application() {
        let routes = routes("{name: a, prefix: /app, url: 'http://a', path: '/users/{user}{path}'}");
        for destination in ["/app/../x", "/app/./x", "/app//x", "/app/"] {
            assert!(routes.of(destination).unwrap().target(destination, ANN).is_err(), "{destination}");
        }
        let up = Sender { user: "..", ..ANN };
        assert!(routes.of("/app/x").unwrap().target("/app/x", up).is_err());
    }

    #[test]
    fn what_a_session_calls_its_own_has_a_name_for_all() {
        let users = routes("").users;
        assert_eq!(users.of_session("/user/queue/a", "s-1").as_deref(), Some("/user/s-1/queue/a"));
        assert_eq!(users.errors("s-1"), "/user/s-1/queue/errors");
        for other in ["/user/ann/queue/a", "/topic/a", "/user/queue/"] {
            assert_eq!(users.of_session(other, "s-1"), None, "{other}");
        }
    }
}
