//! The thread that owns the database: takes what has gathered while it wrote, commits it at once, answers.

use std::time::Duration;

use rusqlite::ErrorCode;
use stompbroker_config::ByteSize;

use super::{
    channel::{Batch, Channel},
    database::Database,
};

/// How long to wait before what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Writes until the channel is closed, or as long as the process lives. `size` is the bound of the file.
pub(super) fn run(mut database: Database, channel: &Channel, size: ByteSize) {
    let end = EndOfThread(channel);
    loop {
        let Batch { changes, answers, last } = channel.take();
        match database.commit(&changes) {
            Ok(()) => channel.committed(answers, database.used()),
            Err(error) => {
                let reason = reason(&error, size);
                tracing::warn!(file = ?database.file(), error = reason, "the store cannot be written");
                channel.failed(changes, answers, reason);
                if !last {
                    channel.pause(RETRY);
                    continue;
                }
            }
        }
        if last {
            break;
        }
    }
    if channel.is_sound()
        && let Err(error) = database.close()
    {
        tracing::warn!(%error, "the next start will take all stored messages for redelivered");
    }
    drop(end);
}

fn reason(error: &rusqlite::Error, size: ByteSize) -> String {
    if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
        format!(
            "the volume, or engine.embedded.persistence.size ({size}), is full: {error}; consume from the queues or give it \
             more room"
        )
    } else {
        error.to_string()
    }
}

/// Tells everybody, whatever the reason of the end, that nothing is written any more.
struct EndOfThread<'a>(&'a Channel);

impl Drop for EndOfThread<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
