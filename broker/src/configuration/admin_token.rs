//! The bearer token of the admin port.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use stompbroker_config::{login_digest, login_digest_key};
use subtle::ConstantTimeEq as _;

/// A token, kept as its digest.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken([u8; 32]);

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

    /// The digest of the login in a folder, as the operator makes it of the Secret.
    pub(super) fn login_digest(&self, folder: &Path) -> Option<String> {
        login_digest(&self.0, |file| fs::read(folder.join(file)).ok())
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}
