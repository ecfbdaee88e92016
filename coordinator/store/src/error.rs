//! A store that cannot be opened, read or written, and what to do about it.

use std::path::Path;

use swfn_shared::{problem, problem::Problem};

/// Version of the tables that `schema.rs` makes.
pub(super) const SCHEMA_VERSION: i64 = 5;

/// A store that cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite says so.
    #[error("{problem}")]
    Sqlite {
        code: Option<rusqlite::ErrorCode>,
        #[source]
        problem: Problem,
    },
    /// The file does not hold what was written.
    #[error("{0}")]
    Damaged(#[source] Problem),
    /// It is not there, of another version, or not to be used here.
    #[error("{0}")]
    Unusable(#[from] Problem),
}

/// What a person can do about it.
fn hint(code: Option<rusqlite::ErrorCode>) -> &'static str {
    use rusqlite::ErrorCode;
    match code {
        Some(ErrorCode::DiskFull) => "make room on its disk",
        Some(ErrorCode::SystemIoFailure) => {
            "look after its disk, which does not do what it is asked to"
        }
        Some(ErrorCode::CannotOpen) => {
            "see whether its folder is there, and whether you may read and write there"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            "see whether you may write there"
        }
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed,
        ) => {
            "another program holds it, or its file system has no locks: then put the run directory on a local disk"
        }
        _ => "run the same command again",
    }
}

impl StoreError {
    /// Whether writing again may succeed: the disk is full, or does not answer.
    pub fn may_pass(&self) -> bool {
        use rusqlite::ErrorCode::{DiskFull, SystemIoFailure};
        matches!(self, Self::Sqlite { code: Some(DiskFull | SystemIoFailure), .. })
    }

    /// Whether the disk does not answer, or wrongly. A full one may look like that too, where SQLite cannot tell.
    pub fn is_of_the_device(&self) -> bool {
        matches!(self, Self::Sqlite { code: Some(rusqlite::ErrorCode::SystemIoFailure), .. })
    }

    pub fn new(path: &Path, error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let code = error.sqlite_error_code();
        match error {
            rusqlite::Error::FromSqlConversionFailure(..) => {
                Self::damaged(path, &error.to_string())
            }
            _ if matches!(code, Some(DatabaseCorrupt | NotADatabase)) => {
                Self::damaged(path, &error.to_string())
            }
            _ => {
                let hint = hint(code);
                let problem = problem!("`{}`: {error}", path.display(); "{hint}; what was acknowledged is kept");
                Self::Sqlite { code, problem }
            }
        }
    }

    pub(super) fn damaged(path: &Path, what: &str) -> Self {
        Self::Damaged(problem!(
            "`{}` is damaged: {what}", path.display();
            "restore it from a backup, or start anew in another --run-dir"
        ))
    }

    pub(super) fn missing(path: &Path) -> Self {
        let path = path.display();
        problem!(
            "`{path}` is not there";
            "name the run directory of a sweep, such as runs/quick"
        )
        .into()
    }
}

/// Of a file that is of another version, to who only reads.
pub(super) fn unreadable(path: &Path, found: i64) -> StoreError {
    let shown = path.display();
    match found {
        1..SCHEMA_VERSION => problem!(
            "`{shown}` has schema version `{found}`, of an earlier program";
            "`swfn-coordinator --run-dir` with its folder brings it up to date, and trains \
             nothing that is done"
        ),
        _ => of_another_version(path, found),
    }
    .into()
}

pub(super) fn of_another_version(path: &Path, found: i64) -> Problem {
    problem!(
        "`{}` has schema version `{found}`", path.display();
        "this program writes version {SCHEMA_VERSION}; use the one that wrote the file, or \
         another --run-dir"
    )
}
