//! Redirects. Each may lead to a server with another proxy or none, so each is a new request.

use ureq::{
    Body,
    config::ConfigBuilder,
    http::{HeaderName, Response, StatusCode, Uri, header},
    typestate::AgentScope,
};

use swfn_shared::problem::Problem;

use crate::{
    proxies::Variable,
    trust::Certificates,
    web::{Failure, Web},
};

/// Largest number of redirects; more are a circle.
const MOST: usize = 10;

/// Gets a URL and follows redirects; returns the last client and its response. `configure` sets the
/// limits of each request; `variable` reads the environment.
///
/// # Errors
/// A server does not answer, or redirects to a wrong address.
pub fn get(
    url: &str,
    certificates: Certificates,
    configure: impl Fn(ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope>,
    variable: Variable<'_>,
    headers: &[(HeaderName, String)],
) -> Result<(Web, Response<Body>), Failure> {
    let hopeless = |problem| Failure { problem, hint: None, hopeless: true };
    let mut url = url.to_owned();
    for _ in 0..=MOST {
        let web =
            Web::new(&url, certificates, |config| configure(config).max_redirects(0), variable);
        let web = web
            .map_err(|Problem { what, hint, .. }| Failure { hint: Some(hint), ..hopeless(what) })?;
        let request = headers
            .iter()
            .fold(web.agent.get(&url), |request, (name, value)| request.header(name, value));
        let response = request.call().map_err(|error| web.explain(&error))?;
        let Some(location) = location(&response) else { return Ok((web, response)) };
        let next = resolve(&url, location);
        url = next.ok_or_else(|| {
            hopeless(format!("`{url}` redirects to something that is not an address{}", web.by()))
        })?;
    }
    Err(hopeless(format!("more than {MOST} redirects, the last one to `{url}`")))
}

/// The target of a redirect.
fn location<T>(response: &Response<T>) -> Option<&str> {
    let moved = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    let location =
        response.headers().get(header::LOCATION).filter(|_| moved.contains(&response.status()));
    location.and_then(|location| location.to_str().ok())
}

/// Resolves a location relative to another address.
fn resolve(base: &str, location: &str) -> Option<String> {
    let base: Uri = base.parse().ok()?;
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let absolute = if location.contains("://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let (folder, _) = base.path().rsplit_once('/').unwrap_or_default();
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let parsed: Uri = absolute.parse().ok()?;
    (matches!(parsed.scheme_str(), Some("http" | "https")) && parsed.host().is_some())
        .then_some(absolute)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::tests::server;

    fn ask(url: &str, proxy: &str) -> Result<String, String> {
        let variable = |name: &str| (name == "all_proxy").then(|| proxy.to_owned());
        let range = [(header::RANGE, "bytes=3-".to_owned())];
        let answer = get(url, Certificates::default(), |config| config, &variable, &range);
        let (_, mut response) = answer.map_err(|failure| failure.problem)?;
        response.body_mut().read_to_string().map_err(|error| error.to_string())
    }

    fn redirect(to: &str) -> &'static str {
        Box::leak(
            format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
                .into_boxed_str(),
        )
    }

    const DONE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

    #[test]
    fn a_redirect_takes_the_proxy_of_its_target() {
        // This machine is asked itself; elsewhere is for the proxy.
        let (proxy, by_proxy) = server(DONE);
        let (here, asked) = server(redirect("http://elsewhere.invalid/images"));
        assert_eq!(ask(&format!("http://{here}/a/b"), &proxy), Ok("ok".to_owned()));
        assert!(asked.join().unwrap().starts_with("GET /a/b "));
        let by_proxy = by_proxy.join().unwrap();
        assert!(by_proxy.starts_with("GET http://elsewhere.invalid/images "), "{by_proxy}");
        assert!(by_proxy.contains("range: bytes=3-"), "{by_proxy}");

        let (here, asked) = server(DONE);
        let (proxy, by_proxy) = server(redirect(&format!("http://{here}/c")));
        assert_eq!(ask("http://elsewhere.invalid/a", &proxy), Ok("ok".to_owned()));
        assert!(by_proxy.join().unwrap().starts_with("GET http://elsewhere.invalid/a "));
        assert!(asked.join().unwrap().starts_with("GET /c "));
    }

    #[test]
    fn a_redirect_to_nowhere_is_an_error() {
        let (here, asked) = server(redirect("ftp://elsewhere.invalid"));
        let problem = ask(&format!("http://{here}/"), "http://proxy.invalid").unwrap_err();
        assert!(problem.contains("redirects to something that is not an address"), "{problem}");
        asked.join().unwrap();
    }

    #[test]
    fn locations_are_relative_to_their_page() {
        let base = "https://a.example:8443/data/mnist/images?x=1";
        for (location, expected) in [
            ("http://b.example/c", "http://b.example/c"),
            ("//b.example/c", "https://b.example/c"),
            ("/c?d=e", "https://a.example:8443/c?d=e"),
            ("c", "https://a.example:8443/data/mnist/c"),
        ] {
            assert_eq!(resolve(base, location).as_deref(), Some(expected));
        }
        assert_eq!(resolve("http://a.example", "c").as_deref(), Some("http://a.example/c"));
        for nowhere in ["ftp://a.example", "http://", "a b"] {
            assert_eq!(resolve(base, nowhere), None, "{nowhere}");
        }
    }
}
