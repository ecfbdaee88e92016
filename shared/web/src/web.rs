//! The one place where agents are made, and where their errors are put into words.

use std::{env, io};

use rustls::{AlertDescription, Error as TlsError};
use ureq::{
    Agent, Error,
    config::{Config, ConfigBuilder},
    http::Uri,
    typestate::AgentScope,
    unversioned::{
        resolver::DefaultResolver,
        transport::{ConnectProxyConnector, Connector as _, RustlsConnector, TcpConnector},
    },
};

use swfn_shared::{problem, problem::Problem, quote::quote};

use crate::{
    forward::ForwardConnector,
    proxies::{self, Chosen, Variable},
    trust::Certificates,
};

/// A variable of the environment that is set and not empty.
pub fn environment(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A server that can be asked, by the proxy that the environment names for it.
#[derive(Debug)]
pub struct Web {
    agent: Agent,
    proxy: Option<Chosen>,
    certificates: Certificates,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub problem: String,
    /// What to do, where that is known.
    pub hint: Option<String>,
    /// Whether another try would end the same.
    pub hopeless: bool,
}

impl Web {
    /// For the server at that address. `configure` sets limits; `variable` looks up the environment.
    ///
    /// # Errors
    /// The environment says what cannot be done.
    pub fn new(
        url: &str,
        certificates: Certificates,
        configure: impl FnOnce(ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope>,
        variable: Variable<'_>,
    ) -> Result<Self, Problem> {
        let parsed: Uri = url.parse().map_err(|_| {
            problem!(
                "{} is no address of a server", quote(url);
                "it looks like https://server.example"
            )
        })?;
        let proxy = proxies::choose(&parsed, variable)?;
        let config = Config::builder()
            .user_agent(concat!("swfn/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .proxy(proxy.as_ref().map(|chosen| chosen.proxy.clone()))
            .tls_config(certificates.read(variable)?);
        let connector = ForwardConnector::default()
            .chain(ConnectProxyConnector::default())
            .chain(TcpConnector::default())
            .chain(RustlsConnector::default());
        let agent =
            Agent::with_parts(configure(config).build(), connector, DefaultResolver::default());
        Ok(Self { agent, proxy, certificates })
    }

    /// What sends requests.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The proxy, for messages about what came through it: empty, or words with a blank before them.
    pub fn by(&self) -> String {
        self.proxy
            .as_ref()
            .map_or(String::new(), |chosen| format!(" by the proxy {}", chosen.shown))
    }

    /// What an error means.
    pub fn explain(&self, error: &Error) -> Failure {
        let around = || Some("list the server in NO_PROXY to go without the proxy".to_owned());
        if let Some(problem) = tls(error) {
            let (problem, hint) = match problem {
                TlsError::InvalidCertificate(_) => (
                    format!("the server's certificate is not trusted: {problem}"),
                    Some(self.certificates.hint()),
                ),
                TlsError::AlertReceived(alert) if is_about_certificates(*alert) => (
                    format!("the server misses our certificate, or does not trust it: {alert:?}"),
                    self.certificates
                        .identity
                        .map(|name| format!("name a PEM file with one and its key in {name}")),
                ),
                _ => return Failure { problem: problem.to_string(), hint: None, hopeless: false },
            };
            return Failure { problem, hint, hopeless: true };
        }
        let by = self.by();
        match error {
            Error::ConnectProxyFailed(reason) => Failure {
                problem: format!("no connection{by}: {reason}"),
                hint: around(),
                // Who answers with 5xx has trouble, which may pass.
                hopeless: reason.contains(" responded 4") || reason.contains(" responded 3"),
            },
            Error::Io(problem)
                if problem.kind() == io::ErrorKind::ConnectionRefused && self.proxy.is_some() =>
            {
                Failure {
                    problem: format!("no connection{by}: {problem}"),
                    hint: around(),
                    hopeless: true,
                }
            }
            other => {
                let hint = if self.proxy.is_some() { around() } else { None };
                Failure { problem: format!("{other}{by}"), hint, hopeless: false }
            }
        }
    }
}

/// What TLS has to say of an error.
fn tls(error: &Error) -> Option<&TlsError> {
    match error {
        Error::Rustls(problem) => Some(problem),
        Error::Io(problem) => problem.get_ref()?.downcast_ref(),
        _ => None,
    }
}

/// Whether a peer that ends a handshake with this alert misses a certificate, or does not trust the one it was shown.
pub fn is_about_certificates(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied
    )
}

#[cfg(test)]
pub(crate) mod tests {
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
    fn without_tls_a_proxy_is_given_the_whole_address() {
        let (address, asked) = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        let web = by(&address, "http://mlflow.invalid:5000");
        let mut answer = web.agent().get("http://mlflow.invalid:5000/api?a=b").call().unwrap();
        assert_eq!(answer.body_mut().read_to_string().unwrap(), "ok");
        let asked = asked.join().unwrap().to_ascii_lowercase();
        assert!(
            asked.starts_with("get http://mlflow.invalid:5000/api?a=b http/1.1\r\n"),
            "{asked}"
        );
        assert!(asked.contains("proxy-authorization: basic yw5uonnly3jlda==\r\n"), "{asked}");
        assert!(asked.contains("host: mlflow.invalid:5000\r\n"), "{asked}");
    }

    #[test]
    fn with_tls_it_is_asked_for_a_tunnel_and_named_when_it_refuses() {
        for (answer, hopeless) in
            [("403 Forbidden", true), ("407 No", true), ("502 Bad Gateway", false)]
        {
            let (address, asked) = server(Box::leak(
                format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").into_boxed_str(),
            ));
            let web = by(&address, "https://mlflow.invalid");
            let failure =
                web.explain(&web.agent().get("https://mlflow.invalid").call().unwrap_err());
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
            let failure = web.explain(&web.agent().get(url).call().unwrap_err());
            assert!(failure.hopeless && failure.problem.contains(&closed), "{failure:?}");
        }
    }
}
