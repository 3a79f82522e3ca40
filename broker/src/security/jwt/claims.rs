//! From the claims of a token that has been verified to the principal of a session. Reads the clock, for `exp` is a date
//! and a session ends at an instant.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use stompbroker_config::JwtIssuer;

use crate::security::{CLIENT_ROLE, Principal, Role, SYSTEM_ROLE, principal::Claims};

/// Claims that are kept of a token, for they live as long as the session.
const MOST_CLAIMS: usize = 32;
/// Octets of the name and the value of a claim that is kept.
const MOST_OF_A_CLAIM: usize = 256;

/// The principal that the claims tell of; none when they name no usable user.
pub(super) fn principal(claims: &Map<String, Value>, config: &JwtIssuer) -> Option<Principal> {
    let user = find(claims, &config.user_claim)?.as_str()?;
    // A name goes into CONNECTED, where nothing can be escaped.
    if user.is_empty() || user.contains(|c: char| c.is_control()) {
        return None;
    }
    let roles = find(claims, &config.roles_claim).map(roles).unwrap_or_default();
    let expires_at = claims.get("exp").and_then(Value::as_f64).and_then(|exp| instant(exp, config.clock_skew.0));
    Some(Principal { user: user.into(), roles: roles.into(), claims: Some(scalars(claims)), expires_at })
}

/// The claims that are one short value, for placeholders in destination rules.
fn scalars(claims: &Map<String, Value>) -> Claims {
    let value = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    };
    let short = claims.iter().filter_map(|(name, claim)| Some((name, value(claim)?)));
    let short = short.filter(|(name, value)| name.len() + value.len() <= MOST_OF_A_CLAIM && !value.is_empty());
    short.take(MOST_CLAIMS).map(|(name, value)| (Box::from(&**name), value.into())).collect()
}

/// A claim by its name, which may itself have dots, or by the way to it.
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        find(claims.get(first)?.as_object()?, rest)
    })
}

/// A list of names, or names in one text as in the claim `scope`.
fn roles(claim: &Value) -> Vec<Role> {
    let names: Vec<&str> = match claim {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        Value::String(names) => names.split_whitespace().collect(),
        _ => Vec::new(),
    };
    // An issuer must not make somebody a service of ours.
    names.into_iter().filter(|&role| role != SYSTEM_ROLE && role != CLIENT_ROLE).map(Role::from).collect()
}

/// The instant of a date in seconds; none when it is too far away to ever come.
fn instant(exp: f64, clock_skew: Duration) -> Option<Instant> {
    let date = Duration::try_from_secs_f64(exp.max(0.0)).ok()?.checked_add(clock_skew)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Instant::now().checked_add(date.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(user: &str, roles: &str) -> JwtIssuer {
        JwtIssuer {
            issuer: "i".into(),
            audiences: vec!["a".into()],
            jwks_url: None,
            jwks_file: None,
            ca_file: None,
            roles_claim: roles.into(),
            user_claim: user.into(),
            clock_skew: stompbroker_config::GoDuration::from_secs(30),
        }
    }

    fn read(claims: &Value, user: &str, roles: &str) -> Option<(String, Vec<String>)> {
        let principal = principal(claims.as_object().unwrap(), &config(user, roles))?;
        Some((principal.user.to_string(), principal.roles.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn claims_are_found_by_name_and_by_the_way_to_them() {
        let claims = json!({
            "sub": "ann",
            "https://example.com/roles": ["A"],
            "realm_access": {"roles": ["B", "C"], "who": {"name": "bob"}},
            "scope": "D  E",
        });
        for (user, roles, expected) in [
            ("sub", "https://example.com/roles", ("ann", vec!["A"])),
            ("realm_access.who.name", "realm_access.roles", ("bob", vec!["B", "C"])),
            ("sub", "scope", ("ann", vec!["D", "E"])),
            ("sub", "none", ("ann", vec![])),
            ("sub", "realm_access", ("ann", vec![])),
        ] {
            let (name, found) = read(&claims, user, roles).unwrap();
            assert_eq!((name.as_str(), found.iter().map(String::as_str).collect::<Vec<_>>()), expected);
        }
    }

    #[test]
    fn a_token_without_a_usable_name_is_nobodys() {
        for claims in
            [json!({}), json!({"sub": ""}), json!({"sub": 7}), json!({"sub": "a\nrole:x"}), json!({"sub": null})]
        {
            assert_eq!(read(&claims, "sub", "roles"), None, "{claims}");
        }
    }

    #[test]
    fn claims_of_one_short_value_are_kept_for_the_rules() {
        let claims = json!({"sub": "ann", "tenant": "t/1", "level": 3, "beta": true, "list": [1], "none": "", "long": "x".repeat(300)});
        let principal = principal(claims.as_object().unwrap(), &config("sub", "roles")).unwrap();
        for (name, value) in [
            ("tenant", Some("t/1")),
            ("level", Some("3")),
            ("beta", Some("true")),
            ("list", None),
            ("none", None),
            ("long", None),
        ] {
            assert_eq!(principal.claim(name), value, "{name}");
        }
    }

    #[test]
    fn a_token_cannot_give_the_roles_of_our_own_credentials() {
        let claims = json!({"sub": "ann", "roles": ["system", "ADMIN", "client"]});
        assert_eq!(read(&claims, "sub", "roles").unwrap().1, ["ADMIN"]);
    }

    #[test]
    fn the_session_ends_when_the_token_does_with_the_clocks_skew() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({"sub": "ann", "exp": now + 100});
        let ends = principal(claims.as_object().unwrap(), &config("sub", "roles")).unwrap().expires_at.unwrap();
        let left = ends.saturating_duration_since(Instant::now()).as_secs();
        assert!((120..=130).contains(&left), "{left}");
        assert_eq!(instant(1e300, Duration::ZERO), None);
    }
}
