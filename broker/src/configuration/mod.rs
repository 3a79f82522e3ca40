//! The configuration in force: `broker.yaml`, the Secrets it refers to, and what was derived from both.
//!
//! It is read as a whole or not at all; a rejected file leaves the one in force untouched.

mod admin_token;
mod diff;
mod reload;
mod source;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use stompbroker_config::{Config, CredentialDirectory, Engine, LoadError, admin::LoginDigests, config_hash};

pub use self::{
    admin_token::{AdminToken, PeerToken},
    source::Source,
};
pub(crate) use self::{diff::changed_keys, reload::watch};
use crate::{
    applications::Table,
    engine::relay::check_tls as check_upstream_tls,
    security::{Authenticator, CredentialError, CredentialPair, Credentials, Policy, Users, jwt::Issuers},
    session::Settings,
    trace,
    transport::TlsServers,
};

/// All that one state of the files gives.
#[derive(Debug)]
pub struct Configuration {
    /// The file, typed.
    pub config: Config,
    /// [`config_hash`] of the file's text.
    pub hash: String,
    /// Who may log in.
    pub authenticator: Authenticator,
    /// The logins of the configuration, for the admin port.
    pub logins: LoginDigests,
    /// The certificates of the listeners.
    pub tls: TlsServers,
    /// How applications are reached.
    pub(crate) applications: Table,
    /// What sessions go by.
    pub settings: Arc<Settings>,
    /// What the admin port asks for; none: the endpoints that need it are closed.
    pub admin_token: Option<AdminToken>,
    /// What the pods of the broker know each other by; none without an admin token.
    pub peer_token: Option<PeerToken>,
}

/// Why the files give no configuration: `file:line: key: problem`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigurationError {
    /// The file that says so.
    pub file: PathBuf,
    /// Where in it, and what.
    pub problem: LoadError,
}

impl fmt::Display for ConfigurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.problem.line {
            write!(f, "{line}:")?;
        }
        if !self.problem.key.is_empty() {
            write!(f, " {}:", self.problem.key)?;
        }
        write!(f, " {}", self.problem.problem)
    }
}

/// Checks all of a file that can be checked without those it refers to.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(file: &Path) -> Result<(), ConfigurationError> {
    let refuse = |problem| ConfigurationError { file: file.to_owned(), problem };
    let text = read(file).map_err(refuse)?;
    parse(&text).map(drop).map_err(refuse)
}

/// Checks a file and all those it refers to, as a start does.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_files(file: &Path) -> Result<(), ConfigurationError> {
    Configuration::load(file).map(drop)
}

fn read(file: &Path) -> Result<String, LoadError> {
    std::fs::read_to_string(file).map_err(|error| problem("", format!("cannot be read: {error}")))
}

fn problem(key: &str, problem: String) -> LoadError {
    LoadError { line: None, key: key.to_owned(), problem }
}

fn parse(text: &str) -> Result<(Config, Policy), LoadError> {
    let config = Config::parse(text)?;
    if let Some(tracing) = &config.tracing {
        trace::check(tracing).map_err(|error| problem("tracing.otlpEndpoint", error).located_in(text))?;
    }
    let policy = Policy::new(config.authorization.as_ref())
        .map_err(|error| problem(&format!("authorization.{}", error.key), error.problem).located_in(text))?;
    let policy = match config.engine {
        Engine::Embedded(_) | Engine::JetStream(_) => policy,
        Engine::Relay(_) => policy.for_upstream(),
    };
    Ok((config, policy))
}

impl Configuration {
    /// Reads the file and every Secret it refers to.
    fn load(file: &Path) -> Result<Self, ConfigurationError> {
        let refuse = |problem| ConfigurationError { file: file.to_owned(), problem };
        let text = read(file).map_err(refuse)?;
        Self::from_text(&text).map_err(refuse)
    }

    fn from_text(text: &str) -> Result<Self, LoadError> {
        let (config, policy) = parse(text)?;
        let credentials = Credentials::read(&config.credentials, &config.authentication)
            .map_err(|error| problem(credential_key(&config, &error), error.to_string()).located_in(text))?;
        check_upstreams(&config).map_err(|error| error.located_in(text))?;
        let users = config.authentication.users.as_ref().map(|users| Users::read(&users.file)).transpose();
        let users = users
            .map_err(|error| problem("authentication.users.file", error.to_string()).located_in(text))?
            .unwrap_or_default();
        let issuers = Issuers::new(&config.authentication.jwt).map_err(|(index, key, error)| {
            problem(&format!("authentication.jwt[{index}].{key}"), error.to_string()).located_in(text)
        })?;
        let admin_token = match &config.admin.token_file {
            Some(file) => Some(
                AdminToken::read(file)
                    .map_err(|error| problem("admin.tokenFile", error.to_string()).located_in(text))?,
            ),
            None => None,
        };
        let tls = TlsServers::read(&config.listeners).map_err(|(listener, error)| {
            problem(&format!("listeners.{listener}.tls.{}", error.key), error.to_string()).located_in(text)
        })?;
        let applications = Table::read(&config)
            .map_err(|(key, error)| problem(&format!("applications{key}"), error).located_in(text))?;
        let settings = Arc::new(Settings::new(&config, Arc::new(policy)));
        let authenticator = Authenticator::new(credentials, users, issuers);
        let logins = logins(&config, admin_token.as_ref());
        let peer_token = admin_token.as_ref().map(AdminToken::peer_token);
        Ok(Self {
            hash: config_hash(text),
            authenticator,
            logins,
            tls,
            applications,
            settings,
            admin_token,
            peer_token,
            config,
        })
    }
}

/// What the admin port says of the logins; read after them, for the files are read as a whole again when they change meanwhile.
fn logins(config: &Config, token: Option<&AdminToken>) -> LoginDigests {
    let digest = |folder: &Option<CredentialDirectory>| token?.login_digest(&folder.as_ref()?.directory);
    LoginDigests { system: digest(&config.credentials.system), client: digest(&config.credentials.client) }
}

/// The relay reads its credentials and certificates whenever it connects; that they are there is checked with the
/// configuration.
fn check_upstreams(config: &Config) -> Result<(), LoadError> {
    let Engine::Relay(relay) = &config.engine else { return Ok(()) };
    for (key, folder) in [
        ("engine.relay.systemCredentials.directory", &relay.system_credentials),
        ("engine.relay.clientCredentials.directory", &relay.client_credentials),
    ] {
        CredentialPair::read(&folder.directory).map_err(|error| problem(key, error.to_string()))?;
    }
    let Some(tls) = &relay.tls else { return Ok(()) };
    check_upstream_tls(tls).map_err(|(key, text)| problem(&format!("engine.relay.tls.{key}"), text))
}

/// Which key names the folder that gave no credentials.
fn credential_key(config: &Config, error: &CredentialError) -> &'static str {
    let (CredentialError::Read { file, .. } | CredentialError::Unusable { file, .. }) = error;
    match &config.credentials.client {
        Some(client) if file.starts_with(&client.directory) => "credentials.client.directory",
        _ => "credentials.system.directory",
    }
}
