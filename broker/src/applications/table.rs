//! The applications of a configuration: how each is reached and how much may be asked of it at once.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use stompbroker_config::{Application as ApplicationConfig, Config};
use tokio::sync::Semaphore;

use super::{routes::Users, token::Signer};
use crate::{
    endpoint::{ConnectError, Endpoint, Http1},
    security::{TlsFiles, certificates},
};

/// All applications by name, and what all of them go by.
#[derive(Debug, Default)]
pub(crate) struct Table {
    applications: HashMap<Arc<str>, Arc<Application>>,
    pub(super) users: Users,
    /// Octets of the largest answer.
    pub(super) message_size: usize,
}

/// An application that the configuration names.
pub(crate) struct Application {
    pub(super) config: ApplicationConfig,
    pub(super) endpoint: Endpoint,
    signer: Option<Signer>,
    /// Of the configuration and all that its files hold.
    digest: [u8; 32],
    /// One a request at a time.
    pub(super) permits: Semaphore,
    /// Requests that were accepted and have not ended.
    open: AtomicU32,
    /// Connections that no request uses.
    idle: Mutex<Vec<Http1>>,
}

/// A key below `applications` and what is wrong with it.
pub(crate) type Refusal = (String, String);

/// The place of an accepted request among those of its application; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Application>);

impl Table {
    /// Reads what a checked configuration names.
    ///
    /// # Errors
    /// The key of what cannot be used, and why.
    pub(crate) fn read(config: &Config) -> Result<Self, Refusal> {
        let read =
            |(index, application): (usize, &ApplicationConfig)| -> Result<(Arc<str>, Arc<Application>), Refusal> {
                let read =
                    Application::read(application).map_err(|(key, problem)| (format!("[{index}].{key}"), problem))?;
                Ok((Arc::from(application.name.as_str()), Arc::new(read)))
            };
        Ok(Self {
            applications: config.applications.iter().enumerate().map(read).collect::<Result<_, _>>()?,
            users: Users::new(config),
            message_size: usize::try_from(config.limits.message_size.0).unwrap_or(usize::MAX),
        })
    }

    /// Goes on with what has not changed, so that its connections and what is open there stay.
    pub(super) fn adopt(&mut self, old: &Self) {
        for (name, application) in &mut self.applications {
            if let Some(old) = old.applications.get(name).filter(|old| old.digest == application.digest) {
                *application = Arc::clone(old);
            }
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.applications.keys().map(|name| &**name)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<Application>> {
        self.applications.get(name)
    }
}

impl Application {
    fn read(config: &ApplicationConfig) -> Result<Self, Refusal> {
        let mut digest = Sha256::new();
        digest.update(format!("{config:?}"));
        let files = config.tls.as_ref().map(TlsFiles::read).transpose();
        let files = files.map_err(|(key, problem)| (format!("tls.{key}"), problem))?;
        let client = match &files {
            Some(files) => {
                digest.update(files.digest());
                files.client().map_err(|(key, problem)| (format!("tls.{key}"), problem))?
            }
            None => certificates::client(None, None).map_err(|problem| ("url".to_owned(), problem))?,
        };
        let server_name = config.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
        let endpoint = Endpoint::with_tls(&config.url, || Ok(client), server_name);
        let endpoint = endpoint.map_err(|problem| ("url".to_owned(), problem))?;
        let signer = match &config.signature {
            Some(signature) => {
                let (signer, of_key) =
                    Signer::read(&signature.key_file).map_err(|problem| ("signature.keyFile".to_owned(), problem))?;
                digest.update(of_key);
                Some(signer)
            }
            None => None,
        };
        Ok(Self {
            permits: Semaphore::new(usize::try_from(config.concurrency).unwrap_or(Semaphore::MAX_PERMITS)),
            config: config.clone(),
            endpoint,
            signer,
            digest: digest.finalize().into(),
            open: AtomicU32::new(0),
            idle: Mutex::default(),
        })
    }

    /// What signs requests, where they are signed.
    pub(super) const fn signer(&self) -> Option<&Signer> {
        self.signer.as_ref()
    }

    /// The path of a request, below that of the address.
    pub(super) fn path(&self, below: &str) -> String {
        let path = format!("{}{below}", self.endpoint.uri().path().trim_end_matches('/'));
        if path.starts_with('/') { path } else { format!("/{path}") }
    }

    /// Takes a place for one more request; none when too many wait already.
    pub(super) fn place(self: &Arc<Self>) -> Option<Place> {
        let most = self.config.concurrency.saturating_add(self.config.waiting);
        let add = |open: u32| (open < most).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok().map(|_| Place(Arc::clone(self)))
    }

    /// A connection, and whether it has been used before.
    pub(super) async fn connection(&self) -> Result<(Http1, bool), ConnectError> {
        let kept = {
            let mut idle = self.idle.lock();
            idle.retain(|connection| !connection.is_closed());
            idle.pop()
        };
        match kept {
            Some(connection) => Ok((connection, true)),
            None => Ok((self.endpoint.connect_http1().await?, false)),
        }
    }

    /// Keeps a connection for the next request. There are never more than requests at once.
    pub(super) fn keep(&self, connection: Http1) {
        self.idle.lock().push(connection);
    }
}

impl Place {
    pub(super) const fn application(&self) -> &Arc<Application> {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application").field("name", &self.config.name).finish_non_exhaustive()
    }
}
