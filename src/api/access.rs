//! Who may connect, and what they may do.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CredentialRotation, JwtIssuer, rules};

/// What services and client connections log in with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// What services and Spring's system connection log in with; such a session carries the role `system`.
    #[serde(default)]
    pub system: Credential,
    /// What client connections log in with; such a session carries the role `client`.
    #[serde(default)]
    pub client: Credential,
    /// How they get new values.
    #[serde(default)]
    pub rotation: CredentialRotation,
}

/// One login.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// Name of a Secret in the same namespace with the keys `username` and `password`, whose content the operator follows.
    /// Absent: the operator generates a login. Either way consumers read the Secret that is named in `status.credentials`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub secret_name: Option<String>,
}

/// Further ways to log in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Authentication {
    /// Whether a CONNECT without a login is accepted.
    #[serde(default)]
    pub anonymous: bool,
    /// Issuers whose tokens are accepted, in `Authorization: Bearer` or as the passcode.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["issuer".into()]))]
    pub jwt: Vec<JwtIssuer>,
    /// A further header of CONNECT that may bring a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[-_.A-Za-z0-9]+$"))]
    pub token_header: Option<String>,
    /// Users with passwords of their own. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<Users>,
}

/// Users with passwords of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Users {
    /// Name of a Secret in the same namespace whose key `users.yaml` lists `users`, each with `name`, `passwordHash` as
    /// `stompbroker hash-password` prints it, and `roles`. Changes count for new logins without a restart.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub secret_name: String,
}

/// Destination rules in order: the first that matches decides, and what matches none is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    /// The rules in the order in which they are tried. Empty: everything is denied.
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub rules: Vec<AuthorizationRule>,
}

/// One destination rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::patterns_begin_with_a_slash())]
pub struct AuthorizationRule {
    /// What the session wants to do; the rule is skipped for any other action.
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub actions: Vec<Action>,
    /// Destination patterns such as `/topic/*` or `/queue/{user}/**`: segments are separated by `/` or `.`; `*` is one
    /// segment, `**` any number of segments, `{user}` is the name of the session's user, and `{claim.tenant}` the value
    /// of that claim of its token.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 255)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub destinations: Vec<String>,
    /// Who is let through: exactly one of the fields. Everybody else whom the rule matches is denied.
    pub allow: Allow,
}

/// What a session does with a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Action {
    /// Publish to it.
    Send,
    /// Consume from it.
    Subscribe,
}

/// Whom a rule lets through: exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::one_allowance())]
pub struct Allow {
    /// Everybody, also sessions without a login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anyone: Option<Empty>,
    /// Every session that logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<Empty>,
    /// Sessions that carry at least one of these roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 255)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub roles: Option<Vec<String>>,
    /// Sessions of these users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 255)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub users: Option<Vec<String>>,
    /// Nobody: the rule denies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nobody: Option<Empty>,
}

/// Written `{}`: the choice has nothing to configure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}
