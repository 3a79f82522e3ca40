//! The bearer token of the admin port.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
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
            token => Ok(Self(Sha256::digest(token).into())),
        }
    }

    /// Whether this is the token; takes the same time whatever differs.
    pub fn is(&self, token: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(token).into();
        self.0.ct_eq(&digest).into()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}
