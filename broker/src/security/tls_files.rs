//! The files of a connection that the broker opens with TLS: whom to trust, and what to show.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustls::ClientConfig;
use sha2::{Digest as _, Sha256};
use stompbroker_config::UpstreamTls;

use super::certificates;

/// A key of [`UpstreamTls`], and what is wrong with what it names.
pub(crate) type TlsRefusal = (&'static str, String);

/// The content of the files that an [`UpstreamTls`] names.
pub(crate) struct TlsFiles {
    authorities: Option<(PathBuf, Vec<u8>)>,
    certificate: Option<[(PathBuf, Vec<u8>); 2]>,
}

impl TlsFiles {
    /// Reads them.
    ///
    /// # Errors
    /// The key of a file that cannot be read, and why.
    pub(crate) fn read(config: &UpstreamTls) -> Result<Self, TlsRefusal> {
        let read = |key: &'static str, file: PathBuf| match fs::read(&file) {
            Ok(content) => Ok((file, content)),
            Err(error) => Err((key, format!("{}: cannot be read: {error}", file.display()))),
        };
        let authorities = config.ca_file.clone().map(|file| read("caFile", file)).transpose()?;
        let certificate = match config.certificate_files() {
            Some((certificate, key)) => Some([read("directory", certificate)?, read("directory", key)?]),
            None => None,
        };
        Ok(Self { authorities, certificate })
    }

    /// Other octets for other content.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for (_, content) in self.authorities.iter().chain(self.certificate.iter().flatten()) {
            digest.update((content.len() as u64).to_be_bytes());
            digest.update(content);
        }
        digest.finalize().into()
    }

    /// The client's side of TLS by these files; the public authorities where none are named.
    ///
    /// # Errors
    /// The key of what cannot be used, and why.
    pub(crate) fn client(&self) -> Result<ClientConfig, TlsRefusal> {
        let refuse = |key: &'static str, file: &Path, problem: String| (key, format!("{}: {problem}", file.display()));
        let roots = self
            .authorities
            .as_ref()
            .map(|(file, pem)| certificates::authorities(pem).map_err(|problem| refuse("caFile", file, problem)));
        let shown = self.certificate.as_ref().map(|[(certificate_file, certificate), (key_file, key)]| {
            let chain =
                certificates::chain(certificate).map_err(|problem| refuse("directory", certificate_file, problem));
            let key = certificates::private_key(key).map_err(|problem| refuse("directory", key_file, problem));
            Ok((chain?, key?))
        });
        certificates::client(roots.transpose()?, shown.transpose()?).map_err(|problem| ("directory", problem))
    }
}
