//! TLS of a listener, and of connections to upstreams.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Name of the certificate in a Secret of type `kubernetes.io/tls`, and in a folder like it.
pub const TLS_CERTIFICATE_FILE: &str = "tls.crt";
/// Name of the private key in a Secret of type `kubernetes.io/tls`, and in a folder like it.
pub const TLS_KEY_FILE: &str = "tls.key";

/// TLS of a listener: either `directory`, or `certificateFile` and `keyFile`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListenerTls {
    /// TCP port that speaks TLS, beside the listener's own one, which then does not; 0 lets the system choose one. Absent:
    /// the listener's own port speaks TLS, and nothing is unencrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Folder with the files `tls.crt` and `tls.key`, as Kubernetes mounts a Secret of type `kubernetes.io/tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// PEM file with the certificate, and those between it and the authority behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// PEM file with the private key of the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Certificates that clients show. Absent: none are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificates: Option<ClientCertificates>,
}

/// TLS of the connections to upstreams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpstreamTls {
    /// PEM file with the authorities that the upstreams' certificates are trusted by. Absent: the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The name that the upstreams' certificates must be for. Absent: the host that was connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Folder with the files `tls.crt` and `tls.key` of the certificate that the broker shows. Absent: it shows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
}

impl UpstreamTls {
    /// The file with the certificate that the broker shows, and the one with its private key.
    pub fn certificate_files(&self) -> Option<(PathBuf, PathBuf)> {
        let folder = self.directory.as_ref()?;
        Some((folder.join(TLS_CERTIFICATE_FILE), folder.join(TLS_KEY_FILE)))
    }

    /// Every file that it needs.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let certificate = self.certificate_files().into_iter().flat_map(|(certificate, key)| [certificate, key]);
        self.ca_file.clone().into_iter().chain(certificate)
    }
}

/// Certificates that clients show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientCertificates {
    /// PEM file with the authorities that clients' certificates are trusted by.
    pub ca_file: PathBuf,
    /// Whether a client without a certificate is refused by the TLS handshake.
    #[serde(default)]
    pub required: bool,
    /// What of a certificate is the name of the user that a CONNECT without a login logs in as. Absent: a certificate is
    /// no login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<CertificateName>,
}

/// What of a certificate is the user's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CertificateName {
    /// The common name of its subject.
    CommonName,
    /// Its first subject alternative name that is a DNS name.
    DnsName,
    /// Its first subject alternative name that is an e-mail address.
    EmailAddress,
    /// Its first subject alternative name that is a URI, such as a SPIFFE id.
    Uri,
}

impl ListenerTls {
    /// The file with the certificate, and the key that says so.
    pub fn certificate_file(&self) -> (PathBuf, &'static str) {
        self.file(self.certificate_file.as_deref(), "certificateFile", TLS_CERTIFICATE_FILE)
    }

    /// The file with the private key, and the key that says so.
    pub fn key_file(&self) -> (PathBuf, &'static str) {
        self.file(self.key_file.as_deref(), "keyFile", TLS_KEY_FILE)
    }

    fn file(&self, named: Option<&Path>, key: &'static str, in_folder: &str) -> (PathBuf, &'static str) {
        match (named, &self.directory) {
            (Some(file), _) => (file.to_owned(), key),
            (None, folder) => (folder.as_deref().unwrap_or_else(|| Path::new("")).join(in_folder), "directory"),
        }
    }

    /// Every file that it needs.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let authorities = self.client_certificates.as_ref().map(|clients| clients.ca_file.clone());
        [self.certificate_file().0, self.key_file().0].into_iter().chain(authorities)
    }

    /// Checks what the types cannot say; an error is the key, and what is wrong and would be right.
    pub(crate) fn check(&self, listener_port: u16) -> Result<(), (&'static str, String)> {
        let refuse = |key: &'static str, problem: &str| Err((key, problem.to_owned()));
        match (&self.directory, &self.certificate_file, &self.key_file) {
            (Some(_), None, None) | (None, Some(_), Some(_)) => {}
            (Some(_), _, _) => {
                return refuse(
                    "directory",
                    "certificateFile or keyFile is given too; give either the folder or both files",
                );
            }
            (None, Some(_), None) => {
                return refuse("keyFile", "it is missing; give the private key of certificateFile");
            }
            (None, None, Some(_)) => {
                return refuse("certificateFile", "it is missing; give the certificate of keyFile");
            }
            (None, None, None) => {
                return refuse("directory", "no certificate is given; give directory, or certificateFile and keyFile");
            }
        }
        if self.port.is_some_and(|port| port != 0 && port == listener_port) {
            return refuse("port", "the listener has this port itself; leave port out here to speak only TLS on it");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(text: &str) -> ListenerTls {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn a_mounted_secret_and_two_files_name_the_same_things() {
        let folder = tls("{directory: /tls, clientCertificates: {caFile: /ca.crt}}");
        let files: Vec<_> = folder.files().map(|file| file.to_string_lossy().into_owned()).collect();
        assert_eq!(
            (files, folder.check(1)),
            (["/tls/tls.crt", "/tls/tls.key", "/ca.crt"].map(String::from).into(), Ok(()))
        );
        let files = tls("{certificateFile: /a.pem, keyFile: /b.pem}");
        assert_eq!(files.certificate_file(), ("/a.pem".into(), "certificateFile"));
        assert_eq!((files.key_file(), files.check(1)), (("/b.pem".into(), "keyFile"), Ok(())));
    }

    #[test]
    fn what_cannot_work_is_named_with_its_remedy() {
        for (text, key, remedy) in [
            ("{}", "directory", "give directory"),
            ("{certificateFile: /a}", "keyFile", "private key"),
            ("{keyFile: /a}", "certificateFile", "certificate of keyFile"),
            ("{directory: /a, keyFile: /b}", "directory", "either"),
            ("{directory: /a, port: 61613}", "port", "leave port out"),
        ] {
            let (found, problem) = tls(text).check(61613).unwrap_err();
            assert!(found == key && problem.contains(remedy), "{text}: {found}: {problem}");
        }
    }
}
