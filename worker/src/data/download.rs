//! Downloads one file into the cache: from several mirrors, resumed after cuts, checked, and
//! renamed at the end, so that a file under its final name is whole. If several processes want the
//! same file, one downloads and the others wait.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sha2::{Digest, Sha256};
use swfn_shared::{files, output, problem, problem::Problem};
use swfn_web::ureq::{
    config::ConfigBuilder,
    http::{Response, StatusCode, header},
    typestate::AgentScope,
};
use swfn_web::{Certificates, environment};

use super::{
    idx::hex,
    problems::{self, DISK_HINT},
};
use crate::store_file;

/// Largest file that is accepted, in bytes: twice the largest published one.
const MAX_BYTES: u64 = 64 << 20;
/// How often a mirror may cut a transfer that had made progress.
const MAX_CUTS: u32 = 5;
/// Time limit for a connection, and for each silence while data is expected.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time limit for one transfer, so that a slow one does not hold the lock for ever.
const MAX_DURATION: Duration = Duration::from_secs(30 * 60);

/// A file to download.
pub(super) struct Download<'a> {
    /// Its name on the mirrors.
    pub(super) file: &'a str,
    pub(super) target: &'a Path,
    /// Addresses of folders, tried in turn.
    pub(super) mirrors: &'a [String],
    /// Whether to report on stderr.
    pub(super) progress: bool,
}

/// The outer error is a problem of this machine, the inner one the reason why a mirror failed.
type Transfer = Result<Result<(), String>, Problem>;

impl Download<'_> {
    /// Downloads the file unless it is there already. `verify` checks the content before it gets
    /// its final name.
    pub(super) fn run(&self, verify: impl Fn(&Path) -> Result<(), Problem>) -> Result<(), Problem> {
        let folder = self.target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(problems::io("create", folder, DISK_HINT))?;
        let _lock = self.lock()?;
        if self.target.is_file() {
            return Ok(());
        }
        let mut failures = String::new();
        for mirror in self.mirrors {
            let url = self.url(mirror);
            let part = self.part(&url);
            let Err(why) = self.fetch_from(&url, &part, &verify)? else {
                return self.put_into_place(&part, folder);
            };
            self.log(&format!("{url}: {why}"));
            failures.push_str(&format!("\n  - {url}: {why}"));
        }
        Err(problem!(
            "could not download `{}`:{failures}", self.file;
            "check the network and its proxy, or put the file into a folder and name that as the \
             data directory"
        ))
    }

    /// Locks the file for this process; the lock ends with the returned file, or with the process.
    fn lock(&self) -> Result<File, Problem> {
        let path = self.sibling("lock");
        let hint = "its file system may have no locks: set SWFN_CACHE to a folder on a local disk";
        let create = files::options().create(true).truncate(false).write(true).open(&path);
        let file = create.map_err(problems::io("create", &path, DISK_HINT))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                self.log(&format!("waiting for another process that downloads {}", self.file));
            }
            Err(TryLockError::Error(error)) => {
                return Err(problems::io("lock", &path, hint)(error));
            }
        }
        file.lock().map_err(problems::io("lock", &path, hint))?;
        Ok(file)
    }

    fn url(&self, mirror: &str) -> String {
        format!("{}/{}", mirror.trim_end_matches('/'), self.file)
    }

    /// The unfinished file of one mirror. Mirrors compress differently, so none can continue the
    /// file of another.
    fn part(&self, url: &str) -> PathBuf {
        let id = hex(&Sha256::digest(url)[..4]);
        self.sibling(&format!("{id}.part"))
    }

    fn sibling(&self, extension: &str) -> PathBuf {
        self.target.with_file_name(format!("{}.{extension}", self.file))
    }

    /// Downloads and checks the whole file to `part`.
    fn fetch_from(
        &self,
        url: &str,
        part: &Path,
        verify: impl Fn(&Path) -> Result<(), Problem>,
    ) -> Transfer {
        // On a terminal there is a progress bar instead.
        if !output::on_terminal() {
            self.log(&format!("downloading {url}"));
        }
        let mut cuts = 0;
        loop {
            let before = size(part);
            if let Err(why) = self.transfer(url, part, before)? {
                cuts += 1;
                if size(part) <= before || cuts > MAX_CUTS {
                    return Ok(Err(why));
                }
                continue;
            }
            let Err(problem) = verify(part) else { return Ok(Ok(())) };
            remove(part)?;
            // The file on the mirror may have changed since its first half came: tries once more
            // from the start.
            if before == 0 {
                return Ok(Err(problem.what));
            }
        }
    }

    /// Sends one request. Appends to `part`, which has `have` bytes, or writes it anew if the
    /// server sends the whole file.
    fn transfer(&self, url: &str, part: &Path, have: u64) -> Transfer {
        let range = (have > 0).then(|| (header::RANGE, format!("bytes={have}-")));
        let range: Vec<_> = range.into_iter().collect();
        let answer = swfn_web::get(url, Certificates::default(), limits, &environment, &range);
        let (web, response) = match answer {
            Ok(answer) => answer,
            // A list of failures has a line for each.
            Err(swfn_web::Failure { problem, hint, .. }) => {
                let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
                return Ok(Err(format!("{problem}{hint}")));
            }
        };
        let start = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if continues_at(&response, have) => have,
            // There is no more: `part` is whole or wrong, which the caller checks.
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return Ok(Ok(())),
            status => {
                return Ok(Err(format!("unexpected HTTP status `{status}`{}", web.by())));
            }
        };
        let total = response.body().content_length().map(|length| start.saturating_add(length));
        if let Some(total) = total.filter(|&total| total > MAX_BYTES) {
            return Ok(Err(format!("the file has `{total}` bytes, more than {MAX_BYTES}")));
        }
        let mut file = File::options()
            .create(true)
            .write(true)
            .append(start > 0)
            .truncate(start == 0)
            .open(part)
            .map_err(problems::io("create", part, DISK_HINT))?;
        let bar = self.bar(start, total);
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        let mut written = start;
        let outcome = loop {
            let n = match body.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => break Err(format!("cut after `{written}` bytes: {error}")),
            };
            file.write_all(&buffer[..n]).map_err(problems::io("write", part, DISK_HINT))?;
            written += n as u64;
            self.show(&bar, written);
            if written > MAX_BYTES {
                drop(file);
                remove(part)?;
                return Ok(Err(format!("more than `{MAX_BYTES}` bytes")));
            }
        };
        output::draw(move || bar.finish_and_clear());
        file.sync_all().map_err(problems::io("write", part, DISK_HINT))?;
        let missing = total.filter(|total| written != *total);
        Ok(outcome.and(
            missing.map_or(Ok(()), |total| Err(format!("cut after `{written}` of {total} bytes"))),
        ))
    }

    fn put_into_place(&self, part: &Path, folder: &Path) -> Result<(), Problem> {
        fs::rename(part, self.target).map_err(problems::io("rename", part, DISK_HINT))?;
        store_file::sync_folder(folder);
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

    fn log(&self, line: &str) {
        if self.progress {
            output::print_message(line);
        }
    }
}

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

/// Bytes in a file; 0 if there is none.
fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn remove(path: &Path) -> Result<(), Problem> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(problems::io("delete", path, DISK_HINT)(error))
        }
        _ => Ok(()),
    }
}
