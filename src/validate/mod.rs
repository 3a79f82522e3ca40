//! Step `validate` (pure): all user errors are born here.
//!
//! Checks what the CEL rules of the schema check, for objects that were stored before a rule existed, and what no rule
//! can see because it crosses objects. What comes out needs no further checks.

mod access;
mod applications;
mod broker;
mod destinations;
mod error;
mod exposure;
mod overrides;
mod pools;
mod references;
mod shape;
mod warnings;

pub use broker::{Credential, Engine, Pool, PoolSize, ValidatedBroker, Wishes};
pub use error::SpecError;
use kube::Resource;
pub use overrides::{Operation, Override};
pub(crate) use pools::split;
pub use references::{
    APPLICATION_KEYS, CA_KEYS, JWKS_KEYS, LOGIN_KEYS, SecretUse, TLS_KEYS, USERS_KEYS, further_login_keys,
    nats_login_keys, referenced_secrets,
};

use crate::{
    api::{self, REVERT_CREDENTIALS, ROTATE_CREDENTIALS, StompBroker},
    observed::Observed,
    plan::names,
    status::{ConditionType, Reason},
};

/// Decides whether `broker` can be put into effect in the world as `observed`.
///
/// # Errors
/// All that the user has to change, at once.
pub fn validate(broker: &StompBroker, observed: &Observed) -> Result<ValidatedBroker, Vec<SpecError>> {
    let mut errors = Vec::new();
    shape::check(broker, &mut errors);
    let engine = engine(broker, &mut errors);
    let authorization = access::authorization(broker, &mut errors);
    let destinations = destinations::policies(broker, &mut errors);
    let user_destinations = destinations::user_destinations(broker, &mut errors);
    let applications = applications::applications(broker, &user_destinations.prefix, &mut errors);
    exposure::check(broker, &mut errors);
    let overrides = overrides::overrides(broker, &mut errors);
    references::check(broker, observed, &mut errors);
    foreign(broker, observed, &mut errors);
    let Some(engine) = engine.filter(|_| errors.is_empty()) else {
        return Err(errors);
    };
    let spec = &broker.spec;
    let name = broker.metadata.name.clone().unwrap_or_default();
    let pools = pools::pools(&name, spec);
    Ok(ValidatedBroker {
        spec: spec.clone(),
        namespace: broker.metadata.namespace.clone().unwrap_or_default(),
        owner: broker.controller_owner_ref(&()),
        image: spec.image.clone(),
        image_pull_secrets: spec.image_pull_secrets.iter().map(|secret| secret.name.clone()).collect(),
        resources: spec.resources.clone().unwrap_or_default(),
        warnings: warnings::warnings(broker, &engine, &pools),
        pools,
        engine,
        listeners: spec.listeners.clone().unwrap_or_default(),
        system_credential: credential(names::system_secret(&name), &spec.credentials.system),
        client_credential: credential(names::client_secret(&name), &spec.credentials.client),
        wishes: wishes(broker),
        authentication: spec.authentication.clone(),
        authorization,
        destinations,
        user_destinations,
        applications,
        limits: spec.limits.clone(),
        heartbeat: spec.heartbeat,
        session_timeout: spec.session_timeout,
        drain: spec.drain.clone(),
        logging: spec.logging.clone().unwrap_or_default(),
        tracing: spec.monitoring.as_ref().and_then(|monitoring| monitoring.tracing.clone()),
        overrides,
        name,
    })
}

/// The one engine of the spec.
fn engine(broker: &StompBroker, errors: &mut Vec<SpecError>) -> Option<Engine> {
    let engine = broker.spec.engine.clone().unwrap_or_default();
    match (engine.embedded, engine.relay, engine.jet_stream) {
        (Some(embedded), None, None) => Some(Engine::Embedded(embedded)),
        (None, Some(relay), None) => Some(Engine::Relay(Box::new(relay))),
        (None, None, Some(engine)) => Some(Engine::JetStream(Box::new(engine))),
        (Some(_), _, _) | (_, Some(_), _) => {
            errors.push(SpecError::invalid(
                "spec.engine",
                "more than one engine",
                "keep one of embedded, relay and jetStream",
            ));
            None
        }
        (None, None, None) => {
            errors.push(SpecError::invalid(
                "spec.engine",
                "empty",
                "set embedded (one pod, messages in memory), relay (any number of pods, messages in an upstream broker) or \
                 jetStream (any number of pods, messages in NATS)",
            ));
            None
        }
    }
}

fn credential(secret_name: String, credential: &api::Credential) -> Credential {
    Credential { secret_name, source: credential.secret_name.clone() }
}

/// Texts are told apart by this many characters, for they are kept.
const WISH_LENGTH: usize = 64;

fn wishes(broker: &StompBroker) -> Wishes {
    let annotations = broker.metadata.annotations.as_ref();
    let wish = |name: &str| {
        annotations.and_then(|all| all.get(name)).map(|text| text.chars().take(WISH_LENGTH).collect::<String>())
    };
    Wishes { rotate: wish(ROTATE_CREDENTIALS), revert: wish(REVERT_CREDENTIALS) }
}

/// Errors for objects of others in the way of our children.
fn foreign(broker: &StompBroker, observed: &Observed, errors: &mut Vec<SpecError>) {
    for object in &observed.foreign {
        errors.push(SpecError {
            condition: ConditionType::Accepted,
            reason: Reason::NameConflict,
            field: "metadata.name".to_owned(),
            value: broker.metadata.name.clone().unwrap_or_default(),
            remedy: format!(
                "it needs the {} {}, which exists and belongs to {}; rename this StompBroker, or delete that object",
                object.kind, object.name, object.owner
            ),
        });
    }
}
