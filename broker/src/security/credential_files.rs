//! Credentials as Kubernetes mounts them: a folder with the files `username` and `password`. The only I/O in here.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use super::Credentials;

/// The file of the name.
pub const USERNAME_FILE: &str = "username";
/// The file of the secret.
pub const PASSWORD_FILE: &str = "password";

/// What the files of further values begin with, beside the current ones: what a rotation brings in, and what it takes out.
const FURTHER_VALUES: [&str; 2] = ["next.", "previous."];

/// A name and its secret; `Debug` shows only the name.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialPair {
    username: Box<str>,
    password: Box<str>,
}

/// Why a folder gives no credentials. The text names the file, never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read, or is not UTF-8.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file's content cannot be sent as a STOMP header.
    #[error("{} {problem}", file.display())]
    Unusable {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        problem: Unusable,
    },
}

/// Why a value can be no credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Nothing in it.
    #[error("is empty; put the value into it")]
    Empty,
    /// A value that no STOMP header can carry.
    #[error("has a line break or NUL inside its value, which no STOMP header can carry; generate another value")]
    LineBreak,
}

impl CredentialPair {
    /// A pair of values.
    ///
    /// # Errors
    /// [`Unusable`] when a value is empty or no STOMP header can carry it.
    pub fn new(username: &str, password: &str) -> Result<Self, Unusable> {
        Ok(Self { username: usable(username)?.into(), password: usable(password)?.into() })
    }

    /// Reads the pair from the folder's files `username` and `password`; one line break at the end does not count.
    ///
    /// # Errors
    /// [`CredentialError`] names the file that is missing, unreadable or unusable.
    pub fn read(directory: &Path) -> Result<Self, CredentialError> {
        Self::read_value(directory, "")
    }

    /// Reads the pair and, where they are there, its further values.
    ///
    /// # Errors
    /// [`CredentialError`] names the file that is missing, unreadable or unusable.
    pub fn read_all(directory: &Path) -> Result<Vec<Self>, CredentialError> {
        let is_there = |prefix: &&str| {
            [USERNAME_FILE, PASSWORD_FILE].iter().any(|file| directory.join(format!("{prefix}{file}")).exists())
        };
        let further = FURTHER_VALUES.iter().copied().filter(is_there);
        std::iter::once("").chain(further).map(|prefix| Self::read_value(directory, prefix)).collect()
    }

    fn read_value(directory: &Path, prefix: &str) -> Result<Self, CredentialError> {
        let read = |name: &str| {
            let file = directory.join(format!("{prefix}{name}"));
            let text = match fs::read_to_string(&file) {
                Ok(text) => text,
                Err(source) => return Err(CredentialError::Read { file, source }),
            };
            let value = text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line));
            usable(value).map(Box::from).map_err(|problem| CredentialError::Unusable { file, problem })
        };
        Ok(Self { username: read(USERNAME_FILE)?, password: read(PASSWORD_FILE)? })
    }

    /// The name.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The secret.
    pub fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for CredentialPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialPair").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads what `credentials` and `authentication` of the configuration accept.
    ///
    /// # Errors
    /// [`CredentialError`] names the file that gives no credentials.
    pub fn read(
        credentials: &stompbroker_config::Credentials,
        authentication: &stompbroker_config::Authentication,
    ) -> Result<Self, CredentialError> {
        let read = |directory: &Option<stompbroker_config::CredentialDirectory>| {
            directory.as_ref().map_or(Ok(Vec::new()), |folder| CredentialPair::read_all(&folder.directory))
        };
        Ok(Self::new(&read(&credentials.system)?, &read(&credentials.client)?, authentication.anonymous))
    }
}

fn usable(value: &str) -> Result<&str, Unusable> {
    if value.is_empty() {
        Err(Unusable::Empty)
    } else if value.contains(['\r', '\n', '\0']) {
        Err(Unusable::LineBreak)
    } else {
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(username: &[u8], password: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(USERNAME_FILE), username).unwrap();
        fs::write(folder.path().join(PASSWORD_FILE), password).unwrap();
        folder
    }

    #[test]
    fn one_line_break_at_the_end_does_not_count() {
        for (username, password) in [("ann", "pass word"), ("ann\n", "pass word\r\n")] {
            let pair = CredentialPair::read(folder(username.as_bytes(), password.as_bytes()).path()).unwrap();
            assert_eq!((pair.username(), pair.password()), ("ann", "pass word"));
        }
    }

    #[test]
    fn an_unusable_file_is_named_and_its_content_is_not() {
        for (username, password, file, problem) in [
            (&b""[..], &b"s3cret"[..], USERNAME_FILE, "is empty"),
            (b"ann", b"\n", PASSWORD_FILE, "is empty"),
            (b"ann", b"s3cret\n\n", PASSWORD_FILE, "line break"),
            (b"ann", b"s3cret\xff", PASSWORD_FILE, "cannot read"),
        ] {
            let folder = folder(username, password);
            let error = CredentialPair::read(folder.path()).unwrap_err().to_string();
            assert!(error.contains(file) && error.contains(problem), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = folder(b"ann", b"x");
        fs::remove_file(folder.path().join(PASSWORD_FILE)).unwrap();
        let error = CredentialPair::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&*folder.path().join(PASSWORD_FILE).to_string_lossy()), "{error}");
    }

    #[test]
    fn further_values_are_read_where_they_are_there_and_must_be_whole() {
        let folder = folder(b"ann", b"now");
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        let read = || {
            let pairs = CredentialPair::read_all(folder.path());
            pairs
                .map(|pairs| pairs.into_iter().map(|pair| format!("{}:{}", pair.username(), pair.password())).collect())
        };
        let found: Vec<String> = read().unwrap();
        assert_eq!(found, ["ann:now"]);
        write("previous.username", "anna");
        let error = read().unwrap_err().to_string();
        assert!(error.contains("previous.password"), "{error}");
        write("previous.password", "before");
        write("next.username", "ann");
        write("next.password", "soon");
        let found: Vec<String> = read().unwrap();
        assert_eq!(found, ["ann:now", "ann:soon", "anna:before"]);
    }

    #[test]
    fn the_configured_folders_give_each_role_its_pair() {
        let (system, client) = (folder(b"sys", b"a"), folder(b"cli", b"b"));
        let directory = |folder: &tempfile::TempDir| {
            Some(stompbroker_config::CredentialDirectory { directory: folder.path().to_owned() })
        };
        let configured = stompbroker_config::Credentials { system: directory(&system), client: directory(&client) };
        let credentials = Credentials::read(&configured, &stompbroker_config::Authentication::default()).unwrap();
        for (name, passcode, role) in [("sys", "a", "system"), ("cli", "b", "client")] {
            let login = crate::session::Login {
                login: Some(name.into()),
                passcode: Some(passcode.into()),
                ..Default::default()
            };
            assert_eq!(&*credentials.login(&login).unwrap().roles[0], role);
        }
    }
}
