//! Connections that only read, also while a writer has the file open, and on read-only disks.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use swfn_shared::problem;

use super::{error::StoreError, log};

pub(super) fn read_only() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// The file's name, such that SQLite does not take a folder `file:x` for a URI.
pub(super) fn no_uri(path: &Path) -> PathBuf {
    if path.as_os_str().as_encoded_bytes().starts_with(b"file:") {
        Path::new(".").join(path)
    } else {
        path.to_owned()
    }
}

/// Whether commits may stand beside the file that are not in it yet.
pub(super) fn has_log(path: &Path) -> bool {
    log::path_of(path).metadata().is_ok_and(|metadata| metadata.len() > 0)
}

/// The characters of a path that a URI has as they are, beside letters and digits.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

fn uri(path: &Path, parameter: &str) -> PathBuf {
    let escaped = percent_encode(path.as_os_str().as_encoded_bytes(), ESCAPED);
    format!("file:{escaped}?{parameter}").into()
}

/// The promise that nobody writes to a file.
const IMMUTABLE: &str = "immutable=1";

/// A connection for one short reading, which leaves no files in the folder.
pub(super) fn connect_unnoticed(path: &Path) -> rusqlite::Result<Connection> {
    let parameter = match (has_log(path), log::index_of(path).exists()) {
        // The file has all commits. If a coordinator starts now, the next reading sees it.
        (false, _) => IMMUTABLE,
        (true, true) => "readonly_shm=1",
        // Somebody copied file and log alone: SQLite has to make an index of the log.
        (true, false) => return Connection::open_with_flags(no_uri(path), read_only()),
    };
    Connection::open_with_flags(uri(path, parameter), read_only() | OpenFlags::SQLITE_OPEN_URI)
}

/// A connection that only reads, also where nobody may write.
pub(super) fn connect_to_read(path: &Path) -> Result<Connection, StoreError> {
    let connect = |name: PathBuf, flags: OpenFlags| -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(name, read_only() | flags)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        // Opening alone reads nothing.
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?;
        Ok(connection)
    };
    let cannot_share = |error: &rusqlite::Error| {
        matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
    };
    match connect(no_uri(path), OpenFlags::empty()) {
        // Where nobody may write, SQLite cannot share the file and needs the promise.
        Err(error) if cannot_share(&error) && !has_log(path) => {
            connect(uri(path, IMMUTABLE), OpenFlags::SQLITE_OPEN_URI)
        }
        Err(error) if cannot_share(&error) && path.is_file() => {
            return Err(problem!(
                "`{}` has a log beside it, `sweep.sqlite-wal`, which cannot be read where nothing \
                 can be written",
                path.display();
                "copy the folder to a writable disk, and name the copy"
            )
            .into());
        }
        result => result,
    }
    .map_err(|error| StoreError::new(path, error))
}
