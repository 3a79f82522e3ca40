//! The bearer token of the admin port, and the one that is made of it for the pods among themselves.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper::header::HeaderValue;
use ring::hmac;
use stompbroker_config::{login_digest, login_digest_key};
use subtle::ConstantTimeEq as _;

/// What is signed to make the token of the pods.
const PEERS: &[u8] = b"stompbroker peers";

/// A token, kept as its digest.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken([u8; 32]);

/// The token by which the pods of a broker know each other. Whoever sees it can talk to them as a pod does, but not to their
/// admin ports.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerToken(String);

/// Why a file gives no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminTokenError {
    /// It cannot be read, or is not UTF-8.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("{} is empty; put the token into it", .0.display())]
    Empty(PathBuf),
}

impl AdminToken {
    /// Reads a token; white space around it does not count.
    pub(super) fn read(file: &Path) -> Result<Self, AdminTokenError> {
        let text =
            fs::read_to_string(file).map_err(|source| AdminTokenError::Read { file: file.to_owned(), source })?;
        match text.trim() {
            "" => Err(AdminTokenError::Empty(file.to_owned())),
            token => Ok(Self(login_digest_key(token))),
        }
    }

    /// Whether this is the token; takes the same time whatever differs.
    pub fn is(&self, token: &str) -> bool {
        self.0.ct_eq(&login_digest_key(token)).into()
    }

    /// The token of the pods.
    pub(super) fn peer_token(&self) -> PeerToken {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        PeerToken(URL_SAFE_NO_PAD.encode(hmac::sign(&key, PEERS)))
    }

    /// The digest of the login in a folder, as the operator makes it of the Secret.
    pub(super) fn login_digest(&self, folder: &Path) -> Option<String> {
        login_digest(&self.0, |file| fs::read(folder.join(file)).ok())
    }
}

impl PeerToken {
    /// Whether this is the token; takes the same time whatever differs.
    pub(crate) fn is(&self, token: &str) -> bool {
        self.0.as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// As a request brings it.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for PeerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerToken")
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_with_the_same_admin_token_know_each_other_and_their_token_does_not_open_the_admin_port() {
        let admin = |text: &str| AdminToken(login_digest_key(text));
        let peers = admin("one").peer_token();
        assert!(peers.is(&admin("one").peer_token().0));
        assert!(!peers.is(&admin("other").peer_token().0) && !peers.is("one") && !peers.is(""));
        assert!(!admin("one").is(&peers.0));
        assert_eq!(format!("{peers:?} {:?}", peers.authorization()), "PeerToken Some(Sensitive)");
    }
}
