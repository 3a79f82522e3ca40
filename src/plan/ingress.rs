//! Ingress: WebSocket and SockJS, for clusters without Gateway API.

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend, IngressSpec,
    IngressTLS, ServiceBackendPort,
};

use super::{exposure, metadata, names};
use crate::{api::IngressExposure, validate::ValidatedBroker};

/// The Ingress, when there is to be one.
pub(super) fn ingress(broker: &ValidatedBroker) -> Option<Ingress> {
    let IngressExposure { class_name, host, annotations, tls } = broker.spec.exposure.as_ref()?.ingress.as_ref()?;
    let port = exposure::websocket_port(broker)?;
    let path = exposure::websocket_path(broker)?;
    let backend = IngressServiceBackend {
        name: names::service(&broker.name),
        port: Some(ServiceBackendPort { name: Some(port.name.to_owned()), number: None }),
    };
    let path = HTTPIngressPath {
        path: Some(path.value.to_owned()),
        path_type: if path.is_prefix { "Prefix" } else { "Exact" }.to_owned(),
        backend: IngressBackend { service: Some(backend), resource: None },
    };
    Some(Ingress {
        metadata: metadata::annotated(broker, annotations),
        spec: Some(IngressSpec {
            ingress_class_name: class_name.clone(),
            rules: Some(vec![IngressRule {
                host: Some(host.clone()),
                http: Some(HTTPIngressRuleValue { paths: vec![path] }),
            }]),
            tls: tls
                .as_ref()
                .map(|tls| vec![IngressTLS { hosts: Some(vec![host.clone()]), secret_name: tls.secret_name.clone() }]),
            ..IngressSpec::default()
        }),
        ..Ingress::default()
    })
}
