//! The files a configuration comes from, and whether they have changed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use stompbroker_config::{Application, Config, Engine, LOGIN_FILES, UpstreamTls};

use super::{Configuration, ConfigurationError};

/// How often files are read that change while they are read.
const MOST_TRIES: u32 = 5;

/// A `broker.yaml` and the Secrets it refers to. Their content is compared, not their times: Kubernetes swaps a symbolic
/// link above mounted files, and no notification of the kernel covers all the ways in which that shows.
#[derive(Debug)]
pub struct Source {
    file: PathBuf,
    /// Every file that the last readable state of `file` refers to.
    secrets: Vec<PathBuf>,
    /// What was on disk when the files were last looked at.
    seen: Option<[u8; 32]>,
}

impl Source {
    /// The configuration that begins with this file; nothing is read yet.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), secrets: Vec::new(), seen: None }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Reads everything, again if it changes meanwhile, for a name and its password must come from the same state.
    ///
    /// # Errors
    /// The file, line and key of what is wrong.
    pub fn load(&mut self) -> Result<Configuration, ConfigurationError> {
        let mut tries = 1;
        loop {
            if let Ok(text) = fs::read_to_string(&self.file)
                && let Ok(config) = Config::parse(&text)
            {
                self.secrets = secrets(&config);
            }
            let before = self.fingerprint();
            self.seen = Some(before);
            let loaded = Configuration::load(&self.file);
            if tries == MOST_TRIES || self.fingerprint() == before {
                return loaded;
            }
            tries += 1;
        }
    }

    /// Reads everything if anything has changed since the last time.
    pub fn load_if_changed(&mut self) -> Option<Result<Configuration, ConfigurationError>> {
        (self.seen != Some(self.fingerprint())).then(|| self.load())
    }

    /// What is on disk now; a file that cannot be read counts by the kind of its error.
    fn fingerprint(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for file in std::iter::once(&self.file).chain(&self.secrets) {
            let content = fs::read(file).unwrap_or_else(|error| error.kind().to_string().into_bytes());
            digest.update((content.len() as u64).to_be_bytes());
            digest.update(content);
        }
        digest.finalize().into()
    }
}

/// Every file besides itself that a configuration depends on.
fn secrets(config: &Config) -> Vec<PathBuf> {
    let mut folders: Vec<_> = [&config.credentials.system, &config.credentials.client].into_iter().flatten().collect();
    let mut upstream_tls = None;
    if let Engine::Relay(relay) = &config.engine {
        folders.extend([&relay.system_credentials, &relay.client_credentials]);
        upstream_tls = relay.tls.as_ref();
    }
    let pairs = folders.into_iter().flat_map(|folder| LOGIN_FILES.map(|file| folder.directory.join(file)));
    let users = config.authentication.users.iter().map(|users| users.file.clone());
    let issuers = config.authentication.jwt.iter().flat_map(|issuer| [&issuer.jwks_file, &issuer.ca_file]);
    let certificates = config.listeners.tls().flat_map(|(_, _, tls)| tls.files());
    pairs
        .chain(users)
        .chain(issuers.flatten().cloned())
        .chain(certificates)
        .chain(upstream_tls.into_iter().flat_map(UpstreamTls::files))
        .chain(config.applications.iter().flat_map(Application::files))
        .chain(config.admin.token_file.clone())
        .collect()
}
