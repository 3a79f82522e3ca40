//! A set of keys (JWKS), and what each of them may check.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// More keys than any issuer has; each may cost a login one check of a signature.
const MAX_KEYS: usize = 64;
/// RFC 7518 wants a shared secret to be as long as the digest.
const MIN_SECRET: usize = 32;

/// Whether a key set may hold shared secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrets {
    Allowed,
    Ignored,
}

/// The keys of an issuer that can check tokens.
#[derive(Debug)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    material: DecodingKey,
}

/// Why a text is no usable key set.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeySetError {
    /// It is not of the right shape.
    #[error("it is no JSON Web Key Set; an object with a list named keys is needed")]
    Shape,
    /// None of its keys can check a token.
    #[error(
        "none of its keys can check a token; needed are keys for signatures of type RSA, EC (P-256, P-384) or OKP \
         (Ed25519), or in a file also oct with at least 32 octets"
    )]
    Unusable,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a key set; keys of other kinds or for other uses are passed over.
    pub(super) fn parse(text: &[u8], secrets: Secrets) -> Result<Self, KeySetError> {
        let document: Document = serde_json::from_slice(text).map_err(|_| KeySetError::Shape)?;
        let read = |key: Value| serde_json::from_value::<Jwk>(key).ok().and_then(|key| Key::new(&key, secrets));
        let keys: Vec<Key> = document.keys.into_iter().filter_map(read).take(MAX_KEYS).collect();
        if keys.is_empty() { Err(KeySetError::Unusable) } else { Ok(Self(keys)) }
    }

    /// Whether there is a key of this id; a token without one is content with any.
    pub(super) fn knows(&self, id: Option<&str>) -> bool {
        id.is_none_or(|id| self.0.iter().any(|key| key.id.as_deref() == Some(id)))
    }

    /// The keys that may have signed a token with this key id by this algorithm. A key without an id fits every id.
    pub(super) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        let fits = move |key: &&Key| id.is_none() || key.id.is_none() || key.id.as_deref() == id;
        self.0.iter().filter(fits).filter(move |key| key.algorithms.contains(&algorithm)).map(|key| &key.material)
    }
}

impl Key {
    fn new(jwk: &Jwk, secrets: Secrets) -> Option<Self> {
        let common = &jwk.common;
        let signs = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
        let verifies = common.key_operations.as_ref().is_none_or(|uses| uses.contains(&KeyOperations::Verify));
        if !signs || !verifies {
            return None;
        }
        let mut algorithms = algorithms(&jwk.algorithm, secrets)?.to_vec();
        if let Some(only) = common.key_algorithm {
            let only: Algorithm = only.to_string().parse().ok()?;
            algorithms.retain(|algorithm| *algorithm == only);
        }
        let material = DecodingKey::from_jwk(jwk).ok()?;
        let is_short_secret = matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_))
            && material.try_get_as_bytes().map_or(0, <[u8]>::len) < MIN_SECRET;
        (!algorithms.is_empty() && !is_short_secret).then(|| Self { id: common.key_id.clone(), algorithms, material })
    }
}

/// What a key of this type may check, whatever the token says.
fn algorithms(parameters: &AlgorithmParameters, secrets: Secrets) -> Option<&'static [Algorithm]> {
    use Algorithm::{ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512};
    match parameters {
        AlgorithmParameters::RSA(_) => Some(&[RS256, RS384, RS512, PS256, PS384, PS512]),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Some(&[ES256]),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => Some(&[ES384]),
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Some(&[EdDSA]),
        AlgorithmParameters::OctetKey(_) if secrets == Secrets::Allowed => Some(&[HS256, HS384, HS512]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECRET: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA";

    fn parse(keys: &Value, secrets: Secrets) -> Result<KeySet, KeySetError> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), secrets)
    }

    fn ed(id: &str) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    }

    #[test]
    fn keys_of_other_kinds_and_uses_are_passed_over() {
        let mut encrypts = ed("encrypts");
        encrypts["use"] = json!("enc");
        let mut signs_only = ed("signs");
        signs_only["key_ops"] = json!(["sign"]);
        let mut other_algorithm = ed("other");
        other_algorithm["alg"] = json!("RS256");
        let unknown = json!({"kty": "EC", "crv": "secp256k1", "kid": "unknown", "x": "AA", "y": "AA"});
        let keys =
            parse(&json!([encrypts, signs_only, other_algorithm, unknown, 7, ed("good")]), Secrets::Ignored).unwrap();
        for id in ["encrypts", "signs", "other", "unknown"] {
            assert!(!keys.knows(Some(id)), "{id}");
        }
        assert!(keys.knows(Some("good")) && keys.knows(None));
        assert_eq!(keys.candidates(Some("good"), Algorithm::EdDSA).count(), 1);
        assert_eq!(keys.candidates(Some("good"), Algorithm::HS256).count(), 0);
        assert_eq!(keys.candidates(Some("else"), Algorithm::EdDSA).count(), 0);
    }

    #[test]
    fn a_key_without_an_id_fits_every_token() {
        let mut key = ed("x");
        key.as_object_mut().unwrap().remove("kid");
        let keys = parse(&json!([key]), Secrets::Ignored).unwrap();
        assert_eq!(keys.candidates(Some("any"), Algorithm::EdDSA).count(), 1);
        assert!(!keys.knows(Some("any")), "a newer set may name it");
    }

    #[test]
    fn shared_secrets_count_only_where_they_are_allowed_and_long_enough() {
        let secret = json!([{"kty": "oct", "kid": "s", "k": SECRET}]);
        assert!(parse(&secret, Secrets::Allowed).unwrap().knows(Some("s")));
        assert_eq!(parse(&secret, Secrets::Ignored).unwrap_err(), KeySetError::Unusable);
        let short = json!([{"kty": "oct", "k": "c2hvcnQ"}]);
        assert_eq!(parse(&short, Secrets::Allowed).unwrap_err(), KeySetError::Unusable);
    }

    #[test]
    fn what_is_no_key_set_says_what_is_needed() {
        for text in ["", "[]", "{}", "<html>", r#"{"keys": {}}"#] {
            assert_eq!(KeySet::parse(text.as_bytes(), Secrets::Allowed).unwrap_err(), KeySetError::Shape, "{text}");
        }
        assert_eq!(parse(&json!([]), Secrets::Allowed).unwrap_err(), KeySetError::Unusable);
    }
}
