//! The check that every request has to pass before anything is looked up.
//!
//! Another site's page in a browser may send requests here, or give its own name this address (DNS
//! rebinding). So the host that a request names must be one of ours, and if the browser says where
//! the request comes from, it must be this page.
//!
//! One path takes commands, which must not be forged. A command is JSON, which no form of another
//! page can send. It comes with the token, or the browser says that it comes from this page.

use std::{
    net::{IpAddr, SocketAddr},
    str,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::http::{
    StatusCode,
    header::{self, HeaderName},
    request::Parts,
    uri::Authority,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use swfn_access::tls::Tls;
use swfn_shared::{access::Token, quote::printable};
use tracing::warn;

use super::{commands, problem::Problem};

/// The most bytes of path and query.
const MAX_URI: usize = 2_048;

/// Paths without a token, for probes. They reveal only that there is a coordinator.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DESTINATION: HeaderName = HeaderName::from_static("sec-fetch-dest");

#[derive(Debug)]
pub(crate) struct Guard {
    /// Names and addresses of this coordinator, in lower case. Those of loopback and the address
    /// that a connection came to count as well.
    hosts: Vec<String>,
    /// The names of this certificate count, too, whether the dashboard shows it or not.
    pub(crate) tls: Option<Arc<Tls>>,
    /// Pages that may show the dashboard in a frame.
    pub(crate) frames: Vec<String>,
    token: Option<Token>,
    refused: AtomicU64,
}

/// Whether a path needs no token.
pub(crate) fn is_open(path: &str) -> bool {
    OPEN.contains(&path)
}

/// Whether a request was refused for its token.
pub(crate) fn is_guess(problem: &Problem, head: &Parts) -> bool {
    problem.status == StatusCode::UNAUTHORIZED && head.headers.contains_key(header::AUTHORIZATION)
}

impl Guard {
    pub(crate) fn new(hosts: Vec<String>, token: Option<Token>) -> Self {
        Self { hosts, tls: None, frames: Vec::new(), token, refused: AtomicU64::new(0) }
    }

    /// Refuses requests that may not be answered. `local`: the address that the connection came to.
    pub(crate) fn check(&self, head: &Parts, local: Option<IpAddr>) -> Result<(), Problem> {
        let commands = head.uri.path() == commands::PATH;
        let (allowed, reads) = if commands { ("POST", false) } else { ("GET, HEAD", true) };
        if !allowed.split(", ").any(|method| head.method == method) {
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this is not done here");
            let hint = format!("methods are: {allowed}");
            return Err(problem.hint(hint).header(header::ALLOW, allowed));
        }
        let uri = head.uri.path_and_query().map_or(0, |text| text.as_str().len());
        if uri > MAX_URI {
            let message =
                format!("the path and its parameters have {uri} bytes, more than {MAX_URI}");
            return Err(Problem::new(StatusCode::URI_TOO_LONG, message));
        }
        let length = head.headers.get(header::CONTENT_LENGTH);
        let length = length.is_some_and(|length| length.as_bytes() != b"0");
        if reads && (length || head.headers.contains_key(header::TRANSFER_ENCODING)) {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "a request for reading has no body"));
        }
        let host = self.host(head, local)?;
        origin(head, host, !self.frames.is_empty())?;
        if commands {
            is_json(head)?;
        }
        if commands && self.token.is_none() {
            from_here(head)?;
        }
        if is_open(head.uri.path()) { Ok(()) } else { self.token(head) }
    }

    /// Logs a refusal, but ever more rarely: a flood of requests must not flood the log.
    pub(crate) fn log(&self, address: Option<SocketAddr>, problem: &Problem) {
        let count = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            let address = address.map(|address| address.to_string()).unwrap_or_default();
            let message = problem.message();
            warn!(address, refused = count, "request for the dashboard refused: {message}");
        }
    }

    /// The host that the request names, if it is this coordinator.
    fn host<'h>(&self, head: &'h Parts, local: Option<IpAddr>) -> Result<&'h str, Problem> {
        let mut named = head.headers.get_all(header::HOST).iter();
        let (Some(value), None) = (named.next(), named.next()) else {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "a request names its host, once"));
        };
        let text = str::from_utf8(value.as_bytes()).unwrap_or_default();
        let authority: Authority = text.parse().map_err(|_| foreign(text))?;
        // A request for a proxy names the host twice.
        let differs = head.uri.authority().is_some_and(|other| *other != authority);
        // The parser accepts a user, a port that is no number, and text behind the bracket.
        let port = authority.port().map_or(0, |port| 1 + port.as_str().len());
        if differs || authority.host().len() + port != text.len() || text.contains('@') {
            return Err(foreign(text));
        }
        let name =
            authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let ours = match name.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(address) => {
                let called = Some(address) == local.map(|local| local.to_canonical());
                address.is_loopback() || called || self.hosts.contains(&address.to_string())
            }
            Err(_) => name == "localhost" || self.hosts.contains(&name),
        };
        let certified = || self.tls.as_ref().is_some_and(|tls| tls.covers(&name));
        if ours || certified() { Ok(text) } else { Err(foreign(text)) }
    }

    fn token(&self, head: &Parts) -> Result<(), Problem> {
        let Some(token) = &self.token else { return Ok(()) };
        let message = match presented(head) {
            Some(presented) if token.is(&presented) => return Ok(()),
            Some(_) => "the token is not this coordinator's",
            None => "a token is needed here",
        };
        let problem = Problem::new(StatusCode::UNAUTHORIZED, message);
        let hint = "in a browser it is the password, and the name does not matter; otherwise say \
                    `Authorization: Bearer TOKEN`";
        let basic = "Basic realm=\"swfn\", charset=\"UTF-8\"";
        Err(problem.hint(hint).header(header::WWW_AUTHENTICATE, basic))
    }
}

fn foreign(host: &str) -> Problem {
    let message = format!("host `{}` is not a name of this coordinator", printable(host, 60));
    Problem::new(StatusCode::MISDIRECTED_REQUEST, message)
        .hint("say --http-host with the name under which people reach it")
}

/// Refuses requests that a browser sends for another page, except links to the dashboard itself.
fn origin(head: &Parts, host: &str, in_frames: bool) -> Result<(), Problem> {
    let text = |name: HeaderName| {
        head.headers.get(name).map(|value| str::from_utf8(value.as_bytes()).unwrap_or("?"))
    };
    let elsewhere = || {
        Problem::new(StatusCode::FORBIDDEN, "pages of other sites may not read this")
            .hint("open the address itself, or ask without a browser")
    };
    if let Some(origin) = text(header::ORIGIN) {
        let scheme_less =
            origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        if !scheme_less.is_some_and(|origin| origin.eq_ignore_ascii_case(host)) {
            return Err(elsewhere());
        }
    }
    match text(SITE) {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) => {
            // The browser checks which page has the frame, by the policy in the answer.
            let shown = match text(DESTINATION) {
                Some("document") => true,
                Some("iframe" | "frame") => in_frames,
                _ => false,
            };
            let link = text(MODE) == Some("navigate") && shown;
            if link && head.uri.path() == "/" { Ok(()) } else { Err(elsewhere()) }
        }
    }
}

/// Refuses everything that a form can send.
fn is_json(head: &Parts) -> Result<(), Problem> {
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a command is JSON")
        .hint("say `Content-Type: application/json`"))
}

/// Without a token, a command needs an origin. [`origin`] has refused all foreign ones.
fn from_here(head: &Parts) -> Result<(), Problem> {
    let same_site = head.headers.get(SITE).is_some_and(|site| site == "same-origin");
    if same_site || head.headers.contains_key(header::ORIGIN) {
        return Ok(());
    }
    let problem = Problem::new(StatusCode::FORBIDDEN, "nobody says where this command comes from");
    Err(problem.hint(
        "say `Origin: http://HOST:PORT` with the address of this page, or ask for a token with \
         --http-token",
    ))
}

/// The token of a request.
fn presented(head: &Parts) -> Option<Vec<u8>> {
    let value = head.headers.get(header::AUTHORIZATION)?.as_bytes();
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = (&value[..space], &value[space + 1..]);
    if scheme.eq_ignore_ascii_case(b"bearer") {
        Some(rest.to_owned())
    } else if scheme.eq_ignore_ascii_case(b"basic") {
        let pair = BASE64.decode(rest).ok()?;
        let colon = pair.iter().position(|byte| *byte == b':')?;
        Some(pair[colon + 1..].to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
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
            for origin in
                ["null", "http://evil.example", "http://localhost", "https://localhost:7079"]
            {
                assert_eq!(of(guard, "POST", &[json, token, ("origin", origin)]), 403, "{origin}");
            }
            for site in ["cross-site", "same-site", "x"] {
                let link = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
                let sent = [&[json, token, here, ("sec-fetch-site", site)][..], &link].concat();
                assert_eq!(of(guard, "POST", &sent), 403, "{site}");
            }
            for kind in [
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data",
                "",
                "json",
            ] {
                assert_eq!(
                    of(guard, "POST", &[("content-type", kind), token, here]),
                    415,
                    "{kind}"
                );
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
        let wrong =
            ["", "Bearer", "Bearer ", "Basic", "Basic !", known, "Digest x"].map(str::to_owned);
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
}
