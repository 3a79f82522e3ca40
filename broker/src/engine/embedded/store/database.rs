//! The tables on the volume, and the one connection to them.
//!
//! SQLite with a write-ahead log: a commit is one append and one fsync, a crash at any point leaves the last commit. The
//! connection holds the file's lock for its life, so no second process writes the same store. The file never grows beyond
//! its bound; a commit that does not fit fails as a whole and leaves everything as it was.

use std::{
    fs,
    num::NonZeroU64,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Row, TransactionBehavior, params};

use super::{
    error::StoreError,
    pending::{Change, Changes, Stored, StoredId},
};
use crate::{message::Message, stomp::Header};

/// The version of the tables; goes up with every change that an older broker could not read.
pub(super) const FORMAT: i64 = 1;
/// Says whose file it is: the octets of `STMP`.
const APPLICATION_ID: i64 = 0x5354_4D50;
const FILE_NAME: &str = "messages.sqlite";
const PAGE_SIZE: u64 = 4096;
/// Octets of the log after which a commit moves its pages to their place.
const LOG_SIZE: u64 = 8 << 20;

/// Settings of the connection that must be made before the file is touched. No temporary files: the image has no place for
/// them.
const BEFORE_USE: &str = "
    PRAGMA page_size = 4096;
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -4096;
";

const TABLES: &str = "
    CREATE TABLE message (
        id INTEGER PRIMARY KEY,
        returns INTEGER NOT NULL,
        entered INTEGER NOT NULL,
        queue TEXT NOT NULL,
        destination TEXT NOT NULL,
        message_id TEXT NOT NULL,
        content_length INTEGER NOT NULL,
        headers TEXT NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE TABLE stop (clean INTEGER NOT NULL) STRICT;
    INSERT INTO stop VALUES (1);
";

const LOAD: &str = "SELECT id, returns, entered, queue, destination, message_id, content_length, headers, body \
                    FROM message ORDER BY id";
/// What could not be written is tried again whole, also when only the answer to it was lost.
const ENTER: &str = "INSERT OR REPLACE INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const RETURN: &str = "UPDATE message SET returns = ?2 WHERE id = ?1";
const LEAVE: &str = "DELETE FROM message WHERE id = ?";

/// The connection to the tables.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    file: PathBuf,
    /// Whether the last process closed it in order, so that [`Stored::returns`] says all about earlier deliveries.
    clean: bool,
}

impl Database {
    /// Opens the store in this folder, or makes it; it will have at most `size` octets.
    pub(super) fn open(directory: &Path, size: u64) -> Result<Self, StoreError> {
        fs::create_dir_all(directory)
            .map_err(|source| StoreError::Directory { directory: directory.to_owned(), source })?;
        let file = directory.join(FILE_NAME);
        let failed = |source: rusqlite::Error| refusal(&file, source);

        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&file, flags).map_err(failed)?;
        connection.busy_timeout(Duration::ZERO).map_err(failed)?;
        connection.execute_batch(BEFORE_USE).map_err(failed)?;
        let new = check(&connection, &file)?;
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = {}; \
                 PRAGMA max_page_count = {};",
                LOG_SIZE / PAGE_SIZE,
                size / PAGE_SIZE
            ))
            .map_err(failed)?;

        let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive).map_err(failed)?;
        if new {
            transaction.execute_batch(TABLES).map_err(failed)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
            transaction.pragma_update(None, "user_version", FORMAT).map_err(failed)?;
        }
        let clean = transaction.query_row("SELECT clean FROM stop", [], |row| row.get(0)).map_err(failed)?;
        transaction.execute("UPDATE stop SET clean = 0", []).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(Self { connection, file, clean })
    }

    /// Whether the last process closed it in order.
    pub(super) const fn was_closed(&self) -> bool {
        self.clean
    }

    /// Where it is.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Hands out everything that is stored, in the order in which it came.
    pub(super) fn load(
        &self,
        mut take: impl FnMut(StoredId, Stored) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let failed = |source| StoreError::Database { act: "read", file: self.file.clone(), source };
        let mut statement = self.connection.prepare(LOAD).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let (id, stored) = read(row).map_err(failed)?;
            take(id, stored)?;
        }
        Ok(())
    }

    /// Writes all changes, or none; when it returns they are safe.
    pub(super) fn commit(&mut self, changes: &Changes) -> Result<(), rusqlite::Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut enter = transaction.prepare_cached(ENTER)?;
            let mut give_back = transaction.prepare_cached(RETURN)?;
            let mut leave = transaction.prepare_cached(LEAVE)?;
            for (id, change) in changes.iter() {
                let id = number(id);
                match change {
                    Change::Enter(Stored { queue, message, entered, returns }) => enter.execute(params![
                        id,
                        returns,
                        milliseconds(*entered),
                        queue.as_deref().unwrap_or(&message.destination),
                        &*message.destination,
                        &*message.id,
                        message.content_length,
                        serde_json::to_string(&message.headers)
                            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?,
                        &*message.body,
                    ])?,
                    Change::Return(returns) => give_back.execute(params![id, returns])?,
                    Change::Leave => leave.execute([id])?,
                };
            }
        }
        transaction.commit()
    }

    /// Octets of the file that hold something, where the database tells.
    pub(super) fn used(&self) -> Option<u64> {
        let pragma = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).ok();
        let pages = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
        Some(u64::from(pages) * PAGE_SIZE)
    }

    /// Closes the store in order, so that the next process knows all about earlier deliveries.
    pub(super) fn close(self) -> Result<(), StoreError> {
        let failed = |source| StoreError::Database { act: "close", file: self.file.clone(), source };
        self.connection.execute("UPDATE stop SET clean = 1", []).map_err(failed)?;
        self.connection.close().map_err(|(_, source)| StoreError::Database { act: "close", file: self.file, source })
    }
}

/// Whether the file is new; refuses one that holds something else.
fn check(connection: &Connection, file: &Path) -> Result<bool, StoreError> {
    let failed = |source| refusal(file, source);
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed);
    let (whose, format) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    match (whose, format) {
        (0, 0) if tables == 0 => Ok(true),
        (APPLICATION_ID, FORMAT) => Ok(false),
        (APPLICATION_ID, found) => Err(StoreError::Format { file: file.to_owned(), found }),
        _ => Err(StoreError::Foreign { file: file.to_owned() }),
    }
}

fn refusal(file: &Path, source: rusqlite::Error) -> StoreError {
    let file = file.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { file },
        Some(ErrorCode::NotADatabase) => StoreError::Foreign { file },
        _ => StoreError::Database { act: "open", file, source },
    }
}

fn read(row: &Row<'_>) -> Result<(StoredId, Stored), rusqlite::Error> {
    let unusable = |column, error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error)
    };
    let id = u64::try_from(row.get::<_, i64>(0)?).ok().and_then(NonZeroU64::new);
    let id = id.ok_or_else(|| unusable(0, "an id is above zero".into()))?;
    let text = |column| row.get::<_, Box<str>>(column);
    let (queue, destination) = (text(3)?, text(4)?);
    let headers: Vec<Header> = serde_json::from_str(&text(7)?).map_err(|error| unusable(7, error.into()))?;
    let body: Vec<u8> = row.get(8)?;
    let stored = Stored {
        queue: (queue != destination).then_some(queue),
        message: Arc::new(Message::new(text(5)?.into(), destination.into(), headers, body.into(), row.get(6)?)),
        entered: SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0)),
        returns: row.get(1)?,
    };
    Ok((StoredId(id), stored))
}

/// Ids are counted up from one and never reach the bound.
fn number(id: StoredId) -> i64 {
    i64::try_from(id.0.get()).unwrap_or(i64::MAX)
}

fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
