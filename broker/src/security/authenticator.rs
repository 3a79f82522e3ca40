//! Decides a login by whatever it brings: a name and a passcode, a token, a certificate, or nothing.

use std::{fmt, pin::Pin};

use super::{Credentials, LoginRefused, Principal, Users, jwt::Issuers};
use crate::session::Login;

/// The scheme of an `Authorization` header that brings a token.
const BEARER: &str = "Bearer ";

/// All the ways to log in.
#[derive(Clone, Debug, Default)]
pub struct Authenticator {
    credentials: Credentials,
    users: Users,
    issuers: Issuers,
}

/// What has become of a login.
pub enum Decision {
    /// It is decided.
    Now(Result<Principal, LoginRefused>),
    /// It will be, in bounded time: a hash is computed, or the keys of the token's issuer may have to be fetched.
    Later(PendingLogin),
}

/// A login that is not decided yet.
pub type PendingLogin = Pin<Box<dyn Future<Output = Result<Principal, LoginRefused>> + Send>>;

impl Authenticator {
    /// Accepts these credentials, these users and the tokens of these issuers.
    pub const fn new(credentials: Credentials, users: Users, issuers: Issuers) -> Self {
        Self { credentials, users, issuers }
    }

    /// Goes on with the fetched keys and the remembered users of the one that was in force before.
    pub fn adopt(&mut self, before: &Self) {
        self.users.adopt(&before.users);
        self.issuers.adopt(&before.issuers);
    }

    /// Decides a login. A name and a passcode of our own come first; a token is one in the configured header, in
    /// `Authorization: Bearer`, or a passcode that looks like one; what is neither is of a user of the file. Who brings none of them is the owner of the certificate that was shown to TLS, if there is one.
    pub fn decide(&self, login: &Login, certificate_owner: Option<&Principal>) -> Decision {
        if let Some(owner) = certificate_owner.filter(|_| login.is_empty()) {
            return Decision::Now(Ok(owner.clone()));
        }
        let decided = self.credentials.login(login);
        match token(login) {
            Some(token) if decided.is_err() && !self.issuers.is_empty() => {
                Decision::Later(Box::pin(self.issuers.verify(token)))
            }
            _ if decided.is_err() && !self.users.is_empty() && login.login.is_some() => {
                let passcode = login.passcode.as_deref().unwrap_or_default();
                Decision::Later(Box::pin(self.users.verify(login.login.as_deref().unwrap_or_default(), passcode)))
            }
            _ => Decision::Now(decided),
        }
    }
}

fn token(login: &Login) -> Option<&str> {
    if let Some(token) = &login.token {
        let (scheme, rest) = token.split_at_checked(BEARER.len()).unwrap_or_default();
        return Some(if scheme.eq_ignore_ascii_case(BEARER) { rest.trim() } else { token.trim() });
    }
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
        let [passcode, authorization] = [passcode, authorization].map(|header| header.map(Into::into));
        Login { passcode, authorization, ..Login::default() }
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
        for (header, found) in [("a.b.c", "a.b.c"), ("Bearer  a.b.c ", "a.b.c"), ("é", "é")] {
            let given = Login { token: Some(header.into()), ..login(Some("eyJx.eyJy.z"), Some("Bearer d.e.f")) };
            assert_eq!(token(&given), Some(found), "the configured header counts first");
        }
    }

    #[test]
    fn without_issuers_a_token_is_refused_like_a_wrong_passcode() {
        let authenticator = Authenticator::new(Credentials::new(&[], &[], true), Users::default(), Issuers::default());
        let decision = authenticator.decide(&login(None, Some("Bearer a.b.c")), None);
        assert!(matches!(decision, Decision::Now(Err(LoginRefused::Credentials))), "{decision:?}");
    }

    #[test]
    fn a_right_passcode_needs_no_token() {
        let pair = super::super::CredentialPair::new("ann", "eyJx.eyJy.z").unwrap();
        let authenticator =
            Authenticator::new(Credentials::new(&[], &[pair], false), Users::default(), Issuers::default());
        let given = Login { login: Some("ann".into()), ..login(Some("eyJx.eyJy.z"), None) };
        assert!(matches!(authenticator.decide(&given, None), Decision::Now(Ok(_))));
    }

    #[test]
    fn a_certificate_is_the_login_of_those_who_bring_no_other() {
        let pair = super::super::CredentialPair::new("ann", "secret").unwrap();
        let authenticator =
            Authenticator::new(Credentials::new(&[], &[pair], true), Users::default(), Issuers::default());
        let owner = Principal { user: "machine".into(), roles: [].into(), claims: None, expires_at: None };
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
