//! The folder in which a local broker keeps its files: generated logins, so that they stay the same from one start to the
//! next, and what a pod would have mounted. Readable by its owner only.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{
    LocalError,
    pod::{Pod, Secrets},
};
use crate::{
    plan::{GeneratedSecret, LoginSecret, Origin},
    random,
    validate::LOGIN_KEYS,
};

/// The state folder of one local broker.
#[derive(Debug)]
pub(super) struct State {
    root: PathBuf,
}

impl State {
    /// Makes the folder if there is none.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn open(root: PathBuf) -> Result<Self, LocalError> {
        make_folder(&root).map_err(|source| LocalError::Write { path: root.clone(), source })?;
        Ok(Self { root })
    }

    /// The folder.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the volumes of the pod are.
    pub(super) fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// Adds the values of a Secret that is generated: those of the last start, or new ones.
    ///
    /// # Errors
    /// When a value can be neither read nor made.
    pub(super) fn add_generated(&self, secret: &GeneratedSecret, secrets: &mut Secrets) -> Result<(), LocalError> {
        let name = secret.metadata.name.clone().unwrap_or_default();
        let values = secret.random.iter().map(|key| Ok(((*key).to_owned(), self.generated(&name, key)?)));
        let values = values.collect::<Result<_, LocalError>>()?;
        secrets.insert(name, values);
        Ok(())
    }

    /// Adds the values of a login: generated ones, or those of the Secret that the manifest names.
    ///
    /// # Errors
    /// When a value can be neither read nor made.
    pub(super) fn add_login(&self, login: &LoginSecret, secrets: &mut Secrets) -> Result<(), LocalError> {
        let name = login.metadata.name.clone().unwrap_or_default();
        let [username_key, password_key] = LOGIN_KEYS;
        let values = match &login.origin {
            Origin::Copied { secret_name } => secrets.get(secret_name).cloned().unwrap_or_default(),
            Origin::Generated { username } => [
                (username_key.to_owned(), username.as_bytes().to_vec()),
                (password_key.to_owned(), self.generated(&name, password_key)?),
            ]
            .into(),
        };
        secrets.insert(name, values);
        Ok(())
    }

    /// A generated value: that of the last start, or a new one.
    fn generated(&self, secret: &str, key: &str) -> Result<Vec<u8>, LocalError> {
        let path = self.root.join("generated").join(secret).join(key);
        match fs::read(&path) {
            Ok(value) => Ok(value),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let value = random::value().map_err(LocalError::Random)?.into_bytes();
                write(&path, &value)?;
                Ok(value)
            }
            Err(source) => Err(LocalError::Read { path, source }),
        }
    }
}

/// Brings the files of a pod up to date, each at once, its configuration last.
///
/// # Errors
/// When one cannot be written.
pub(super) fn write_files(pod: &Pod) -> Result<(), LocalError> {
    for folder in &pod.folders {
        make_folder(folder).map_err(|source| LocalError::Write { path: folder.clone(), source })?;
    }
    let (configuration, others): (Vec<_>, Vec<_>) =
        pod.files.iter().partition(|(path, _)| path.ends_with(crate::plan::names::CONFIG_KEY));
    others.into_iter().chain(configuration).try_for_each(|(path, content)| {
        if fs::read(path).is_ok_and(|old| old == *content) { Ok(()) } else { write(path, content) }
    })
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file that readers see either as it was or whole.
fn write(path: &Path, content: &[u8]) -> Result<(), LocalError> {
    let written = || {
        path.parent().map_or(Ok(()), make_folder)?;
        let draft = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(content)?;
        fs::rename(&draft, path)
    };
    written().map_err(|source| LocalError::Write { path: path.to_owned(), source })
}
