//! Decides a login by whatever it brings: a name and a passcode, a token, or nothing.

use std::{fmt, pin::Pin};

use super::{Credentials, LoginRefused, Principal, jwt::Issuers};
use crate::session::Login;

/// The scheme of an `Authorization` header that brings a token.
const BEARER: &str = "Bearer ";

/// All the ways to log in.
#[derive(Clone, Debug, Default)]
pub struct Authenticator {
    credentials: Credentials,
    issuers: Issuers,
}

/// What has become of a login.
pub enum Decision {
    /// It is decided.
    Now(Result<Principal, LoginRefused>),
    /// It will be, in bounded time: the keys of the token's issuer may have to be fetched.
    Later(PendingLogin),
}

/// A login that is not decided yet.
pub type PendingLogin = Pin<Box<dyn Future<Output = Result<Principal, LoginRefused>> + Send>>;

impl Authenticator {
    /// Accepts these credentials and the tokens of these issuers.
    pub const fn new(credentials: Credentials, issuers: Issuers) -> Self {
        Self { credentials, issuers }
    }

    /// Goes on with the fetched keys of the one that was in force before.
    pub fn adopt(&mut self, before: &Self) {
        self.issuers.adopt(&before.issuers);
    }

    /// Decides a login. A name and a passcode come first; a token is one in `Authorization: Bearer`, or a passcode that
    /// looks like one.
    pub fn decide(&self, login: &Login) -> Decision {
        let decided = self.credentials.login(login);
        match token(login) {
            Some(token) if decided.is_err() && !self.issuers.is_empty() => {
                Decision::Later(Box::pin(self.issuers.verify(token)))
            }
            _ => Decision::Now(decided),
        }
    }
}

fn token(login: &Login) -> Option<&str> {
    if let Some(authorization) = &login.authorization {
        let (scheme, token) = authorization.split_at_checked(BEARER.len())?;
        return scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim());
    }
    login.passcode.as_deref().filter(|passcode| passcode.starts_with("eyJ") && passcode.split('.').count() == 3)
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(decided) => f.debug_tuple("Now").field(decided).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(passcode: Option<&str>, authorization: Option<&str>) -> Login {
        Login { login: None, passcode: passcode.map(Into::into), authorization: authorization.map(Into::into) }
    }

    #[test]
    fn a_token_is_found_in_the_header_or_the_passcode() {
        for (given, found) in [
            (login(None, Some("Bearer a.b.c")), Some("a.b.c")),
            (login(None, Some("bearer  a.b.c ")), Some("a.b.c")),
            (login(None, Some("Basic YTpi")), None),
            (login(None, Some("é")), None),
            (login(Some("eyJx.eyJy.z"), None), Some("eyJx.eyJy.z")),
            (login(Some("eyJx.eyJy.z"), Some("Basic x")), None),
            (login(Some("secret.with.dots"), None), None),
            (login(Some("eyJ"), None), None),
            (login(None, None), None),
        ] {
            assert_eq!(token(&given), found, "{:?}", given.authorization);
        }
    }

    #[test]
    fn without_issuers_a_token_is_refused_like_a_wrong_passcode() {
        let authenticator = Authenticator::new(Credentials::new(&[], &[], true), Issuers::default());
        let decision = authenticator.decide(&login(None, Some("Bearer a.b.c")));
        assert!(matches!(decision, Decision::Now(Err(LoginRefused::Credentials))), "{decision:?}");
    }

    #[test]
    fn a_right_passcode_needs_no_token() {
        let pair = super::super::CredentialPair::new("ann", "eyJx.eyJy.z").unwrap();
        let authenticator = Authenticator::new(Credentials::new(&[], &[pair], false), Issuers::default());
        let given = Login { login: Some("ann".into()), ..login(Some("eyJx.eyJy.z"), None) };
        assert!(matches!(authenticator.decide(&given), Decision::Now(Ok(_))));
    }
}
