//! Applications behind the broker: `applications`. What clients send to an application is posted to it by HTTP.

use std::{collections::BTreeSet, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{GoDuration, UpstreamTls, destinations::TAKEN_PREFIXES};

/// An HTTP service that handles what clients send below a prefix, as methods with `@MessageMapping` do in a Spring
/// application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Application {
    /// Its name, in metrics, messages and signatures.
    pub name: String,
    /// Destinations that are its own: this one and all below it. A segment may be a variable, such as `/app/rooms/{room}`.
    /// Of several prefixes that a destination has, the longest counts.
    pub prefix: String,
    /// Where it is: `http://host:port` or `https://host:port`, with or without a path.
    pub url: String,
    /// What is added to the path of [`Self::url`]. `{path}` is the destination behind the prefix, `{user}` the name of the
    /// sender, `{session}` the id of its session, and each variable of the prefix has its value; all are percent-encoded.
    #[serde(default = "path", skip_serializing_if = "is_default_path")]
    pub path: String,
    /// What requests are said to come from (`ce-source`, and `iss` of the signature): a URI reference.
    #[serde(default = "source", skip_serializing_if = "is_default_source")]
    pub source: String,
    /// How long a request may take, with all that is tried again.
    #[serde(default = "timeout")]
    pub timeout: GoDuration,
    /// Requests at once, from this pod.
    #[serde(default = "concurrency")]
    pub concurrency: u32,
    /// Requests of this pod that may wait for others to end; what comes beyond them is refused.
    #[serde(default = "waiting")]
    pub waiting: u32,
    /// Whether a request waits for those before it of the same session.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub ordered: bool,
    /// How a request is tried again that came to nothing.
    #[serde(default)]
    pub retry: Retry,
    /// Where the body of an answer goes.
    #[serde(default, skip_serializing_if = "Reply::is_default")]
    pub reply: Reply,
    /// TLS of an `https://` application. Absent: it is trusted by the public authorities, and shown no certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
    /// How requests are signed, so that the application can trust what they say of the sender. Absent: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// How a request is tried again: when there was no connection, no answer in time, or an answer of 5xx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retry {
    /// How often it is tried in all. Each try may take its share of the time that is left.
    pub attempts: u32,
    /// The pause before the second try; it doubles with each further one, and about half of it is random.
    pub backoff: GoDuration,
}

/// Where the body of an answer goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Reply {
    /// The destination, with the variables of the path: `/topic/...` for all, `/user/queue/...` for the session that has sent,
    /// `/user/{user}/queue/...` for all sessions of the sender. Absent: it is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Whether a SEND may say where its own reply goes, by the header `reply-to`.
    pub reply_to: bool,
}

/// A signature of requests: a JSON Web Token (HS256) in the header `Authorization`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signature {
    /// File with the key that broker and application share, at least 32 octets of text.
    pub key_file: PathBuf,
}

/// A piece of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplatePiece<'a> {
    /// Stands for itself.
    Text(&'a str),
    /// A name in braces: stands for the value of that name.
    Variable(&'a str),
}

impl Application {
    /// The variables that every template may name, besides those of the prefix.
    pub const VARIABLES: [&str; 3] = ["path", "user", "session"];
    /// The most tries of one request.
    pub const MOST_ATTEMPTS: u32 = 10;

    /// The segments of the prefix.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.prefix.split('/').skip(1)
    }

    /// Every file that it needs.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let key = self.signature.as_ref().map(|signature| signature.key_file.clone());
        self.tls.iter().flat_map(UpstreamTls::files).chain(key)
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// The key whose value cannot work, and why.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if !is_name(&self.name) {
            let name = &self.name;
            return Err(("name", format!("{name:?} must be 1 to 63 lower-case letters, digits and -")));
        }
        self.check_prefix()?;
        self.check_url()?;
        self.check_template(&self.path, "path")?;
        if !self.path.is_empty() && !self.path.starts_with('/') && !self.path.starts_with("{path}") {
            return Err(("path", format!("{:?} must begin with a slash or {{path}}", self.path)));
        }
        if self.path.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#' || !c.is_ascii()) {
            return Err(("path", format!("{:?} is no path of a URL; percent-encode what is not plain", self.path)));
        }
        if self.source.is_empty() || !self.source.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err((
                "source",
                format!("{:?} is no URI reference; write for example /brokers/trading", self.source),
            ));
        }
        if self.timeout.0.is_zero() {
            return Err(("timeout", "0s would end every request at once; make it some seconds".to_owned()));
        }
        if self.concurrency == 0 {
            return Err(("concurrency", "0 would send nothing; make it at least 1".to_owned()));
        }
        if !(1..=Self::MOST_ATTEMPTS).contains(&self.retry.attempts) {
            let (found, most) = (self.retry.attempts, Self::MOST_ATTEMPTS);
            return Err(("retry.attempts", format!("{found} is not from 1, for no second try, to {most}")));
        }
        if let Some(destination) = &self.reply.destination {
            self.check_template(destination, "reply.destination")?;
            if !destination.starts_with('/') || destination.contains(char::is_control) {
                let problem = format!("{destination:?} is no destination; begin it with /topic/, /queue/ or /user/");
                return Err(("reply.destination", problem));
            }
        }
        Ok(())
    }

    fn check_prefix(&self) -> Result<(), (&'static str, String)> {
        let refuse = |problem: String| Err(("prefix", problem));
        let prefix = &self.prefix;
        if !prefix.starts_with('/') || self.segments().any(|segment| matches!(segment, "" | "." | "..")) {
            return refuse(format!("{prefix:?} must be segments with one slash before each, such as /app"));
        }
        if TAKEN_PREFIXES.iter().any(|taken| format!("{prefix}/").starts_with(taken)) {
            return refuse(format!("{prefix:?} begins like destinations that engines have; write for example /app"));
        }
        let mut names = BTreeSet::from(Self::VARIABLES);
        for segment in self.segments() {
            let is_plain = !segment.contains(['{', '}', '*', '#', '>']) && !segment.contains(char::is_control);
            match variable(segment) {
                Some(name) if !names.insert(name) => {
                    return refuse(format!("the variable {{{name}}} is there already; give it another name"));
                }
                Some(_) => {}
                None if is_plain => {}
                None => return refuse(format!("{segment:?} is no segment; write plain text, or one {{name}} alone")),
            }
        }
        if variable(self.segments().next().unwrap_or_default()).is_some() {
            return refuse(format!("{prefix:?} would take all destinations; begin it with plain text such as /app"));
        }
        Ok(())
    }

    fn check_url(&self) -> Result<(), (&'static str, String)> {
        let url = &self.url;
        let (is_tls, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, Some(rest)),
            (None, rest) => (false, rest),
        };
        let host = rest.and_then(|rest| rest.split('/').next());
        let is_url = host.is_some_and(|host| !host.is_empty() && !host.starts_with(':'))
            && !url.contains(|c: char| c.is_whitespace() || c.is_control() || "@?#".contains(c));
        if !is_url {
            return Err(("url", format!("{url:?} is no address of a service; write for example http://orders:8080")));
        }
        if self.tls.is_some() && !is_tls {
            return Err(("tls", "the url is not https://; write it so, or remove the key".to_owned()));
        }
        Ok(())
    }

    fn check_template(&self, template: &str, key: &'static str) -> Result<(), (&'static str, String)> {
        let pieces = template_pieces(template).map_err(|problem| (key, problem))?;
        for piece in pieces {
            let TemplatePiece::Variable(name) = piece else { continue };
            let is_known = Self::VARIABLES.contains(&name) || self.segments().any(|own| variable(own) == Some(name));
            if !is_known {
                let problem = format!(
                    "{{{name}}} is no variable; there are {{path}}, {{user}}, {{session}} and those of the prefix"
                );
                return Err((key, problem));
            }
        }
        Ok(())
    }

    /// Checks a list of them; destinations of users begin with `user_prefix`.
    ///
    /// # Errors
    /// Index and key of the value that cannot work, and why.
    pub fn check_all(applications: &[Self], user_prefix: &str) -> Result<(), (String, String)> {
        let of_users = format!("{}/", user_prefix.trim_end_matches('/'));
        for (index, application) in applications.iter().enumerate() {
            let refuse = |key: &str, problem: String| Err((format!("[{index}].{key}"), problem));
            if let Err((key, problem)) = application.check() {
                return refuse(key, problem);
            }
            if format!("{}/", application.prefix).starts_with(&of_users) {
                return refuse(
                    "prefix",
                    format!("destinations of users begin with {of_users:?}; write for example /app"),
                );
            }
            let shape = |other: &Self| -> Vec<Option<String>> {
                other.segments().map(|segment| variable(segment).is_none().then(|| segment.to_owned())).collect()
            };
            for other in &applications[..index] {
                if other.name == application.name {
                    return refuse("name", format!("{:?} is listed twice; give each its own", other.name));
                }
                if shape(other) == shape(application) {
                    let problem = format!("{:?} has the same destinations already; give each its own", other.name);
                    return refuse("prefix", problem);
                }
            }
        }
        Ok(())
    }
}

/// The name in a segment that is a variable.
pub fn variable(segment: &str) -> Option<&str> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (!name.is_empty() && name.chars().all(is_plain)).then_some(name)
}

/// Takes a template apart.
///
/// # Errors
/// What is wrong with its braces.
pub fn template_pieces(template: &str) -> Result<Vec<TemplatePiece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find(['{', '}']) {
        let (text, behind) = rest.split_at(open);
        let end = behind.find('}').map_or(behind.len(), |end| end + 1);
        let (braced, after) = behind.split_at(end);
        let name = variable(braced)
            .ok_or_else(|| format!("{braced:?} in {template:?} is no variable; write a name in braces"))?;
        pieces.extend((!text.is_empty()).then_some(TemplatePiece::Text(text)));
        pieces.push(TemplatePiece::Variable(name));
        rest = after;
    }
    pieces.extend((!rest.is_empty()).then_some(TemplatePiece::Text(rest)));
    Ok(pieces)
}

/// Whether a text is a label of DNS, as names in Kubernetes are.
fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3, backoff: GoDuration(std::time::Duration::from_millis(200)) }
    }
}

impl Default for Reply {
    fn default() -> Self {
        Self { destination: None, reply_to: true }
    }
}

impl Reply {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn path() -> String {
    "{path}".to_owned()
}

fn is_default_path(text: &String) -> bool {
    *text == path()
}

fn source() -> String {
    "/stompbroker".to_owned()
}

fn is_default_source(text: &String) -> bool {
    *text == source()
}

const fn timeout() -> GoDuration {
    GoDuration::from_secs(10)
}

const fn concurrency() -> u32 {
    16
}

const fn waiting() -> u32 {
    1000
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_yes(value: &bool) -> bool {
    *value
}

#[cfg(test)]
mod tests {
    use crate::Config;

    fn parse(applications: &str) -> Result<Config, crate::LoadError> {
        Config::parse(&format!("listeners: {{stomp: {{port: 1}}}}\napplications:\n  {applications}\n"))
    }

    #[test]
    fn name_prefix_and_url_are_enough() {
        let config = parse("- {name: shop, prefix: /app, url: 'http://shop:8080'}").unwrap();
        let [application] = &config.applications[..] else { panic!("{config:?}") };
        assert_eq!((application.path.as_str(), application.concurrency, application.ordered), ("{path}", 16, true));
        assert_eq!(Config::parse(&config.to_yaml().unwrap()).unwrap(), config);
    }

    #[test]
    fn what_cannot_work_is_named_with_its_remedy() {
        for (more, key, remedy) in [
            ("name: Shop", "name", "lower-case"),
            ("prefix: app", "prefix", "such as /app"),
            ("prefix: /app/", "prefix", "one slash before each"),
            ("prefix: /queue/a", "prefix", "engines have"),
            ("prefix: /user/a", "prefix", "destinations of users"),
            ("prefix: '/{a}'", "prefix", "plain text"),
            ("prefix: '/app/{a}/{a}'", "prefix", "another name"),
            ("prefix: '/app/{user}'", "prefix", "another name"),
            ("prefix: '/app/x{a}'", "prefix", "one {name} alone"),
            ("prefix: '/app/*'", "prefix", "plain text"),
            ("url: shop", "url", "http://orders:8080"),
            ("url: 'http://a:b@shop'", "url", "http://orders:8080"),
            ("path: '/x/{id}'", "path", "{session}"),
            ("path: '/x/{'", "path", "name in braces"),
            ("path: x", "path", "begin with a slash"),
            ("path: '/a b'", "path", "percent-encode"),
            ("source: ''", "source", "URI reference"),
            ("timeout: 0s", "timeout", "some seconds"),
            ("concurrency: 0", "concurrency", "at least 1"),
            ("retry: {attempts: 0}", "retry.attempts", "no second try"),
            ("reply: {destination: topic/a}", "reply.destination", "/topic/"),
            ("reply: {destination: '/topic/{id}'}", "reply.destination", "{session}"),
            ("tls: {caFile: /ca}", "tls", "https://"),
        ] {
            let field = more.split(':').next().unwrap_or_default();
            let mut fields = vec!["name: shop", "prefix: /app", "url: 'http://shop'"];
            fields.retain(|other| !other.starts_with(field));
            fields.push(more);
            let error = parse(&format!("- {{{}}}", fields.join(", "))).unwrap_err();
            assert_eq!(error.key, format!("applications[0].{key}"), "{more}: {error}");
            assert!(error.problem.contains(remedy), "{error}");
        }
    }

    #[test]
    fn two_applications_share_neither_name_nor_destinations() {
        let two = |other: &str| {
            parse(&format!("- {{name: a, prefix: '/app/{{x}}', url: 'http://a'}}\n  - {{{other}, url: 'http://b'}}"))
        };
        assert_eq!(two("name: a, prefix: /other").unwrap_err().key, "applications[1].name");
        assert_eq!(two("name: b, prefix: '/app/{y}'").unwrap_err().key, "applications[1].prefix");
        assert!(two("name: b, prefix: /app/y").is_ok());
    }
}
