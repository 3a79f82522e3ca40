//! Issuers of tokens (JWT).

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use stompbroker_config::GoDuration;

use super::{rules, scalars};

/// Tokens of one issuer. RSA, EC and Ed25519 signatures count; shared secrets (HS256 and its kin) only from a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::one_key_source(), validation = rules::jwks_url_is_an_address())]
pub struct JwtIssuer {
    /// What the claim `iss` must be, to the letter.
    #[schemars(length(min = 1, max = 512))]
    pub issuer: String,
    /// What the claim `aud` must name at least one of.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 255)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub audiences: Vec<String>,
    /// Where the issuer publishes its keys (JWKS), trusted by the public authorities. Either this or `jwksSecretName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub jwks_url: Option<String>,
    /// Name of a Secret in the same namespace whose key `jwks.json` has the keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub jwks_secret_name: Option<String>,
    /// The claim with the roles, a list or words in one text; dots lead into objects, as in `realm_access.roles`.
    #[serde(default = "roles_claim")]
    #[schemars(length(min = 1, max = 255))]
    pub roles_claim: String,
    /// The claim with the user's name; dots lead into objects.
    #[serde(default = "user_claim")]
    #[schemars(length(min = 1, max = 255))]
    pub user_claim: String,
    /// How far the issuer's clock may be off; at most 5m.
    #[serde(default = "clock_skew")]
    #[schemars(schema_with = "scalars::duration")]
    pub clock_skew: GoDuration,
}

fn roles_claim() -> String {
    "roles".to_owned()
}

fn user_claim() -> String {
    "sub".to_owned()
}

fn clock_skew() -> GoDuration {
    GoDuration::from_secs(30)
}
