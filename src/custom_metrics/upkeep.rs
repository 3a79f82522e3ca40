//! Keeps together what serving needs: who may connect, the authority, the certificate, the registration.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::core::v1::{ConfigMap, Secret},
    jiff::Timestamp,
};
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    authority::{Authority, AuthorityError},
    certificate::{self, CertificateError, RENEWED_AFTER},
    front_proxy::{self, FrontProxy, FrontProxyError},
    registration::{self, RegistrationError},
};
use crate::{error::chain, metrics::Metrics, settings::CustomMetrics};

/// How often all is looked at.
const EVERY: Duration = Duration::from_mins(1);
/// How often while something is missing.
const AGAIN: Duration = Duration::from_secs(5);

/// What connections are accepted with.
#[derive(Clone)]
pub(super) struct Doorway {
    pub(super) tls: TlsAcceptor,
    pub(super) front_proxy: Arc<FrontProxy>,
}

/// Keeps the doorway.
pub(super) struct Upkeep {
    client: Client,
    settings: CustomMetrics,
    metrics: Metrics,
    doorway: Mutex<Option<Made>>,
}

/// A doorway and what it was made from.
struct Made {
    doorway: Doorway,
    authority: String,
    at: Timestamp,
}

/// Why nothing, or nothing new, is served.
#[derive(Debug, thiserror::Error)]
enum UpkeepError {
    #[error("failed to read the ConfigMap {}/{}", front_proxy::NAMESPACE, front_proxy::CONFIG_MAP)]
    ConfigMap(#[source] kube::Error),
    #[error(transparent)]
    FrontProxy(#[from] FrontProxyError),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Registration(#[from] RegistrationError),
}

impl Upkeep {
    pub(super) fn new(client: Client, settings: CustomMetrics, metrics: Metrics) -> Self {
        Self { client, settings, metrics, doorway: Mutex::new(None) }
    }

    /// What to accept connections with; absent while something is missing.
    pub(super) fn doorway(&self) -> Option<Doorway> {
        self.doorway.lock().as_ref().map(|made| made.doorway.clone())
    }

    /// From now on connections are accepted with `doorway`, which was made with `authority`.
    pub(super) fn open(&self, doorway: Doorway, authority: &Authority, now: Timestamp) {
        *self.doorway.lock() = Some(Made { doorway, authority: authority.certificate.clone(), at: now });
    }

    /// Looks at everything again and again until `stop`.
    pub(super) async fn run(&self, stop: CancellationToken) {
        let mut said = None;
        loop {
            let result = tokio::select! { () = stop.cancelled() => return, result = self.look() => result };
            self.metrics.custom_metrics_registered.set(result.is_ok().into());
            let pause = if result.is_ok() { EVERY } else { AGAIN };
            let why = result.err().map(|error| chain(&error));
            match &why {
                Some(why) if said.as_ref() != Some(&Some(why.clone())) => {
                    warn!(why, "custom metrics are not served as they should be");
                }
                None if said != Some(None) => info!("custom metrics are served"),
                _ => {}
            }
            said = Some(why);
            tokio::select! { () = stop.cancelled() => return, () = sleep(pause) => {} }
        }
    }

    async fn look(&self) -> Result<(), UpkeepError> {
        let config_maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), front_proxy::NAMESPACE);
        let config_map = config_maps.get(front_proxy::CONFIG_MAP).await.map_err(UpkeepError::ConfigMap)?;
        let front_proxy = FrontProxy::of(&config_map)?;
        let now = Timestamp::now();
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.settings.namespace);
        let authority = Authority::ensure(&secrets, &self.settings.service, now).await?;
        let current = self.doorway.lock().as_ref().is_some_and(|made| {
            *made.doorway.front_proxy == front_proxy
                && made.authority == authority.certificate
                && now.as_second() < made.at.as_second() + RENEWED_AFTER
        });
        if !current {
            let host = format!("{}.{}.svc", self.settings.service, self.settings.namespace);
            let tls = certificate::tls(&authority, &host, &front_proxy.authorities, now)?;
            let doorway = Doorway { tls: TlsAcceptor::from(Arc::new(tls)), front_proxy: Arc::new(front_proxy) };
            self.open(doorway, &authority, now);
        }
        registration::ensure(&self.client, &self.settings, &authority.certificate).await?;
        Ok(())
    }
}
