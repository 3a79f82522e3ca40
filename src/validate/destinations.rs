//! Policies of destinations as the broker reads them.

use stompbroker_config::{DestinationPolicy, Nack, UserDestinations};

use crate::{
    api::{self, StompBroker},
    validate::SpecError,
};

/// What the spec says of destinations, by pattern.
pub(super) fn policies(broker: &StompBroker, errors: &mut Vec<SpecError>) -> Vec<DestinationPolicy> {
    let policies: Vec<_> = broker.spec.destinations.iter().map(policy).collect();
    if !policies.is_empty() {
        not_with_relay(broker, "spec.destinations", errors);
    }
    let in_nats = broker.spec.engine.as_ref().is_some_and(|engine| engine.jet_stream.is_some());
    for policy in policies.iter().filter(|policy| in_nats && (policy.auto_delete || policy.expires.is_some())) {
        let remedy = "with spec.engine.jetStream queues stay; remove it";
        errors.push(SpecError::invalid("spec.destinations autoDelete or expires", &policy.r#match, remedy));
    }
    if let Err((key, problem)) = DestinationPolicy::check_all(&policies) {
        errors.push(SpecError::invalid(format!("spec.destinations{key}"), "", problem));
    }
    policies
}

fn policy(policy: &api::DestinationPolicy) -> DestinationPolicy {
    let api::DestinationPolicy { r#match, auto_delete, expires, message_ttl, max_deliveries, nack, dead_letter } =
        policy;
    DestinationPolicy {
        r#match: r#match.clone(),
        auto_delete: *auto_delete,
        expires: *expires,
        message_ttl: *message_ttl,
        max_deliveries: *max_deliveries,
        nack: match nack {
            api::Nack::Requeue => Nack::Requeue,
            api::Nack::DeadLetter => Nack::DeadLetter,
        },
        dead_letter: dead_letter.clone(),
    }
}

/// What the spec says of destinations of users.
pub(super) fn user_destinations(broker: &StompBroker, errors: &mut Vec<SpecError>) -> UserDestinations {
    let Some(api::UserDestinations { prefix, unresolved_topic }) = &broker.spec.user_destinations else {
        return UserDestinations::default();
    };
    not_with_relay(broker, "spec.userDestinations", errors);
    let parsed = UserDestinations { prefix: prefix.clone(), unresolved_topic: unresolved_topic.clone() };
    if let Err((key, problem)) = parsed.check() {
        errors.push(SpecError::invalid(format!("spec.userDestinations.{key}"), "", problem));
    }
    parsed
}

fn not_with_relay(broker: &StompBroker, field: &str, errors: &mut Vec<SpecError>) {
    if broker.spec.engine.as_ref().is_some_and(|engine| engine.relay.is_some()) {
        errors.push(SpecError::invalid(
            field,
            "set",
            "with spec.engine.relay the upstream broker keeps the messages; set policies there, and remove the field",
        ));
    }
}
