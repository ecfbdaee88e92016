//! Connections that only read, whoever else has the file open, and where nobody may write.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use swfn_shared::problem;

use super::{error::StoreError, log};

pub(super) fn read_only() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// The same file, under a name that SQLite does not take for a URI: a folder may be called
/// `file:x`.
pub(super) fn no_uri(path: &Path) -> PathBuf {
    if path.as_os_str().as_encoded_bytes().starts_with(b"file:") {
        Path::new(".").join(path)
    } else {
        path.to_owned()
    }
}

/// Whether commits stand beside the file that are not in it yet.
fn has_log(path: &Path) -> bool {
    log::of(path).metadata().is_ok_and(|metadata| metadata.len() > 0)
}

/// The name of a file for SQLite, with what it is told about it.
fn uri(path: &Path, told: &str) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let escaped = bytes.iter().map(|byte| match byte {
        b'/' | b'.' | b'-' | b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
            char::from(*byte).to_string()
        }
        other => format!("%{other:02X}"),
    });
    format!("file:{}?{told}", escaped.collect::<String>())
}

/// That nobody writes to a file.
const IMMUTABLE: &str = "immutable=1";

/// A connection for one short reading, which changes nothing in the folder, whoever writes there.
/// SQLite would leave two files where it is told less.
pub(super) fn connect_unnoticed(path: &Path) -> rusqlite::Result<Connection> {
    let told = match (has_log(path), log::index(path).exists()) {
        // All commits are in the file itself. If a coordinator starts in this moment, the next
        // reading sees it.
        (false, _) => IMMUTABLE,
        (true, true) => "readonly_shm=1",
        // Somebody copied file and log alone: SQLite has to make an index of the log.
        (true, false) => return Connection::open_with_flags(no_uri(path), read_only()),
    };
    Connection::open_with_flags(uri(path, told), read_only() | OpenFlags::SQLITE_OPEN_URI)
}

/// A connection that only reads, also where nobody may write.
pub(super) fn connect_to_read(path: &Path) -> Result<Connection, StoreError> {
    let connect = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(no_uri(path), read_only())?;
        // Where nobody may write, SQLite cannot share the file either, and takes it as it is if
        // told that nobody does.
        let shared =
            connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
        let cannot_share = |error: &rusqlite::Error| {
            matches!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::ReadOnly)
            )
        };
        let connection = match shared {
            Err(error) if cannot_share(&error) && !has_log(path) => Connection::open_with_flags(
                uri(path, IMMUTABLE),
                read_only() | OpenFlags::SQLITE_OPEN_URI,
            )?,
            Err(error) if cannot_share(&error) => return Err(error),
            _ => connection,
        };
        connection.busy_timeout(Duration::from_secs(10))?;
        Ok(connection)
    };
    connect().map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::ReadOnly)
            if path.is_file() && has_log(path) =>
        {
            problem!(
                "`{}` has a log beside it, `sweep.sqlite-wal`, which cannot be read where nothing \
                 can be written",
                path.display();
                "copy the folder to a writable disk, and name the copy"
            )
            .into()
        }
        _ => StoreError::new(path, error),
    })
}
