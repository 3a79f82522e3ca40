//! What operator and broker tell each other, typed once.
//!
//! * [`Config`]: the `broker.yaml` that the operator renders and the broker loads.
//! * [`admin`]: the JSON that the broker's admin port answers and the operator polls.
//!
//! Unknown keys are errors here: a configuration that was misspelled must not look as if it were in force.

pub mod admin;
mod applications;
mod broadcasts;
mod config;
mod destinations;
mod duration;
mod jetstream;
mod jwt;
mod load;
mod locate;
mod logging;
mod logins;
mod peers;
mod proxies;
mod restart;
mod rules;
mod size;
mod tls;
mod tracing;

pub use applications::{Application, Reply, Retry, Signature, TemplatePiece, template_pieces, variable};
pub use broadcasts::check_broadcasts;
pub use config::{
    Admin, AllowedOrigin, Authentication, Compression, Config, CredentialDirectory, Credentials, Drain, EmbeddedEngine,
    Engine, HeartbeatPair, Limits, Listeners, Multiplex, Persistence, RelayEngine, SlowConsumers, SockJs,
    StompListener, Upstream, UserFile, WebSocketListener,
};
pub use destinations::{DestinationPolicy, Nack, UserDestinations};
pub use duration::{GoDuration, ParseDurationError};
pub use jetstream::{DurableTopics, JetStreamEngine, NatsTls};
pub use jwt::JwtIssuer;
pub use load::{LoadError, config_hash};
pub use logging::{LogFormat, LogLevel, Logging, ParseLogFormatError};
pub use logins::{LOGIN_FILES, ROTATION_FILE, login_digest, login_digest_key};
pub use peers::Peers;
pub use proxies::{AddressRange, TrustedProxies};
pub use restart::READ_AT_START;
pub use rules::{Action, Allow, Authorization, CLAIM, Rule, RuleError, pattern_segments};
pub use size::{ByteSize, ParseSizeError};
pub use tls::{CertificateName, ClientCertificates, ListenerTls, TLS_CERTIFICATE_FILE, TLS_KEY_FILE, UpstreamTls};
pub use tracing::{OtlpProtocol, Tracing};
