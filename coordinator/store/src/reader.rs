//! Reading while the sweep runs: further connections to the file, which can only read.
//!
//! Readers must not cost the sweep anything. So there are few connections, each reading has a time
//! limit, and a connection rests after a reading as long as that took. SQLite's log begins anew
//! only when nobody reads an old state of it, and would grow without end under steady readers.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, Transaction};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use swfn_shared::{problem, problem::Problem};

use super::{columns, connect};

/// Connections, which is also the number of readings at a time.
const CONNECTIONS: u32 = 2;

/// The time limit for one reading with all its statements.
const LIMIT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 5 });

/// Instructions of SQLite's virtual machine between two looks at the clock: less than 1 ms.
const INSTRUCTIONS: i32 = 10_000;

/// How long to wait while SQLite repairs its log after a crash, or removes it.
const BUSY: Duration = Duration::from_secs(1);

/// The reason why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{0}")]
    TooLong(#[source] Problem),
    #[error("the coordinator is stopping")]
    Closed,
    #[error("`{path}` cannot be read: {error}", path = path.display())]
    Sqlite { path: PathBuf, error: rusqlite::Error },
}

/// The connections. Clones share them.
#[derive(Debug, Clone)]
pub struct Reader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// Whether another process may write the file.
    of_others: bool,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    closing: Arc<AtomicBool>,
}

impl Reader {
    /// Reads a file that this process's store has opened.
    pub fn new(path: &Path) -> Self {
        Self::with(path, false)
    }

    /// Reads a file that another process may write. No connection stays open: it would keep SQLite
    /// from removing its log when the writer ends.
    pub fn of_others(path: &Path) -> Self {
        Self::with(path, true)
    }

    fn with(path: &Path, of_others: bool) -> Self {
        let permits = Arc::new(Semaphore::new(CONNECTIONS as usize));
        let (path, idle, closing) = (path.to_owned(), Mutex::default(), Arc::default());
        Self(Arc::new(Shared { path, of_others, permits, idle, closing }))
    }

    /// Reads as of one moment, to the end or the limit, even if the caller is gone.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let shared = Arc::clone(&self.0);
        let permits = Arc::clone(&shared.permits);
        let permit = permits.acquire_owned().await.map_err(|_| ReadError::Closed)?;
        let reading = tokio::spawn(async move {
            let began = Instant::now();
            let closing = Arc::clone(&shared.closing);
            let read = tokio::task::spawn_blocking(move || shared.read(work)).await;
            let took = began.elapsed();
            tokio::spawn(async move {
                if !closing.load(Ordering::Relaxed) {
                    sleep(took).await;
                }
                drop(permit);
            });
            read
        });
        // Without a result, the runtime is shutting down, or this reading has panicked.
        reading.await.map_err(|_| ReadError::Closed)?.map_err(|_| ReadError::Closed)?
    }

    /// Ends all readings and closes all connections, so that the writer's can remove the log.
    pub async fn close(&self) {
        self.0.closing.store(true, Ordering::Relaxed);
        let all = timeout(LIMIT, self.0.permits.acquire_many(CONNECTIONS)).await;
        self.0.permits.close();
        drop(all);
        self.0.idle().clear();
    }
}

impl Shared {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, ReadError> {
        let idle = self.idle().pop();
        let read = || {
            let mut connection = idle.map_or_else(|| self.connect(), Ok)?;
            let (end, closing) = (Instant::now() + LIMIT, Arc::clone(&self.closing));
            let is_over = move || Instant::now() >= end || closing.load(Ordering::Relaxed);
            connection.progress_handler(INSTRUCTIONS, Some(is_over))?;
            let result = work(&connection.transaction()?);
            if !self.of_others {
                self.idle().push(connection);
            }
            result
        };
        read().map_err(|error: rusqlite::Error| match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) if self.closing.load(Ordering::Relaxed) => {
                ReadError::Closed
            }
            Some(ErrorCode::OperationInterrupted) => ReadError::TooLong(problem!(
                "reading took longer than {LIMIT:?}";
                "ask for less, or look into the file itself"
            )),
            _ => ReadError::Sqlite { path: self.path.clone(), error },
        })
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = if self.of_others {
            let connection = connect::connect_unnoticed(&self.path)?;
            // Its columns may be those of an older program.
            columns::see_all(&connection, "in_grid")?;
            connection
        } else {
            Connection::open_with_flags(connect::no_uri(&self.path), connect::read_only())?
        };
        connection.busy_timeout(BUSY)?;
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Store, *};

    /// Counts for ever.
    const ENDLESS: &str =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

    fn count(sql: &'static str) -> impl FnOnce(&Transaction<'_>) -> rusqlite::Result<i64> + Clone {
        move |transaction| transaction.query_row(sql, [], |row| row.get(0))
    }

    #[tokio::test]
    async fn it_reads_beside_the_writer_and_cannot_write() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sweep.sqlite");
        let store = Store::open(&path).unwrap();
        let reader = Reader::new(&path);
        assert_eq!(reader.read(count("SELECT count(*) FROM metric")).await.unwrap(), 0);
        store.connection.execute("INSERT INTO metric VALUES (1, 'x')", []).unwrap();
        assert_eq!(reader.read(count("SELECT count(*) FROM metric")).await.unwrap(), 1);
        let written = reader
            .read(|transaction| transaction.execute("DELETE FROM metric", []))
            .await
            .unwrap_err();
        assert!(written.to_string().contains("readonly database"), "{written}");
        reader.close().await;
        assert!(matches!(reader.read(count("SELECT 1")).await, Err(ReadError::Closed)));
        drop(store);
        // The writer was the last and has removed the log: the file and its mark are left.
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[tokio::test]
    async fn a_reader_leaves_no_files_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sweep.sqlite");
        let names = || {
            let mut names: Vec<_> =
                std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let metrics = count("SELECT count(*) FROM looked");
        Store::open(&path)
            .unwrap()
            .connection
            .execute_batch("CREATE TABLE looked (i INTEGER)")
            .unwrap();
        let (reader, alone) = (Reader::of_others(&path), names());
        assert_eq!((reader.read(metrics.clone()).await.unwrap(), names()), (0, alone.clone()));
        // While a coordinator writes, its commits are seen at once. Its end removes the log.
        let store = Store::open(&path).unwrap();
        for written in 1..=3 {
            store.connection.execute("INSERT INTO looked VALUES (1)", []).unwrap();
            let before = names();
            assert_eq!(reader.read(metrics.clone()).await.unwrap(), written);
            assert_eq!(names(), before);
        }
        let denied = reader.read(|t| t.execute("DELETE FROM looked", [])).await.unwrap_err();
        assert!(denied.to_string().contains("readonly database"), "{denied}");
        drop(store);
        assert_eq!((reader.read(metrics.clone()).await.unwrap(), names()), (3, alone.clone()));
        // A log that somebody copied without its index.
        let store = Store::open(&path).unwrap();
        store.connection.execute("INSERT INTO looked VALUES (1)", []).unwrap();
        let copy = dir.path().join("copy");
        std::fs::create_dir(&copy).unwrap();
        for name in ["sweep.sqlite", "sweep.sqlite-wal"] {
            std::fs::copy(dir.path().join(name), copy.join(name)).unwrap();
        }
        assert_eq!(Reader::of_others(&copy.join("sweep.sqlite")).read(metrics).await.unwrap(), 4);
    }

    #[tokio::test]
    async fn long_readings_end_and_so_does_closing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sweep.sqlite");
        let _store = Store::open(&path).unwrap();
        let reader = Reader::new(&path);
        let began = Instant::now();
        assert!(matches!(reader.read(count(ENDLESS)).await, Err(ReadError::TooLong(_))));
        assert!(began.elapsed() >= LIMIT);
        // The other connection is free, the first one rests.
        assert_eq!(reader.read(count("SELECT 7")).await.unwrap(), 7);
        let endless = tokio::spawn({
            let reader = reader.clone();
            async move { reader.read(count(ENDLESS)).await }
        });
        sleep(Duration::from_millis(50)).await;
        reader.close().await;
        assert!(matches!(endless.await.unwrap(), Err(ReadError::Closed)));
    }

    /// People who never stop looking do not keep SQLite from beginning its log anew.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_log_does_not_grow_under_readers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sweep.sqlite");
        let store = Store::open(&path).unwrap();
        // The disk's speed does not matter here.
        store.connection.pragma_update(None, "synchronous", "OFF").unwrap();
        store.connection.execute_batch("CREATE TABLE big (i INTEGER, t TEXT)").unwrap();
        let reader = Reader::new(&path);
        let mut looking = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let reader = reader.clone();
            let sum = "SELECT sum(length(t)) FROM big";
            looking.spawn(async move {
                while reader
                    .read(|t| t.query_row(sum, [], |row| row.get::<_, Option<i64>>(0)))
                    .await
                    .is_ok()
                {}
            });
        }
        let mut longest = 0;
        for _ in 0..60 {
            let batch = "BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
                         INSERT INTO big SELECT i, hex(randomblob(100)) FROM n; COMMIT";
            store.connection.execute_batch(batch).unwrap();
            longest =
                longest.max(std::fs::metadata(dir.path().join("sweep.sqlite-wal")).unwrap().len());
            sleep(Duration::from_millis(10)).await;
        }
        reader.close().await;
        looking.join_all().await;
        // A log that never began anew would have the texts of all rows.
        let written = 60 * 2000 * 200;
        assert!(longest < written, "the log had {longest} bytes of {written}");
    }
}
