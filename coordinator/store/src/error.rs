//! A store that cannot be opened, read or written, and what to do about it.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use rusqlite::ErrorCode;
use swfn_shared::{problem, problem::Problem};

pub(super) const SCHEMA_VERSION: i64 = 5;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{problem}")]
    Sqlite {
        code: Option<ErrorCode>,
        #[source]
        problem: Problem,
    },
    /// A file of a trial cannot be written.
    #[error("{problem}")]
    File {
        disk_full: bool,
        #[source]
        problem: Problem,
    },
    /// The file does not hold what was written.
    #[error("{0}")]
    Damaged(#[source] Problem),
    /// It is missing, of another version, or not to be used here.
    #[error("{0}")]
    Unusable(#[from] Problem),
}

fn hint(code: Option<ErrorCode>) -> &'static str {
    use ErrorCode::*;
    match code {
        Some(DiskFull) => "make room on its disk",
        Some(SystemIoFailure) => "check its disk, which fails to read or write",
        Some(CannotOpen) => "check that its folder is there, and that you may read and write there",
        Some(ReadOnly | PermissionDenied) => "check that you may write there",
        Some(DatabaseBusy | DatabaseLocked | FileLockingProtocolFailed) => {
            "another program holds it, or its file system has no locks: then put the run directory \
             on a local disk"
        }
        _ => "run the same command again",
    }
}

impl StoreError {
    /// Whether writing again may succeed: the disk is full, or does not answer.
    pub fn is_temporary(&self) -> bool {
        let is_full = match self {
            Self::Sqlite { code, .. } => *code == Some(ErrorCode::DiskFull),
            Self::File { disk_full, .. } => *disk_full,
            _ => false,
        };
        is_full || self.is_device_failure()
    }

    /// Whether the disk fails. A full one may look like that too, where SQLite cannot tell.
    pub fn is_device_failure(&self) -> bool {
        matches!(self, Self::Sqlite { code: Some(ErrorCode::SystemIoFailure), .. })
    }

    pub fn new(path: &Path, error: rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        if matches!(error, rusqlite::Error::FromSqlConversionFailure(..))
            || matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        {
            return Self::damaged(path, &error.to_string());
        }
        let hint = hint(code);
        let problem =
            problem!("`{}`: {error}", path.display(); "{hint}; what was acknowledged is kept");
        Self::Sqlite { code, problem }
    }

    pub(super) fn damaged(path: &Path, what: &str) -> Self {
        Self::Damaged(problem!(
            "`{}` is damaged: {what}", path.display();
            "restore it from a backup, or start anew in another --run-dir"
        ))
    }

    pub(super) fn unwritable(path: &Path, error: &io::Error, hint: &str) -> Self {
        let problem = problem!("cannot write `{}`: {error}", path.display(); "{hint}");
        Self::File { disk_full: is_full(error), problem }
    }

    pub(super) fn missing(path: &Path) -> Self {
        let path = path.display();
        problem!("`{path}` is not there"; "name the run directory of a sweep, such as runs/quick")
            .into()
    }
}

/// Whether the disk, or the user's share of it, is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// The error for a reader that finds a file of another version.
pub(super) fn unreadable(path: &Path, found: i64) -> StoreError {
    if !(1..SCHEMA_VERSION).contains(&found) {
        return other_version(path, found).into();
    }
    problem!(
        "`{}` has schema version `{found}`, of an earlier program", path.display();
        "`swfn-coordinator --run-dir` with its folder brings it up to date, and trains nothing \
         that is done"
    )
    .into()
}

pub(super) fn other_version(path: &Path, found: i64) -> Problem {
    problem!(
        "`{}` has schema version `{found}`", path.display();
        "this program writes version {SCHEMA_VERSION}; use the one that wrote the file, or \
         another --run-dir"
    )
}
