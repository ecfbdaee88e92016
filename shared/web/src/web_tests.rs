//! Requests by way of proxies, to servers of one answer.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    thread::{self, JoinHandle},
};

use super::*;

/// A server or proxy that gives one answer; returns its address, and what it was asked.
pub(crate) fn server(answer: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut asked = String::new();
        while !asked.ends_with("\r\n\r\n") && stream.read_line(&mut asked).unwrap() > 0 {}
        stream.get_mut().write_all(answer.as_bytes()).unwrap();
        asked
    });
    (address, asked)
}

fn by(address: &str, url: &str) -> Web {
    let variable =
        |name: &str| (name == "all_proxy").then(|| format!("http://ann:secret@{address}"));
    Web::new(url, Certificates::default(), |config| config, &variable).unwrap()
}

#[test]
fn without_tls_proxies_get_the_whole_address() {
    let (address, asked) = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let web = by(&address, "http://mlflow.invalid:5000");
    let mut answer = web.agent.get("http://mlflow.invalid:5000/api?a=b").call().unwrap();
    assert_eq!(answer.body_mut().read_to_string().unwrap(), "ok");
    let asked = asked.join().unwrap().to_ascii_lowercase();
    assert!(asked.starts_with("get http://mlflow.invalid:5000/api?a=b http/1.1\r\n"), "{asked}");
    assert!(asked.contains("proxy-authorization: basic yw5uonnly3jlda==\r\n"), "{asked}");
    assert!(asked.contains("host: mlflow.invalid:5000\r\n"), "{asked}");
}

#[test]
fn with_tls_proxies_are_asked_for_tunnels() {
    for (answer, hopeless) in
        [("403 Forbidden", true), ("407 No", true), ("502 Bad Gateway", false)]
    {
        let (address, asked) = server(Box::leak(
            format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").into_boxed_str(),
        ));
        let web = by(&address, "https://mlflow.invalid");
        let failure = web.explain(&web.agent.get("https://mlflow.invalid").call().unwrap_err());
        assert!(asked.join().unwrap().starts_with("CONNECT mlflow.invalid:443 "));
        assert_eq!(failure.hopeless, hopeless, "{failure:?}");
        let named = format!("by the proxy `http://{address}` of all_proxy");
        assert!(
            failure.problem.contains(&named) && !failure.problem.contains("secret"),
            "{failure:?}"
        );
        assert!(failure.hint.unwrap().contains("NO_PROXY"));
    }
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for url in ["http://mlflow.invalid", "https://mlflow.invalid"] {
        let web = by(&closed, url);
        let failure = web.explain(&web.agent.get(url).call().unwrap_err());
        assert!(failure.hopeless && failure.problem.contains(&closed), "{failure:?}");
    }
}
