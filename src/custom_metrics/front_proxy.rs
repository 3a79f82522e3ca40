//! Who asks (pure): kube-apiserver shows a certificate of the front proxy's authority and names the user in headers. Which
//! authority and which headers, a ConfigMap of the cluster says.

use std::collections::BTreeMap;

use http::HeaderMap;
use k8s_openapi::api::core::v1::ConfigMap;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The ConfigMap, which kube-apiserver keeps.
pub(super) const CONFIG_MAP: &str = "extension-apiserver-authentication";
/// Its namespace.
pub(super) const NAMESPACE: &str = "kube-system";
/// Most header values of one user that are looked at.
const VALUES: usize = 256;

/// What the cluster says of its front proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FrontProxy {
    /// The authorities of its certificates, DER.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// Common names of its certificates; empty for any.
    names: Vec<String>,
    user_headers: Vec<String>,
    group_headers: Vec<String>,
    extra_prefixes: Vec<String>,
}

/// Why the ConfigMap does not help.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrontProxyError {
    /// The API server has no front proxy.
    #[error("{NAMESPACE}/{CONFIG_MAP} has no {0}; kube-apiserver has to run with --requestheader-client-ca-file")]
    Missing(&'static str),
    /// A list is none.
    #[error("{NAMESPACE}/{CONFIG_MAP} has a {0} that is no list of texts")]
    List(&'static str, #[source] serde_json::Error),
    /// The certificates are none.
    #[error("{NAMESPACE}/{CONFIG_MAP} has a requestheader-client-ca-file that cannot be read")]
    Authorities(#[source] rustls::pki_types::pem::Error),
}

/// For whom a request is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) groups: Vec<String>,
    pub(super) extra: BTreeMap<String, Vec<String>>,
}

impl FrontProxy {
    /// What `config_map` says.
    pub(super) fn of(config_map: &ConfigMap) -> Result<Self, FrontProxyError> {
        const AUTHORITIES: &str = "requestheader-client-ca-file";
        let get = |key: &'static str| config_map.data.as_ref().and_then(|data| data.get(key));
        let list = |key: &'static str| -> Result<Vec<String>, FrontProxyError> {
            let text = get(key).map_or("[]", String::as_str);
            serde_json::from_str(text).map_err(|source| FrontProxyError::List(key, source))
        };
        let pem = get(AUTHORITIES).ok_or(FrontProxyError::Missing(AUTHORITIES))?;
        let authorities: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let this = Self {
            authorities: authorities.map_err(FrontProxyError::Authorities)?,
            names: list("requestheader-allowed-names")?,
            user_headers: list("requestheader-username-headers")?,
            group_headers: list("requestheader-group-headers")?,
            extra_prefixes: list("requestheader-extra-headers-prefix")?,
        };
        if this.authorities.is_empty() {
            return Err(FrontProxyError::Missing(AUTHORITIES));
        }
        Ok(this)
    }

    /// Whether who shows this certificate, which one of the authorities has signed, is the front proxy.
    pub(super) fn is(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
        let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        self.names.is_empty() || name.is_some_and(|name| self.names.iter().any(|allowed| allowed == name))
    }

    /// For whom it asks; absent when it does not say.
    pub(super) fn user(&self, headers: &HeaderMap) -> Option<User> {
        let values = |names: &[String]| -> Vec<String> {
            let all = names.iter().flat_map(|name| headers.get_all(name.as_str()));
            all.filter_map(|value| value.to_str().ok()).take(VALUES).map(str::to_owned).collect()
        };
        let name = values(&self.user_headers).into_iter().find(|name| !name.is_empty())?;
        let mut extra = BTreeMap::<String, Vec<String>>::new();
        for (header, value) in headers.iter().take(VALUES) {
            let key = self.extra_prefixes.iter().find_map(|prefix| {
                let prefix = prefix.to_ascii_lowercase();
                header.as_str().strip_prefix(&prefix).map(decoded)
            });
            if let (Some(key), Ok(value)) = (key, value.to_str()) {
                extra.entry(key).or_default().push(value.to_owned());
            }
        }
        Some(User { name, groups: values(&self.group_headers), extra })
    }
}

/// Names of extra fields are percent-encoded, since not every character may be in the name of a header.
fn decoded(key: &str) -> String {
    percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(name: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn config_map(names: &str) -> ConfigMap {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "front-proxy-ca");
        let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        let data = [
            ("requestheader-client-ca-file", pem.as_str()),
            ("requestheader-allowed-names", names),
            ("requestheader-username-headers", r#"["X-Remote-User"]"#),
            ("requestheader-group-headers", r#"["X-Remote-Group"]"#),
            ("requestheader-extra-headers-prefix", r#"["X-Remote-Extra-"]"#),
        ];
        let data = data.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        ConfigMap { data: Some(data), ..ConfigMap::default() }
    }

    #[test]
    fn the_front_proxy_is_known_by_its_name_where_names_are_given() {
        let proxy = FrontProxy::of(&config_map(r#"["front-proxy-client"]"#)).unwrap();
        assert_eq!(proxy.authorities.len(), 1);
        assert!(proxy.is(&certificate("front-proxy-client")));
        assert!(!proxy.is(&certificate("kubelet")));
        assert!(FrontProxy::of(&config_map("[]")).unwrap().is(&certificate("kubelet")));
    }

    #[test]
    fn the_user_is_who_the_headers_name() {
        let proxy = FrontProxy::of(&config_map("[]")).unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(proxy.user(&headers), None);
        headers.append("x-remote-user", "system:serviceaccount:kube-system:horizontal-pod-autoscaler".parse().unwrap());
        headers.append("x-remote-group", "system:serviceaccounts".parse().unwrap());
        headers.append("x-remote-group", "system:authenticated".parse().unwrap());
        headers.append("x-remote-extra-authentication.kubernetes.io%2fpod-name", "kcm".parse().unwrap());
        let user = proxy.user(&headers).unwrap();
        assert_eq!(user.name, "system:serviceaccount:kube-system:horizontal-pod-autoscaler");
        assert_eq!(user.groups, ["system:serviceaccounts", "system:authenticated"]);
        assert_eq!(user.extra["authentication.kubernetes.io/pod-name"], ["kcm"]);
    }

    #[test]
    fn a_cluster_without_a_front_proxy_is_told_what_it_lacks() {
        let error = FrontProxy::of(&ConfigMap::default()).unwrap_err();
        assert!(error.to_string().contains("--requestheader-client-ca-file"), "{error}");
    }
}
