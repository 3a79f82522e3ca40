//! The APIService: tells kube-apiserver which authority vouches for us. The chart makes it; one that leads to somebody else's
//! Service is never touched.

use k8s_openapi::{ByteString, kube_aggregator::pkg::apis::apiregistration::v1::APIService};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tracing::info;

use super::{GROUP, VERSION};
use crate::{FIELD_MANAGER, settings::CustomMetrics};

/// Why kube-apiserver does not come to us.
#[derive(Debug, thiserror::Error)]
pub(super) enum RegistrationError {
    /// The APIService cannot be read.
    #[error("failed to read the APIService {VERSION}.{GROUP}")]
    Read(#[source] kube::Error),
    /// There is none.
    #[error("the APIService {VERSION}.{GROUP} does not exist; install the chart with customMetrics.enabled")]
    Missing,
    /// Somebody else serves the API.
    #[error(
        "the APIService {VERSION}.{GROUP} leads to {0} and is left alone; autoscalers get no sessions and message rates \
         until it leads to this operator"
    )]
    SomebodyElse(String),
    /// It cannot be written.
    #[error("failed to write the APIService {VERSION}.{GROUP}")]
    Write(#[source] kube::Error),
}

/// Sees to it that the APIService, when it leads to us, trusts `authority`.
pub(super) async fn ensure(
    client: &Client,
    settings: &CustomMetrics,
    authority: &str,
) -> Result<(), RegistrationError> {
    let name = format!("{VERSION}.{GROUP}");
    let api: Api<APIService> = Api::all(client.clone());
    let found = api.get_opt(&name).await.map_err(RegistrationError::Read)?.ok_or(RegistrationError::Missing)?;
    let Some(bundle) = wanted(&found, settings, authority)? else { return Ok(()) };
    let patch = json!({
        "metadata": {"resourceVersion": found.metadata.resource_version},
        "spec": {"caBundle": bundle},
    });
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(&name, &parameters, &Patch::Merge(patch)).await.map_err(RegistrationError::Write)?;
    info!(name, "registered the authority of the serving certificates");
    Ok(())
}

/// The bundle to write; absent when it is there.
fn wanted(
    found: &APIService,
    settings: &CustomMetrics,
    authority: &str,
) -> Result<Option<ByteString>, RegistrationError> {
    let spec = found.spec.clone().unwrap_or_default();
    let service = spec.service.unwrap_or_default();
    let (namespace, name) = (service.namespace.unwrap_or_default(), service.name.unwrap_or_default());
    if (&namespace, &name) != (&settings.namespace, &settings.service) {
        return Err(RegistrationError::SomebodyElse(format!("the Service {namespace}/{name}")));
    }
    let bundle = ByteString(authority.as_bytes().to_vec());
    Ok((spec.ca_bundle.as_ref() != Some(&bundle)).then_some(bundle))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> CustomMetrics {
        CustomMetrics {
            address: ([127, 0, 0, 1], 0).into(),
            namespace: "operators".to_owned(),
            service: "metrics".to_owned(),
        }
    }

    fn leading_to(namespace: &str, name: &str, bundle: Option<&str>) -> APIService {
        let service = json!({"namespace": namespace, "name": name});
        let bundle = bundle.map(|bundle| ByteString(bundle.as_bytes().to_vec()));
        serde_json::from_value(json!({
            "metadata": {"name": "v1beta2.custom.metrics.k8s.io"},
            "spec": {"groupPriorityMinimum": 100, "versionPriority": 100, "service": service, "caBundle": bundle},
        }))
        .unwrap()
    }

    #[test]
    fn the_bundle_is_written_once() {
        let wanted = |bundle| wanted(&leading_to("operators", "metrics", bundle), &settings(), "PEM").unwrap();
        assert_eq!(wanted(None), Some(ByteString(b"PEM".to_vec())));
        assert_eq!(wanted(Some("old")), Some(ByteString(b"PEM".to_vec())));
        assert_eq!(wanted(Some("PEM")), None);
    }

    #[test]
    fn somebody_elses_registration_is_left_alone_and_named() {
        let error = wanted(&leading_to("monitoring", "prometheus-adapter", None), &settings(), "PEM").unwrap_err();
        assert!(error.to_string().contains("monitoring/prometheus-adapter and is left alone"), "{error}");
    }
}
