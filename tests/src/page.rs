//! A client of the dashboard that sends exactly the request of a test.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use serde_json::Value;

use crate::process::limit;

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The status line and headers, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

/// Sends a request with these headers and reads the whole answer. Adds the usual `Host` unless a
/// header sets it.
///
/// # Panics
/// If no server listens there, or the answer is not HTTP.
pub fn ask(address: &str, path: &str, headers: &[&str]) -> Answer {
    let mut stream = TcpStream::connect(address).expect("the dashboard listens");
    stream.set_read_timeout(Some(limit())).expect("a time limit can be set");
    let named = headers.iter().any(|header| header.to_ascii_lowercase().starts_with("host:"));
    let host = if named { String::new() } else { format!("host: {address}\r\n") };
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    write!(stream, "GET {path} HTTP/1.1\r\n{host}connection: close\r\n{headers}\r\n")
        .expect("a request can be sent");
    let mut text = Vec::new();
    stream.read_to_end(&mut text).expect("an answer comes");
    let text = String::from_utf8(text).expect("answers are text");
    let (head, body) =
        text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {path}: {text}"));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("an answer has a status");
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// Requests a page of the dashboard and reads it as JSON.
///
/// # Panics
/// If the answer is not JSON, or not a success.
pub fn json(address: &str, path: &str) -> Value {
    let answer = ask(address, path, &[]);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body)
        .unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.body))
}
