//! Logging in with a token (JWT) of a configured issuer.
//!
//! ```text
//! token ── unverified iss ──► Issuer ── kid ──► keys (file, or fetched and cached) ──► signature, claims ──► Principal
//! ```
//!
//! * The key decides which algorithms it may check, never the token: `none` and confusions of key and algorithm end there.
//! * Shared secrets (HS256 and its kin) count only from a file of ours, for a published key set is no place for them.
//! * `iss`, `aud` and `exp` must be there and right; `nbf` must be right where it is there.
//! * The roles of our own credentials cannot be had by a token.

mod claims;
mod fetch;
mod keys;
mod published;
mod signatures;
#[cfg(test)]
mod tests;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jsonwebtoken::{
    DecodingKey, Header, Validation, dangerous::insecure_decode_claims, decode, decode_header, errors::ErrorKind,
};
use serde_json::{Map, Value};
use stompbroker_config::JwtIssuer;

use self::{
    keys::{KeySet, KeySetError, Secrets},
    published::{Pace, PublishedKeys},
};
use super::{LoginRefused, Principal};

/// The issuers whose tokens are accepted.
#[derive(Clone, Debug, Default)]
pub struct Issuers(Vec<Arc<Issuer>>);

/// One issuer and its keys.
struct Issuer {
    config: JwtIssuer,
    keys: Keys,
}

enum Keys {
    File(Arc<KeySet>),
    Published(PublishedKeys),
}

/// Why an issuer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key set in a file has no key for us.
    #[error("{}: {source}", file.display())]
    Keys {
        /// Which file.
        file: PathBuf,
        /// Why not.
        source: KeySetError,
    },
    /// The authorities in a file cannot be used.
    #[error("{}: {problem}", file.display())]
    Authorities {
        /// Which file.
        file: PathBuf,
        /// Why not.
        problem: String,
    },
}

impl Issuers {
    /// Makes ready for the tokens of these issuers: reads files, fetches nothing yet.
    ///
    /// # Errors
    /// The index of the issuer that cannot be used, which of its keys says so, and why.
    pub fn new(config: &[JwtIssuer]) -> Result<Self, (usize, &'static str, IssuerError)> {
        signatures::install();
        let issuers = config.iter().enumerate().map(|(index, config)| {
            let keys = Keys::new(config).map_err(|(key, error)| (index, key, error))?;
            Ok(Arc::new(Issuer { config: config.clone(), keys }))
        });
        issuers.collect::<Result<_, _>>().map(Self)
    }

    /// Goes on with the fetched keys of issuers that are the same as before, so that a reload forgets none.
    pub fn adopt(&mut self, before: &Self) {
        for issuer in &mut self.0 {
            if let Some(same) = before.0.iter().find(|other| other.is_same(issuer)) {
                *issuer = Arc::clone(same);
            }
        }
    }

    /// Whether no tokens are accepted at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks a token; may wait for keys to be fetched, for a bounded time.
    pub fn verify(&self, token: &str) -> impl Future<Output = Result<Principal, LoginRefused>> + Send + use<> {
        let issuer = self.issuer_of(token);
        let token = token.to_owned();
        async move {
            let (issuer, header) = issuer.ok_or(LoginRefused::Token)?;
            issuer.verify(&token, &header).await
        }
    }

    /// The issuer that a token says it is of; its signature will show.
    fn issuer_of(&self, token: &str) -> Option<(Arc<Issuer>, Header)> {
        let header = decode_header(token).ok()?;
        let claims: Map<String, Value> = insecure_decode_claims(token).ok()?;
        let name = claims.get("iss")?.as_str()?;
        let issuer = self.0.iter().find(|issuer| issuer.config.issuer == name)?;
        // An extension that must be understood is one that is not understood here.
        header.crit.is_none().then(|| (Arc::clone(issuer), header))
    }
}

impl Keys {
    fn new(config: &JwtIssuer) -> Result<Self, (&'static str, IssuerError)> {
        if let Some(file) = &config.jwks_file {
            let text = read(file).map_err(|error| ("jwksFile", error))?;
            let keys = KeySet::parse(&text, Secrets::Allowed)
                .map_err(|source| ("jwksFile", IssuerError::Keys { file: file.clone(), source }))?;
            return Ok(Self::File(Arc::new(keys)));
        }
        let authorities = match &config.ca_file {
            Some(file) => Some((file, read(file).map_err(|error| ("caFile", error))?)),
            None => None,
        };
        let roots = authorities.as_ref().map(|(_, pem)| pem.as_slice());
        let url = config.jwks_url.as_deref().unwrap_or_default();
        PublishedKeys::new(url, roots, Pace::USUAL).map(Self::Published).map_err(|problem| {
            let file = authorities.map(|(file, _)| file.clone()).unwrap_or_default();
            ("caFile", IssuerError::Authorities { file, problem })
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>, IssuerError> {
    fs::read(file).map_err(|source| IssuerError::Read { file: file.to_owned(), source })
}

impl Issuer {
    fn is_same(&self, other: &Self) -> bool {
        match (&self.keys, &other.keys) {
            (Keys::Published(ours), Keys::Published(theirs)) => {
                self.config == other.config && ours.authorities() == theirs.authorities()
            }
            _ => false,
        }
    }

    async fn verify(&self, token: &str, header: &Header) -> Result<Principal, LoginRefused> {
        let kid = header.kid.as_deref();
        let keys = match &self.keys {
            Keys::File(keys) => Arc::clone(keys),
            Keys::Published(published) => published.for_key(kid).await.ok_or(LoginRefused::KeysNotAvailable)?,
        };
        let validation = self.validation(header);
        let mut refusal = ErrorKind::InvalidSignature;
        for key in keys.candidates(kid, header.alg) {
            match self.check(token, key, &validation) {
                Ok(principal) => return Ok(principal),
                Err(kind) => refusal = kind,
            }
            if !matches!(refusal, ErrorKind::InvalidSignature) {
                break;
            }
        }
        tracing::debug!(issuer = self.config.issuer, kid, reason = ?refusal, "a token was refused");
        Err(match refusal {
            ErrorKind::ExpiredSignature => LoginRefused::TokenExpired,
            _ => LoginRefused::Token,
        })
    }

    fn validation(&self, header: &Header) -> Validation {
        let mut validation = Validation::new(header.alg);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_audience(&self.config.audiences);
        validation.validate_nbf = true;
        validation.leeway = self.config.clock_skew.0.as_secs();
        validation
    }

    fn check(&self, token: &str, key: &DecodingKey, validation: &Validation) -> Result<Principal, ErrorKind> {
        let claims =
            decode::<Map<String, Value>>(token, key, validation).map_err(jsonwebtoken::errors::Error::into_kind)?;
        claims::principal(&claims.claims, &self.config)
            .ok_or_else(|| ErrorKind::MissingRequiredClaim(self.config.user_claim.clone()))
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("issuer", &self.config.issuer).finish_non_exhaustive()
    }
}
