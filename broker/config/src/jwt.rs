//! Issuers of tokens (JWT) that clients may log in with.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::GoDuration;

/// Tokens of one issuer, and where the keys are that check them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JwtIssuer {
    /// What the claim `iss` must be, to the letter.
    pub issuer: String,
    /// What the claim `aud` must name at least one of.
    pub audiences: Vec<String>,
    /// Where the issuer publishes its keys (JWKS), `https://` or `http://`. Either this or `jwksFile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// File with the keys (JWKS). Only such a file may hold shared secrets, for HS256 and its kin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// PEM file with the authorities that `jwksUrl` is trusted by, instead of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The claim with the roles, a list or words in one text; dots lead into objects (`realm_access.roles`).
    #[serde(default = "roles_claim")]
    pub roles_claim: String,
    /// The claim with the user's name; dots lead into objects.
    #[serde(default = "user_claim")]
    pub user_claim: String,
    /// How far the issuer's clock may be off.
    #[serde(default = "clock_skew")]
    pub clock_skew: GoDuration,
}

const MAX_CLOCK_SKEW: GoDuration = GoDuration::from_secs(300);

fn roles_claim() -> String {
    "roles".to_owned()
}

fn user_claim() -> String {
    "sub".to_owned()
}

const fn clock_skew() -> GoDuration {
    GoDuration::from_secs(30)
}

impl JwtIssuer {
    /// Checks what the types cannot say; an error is the key in this issuer, and what is wrong and would be right.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        let refuse = |key: &'static str, problem: &str| Err((key, problem.to_owned()));
        if self.issuer.is_empty() {
            return refuse("issuer", "it is empty; write what the tokens have in their claim iss");
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return refuse(
                "audiences",
                "name at least one, none empty, or tokens for other services would be accepted",
            );
        }
        match (&self.jwks_url, &self.jwks_file) {
            (None, None) => return refuse("jwksUrl", "no keys to check tokens with; give jwksUrl or jwksFile"),
            (Some(_), Some(_)) => return refuse("jwksUrl", "jwksFile is given too; give only one of them"),
            (Some(url), None) if !is_http(url) => {
                return Err(("jwksUrl", format!("{url:?} is no https:// or http:// address with a host")));
            }
            _ => {}
        }
        if self.ca_file.is_some() && !self.jwks_url.as_ref().is_some_and(|url| url.starts_with("https://")) {
            return refuse("caFile", "it has no use without a jwksUrl that begins with https://; remove it");
        }
        for (key, claim) in [("rolesClaim", &self.roles_claim), ("userClaim", &self.user_claim)] {
            if claim.is_empty() {
                return refuse(key, "it is empty; write the name of a claim or leave the key out");
            }
        }
        if self.clock_skew > MAX_CLOCK_SKEW {
            return Err(("clockSkew", format!("{} is too long; at most {MAX_CLOCK_SKEW}", self.clock_skew)));
        }
        Ok(())
    }
}

fn is_http(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        !host.is_empty() && !host.contains('@') && !rest.contains(char::is_whitespace)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer() -> JwtIssuer {
        serde_saphyr::from_str(
            "issuer: https://id.example.com\naudiences: [stomp]\njwksUrl: https://id.example.com/keys\n",
        )
        .unwrap()
    }

    #[test]
    fn the_usual_claims_are_the_default() {
        let issuer = issuer();
        assert_eq!((&*issuer.roles_claim, &*issuer.user_claim), ("roles", "sub"));
        assert_eq!((issuer.clock_skew.to_string().as_str(), issuer.check()), ("30s", Ok(())));
    }

    #[test]
    fn what_cannot_work_is_named_with_its_remedy() {
        let change = |change: fn(&mut JwtIssuer)| {
            let mut issuer = issuer();
            change(&mut issuer);
            issuer.check().unwrap_err()
        };
        for ((key, problem), expected, remedy) in [
            (change(|i| i.issuer.clear()), "issuer", "claim iss"),
            (change(|i| i.audiences.clear()), "audiences", "at least one"),
            (change(|i| i.audiences.push(String::new())), "audiences", "none empty"),
            (change(|i| i.jwks_url = None), "jwksUrl", "jwksUrl or jwksFile"),
            (change(|i| i.jwks_file = Some("/keys".into())), "jwksUrl", "only one"),
            (change(|i| i.jwks_url = Some("ftp://a/b".into())), "jwksUrl", "https://"),
            (change(|i| i.jwks_url = Some("https:///b".into())), "jwksUrl", "host"),
            (change(|i| i.jwks_url = Some("https://me@a/b".into())), "jwksUrl", "host"),
            (change(|i| (i.jwks_url, i.ca_file) = (Some("http://a".into()), Some("/ca".into()))), "caFile", "https://"),
            (change(|i| i.user_claim.clear()), "userClaim", "leave the key out"),
            (change(|i| i.clock_skew = GoDuration::from_secs(301)), "clockSkew", "at most 5m"),
        ] {
            assert_eq!(key, expected, "{problem}");
            assert!(problem.contains(remedy), "{problem}");
        }
    }
}
