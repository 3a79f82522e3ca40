//! Applications as the broker reads them.

use std::path::{Path, PathBuf};

use stompbroker_config as config;

use super::references::{APPLICATION_KEYS, CA_KEYS};
use crate::{api::Application, api::StompBroker, plan::names, validate::SpecError};

/// What the spec says of applications. Each `user_prefix` begins destinations of users.
pub(super) fn applications(
    broker: &StompBroker,
    user_prefix: &str,
    errors: &mut Vec<SpecError>,
) -> Vec<config::Application> {
    let name = broker.metadata.name.as_deref().unwrap_or_default();
    let namespace = broker.metadata.namespace.as_deref().unwrap_or_default();
    for (index, application) in broker.spec.applications.iter().enumerate() {
        if application.service.is_some() == application.url.is_some() {
            let field = format!("spec.applications[{index}]");
            errors.push(SpecError::invalid(field, &application.name, "set exactly one of service and url"));
            return Vec::new();
        }
    }
    let source = format!("/apis/stompbroker.dev/v1alpha1/namespaces/{namespace}/stompbrokers/{name}");
    let parsed: Vec<_> =
        broker.spec.applications.iter().map(|application| parse(application, namespace, &source)).collect();
    if let Err((key, problem)) = config::Application::check_all(&parsed, user_prefix) {
        errors.push(SpecError::invalid(format!("spec.applications{key}"), "", problem));
    }
    parsed
}

fn parse(application: &Application, namespace: &str, source: &str) -> config::Application {
    let folder = Path::new(names::MOUNT_PATH).join(names::application_folder(&application.name));
    let Application {
        name,
        prefix,
        service: _,
        url: _,
        path,
        timeout,
        concurrency,
        waiting,
        ordered,
        retry,
        reply,
        tls,
        signature,
    } = application;
    let file = |present: bool, name: &str| -> Option<PathBuf> { present.then(|| folder.join(name)) };
    config::Application {
        name: name.clone(),
        prefix: prefix.clone(),
        url: application.address(namespace).unwrap_or_default(),
        path: path.clone(),
        source: source.to_owned(),
        timeout: *timeout,
        concurrency: *concurrency,
        waiting: *waiting,
        ordered: *ordered,
        retry: config::Retry { attempts: retry.attempts, backoff: retry.backoff },
        reply: config::Reply { destination: reply.destination.clone(), reply_to: reply.reply_to },
        tls: tls.as_ref().map(|tls| config::UpstreamTls {
            ca_file: file(tls.ca_secret_name.is_some(), CA_KEYS[0]),
            server_name: tls.server_name.clone(),
            directory: tls.certificate_secret_name.as_ref().map(|_| folder.clone()),
        }),
        signature: signature.as_ref().map(|_| config::Signature { key_file: folder.join(APPLICATION_KEYS[0]) }),
    }
}
