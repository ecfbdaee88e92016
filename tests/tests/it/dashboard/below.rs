//! A proxy that serves a page below a path, as those of notebooks do.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

/// Serves the page of `page` below `path`, which it strips. Returns the address of the page there.
pub(super) fn serve_below_path(page: &str, path: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (page, path) = (page.to_owned(), path.to_owned());
    let place = format!("http://{address}{path}/");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, page, path) = (stream.unwrap(), page.clone(), path.clone());
            thread::spawn(move || pass(stream, &page, &path));
        }
    });
    place
}

/// Passes one request and its answer.
fn pass(stream: TcpStream, page: &str, path: &str) {
    let mut head = String::new();
    let mut reader = BufReader::new(stream);
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|count| count > 0) {}
    let mut stream = reader.into_inner();
    let Some(rest) = head.strip_prefix(&format!("GET {path}")) else {
        let _ = stream
            .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return;
    };
    let mut server = TcpStream::connect(page).unwrap();
    let request = format!("GET {}", rest.replacen("\r\n", "\r\nconnection: close\r\n", 1));
    let _ = server.write_all(request.replace("keep-alive", "close").as_bytes());
    let _ = io::copy(&mut server, &mut stream);
}
