//! The agents that send requests, and explanations of their errors.

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

/// An environment variable that is set and not empty.
pub fn environment(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A client of one server, by the proxy that the environment names for it.
#[derive(Debug)]
pub struct Web {
    /// The agent that sends requests.
    pub agent: Agent,
    proxy: Option<Chosen>,
    certificates: Certificates,
}

/// A request without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The error.
    pub problem: String,
    /// The remedy, if known.
    pub hint: Option<String>,
    /// Whether another try would fail in the same way.
    pub hopeless: bool,
}

impl Web {
    /// A client of the server at `url`. `configure` sets limits; `variable` reads the environment.
    ///
    /// # Errors
    /// The URL is wrong, or a variable of the environment is.
    pub fn new(
        url: &str,
        certificates: Certificates,
        configure: impl FnOnce(ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope>,
        variable: Variable<'_>,
    ) -> Result<Self, Problem> {
        let parsed: Uri = url.parse().map_err(|_| {
            problem!(
                "{} is not the address of a server", quote(url);
                "write it as in https://server.example"
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

    /// The proxy for messages: empty, or words with a blank before them.
    pub fn by(&self) -> String {
        self.proxy
            .as_ref()
            .map_or(String::new(), |chosen| format!(" by the proxy {}", chosen.shown))
    }

    /// Explains an error.
    pub fn explain(&self, error: &Error) -> Failure {
        let by = self.by();
        let without_proxy = || {
            let hint = || "list the server in NO_PROXY to go without the proxy".to_owned();
            self.proxy.as_ref().map(|_| hint())
        };
        let (problem, hint, hopeless) = match (tls(error), error) {
            (Some(problem @ TlsError::InvalidCertificate(_)), _) => (
                format!("the server's certificate is not trusted: {problem}"),
                Some(self.certificates.hint()),
                true,
            ),
            (Some(TlsError::AlertReceived(alert)), _) if is_about_certificates(*alert) => {
                let name = self.certificates.identity;
                let hint =
                    name.map(|name| format!("name a PEM file with one and its key in {name}"));
                let problem = "the server misses our certificate, or does not trust it";
                (format!("{problem}: {alert:?}"), hint, true)
            }
            (Some(problem), _) => (problem.to_string(), None, false),
            (_, Error::ConnectProxyFailed(reason)) => {
                // An answer of 5xx may be temporary.
                let hopeless = reason.contains(" responded 4") || reason.contains(" responded 3");
                (format!("no connection{by}: {reason}"), without_proxy(), hopeless)
            }
            (_, Error::Io(problem))
                if problem.kind() == io::ErrorKind::ConnectionRefused && self.proxy.is_some() =>
            {
                (format!("no connection{by}: {problem}"), without_proxy(), true)
            }
            (_, other) => (format!("{other}{by}"), without_proxy(), false),
        };
        Failure { problem, hint, hopeless }
    }
}

/// The TLS error in an error.
fn tls(error: &Error) -> Option<&TlsError> {
    match error {
        Error::Rustls(problem) => Some(problem),
        Error::Io(problem) => problem.get_ref()?.downcast_ref(),
        _ => None,
    }
}

/// Whether a peer sends this alert because it misses a certificate, or does not trust ours.
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
#[path = "web_tests.rs"]
pub(crate) mod tests;
