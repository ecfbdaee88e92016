//! Downloads from a small HTTP server on loopback that misbehaves on request. Each test asserts
//! that the fault happened.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

use super::download::Download;
use super::idx::hex;
use swfn_shared::problem::Problem;

/// A request as the server sees it: the file, and the first byte of the range if one was asked for.
pub(super) type Request = (String, Option<usize>);

pub(super) struct Server {
    pub(super) address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers each request with the bytes that `reply` makes of it and of the number of requests
    /// before, then closes.
    pub(super) fn start(reply: impl Fn(usize, &Request) -> Vec<u8> + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/files/", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let request = read_request(&stream);
                let number = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(request.clone());
                    seen.len() - 1
                };
                // A client that has hung up is its own business.
                let _ = (&stream).write_all(&reply(number, &request));
            }
        });
        Server { address, requests }
    }

    pub(super) fn ranges(&self) -> Vec<Option<usize>> {
        self.requests.lock().unwrap().iter().map(|(_, range)| *range).collect()
    }
}

fn read_request(stream: &TcpStream) -> Request {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let file = first.split(' ').nth(1).unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let mut range = None;
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some(value) = line.to_lowercase().strip_prefix("range: bytes=") {
            range = value.trim_end_matches('-').parse().ok();
        }
    }
    (file.to_owned(), range)
}

/// The answer of a good server that knows ranges.
pub(super) fn good(content: &[u8], range: Option<usize>) -> Vec<u8> {
    let total = content.len();
    match range {
        None => reply("200 OK", "", content, total),
        Some(from) if from < total => {
            let header = format!("Content-Range: bytes {from}-{}/{total}\r\n", total - 1);
            reply("206 Partial Content", &header, &content[from..], total - from)
        }
        Some(_) => reply("416 Range Not Satisfiable", "", b"", 0),
    }
}

/// An answer whose header promises `length` bytes, whatever the body has.
fn reply(status: &str, headers: &str, body: &[u8], length: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn content() -> Vec<u8> {
    (0..100_000u32).map(|i| (i % 251 + i / 251) as u8).collect()
}

/// Downloads `content` from `mirrors` into `folder`.
fn fetch(folder: &Path, mirrors: &[&str], content: &[u8]) -> Result<(), Problem> {
    let mirrors: Vec<String> = mirrors.iter().map(|mirror| mirror.to_string()).collect();
    let target = folder.join("sub").join("file.gz");
    let download =
        Download { file: "file.gz", target: &target, mirrors: &mirrors, progress: false };
    let outcome = download.run(|path| match fs::read(path).unwrap() == content {
        true => Ok(()),
        false => Err(Problem::new("it has the SHA-256 `bad`, expected `good`", "")),
    });
    if outcome.is_ok() {
        assert_eq!(fs::read(&target).unwrap(), content);
        let left: Vec<_> = fs::read_dir(target.parent().unwrap()).unwrap().flatten().collect();
        assert_eq!(left.len(), 2, "the file and its lock: {left:?}");
    } else {
        assert!(!target.exists());
    }
    outcome
}

#[test]
fn a_cut_transfer_is_resumed() {
    let content = content();
    let server = Server::start({
        let content = content.clone();
        move |number, (_, range)| match number {
            0 => reply("200 OK", "", &content[..30_000], content.len()),
            _ => good(&content, *range),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    fetch(folder.path(), &[&server.address], &content).unwrap();
    assert_eq!(server.ranges(), [None, Some(30_000)]);
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let content = content();
    let server = Server::start({
        let content = content.clone();
        move |number, _| {
            let sent = if number == 0 { 30_000 } else { content.len() };
            reply("200 OK", "", &content[..sent], content.len())
        }
    });
    let folder = tempfile::tempdir().unwrap();
    fetch(folder.path(), &[&server.address], &content).unwrap();
    assert_eq!(server.ranges(), [None, Some(30_000)]);
}

#[test]
fn a_truncated_file_is_refused() {
    let content = content();
    let broken = Server::start({
        let content = content.clone();
        move |_, (_, range)| {
            let from = range.unwrap_or(0);
            let header = format!("Content-Range: bytes {from}-99999/100000\r\n");
            let status = if from == 0 { "200 OK" } else { "206 Partial Content" };
            reply(status, &header, &content[from..from.max(50_000)], content.len() - from)
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let error = fetch(folder.path(), &[&broken.address], &content).unwrap_err().to_string();
    assert!(error.contains(&broken.address) && error.contains("cut after `50000`"), "{error}");
    assert_eq!(broken.ranges(), [None, Some(50_000)]);
}

#[test]
fn what_another_run_left_is_continued_or_replaced() {
    let content = content();
    let server = Server::start({
        let content = content.clone();
        move |number, (_, range)| match number {
            0 => reply("200 OK", "", &content[..30_000], content.len()),
            1 => reply("503 Service Unavailable", "", b"", 0),
            _ => good(&content, *range),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let error = fetch(folder.path(), &[&server.address], &content).unwrap_err().to_string();
    assert!(error.contains("unexpected HTTP status `503 Service Unavailable`"), "{error}");
    fetch(folder.path(), &[&server.address], &content).unwrap();
    assert_eq!(server.ranges(), [None, Some(30_000), Some(30_000)]);

    // Now the unfinished file has rubbish, as long as the whole: the server has nothing to add, the
    // check says no.
    fs::remove_file(folder.path().join("sub/file.gz")).unwrap();
    let id = hex(&Sha256::digest(format!("{}file.gz", server.address))[..4]);
    let part = folder.path().join(format!("sub/file.gz.{id}.part"));
    fs::write(&part, vec![0; content.len()]).unwrap();
    fetch(folder.path(), &[&server.address], &content).unwrap();
    assert_eq!(server.ranges()[3..], [Some(100_000), None]);
}

#[test]
fn mirrors_are_tried_in_turn_with_all_reasons() {
    let content = content();
    // Bound once to get a port that nobody listens on afterwards.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("http://{closed}");
    let missing = Server::start(|_, _| reply("404 Not Found", "", b"", 0));
    let wrong = Server::start(|_, _| reply("200 OK", "", b"another file", 12));
    let huge = Server::start(|_, _| reply("200 OK", "", b"", 1 << 30));
    let folder = tempfile::tempdir().unwrap();
    let bad = [dead.as_str(), &missing.address, &wrong.address, &huge.address];
    let error = fetch(folder.path(), &bad, &content).unwrap_err().to_string();
    for why in [
        "could not download `file.gz`:",
        &dead,
        "unexpected HTTP status `404 Not Found`",
        "has the SHA-256 `bad`, expected `good`",
        "the file has `1073741824` bytes",
        "\nhint: ",
    ] {
        assert!(error.contains(why), "`{why}` is not in: {error}");
    }
    let left: Vec<_> = fs::read_dir(folder.path().join("sub")).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "only the lock remains: {left:?}");

    let server = Server::start({
        let content = content.clone();
        move |_, (_, range)| good(&content, *range)
    });
    fetch(folder.path(), &[&dead, &missing.address, &server.address], &content).unwrap();
    assert_eq!((missing.ranges().len(), server.ranges().len()), (2, 1));
}

#[test]
fn many_at_once_download_once() {
    let content = content();
    let server = Server::start({
        let content = content.clone();
        move |_, (_, range)| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            good(&content, *range)
        }
    });
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| fetch(folder.path(), &[&server.address], &content).unwrap());
        }
    });
    assert_eq!(server.ranges(), [None]);
}
