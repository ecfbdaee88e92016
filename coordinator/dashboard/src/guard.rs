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
#[path = "guard_tests.rs"]
mod tests;
