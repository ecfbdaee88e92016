//! Requests that the guard lets pass, and those that it refuses.

use axum::http::Request;

use super::*;

fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let request = headers
        .iter()
        .fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}

fn guard() -> Guard {
    Guard::new(vec!["head.example".to_owned(), "10.1.1.1".to_owned()], None)
}

fn status(guard: &Guard, head: &Parts) -> u16 {
    let local = Some("10.0.0.5".parse().unwrap());
    guard.check(head, local).map_or_else(|problem| problem.status.as_u16(), |()| 200)
}

#[test]
fn only_its_own_names_are_answered() {
    let ours = [
        "127.0.0.1:7078",
        "127.9.9.9",
        "localhost",
        "LocalHost:80",
        "[::1]:7078",
        "10.0.0.5:1",
        "[::ffff:10.0.0.5]",
    ];
    for host in ours.iter().chain(&["head.example", "Head.Example:7078", "10.1.1.1"]) {
        assert_eq!(status(&guard(), &head("/", &[("host", host)])), 200, "{host}");
    }
    let foreign = [
        "evil.example",
        "localhost.evil.example",
        "head.example.",
        "10.0.0.6",
        "0.0.0.0",
        "[::]",
        "",
        ":80",
        "a b",
    ];
    for host in foreign.iter().chain(&[
        "head.example@evil.example",
        "evil.example#localhost",
        "localhost:x",
        "localhost:",
        "[::1",
        "[::1]1:7078",
        "[::1]evil.example",
        "127.1",
    ]) {
        assert_eq!(status(&guard(), &head("/", &[("host", host)])), 421, "{host}");
        assert_eq!(status(&guard(), &head("/healthz", &[("host", host)])), 421, "{host}");
    }
    assert_eq!(status(&guard(), &head("/", &[])), 400);
    assert_eq!(
        status(&guard(), &head("/", &[("host", "localhost"), ("host", "evil.example")])),
        400
    );
    assert_eq!(status(&guard(), &head("http://evil.example/", &[("host", "localhost")])), 421);
    assert_eq!(status(&guard(), &head("http://localhost/", &[("host", "localhost")])), 200);
}

#[test]
fn pages_of_others_read_nothing() {
    let of = |uri: &str, headers: &[(&str, &str)]| {
        status(&guard(), &head(uri, &[&[("host", "localhost:7078")], headers].concat()))
    };
    assert_eq!(
        of(
            "/api/v1/sweep",
            &[("sec-fetch-site", "same-origin"), ("origin", "http://localhost:7078")]
        ),
        200
    );
    assert_eq!(of("/", &[("sec-fetch-site", "none")]), 200);
    for origin in [
        "null",
        "http://evil.example",
        "http://localhost",
        "http://localhost:7079",
        "file://",
        "localhost:7078",
    ] {
        assert_eq!(of("/api/v1/sweep", &[("origin", origin)]), 403, "{origin}");
    }
    for site in ["cross-site", "same-site", "x", "\u{e9}"] {
        assert_eq!(of("/api/v1/sweep", &[("sec-fetch-site", site)]), 403, "{site}");
        let link = |destination| {
            [
                ("sec-fetch-site", site),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", destination),
            ]
        };
        assert_eq!(of("/", &link("document")), 200);
        assert_eq!(of("/", &link("iframe")), 403);
        assert_eq!(of("/api/v1/sweep", &link("document")), 403);
    }
}

#[test]
fn commands_need_this_page_or_the_token() {
    let token = Token::random();
    let bearer = format!("Bearer {}", token.reveal());
    let (open, closed) = (guard(), Guard::new(Vec::new(), Some(token)));
    let of = |guard: &Guard, method: &str, more: &[(&str, &str)]| {
        let json = [("host", "localhost:7078"), ("content-length", "20")];
        let mut head = head(commands::PATH, &[&json, more].concat());
        head.method = method.parse().unwrap();
        status(guard, &head)
    };
    let json = ("content-type", "application/json");
    let here = ("origin", "http://localhost:7078");
    assert_eq!(of(&open, "POST", &[json, here, ("sec-fetch-site", "same-origin")]), 200);
    assert_eq!(
        of(&open, "POST", &[("content-type", "Application/JSON; charset=utf-8"), here]),
        200
    );
    assert_eq!(of(&open, "POST", &[json, ("sec-fetch-site", "same-origin")]), 200);
    assert_eq!(of(&open, "POST", &[json]), 403, "nobody says where it comes from");
    assert_eq!(of(&closed, "POST", &[json, ("authorization", &bearer)]), 200);
    assert_eq!(of(&closed, "POST", &[json, here]), 401);
    assert_eq!(of(&closed, "POST", &[json, here, ("authorization", "Bearer x")]), 401);
    for guard in [&open, &closed] {
        let token = ("authorization", bearer.as_str());
        for origin in ["null", "http://evil.example", "http://localhost", "https://localhost:7079"]
        {
            assert_eq!(of(guard, "POST", &[json, token, ("origin", origin)]), 403, "{origin}");
        }
        for site in ["cross-site", "same-site", "x"] {
            let link = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
            let sent = [&[json, token, here, ("sec-fetch-site", site)][..], &link].concat();
            assert_eq!(of(guard, "POST", &sent), 403, "{site}");
        }
        for kind in
            ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json"]
        {
            assert_eq!(of(guard, "POST", &[("content-type", kind), token, here]), 415, "{kind}");
        }
        assert_eq!(of(guard, "POST", &[token, here]), 415, "no type");
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
            assert_eq!(of(guard, method, &[json, token, here]), 405, "{method}");
        }
    }
}

#[test]
fn all_other_methods_are_refused() {
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "BREW"] {
        let mut head = head("/", &[("host", "localhost")]);
        head.method = method.parse().unwrap();
        assert_eq!(status(&guard(), &head), 405, "{method}");
    }
    let of = |header| status(&guard(), &head("/", &[("host", "localhost"), header]));
    assert_eq!(of(("content-length", "0")), 200);
    assert_eq!(of(("content-length", "1")), 400);
    assert_eq!(of(("transfer-encoding", "chunked")), 400);
    let long = format!("/?{}", "x".repeat(MAX_URI));
    assert_eq!(status(&guard(), &head(&long, &[("host", "localhost")])), 414);
}

#[test]
fn the_token_is_a_bearer_or_a_password() {
    let token = Token::random();
    let guard = Guard::new(Vec::new(), Some(token.clone()));
    let of = |uri: &str, authorization: &str| {
        let head = head(uri, &[("host", "localhost"), ("authorization", authorization)]);
        let problem = guard.check(&head, None).err();
        problem.map_or(200, |problem| {
            assert!(is_guess(&problem, &head) && !problem.json().contains(token.reveal()));
            problem.status.as_u16()
        })
    };
    let basic = |text: String| format!("Basic {}", BASE64.encode(text));
    let known = token.reveal();
    assert_eq!(of("/", &format!("Bearer {known}")), 200);
    assert_eq!(of("/", &format!("bearer {known}")), 200);
    assert_eq!(of("/metrics", &basic(format!("anyone:{known}"))), 200);
    assert_eq!(of("/", &basic(format!(":{known}"))), 200);
    let wrong = ["", "Bearer", "Bearer ", "Basic", "Basic !", known, "Digest x"].map(str::to_owned);
    let others = [
        format!("Bearer {known}x"),
        format!("Bearer  {known}"),
        basic(known.to_owned()),
        basic(format!("a:{known}:")),
    ];
    for authorization in wrong.iter().chain(&others) {
        assert_eq!(of("/", authorization), 401, "{authorization}");
    }
    let none = head("/", &[("host", "localhost")]);
    let problem = guard.check(&none, None).unwrap_err();
    assert!(!is_guess(&problem, &none), "a browser asks first, and then its user");
    assert!(guard.check(&head("/healthz", &[("host", "localhost")]), None).is_ok());
}
