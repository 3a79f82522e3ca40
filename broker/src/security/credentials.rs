//! Who may log in with a name and a passcode. Pure, and silent about what was wrong.

use std::{fmt, sync::Arc};

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::{CredentialPair, Principal};
use crate::session::Login;

/// The role of services and of Spring's system connection.
pub const SYSTEM_ROLE: &str = "system";
/// The role of connections that log in for clients.
pub const CLIENT_ROLE: &str = "client";

/// The pairs that are accepted. More than one a role, so that a rotation never leaves anybody without a valid one.
#[derive(Clone, Default)]
pub struct Credentials {
    accepted: Vec<Accepted>,
    anonymous: bool,
}

#[derive(Clone)]
struct Accepted {
    login: [u8; 32],
    passcode: [u8; 32],
    principal: Principal,
}

/// Why a login was refused; the text never says which part of it was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginRefused {
    /// No accepted pair is the one that was given.
    #[error("the login was refused; check the headers login and passcode")]
    Credentials,
    /// The token is not genuine, not for us, not valid yet, or names no user.
    #[error("the token was refused; its issuer, audience, signature or claims are not those that are accepted here")]
    Token,
    /// The token is genuine and was valid once.
    #[error("the token has expired; log in with a new one")]
    TokenExpired,
    /// The issuer's keys cannot be had.
    #[error("the token cannot be checked now, for the keys of its issuer cannot be had; try again later")]
    KeysNotAvailable,
}

impl Credentials {
    /// Accepts these pairs for each role; `anonymous` also accepts a CONNECT that brings no credentials at all.
    pub fn new(system: &[CredentialPair], client: &[CredentialPair], anonymous: bool) -> Self {
        let accept = |role: &'static str| {
            move |pair: &CredentialPair| Accepted {
                login: digest(pair.username()),
                passcode: digest(pair.password()),
                principal: Principal {
                    user: pair.username().into(),
                    roles: Arc::from([role.into()]),
                    claims: None,
                    expires_at: None,
                },
            }
        };
        let system = system.iter().map(accept(SYSTEM_ROLE));
        let client = client.iter().map(accept(CLIENT_ROLE));
        Self { accepted: system.chain(client).collect(), anonymous }
    }

    /// Decides a login. Takes the same time whatever was wrong with it.
    ///
    /// # Errors
    /// [`LoginRefused::Credentials`] when no accepted pair is exactly the one given.
    pub fn login(&self, login: &Login) -> Result<Principal, LoginRefused> {
        let name = login.login.as_deref().unwrap_or_default();
        let passcode = login.passcode.as_deref().unwrap_or_default();
        if login.is_empty() {
            let nobody = Principal { user: "".into(), roles: Arc::from([]), claims: None, expires_at: None };
            return if self.anonymous { Ok(nobody) } else { Err(LoginRefused::Credentials) };
        }
        let (name, passcode) = (digest(name), digest(passcode));
        let mut found = None;
        for accepted in &self.accepted {
            let same: Choice = accepted.login.ct_eq(&name) & accepted.passcode.ct_eq(&passcode);
            if bool::from(same) && found.is_none() {
                found = Some(accepted.principal.clone());
            }
        }
        found.ok_or(LoginRefused::Credentials)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("pairs", &self.accepted.len())
            .field("anonymous", &self.anonymous)
            .finish_non_exhaustive()
    }
}

/// Secrets are compared by digest, so that neither their length nor their first difference shows in the time it takes.
fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(login: Option<&str>, passcode: Option<&str>) -> Login {
        Login { login: login.map(Into::into), passcode: passcode.map(Into::into), ..Login::default() }
    }

    fn pair(username: &str, password: &str) -> CredentialPair {
        CredentialPair::new(username, password).unwrap()
    }

    #[test]
    fn each_accepted_pair_logs_in_with_its_role() {
        let credentials = Credentials::new(
            &[pair("relay", "old"), pair("relay", "new")],
            &[pair("browser", "c-old"), pair("browser2", "c-new")],
            false,
        );
        for (name, passcode, role) in [
            ("relay", "old", SYSTEM_ROLE),
            ("relay", "new", SYSTEM_ROLE),
            ("browser", "c-old", CLIENT_ROLE),
            ("browser2", "c-new", CLIENT_ROLE),
        ] {
            let principal = credentials.login(&login(Some(name), Some(passcode))).unwrap();
            assert_eq!((&*principal.user, &*principal.roles), (name, &[role.into()][..]));
        }
    }

    #[test]
    fn anything_but_a_whole_pair_is_refused_with_the_same_words() {
        let credentials = Credentials::new(&[pair("relay", "old"), pair("other", "word")], &[], true);
        for (name, passcode) in [
            (Some("relay"), Some("older")),
            (Some("relay"), Some("word")),
            (Some("relay"), None),
            (Some("relay"), Some("")),
            (Some("nobody"), Some("old")),
            (Some(""), Some("old")),
            (None, Some("old")),
        ] {
            assert_eq!(
                credentials.login(&login(name, passcode)),
                Err(LoginRefused::Credentials),
                "{name:?} {passcode:?}"
            );
        }
    }

    #[test]
    fn a_connect_without_credentials_is_anonymous_only_where_that_is_allowed() {
        for given in [login(None, None), login(Some(""), Some(""))] {
            let principal = Credentials::new(&[], &[], true).login(&given).unwrap();
            assert!(!principal.is_authenticated() && principal.roles.is_empty());
            assert_eq!(Credentials::new(&[], &[], false).login(&given), Err(LoginRefused::Credentials));
        }
    }

    #[test]
    fn a_token_that_nobody_can_check_is_not_taken_for_no_login() {
        let given = Login { authorization: Some("Bearer x".into()), ..Login::default() };
        assert_eq!(Credentials::new(&[], &[], true).login(&given), Err(LoginRefused::Credentials));
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown =
            format!("{:?} {:?}", Credentials::new(&[pair("n4me", "s3cret")], &[], false), pair("n4me", "s3cret"));
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
