//! Files of the run directory that people open from the page: the report, logs of attempts, what
//! trials left behind. Their names are fixed, and nothing in them is run: a browser shows them as
//! what they are said to be, or saves them.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use nix::fcntl::OFlag;
use swfn_shared::{artifacts, ids::TrialId};
use swfn_store::log_file;
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_stream::wrappers::ReceiverStream;

use super::problem::Problem;

/// The report has its style sheet inside, and pictures; scripts, forms and frames it has not, and a
/// hostile one gets none. It may not ask this coordinator for anything either: to the browser it is
/// from nowhere.
pub(super) const REPORT_POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// Bytes that are read at a time.
const CHUNK: usize = 64 << 10;

/// A file that a trial may leave: its name, its type, and whether a browser shows it.
const ARTIFACTS: [(&str, &str, bool); 3] = [
    (artifacts::VAE_SHEET, "image/png", true),
    (artifacts::CONFUSION, "text/plain; charset=utf-8", true),
    (artifacts::WEIGHTS, "application/octet-stream", false),
];

/// The names of the files that a trial has left, in the order in which people look at them.
pub(super) fn left_by(run_dir: &Path, trial: TrialId) -> Vec<&'static str> {
    let folder = run_dir.join("artifacts").join(trial.to_string());
    ARTIFACTS.iter().map(|(name, ..)| *name).filter(|name| is_plain(&folder.join(name))).collect()
}

/// The attempts of a trial whose logs there are, the newest first.
pub(super) fn logs_of(run_dir: &Path, trial: TrialId, attempts: u32) -> Vec<u32> {
    /// Attempts that are looked for.
    const MOST: u32 = 20;
    let newest = attempts.saturating_sub(MOST) + 1..=attempts;
    newest.rev().filter(|attempt| is_plain(&log_of(run_dir, trial, *attempt))).collect()
}

/// Where the log of an attempt is.
pub(super) fn log_of(run_dir: &Path, trial: TrialId, attempt: u32) -> PathBuf {
    log_file(&run_dir.join("logs"), &trial.to_string(), attempt)
}

/// A file that a trial has left.
pub(super) async fn artifact(
    run_dir: &Path,
    trial: TrialId,
    name: &str,
) -> Result<Response, Problem> {
    let Some((name, kind, shown)) = ARTIFACTS.iter().find(|(known, ..)| *known == name) else {
        let names: Vec<_> = ARTIFACTS.iter().map(|(name, ..)| *name).collect();
        return Err(missing("no file of a trial has that name")
            .hint(format!("names are: {}", names.join(", "))));
    };
    let path = run_dir.join("artifacts").join(trial.to_string()).join(name);
    let mut response = file(&path, kind).await?;
    if !shown {
        let saved = format!("attachment; filename=\"{trial}-{name}\"");
        let saved = HeaderValue::from_str(&saved).expect("ids and names are ASCII");
        response.headers_mut().insert(header::CONTENT_DISPOSITION, saved);
    }
    Ok(response)
}

fn missing(what: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, what)
}

/// A file as it is, piece by piece: whoever reads slowly holds up nobody, and takes no room.
pub(super) async fn file(path: &Path, kind: &'static str) -> Result<Response, Problem> {
    let path = path.to_owned();
    let opened = spawn_blocking(move || open(&path)).await.map_err(io::Error::other).flatten();
    let (mut file, length) = opened.map_err(|_| missing("there is no such file, or not yet"))?;
    let (send, pieces) = mpsc::channel::<io::Result<Bytes>>(1);
    tokio::spawn(async move {
        let mut rest = length;
        while rest > 0 {
            // A thread is taken while a piece is read, and not while somebody reads it.
            let piece = spawn_blocking(move || (read(&mut file, rest), file)).await;
            let Ok((piece, same)) = piece else { return };
            file = same;
            rest -= piece.as_ref().map_or(rest, |piece| piece.len() as u64);
            if send.send(piece).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(pieces)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    Ok(response)
}

fn read(file: &mut File, rest: u64) -> io::Result<Bytes> {
    let mut piece = Vec::with_capacity(CHUNK);
    match file.take(rest.min(CHUNK as u64)).read_to_end(&mut piece)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(Bytes::from(piece)),
    }
}

fn is_plain(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
}

/// A plain file, which a link is not: nothing outside of the run directory is shown.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut options = File::options();
    let file = options
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata.len()))
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}
