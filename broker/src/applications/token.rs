//! The signature of a request: a JSON Web Token (RFC 7519) signed with HMAC-SHA256 (`HS256`), in `Authorization: Bearer`, where
//! the libraries of all frameworks look for it. Pure.
//!
//! It says who sends, to which application, for how long this holds, and which request it is for: method and path by the names of
//! RFC 9449, the body by the digest that also stands in `Content-Digest` (RFC 9530).

use std::{fmt, path::Path, time::SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::request::Caller;

/// Octets of the shortest key: as many as the hash has, as RFC 7518 wants it.
const MIN_KEY: usize = 32;
/// Seconds that a token holds.
const LIFETIME: u64 = 60;

/// What signs the requests to one application. Its `Debug` shows no key.
pub(super) struct Signer(hmac::Key);

/// What one token is about, besides the sender.
pub(super) struct Claims<'a> {
    pub(super) issuer: &'a str,
    pub(super) audience: &'a str,
    pub(super) id: &'a str,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) content_digest: &'a str,
}

impl Signer {
    /// A signer with the key in this file, and a digest of that key.
    ///
    /// # Errors
    /// What is wrong with the file, without any part of it.
    pub(super) fn read(file: &Path) -> Result<(Self, [u8; 32]), String> {
        let text = std::fs::read(file).map_err(|error| format!("{}: cannot be read: {error}", file.display()))?;
        let key = text.trim_ascii_end();
        if key.len() < MIN_KEY {
            let found = key.len();
            return Err(format!("{}: it has {found} octets; a key has at least {MIN_KEY}", file.display()));
        }
        Ok((Self(hmac::Key::new(hmac::HMAC_SHA256, key)), Sha256::digest(key).into()))
    }

    /// The token of a request.
    pub(super) fn sign(&self, claims: &Claims<'_>, caller: &Caller, now: SystemTime) -> String {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let principal = &caller.principal;
        let mut payload = json!({
            "iss": claims.issuer,
            "aud": claims.audience,
            "sid": *caller.session,
            "roles": principal.roles.iter().map(|role| &**role).collect::<Vec<_>>(),
            "iat": now,
            "exp": now + LIFETIME,
            "jti": claims.id,
            "htm": claims.method,
            "htu": claims.path,
            "content_digest": claims.content_digest,
        });
        if principal.is_authenticated() {
            payload["sub"] = (*principal.user).into();
        }
        let head = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(payload.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

/// The value of `Content-Digest` for a body.
pub(super) fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_written_as_the_specification_does() {
        // The example of RFC 9530, appendix B.
        let body = b"{\"hello\": \"world\"}\n";
        assert_eq!(content_digest(body), "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:");
    }

    #[test]
    fn a_short_key_is_refused_and_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "0123456789abcdef0123456789abcde\n").unwrap();
        let refused = Signer::read(&file).unwrap_err();
        assert!(refused.contains("31 octets") && !refused.contains("abc"), "{refused}");
        assert!(Signer::read(&folder.path().join("none")).unwrap_err().contains("cannot be read"));
    }
}
