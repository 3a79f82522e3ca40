//! Why there is no store to work with.

use std::{io, path::PathBuf};

use super::database::FORMAT;

/// Why a store cannot be opened. Names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder is not there and cannot be made.
    #[error(
        "cannot make the folder {directory:?} (engine.embedded.persistence.directory): {source}; mount a volume that \
         the broker may write to"
    )]
    Directory {
        /// The folder.
        directory: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process, or another engine of this one, has it open.
    #[error("the store {file:?} is in use by another broker; stop that one, or give each a volume of its own")]
    InUse {
        /// The file.
        file: PathBuf,
    },
    /// The file holds something else.
    #[error("{file:?} is not the store of a broker; name another engine.embedded.persistence.directory")]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// The file was written by another version.
    #[error(
        "the store {file:?} has format {found}, and this version of the broker reads format {FORMAT}; run the version \
         that wrote it until its queues are empty, or move the file away"
    )]
    Format {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: i64,
    },
    /// What is stored does not fit the memory that the configuration allows.
    #[error(
        "the store {file:?} holds more than {limit} of messages, which is what all queues may hold; raise \
         engine.embedded.queueSize, at least until they are consumed"
    )]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// The bound.
        limit: stompbroker_config::ByteSize,
    },
    /// The database refuses.
    #[error("cannot {act} the store {file:?}: {source}")]
    Database {
        /// What failed.
        act: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// There is no thread to write with.
    #[error("cannot start the thread that writes the store: {0}")]
    Thread(#[source] io::Error),
}
