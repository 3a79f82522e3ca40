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
use crate::{plan::GeneratedSecret, random};

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
        let mut values: std::collections::BTreeMap<_, _> =
            secret.fixed.iter().map(|(key, value)| (key.clone(), value.clone().into_bytes())).collect();
        for key in &secret.random {
            let path = self.root.join("generated").join(&name).join(key);
            let value = match fs::read(&path) {
                Ok(value) => value,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let value = random::value().map_err(LocalError::Random)?.into_bytes();
                    write(&path, &value)?;
                    value
                }
                Err(source) => return Err(LocalError::Read { path, source }),
            };
            values.insert((*key).to_owned(), value);
        }
        secrets.insert(name, values);
        Ok(())
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
