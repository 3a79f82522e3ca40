//! Destination rules as the broker reads them.

use stompbroker_config::{Action, Allow, Authorization, Rule};

use crate::{
    api::{self, StompBroker},
    validate::SpecError,
};

/// The destination rules of the spec.
pub(super) fn authorization(broker: &StompBroker, errors: &mut Vec<SpecError>) -> Option<Authorization> {
    let authorization = broker.spec.authorization.as_ref()?;
    let parsed = authorization.rules.iter().enumerate().filter_map(|(index, rule)| {
        let field = format!("spec.authorization.rules[{index}]");
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
    let rules: Vec<_> = parsed.collect();
    // A rule without allowance is left out above; the indices below are only right when there is none.
    let complete = rules.len() == authorization.rules.len();
    let parsed = Authorization { rules };
    if complete && let Err(error) = parsed.check() {
        errors.push(SpecError::invalid(format!("spec.authorization.{}", error.key), "", error.problem));
    }
    Some(parsed)
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
