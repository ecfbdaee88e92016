//! Files of the run directory that people open from the page: the report, logs, and files of
//! trials. Their names are fixed, and browsers run nothing in them.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use nix::fcntl::OFlag;
use swfn_shared::{artifacts, ids::TrialId};
use swfn_store::log_file;
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_stream::wrappers::ReceiverStream;

use super::problem::Problem;

/// The report may have an inner style sheet and pictures, but no scripts, forms or frames, even if
/// it is hostile. In the sandbox, it cannot send requests to this coordinator either.
pub(super) const REPORT_POLICY: &str = "sandbox; default-src 'none'; \
    style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Bytes of one reading.
const CHUNK: usize = 64 << 10;

/// A file that a trial may leave: its name, its type, and whether a browser shows it.
const ARTIFACTS: [(&str, &str, bool); 3] = [
    (artifacts::VAE_SHEET, "image/png", true),
    (artifacts::CONFUSION, "text/plain; charset=utf-8", true),
    (artifacts::WEIGHTS, "application/octet-stream", false),
];

/// The names of the files that a trial has left, the most interesting first.
pub(super) fn left_by(run_dir: &Path, trial: TrialId) -> Vec<&'static str> {
    let folder = run_dir.join("artifacts").join(trial.to_string());
    ARTIFACTS.iter().map(|(name, ..)| *name).filter(|name| is_plain(&folder.join(name))).collect()
}

/// The attempts of a trial whose logs there are, the newest first.
pub(super) fn logs_of(run_dir: &Path, trial: TrialId, attempts: u32) -> Vec<u32> {
    const MOST: u32 = 20;
    let newest = attempts.saturating_sub(MOST) + 1..=attempts;
    newest.rev().filter(|attempt| is_plain(&log_of(run_dir, trial, *attempt))).collect()
}

pub(super) fn log_of(run_dir: &Path, trial: TrialId, attempt: u32) -> PathBuf {
    log_file(&run_dir.join("logs"), &trial.to_string(), attempt)
}

pub(super) async fn artifact(
    run_dir: &Path,
    trial: TrialId,
    name: &str,
) -> Result<Response, Problem> {
    let Some((name, kind, shown)) = ARTIFACTS.iter().find(|(known, ..)| *known == name) else {
        let hint = format!("names are: {}", ARTIFACTS.map(|(name, ..)| name).join(", "));
        return Err(missing("no file of a trial has that name").hint(hint));
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

/// A file, piece by piece: a slow reader takes neither memory nor a thread.
pub(super) async fn file(path: &Path, kind: &'static str) -> Result<Response, Problem> {
    let path = path.to_owned();
    let opened = spawn_blocking(move || open(&path)).await.map_err(io::Error::other).flatten();
    let (mut file, length) = opened.map_err(|_| missing("there is no such file, or not yet"))?;
    let (send, pieces) = mpsc::channel::<io::Result<Bytes>>(1);
    tokio::spawn(async move {
        let mut rest = length;
        while rest > 0 {
            // The thread is free again while the piece is sent.
            let piece = spawn_blocking(move || (read(&mut file, rest), file)).await;
            let Ok((piece, same)) = piece else { return };
            file = same;
            rest -= piece.as_ref().map_or(rest, |piece| piece.len() as u64);
            if send.send(piece).await.is_err() {
                return;
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_LENGTH, length.into()),
    ];
    Ok((headers, Body::from_stream(ReceiverStream::new(pieces))).into_response())
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

/// Opens a plain file. A link is refused, since it may lead out of the run directory.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok((file, metadata.len()))
}
