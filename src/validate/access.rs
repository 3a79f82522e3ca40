//! Destination rules as the broker reads them.

use stompbroker_config::{Action, Allow, Authorization, Rule};

use crate::{
    api::{self, StompBroker},
    validate::SpecError,
};

/// The destination rules of the spec.
pub(super) fn authorization(broker: &StompBroker, errors: &mut Vec<SpecError>) -> Option<Authorization> {
    let authorization = broker.spec.authorization.as_ref()?;
    let rules = authorization.rules.iter().enumerate().filter_map(|(index, rule)| {
        let field = format!("spec.authorization.rules[{index}]");
        if let Some(pattern) = rule.destinations.iter().find(|pattern| rest_wildcard_is_inside(pattern)) {
            errors.push(SpecError::invalid(
                format!("{field}.destinations"),
                pattern,
                "** stands for the whole rest and can only be last; use * for one segment",
            ));
        }
        let Some(allow) = allow(&rule.allow) else {
            errors.push(SpecError::invalid(
                format!("{field}.allow"),
                "none or several of its fields",
                "set exactly one of anyone: {}, authenticated: {}, roles: [...], users: [...] and nobody: {}",
            ));
            return None;
        };
        Some(Rule {
            actions: rule.actions.iter().map(|action| self::action(*action)).collect(),
            destinations: rule.destinations.clone(),
            allow,
        })
    });
    Some(Authorization { rules: rules.collect() })
}

fn rest_wildcard_is_inside(pattern: &str) -> bool {
    pattern.find("**").is_some_and(|at| at + 2 < pattern.len())
}

fn action(action: api::Action) -> Action {
    match action {
        api::Action::Send => Action::Send,
        api::Action::Subscribe => Action::Subscribe,
    }
}

fn allow(allow: &api::Allow) -> Option<Allow> {
    let api::Allow { anyone, authenticated, roles, users, nobody } = allow;
    let mut set = [
        anyone.as_ref().map(|_| Allow::Anyone {}),
        authenticated.as_ref().map(|_| Allow::Authenticated {}),
        roles.clone().map(Allow::Roles),
        users.clone().map(Allow::Users),
        nobody.as_ref().map(|_| Allow::Nobody {}),
    ]
    .into_iter()
    .flatten();
    let first = set.next()?;
    set.next().is_none().then_some(first)
}
