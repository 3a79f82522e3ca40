//! The engine that keeps queues in NATS JetStream.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{ByteSize, CredentialDirectory, GoDuration};

/// Topics over NATS subjects, queues in streams of JetStream. All pods of one broker have the same values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JetStreamEngine {
    /// URLs of NATS servers, `nats://host:4222` or `tls://host:4222`; one is enough to find the others of its cluster.
    pub servers: Vec<String>,
    /// Folder with what the pod logs in with: `username` and `password`, or `token`, or `nkey` (a seed), or `creds` (the file
    /// that NATS's own tools make). Absent: no login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialDirectory>,
    /// TLS. Absent: as the URLs say, with the authorities that browsers trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<NatsTls>,
    /// What all subjects and streams of this broker begin with, so that several brokers can share a NATS account.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// Copies that JetStream keeps of each queue, on as many servers.
    #[serde(default = "replicas")]
    pub replicas: u8,
    /// Streams that all queues are spread over. Messages that wait in queues are lost sight of when it changes.
    #[serde(default = "queue_streams")]
    pub queue_streams: u16,
    /// Topics that JetStream keeps for durable subscriptions. Absent: durable subscriptions are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durable_topics: Option<DurableTopics>,
    /// Unacknowledged messages that a subscription may hold when it does not say `prefetch-count` itself.
    #[serde(default = "prefetch")]
    pub prefetch: u32,
    /// How long after the death of a pod another one gets the messages that the dead one held.
    #[serde(default = "ack_wait")]
    pub ack_wait: GoDuration,
    /// How long a server may take to answer.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: GoDuration,
}

/// Topics to which there may be durable subscriptions. Each message to them is stored, and goes when every durable subscription
/// has it behind itself; at once if there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DurableTopics {
    /// Topics, or patterns of them: `*` is any one segment, `**` (also `#` and `>`) any number of segments.
    pub r#match: Vec<String>,
    /// Octets that may wait for durable subscriptions, all together; the oldest messages are dropped when it is more.
    #[serde(default = "durable_size")]
    pub size: ByteSize,
    /// How long a durable subscription may be without consumers before it goes. Absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<GoDuration>,
}

/// TLS to the NATS servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NatsTls {
    /// Folder with `ca.crt`, the authorities to trust, and with `tls.crt` and `tls.key` where the servers want a certificate of
    /// the client; each may be missing.
    pub directory: PathBuf,
}

impl JetStreamEngine {
    /// The most streams that the queues may be spread over; each is a Raft group of its own.
    pub const MOST_QUEUE_STREAMS: u16 = 64;
    /// The shortest [`Self::ack_wait`].
    pub const MIN_ACK_WAIT: GoDuration = GoDuration::from_secs(2);

    /// The defaults under this prefix, without servers.
    pub fn new(prefix: String) -> Self {
        Self {
            servers: Vec::new(),
            credentials: None,
            tls: None,
            prefix,
            replicas: replicas(),
            queue_streams: queue_streams(),
            durable_topics: None,
            prefetch: prefetch(),
            ack_wait: ack_wait(),
            connect_timeout: connect_timeout(),
        }
    }

    /// The key whose value cannot work, and why.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.servers.is_empty() {
            return Err(("servers", "the list is empty; name at least one, such as nats://nats:4222".to_owned()));
        }
        let is_url = |url: &&String| ["nats://", "tls://"].iter().any(|scheme| url.starts_with(scheme));
        if let Some(url) = self.servers.iter().find(|url| !is_url(url)) {
            return Err(("servers", format!("{url:?} is no URL of a NATS server; write nats://host:4222")));
        }
        if self.servers.iter().any(|url| url.contains('@')) {
            return Err(("servers", "a URL holds credentials; put them into the folder of credentials".to_owned()));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.prefix.is_empty() || self.prefix.len() > 128 || !self.prefix.chars().all(plain) {
            let problem = format!("{:?} must be at most 128 letters, digits, - and _", self.prefix);
            return Err(("prefix", problem));
        }
        if !matches!(self.replicas, 1 | 3 | 5) {
            return Err(("replicas", format!("{} copies have no majority; write 1, 3 or 5", self.replicas)));
        }
        if !(1..=Self::MOST_QUEUE_STREAMS).contains(&self.queue_streams) {
            let (found, most) = (self.queue_streams, Self::MOST_QUEUE_STREAMS);
            return Err((
                "queueStreams",
                format!("{found} is not from 1 to {most}; leave it out for {}", queue_streams()),
            ));
        }
        if let Some(topics) = &self.durable_topics {
            topics.check()?;
        }
        if self.prefetch == 0 {
            return Err(("prefetch", "0 would deliver nothing; make it at least 1".to_owned()));
        }
        if self.ack_wait < Self::MIN_ACK_WAIT {
            let problem =
                format!("{} would deliver slow messages twice; make it at least {}", self.ack_wait, Self::MIN_ACK_WAIT);
            return Err(("ackWait", problem));
        }
        Ok(())
    }
}

impl DurableTopics {
    /// [`Self::size`] where nobody has said it.
    pub const DEFAULT_SIZE: ByteSize = ByteSize(1 << 30);
    /// The smallest [`Self::size`].
    pub const MIN_SIZE: ByteSize = ByteSize(1 << 20);
    /// The shortest [`Self::expires`].
    pub const MIN_EXPIRES: GoDuration = GoDuration::from_secs(60);

    /// The key whose value cannot work, and why.
    ///
    /// # Errors
    /// The key below `engine.jetStream`, and what is wrong and would be right.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if self.r#match.is_empty() {
            let problem =
                "the list is empty; name topics such as /topic/orders or /topic/orders/**, or leave out durableTopics";
            return Err(("durableTopics.match", problem.to_owned()));
        }
        if let Some(topic) = self.r#match.iter().find(|topic| topic.strip_prefix("/topic/").is_none_or(str::is_empty)) {
            let problem = format!("{topic:?} is no topic; write for example /topic/orders or /topic/orders/**");
            return Err(("durableTopics.match", problem));
        }
        if self.size < Self::MIN_SIZE {
            let problem = format!("{} holds hardly a message; make it at least {}", self.size, Self::MIN_SIZE);
            return Err(("durableTopics.size", problem));
        }
        if let Some(expires) = self.expires.filter(|expires| *expires < Self::MIN_EXPIRES) {
            let problem = format!("{expires} is over before a client is back; make it at least {}", Self::MIN_EXPIRES);
            return Err(("durableTopics.expires", problem));
        }
        Ok(())
    }
}

const fn durable_size() -> ByteSize {
    DurableTopics::DEFAULT_SIZE
}

fn prefix() -> String {
    "stompbroker".to_owned()
}

const fn replicas() -> u8 {
    3
}

const fn queue_streams() -> u16 {
    8
}

const fn prefetch() -> u32 {
    100
}

const fn ack_wait() -> GoDuration {
    GoDuration::from_secs(30)
}

const fn connect_timeout() -> GoDuration {
    GoDuration::from_secs(10)
}

#[cfg(test)]
mod tests {
    use crate::{Config, Engine};

    fn parse(engine: &str) -> Result<Config, crate::LoadError> {
        Config::parse(&format!("listeners: {{stomp: {{port: 1}}}}\nengine:\n  jetStream: {engine}\n"))
    }

    #[test]
    fn a_server_is_enough() {
        let config = parse("{servers: ['nats://nats:4222']}").unwrap();
        let Engine::JetStream(engine) = &config.engine else { panic!("another engine") };
        assert_eq!((engine.prefix.as_str(), engine.replicas, engine.queue_streams), ("stompbroker", 3, 8));
        assert_eq!(Config::parse(&config.to_yaml().unwrap()).unwrap(), config);
    }

    #[test]
    fn what_cannot_work_is_named_with_its_remedy() {
        for (more, key, remedy) in [
            ("servers: []", "servers", "at least one"),
            ("servers: [nats]", "servers", "nats://host:4222"),
            ("servers: ['nats://a:b@nats:4222']", "servers", "folder of credentials"),
            ("servers: ['nats://a'], prefix: a.b", "prefix", "letters"),
            ("servers: ['nats://a'], replicas: 2", "replicas", "1, 3 or 5"),
            ("servers: ['nats://a'], queueStreams: 65", "queueStreams", "1 to 64"),
            ("servers: ['nats://a'], durableTopics: {match: []}", "durableTopics.match", "/topic/orders"),
            ("servers: ['nats://a'], durableTopics: {match: [/queue/a]}", "durableTopics.match", "no topic"),
            (
                "servers: ['nats://a'], durableTopics: {match: [/topic/a], size: 1}",
                "durableTopics.size",
                "at least 1Mi",
            ),
            (
                "servers: ['nats://a'], durableTopics: {match: [/topic/a], expires: 1s}",
                "durableTopics.expires",
                "at least 1m",
            ),
            ("servers: ['nats://a'], prefetch: 0", "prefetch", "at least 1"),
            ("servers: ['nats://a'], ackWait: 1s", "ackWait", "at least 2s"),
        ] {
            let error = parse(&format!("{{{more}}}")).unwrap_err();
            assert_eq!(error.key, format!("engine.jetStream.{key}"), "{more}");
            assert!(error.problem.contains(remedy), "{error}");
        }
    }
}
