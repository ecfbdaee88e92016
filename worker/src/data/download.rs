//! Downloads one file into the cache: several mirrors, resumed after cuts, checked, and put into
//! place in one step. A file under its final name is always whole. Processes that want the same
//! file at once wait for one of them.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sha2::{Digest, Sha256};
use swfn_shared::{files, output};
use swfn_web::ureq::{
    config::ConfigBuilder,
    http::{Response, StatusCode, header},
    typestate::AgentScope,
};
use swfn_web::{Certificates, environment};

use super::error::DataError;
use super::idx::hex;

/// Largest file that is accepted, in bytes: twice the largest published one.
const MAX_BYTES: u64 = 64 << 20;
/// How often a mirror may cut a transfer that had made progress.
const MAX_CUTS: u32 = 5;
/// For a connection, and for each silence while data is expected.
const PATIENCE: Duration = Duration::from_secs(30);
/// For one transfer as a whole, so that a trickle does not hold the lock for ever.
const MAX_DURATION: Duration = Duration::from_secs(30 * 60);

const DISK_HINT: &str =
    "check the free space and the permissions, or set SWFN_CACHE to another folder";

/// A file to fetch.
pub(super) struct Download<'a> {
    /// Its name on the mirrors.
    pub(super) file: &'a str,
    /// Where it shall lie.
    pub(super) target: &'a Path,
    /// Addresses of folders, tried in turn.
    pub(super) mirrors: &'a [String],
    /// Whether to tell on stderr.
    pub(super) progress: bool,
}

/// Why a mirror was given up, or why no mirror can help.
enum Failure {
    Mirror(String),
    Local(DataError),
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Failure {
        Failure::Local(error)
    }
}

impl Download<'_> {
    /// Fetches the file unless it is there already. `verify` judges the content before it gets its
    /// final name.
    ///
    /// # Errors
    /// [`DataError::Download`] with the reasons of all mirrors, [`DataError::Io`] for the own disk.
    pub(super) fn run(
        &self,
        verify: impl Fn(&Path) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let folder = self.target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(DataError::io("create", folder, DISK_HINT))?;
        let _lock = self.lock()?;
        if self.target.is_file() {
            return Ok(());
        }
        let mut failures = Vec::new();
        for mirror in self.mirrors {
            let url = self.url(mirror);
            let part = self.part(&url);
            match self.fetch_from(&url, &part, &verify) {
                Ok(()) => {
                    self.put_into_place(&part, folder)?;
                    return Ok(());
                }
                Err(Failure::Mirror(why)) => {
                    self.tell(&format!("{url}: {why}"));
                    failures.push(format!("{url}: {why}"));
                }
                Err(Failure::Local(error)) => return Err(error),
            }
        }
        Err(DataError::Download { file: self.file.to_owned(), failures })
    }

    /// Held until the returned file is closed, by a killed process as well.
    fn lock(&self) -> Result<File, DataError> {
        let path = self.sibling("lock");
        let hint =
            "its file system seems to have no locks: set SWFN_CACHE to a folder on a local disk";
        let file = files::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(DataError::io("create", &path, DISK_HINT))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                self.tell(&format!("waiting for another process that downloads {}", self.file));
            }
            Err(TryLockError::Error(error)) => {
                return Err(DataError::io("lock", &path, hint)(error));
            }
        }
        file.lock().map_err(DataError::io("lock", &path, hint))?;
        Ok(file)
    }

    fn url(&self, mirror: &str) -> String {
        format!("{}/{}", mirror.trim_end_matches('/'), self.file)
    }

    /// The unfinished file of one mirror. Mirrors compress differently: what one began, another
    /// cannot finish.
    fn part(&self, url: &str) -> PathBuf {
        let id = hex(&Sha256::digest(url)[..4]);
        self.sibling(&format!("{id}.part"))
    }

    fn sibling(&self, extension: &str) -> PathBuf {
        self.target.with_file_name(format!("{}.{extension}", self.file))
    }

    /// Brings the whole, checked file to `part`.
    fn fetch_from(
        &self,
        url: &str,
        part: &Path,
        verify: impl Fn(&Path) -> Result<(), DataError>,
    ) -> Result<(), Failure> {
        // On a terminal the bar says so.
        if !output::on_terminal() {
            self.tell(&format!("downloading {url}"));
        }
        let mut cuts = 0;
        loop {
            let before = size(part);
            match self.transfer(url, part, before) {
                Ok(()) => match verify(part) {
                    Ok(()) => return Ok(()),
                    Err(error) => {
                        remove(part)?;
                        // Perhaps the file on the mirror changed since its first half came: once
                        // more from the start.
                        if before == 0 {
                            let text = error.to_string();
                            return Err(Failure::Mirror(
                                text.lines().next().unwrap_or_default().into(),
                            ));
                        }
                    }
                },
                Err(Failure::Mirror(why)) => {
                    cuts += 1;
                    if size(part) <= before || cuts > MAX_CUTS {
                        return Err(Failure::Mirror(why));
                    }
                }
                Err(local) => return Err(local),
            }
        }
    }

    /// One request: appends to `part`, which has `have` bytes, or writes it anew if the server
    /// insists.
    fn transfer(&self, url: &str, part: &Path, have: u64) -> Result<(), Failure> {
        let range = (have > 0).then(|| (header::RANGE, format!("bytes={have}-")));
        let range: Vec<_> = range.into_iter().collect();
        let answer = swfn_web::get(url, Certificates::default(), limits, &environment, &range);
        let (web, response) = answer.map_err(|swfn_web::Failure { problem, hint, .. }| {
            // A list of failures has a line for each.
            Failure::Mirror(hint.map_or(problem.clone(), |hint| format!("{problem}; {hint}")))
        })?;
        let start = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if continues_at(&response, have) => have,
            // Nothing lies beyond what is here: it is whole, or wrong, which the caller finds out.
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return Ok(()),
            status => {
                return Err(Failure::Mirror(format!(
                    "unexpected HTTP status `{status}`{}",
                    web.by()
                )));
            }
        };
        let total = response.body().content_length().map(|length| start.saturating_add(length));
        if let Some(total) = total.filter(|&total| total > MAX_BYTES) {
            return Err(Failure::Mirror(format!(
                "the file has `{total}` bytes, more than {MAX_BYTES}"
            )));
        }
        let mut file = File::options()
            .create(true)
            .write(true)
            .append(start > 0)
            .truncate(start == 0)
            .open(part)
            .map_err(DataError::io("create", part, DISK_HINT))?;
        let bar = self.bar(start, total);
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        let mut written = start;
        let outcome = loop {
            let n = match body.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    break Err(Failure::Mirror(format!("cut after `{written}` bytes: {error}")));
                }
            };
            file.write_all(&buffer[..n]).map_err(DataError::io("write", part, DISK_HINT))?;
            written += n as u64;
            self.show(&bar, written);
            if written > MAX_BYTES {
                drop(file);
                remove(part)?;
                return Err(Failure::Mirror(format!("more than `{MAX_BYTES}` bytes")));
            }
        };
        output::draw(move || bar.finish_and_clear());
        file.sync_all().map_err(DataError::io("write", part, DISK_HINT))?;
        outcome?;
        match total {
            Some(total) if written != total => {
                Err(Failure::Mirror(format!("cut after `{written}` of {total} bytes")))
            }
            _ => Ok(()),
        }
    }

    fn put_into_place(&self, part: &Path, folder: &Path) -> Result<(), DataError> {
        fs::rename(part, self.target).map_err(DataError::io("rename", part, DISK_HINT))?;
        // The new name survives a power cut only after this; a file system that cannot is no reason
        // to fail.
        if let Ok(folder) = File::open(folder) {
            let _ = folder.sync_all();
        }
        for mirror in self.mirrors {
            let _ = remove(&self.part(&self.url(mirror)));
        }
        Ok(())
    }

    fn bar(&self, start: u64, total: Option<u64>) -> ProgressBar {
        let bar = ProgressBar::hidden();
        let template = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(self.file.to_owned());
        bar.set_length(total.unwrap_or(MAX_BYTES));
        self.show(&bar, start);
        bar
    }

    fn show(&self, bar: &ProgressBar, position: u64) {
        bar.set_position(position);
        if self.progress && output::on_terminal() {
            let bar = bar.clone();
            output::draw(move || {
                if bar.is_hidden() {
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                }
                bar.tick();
            });
        }
    }

    fn tell(&self, line: &str) {
        if self.progress {
            output::print_message(line);
        }
    }
}

/// The limits of all requests.
fn limits(config: ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope> {
    config
        .timeout_resolve(Some(PATIENCE))
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .timeout_global(Some(MAX_DURATION))
}

/// Whether the answer to a range request begins at byte `have`.
fn continues_at<T>(response: &Response<T>, have: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.trim().starts_with(&format!("bytes {have}-")))
}

/// Bytes in a file, 0 if there is none.
fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn remove(path: &Path) -> Result<(), DataError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DataError::io("delete", path, DISK_HINT)(error))
        }
        _ => Ok(()),
    }
}
