//! Decides a login by whatever it brings: a name and a passcode, a token, a certificate, or nothing.

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
    /// looks like one. Who brings none of them is the owner of the certificate that was shown to TLS, if there is one.
    pub fn decide(&self, login: &Login, certificate_owner: Option<&Principal>) -> Decision {
        if let Some(owner) = certificate_owner.filter(|_| login.is_empty()) {
            return Decision::Now(Ok(owner.clone()));
        }
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
        let decision = authenticator.decide(&login(None, Some("Bearer a.b.c")), None);
        assert!(matches!(decision, Decision::Now(Err(LoginRefused::Credentials))), "{decision:?}");
    }

    #[test]
    fn a_right_passcode_needs_no_token() {
        let pair = super::super::CredentialPair::new("ann", "eyJx.eyJy.z").unwrap();
        let authenticator = Authenticator::new(Credentials::new(&[], &[pair], false), Issuers::default());
        let given = Login { login: Some("ann".into()), ..login(Some("eyJx.eyJy.z"), None) };
        assert!(matches!(authenticator.decide(&given, None), Decision::Now(Ok(_))));
    }

    #[test]
    fn a_certificate_is_the_login_of_those_who_bring_no_other() {
        let pair = super::super::CredentialPair::new("ann", "secret").unwrap();
        let authenticator = Authenticator::new(Credentials::new(&[], &[pair], true), Issuers::default());
        let owner = Principal { user: "machine".into(), roles: [].into(), expires_at: None };
        let user = |login: &Login| match authenticator.decide(login, Some(&owner)) {
            Decision::Now(decided) => decided.map(|principal| principal.user.to_string()),
            Decision::Later(_) => panic!("nothing is to be waited for"),
        };
        let ann = |passcode: &str| Login { login: Some("ann".into()), ..login(Some(passcode), None) };
        assert_eq!(user(&login(None, None)), Ok("machine".to_owned()));
        assert_eq!(user(&ann("secret")), Ok("ann".to_owned()));
        assert_eq!(user(&ann("wrong")), Err(LoginRefused::Credentials));
    }
}
