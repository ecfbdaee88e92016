//! The coordinator's address, and the certificates and token for it.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use swfn_shared::{
    address::{CoordinatorUrl, Host, Scheme},
    problem,
    problem::Problem,
};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::{self, Certificate, ClientTlsConfig, Endpoint, Uri},
};
use tracing::warn;

use crate::trust::{Access, Probe};

/// Time for the TCP connection, and for the TLS handshake on it.
const CONNECT: Duration = Duration::from_secs(5);

/// A coordinator's address.
#[derive(Debug, Clone)]
pub struct Address {
    pub(crate) endpoint: Endpoint,
    /// Value of the header `authorization`.
    pub(crate) authorization: Option<MetadataValue<Ascii>>,
    pub(crate) probe: Probe,
}

impl Address {
    /// The address as people read it.
    pub fn shown(&self) -> String {
        self.endpoint.uri().to_string()
    }

    /// The address of that URL. Without a scheme, certificates mean TLS.
    ///
    /// # Errors
    /// The URL, a certificate or the combination is wrong.
    pub fn new(url: &str, access: Access) -> anyhow::Result<Self> {
        let CoordinatorUrl { scheme, address } = url.parse().map_err(wrong)?;
        let with_tls = match scheme {
            Some(scheme) => scheme == Scheme::Https,
            None => access.authorities.is_some(),
        };
        let host = match &address.host {
            Host::Any => "localhost".to_owned(),
            host => host.to_string(),
        };
        let url =
            &*format!("{}://{host}:{}", if with_tls { "https" } else { "http" }, address.port);
        let endpoint = Endpoint::from_shared(url.to_owned())
            .with_context(|| format!("coordinator `{url}`"))?;
        let endpoint = endpoint
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true);
        let cannot = || format!("cannot set up TLS for `{url}`");
        let tls = Probe::tls(&access).with_context(cannot)?;
        let Access { authorities, identity, token } = access;
        let (endpoint, probe) = if with_tls {
            let Some(authorities) = authorities else {
                bail!(problem!(
                    "coordinator `{url}` uses TLS, and no authority is named that signed its certificate";
                    "add --tls-ca FILE"
                ));
            };
            let mut config = ClientTlsConfig::new()
                .ca_certificate(Certificate::from_pem(&authorities.pem))
                .timeout(CONNECT);
            if let Some(identity) = identity {
                let identity = transport::Identity::from_pem(&identity.certificate, &identity.key);
                config = config.identity(identity);
            }
            (endpoint.tls_config(config).with_context(cannot)?, tls)
        } else {
            ensure!(
                authorities.is_none() && identity.is_none(),
                problem!(
                    "coordinator `{url}` is reached without TLS, so certificates have no effect";
                    "use an https:// address, or leave out --tls-ca, --tls-cert and --tls-key"
                )
            );
            if token.is_some() && !is_this_machine(endpoint.uri()) {
                warn!(
                    coordinator = url,
                    "sending the token unencrypted: others on the network can read it"
                );
            }
            (endpoint, Probe::Plain)
        };
        let authorization = token.map(|token| {
            let header = format!("Bearer {}", token.reveal());
            let mut header: MetadataValue<Ascii> =
                header.parse().expect("a token is visible ASCII");
            // Keeps it out of logs and header compression.
            header.set_sensitive(true);
            header
        });
        Ok(Self { endpoint, authorization, probe })
    }

    /// Adds the token to a request, if there is one.
    pub(crate) fn authorize<T>(&self, request: &mut Request<T>) {
        if let Some(header) = &self.authorization {
            request.metadata_mut().insert("authorization", header.clone());
        }
    }
}

fn wrong(Problem { what, hint, .. }: Problem) -> Problem {
    Problem::new(format!("coordinator {what}"), hint)
}

fn is_this_machine(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use swfn_shared::access::Token;

    use super::*;

    #[test]
    fn an_address_has_what_its_scheme_needs() {
        let refused = |url: &str| Address::new(url, Access::default()).unwrap_err().to_string();
        assert!(
            Address::new("http://127.0.0.1:1", Access::default()).unwrap().authorization.is_none()
        );
        assert!(refused("nonsense").contains("coordinator `nonsense` has no port\nhint: "));
        assert!(refused("http://localhost").contains("coordinator `localhost` has no port"));
        assert!(refused("http://127.0.0.1:99999").contains("`127.0.0.1:99999` has port `99999`"));
        assert!(
            refused("ftp://a").contains("is neither an http:// nor an https:// address\nhint: ")
        );
        assert!(
            refused("https://a:1")
                .contains("no authority is named that signed its certificate\nhint: add --tls-ca")
        );
    }

    #[test]
    fn an_address_needs_no_scheme_and_no_host() {
        let uri =
            |url: &str| Address::new(url, Access::default()).unwrap().endpoint.uri().to_string();
        assert_eq!(uri("head.example:7077"), "http://head.example:7077/");
        assert_eq!(uri("[::1]:7077"), "http://[::1]:7077/");
        assert_eq!(uri(":7077"), "http://localhost:7077/");
    }

    #[test]
    fn a_password_is_neither_used_nor_shown() {
        let problem = Address::new("http://ann:secret@127.0.0.1:1", Access::default())
            .unwrap_err()
            .to_string();
        assert!(problem.contains("before the `@`") && !problem.contains("secret"), "{problem}");
    }

    #[test]
    fn the_token_is_sent_and_never_shown() {
        let token = Token::random();
        let secret = token.reveal().to_owned();
        let address =
            Address::new("http://localhost:1", Access { token: Some(token), ..Access::default() })
                .unwrap();
        let header = address.authorization.clone().unwrap();
        assert_eq!(header.to_str().unwrap(), format!("Bearer {secret}"));
        assert!(!format!("{address:?}").contains(&secret));
    }

    #[test]
    fn only_loopback_is_this_machine() {
        let this = |uri: &str| is_this_machine(&uri.parse().unwrap());
        assert!(
            ["http://localhost:1", "http://127.0.0.9:1", "http://[::1]:1"].into_iter().all(this)
        );
        assert!(
            !["http://10.0.0.1:1", "http://localhost.evil:1", "http://[::2]:1"]
                .into_iter()
                .any(this)
        );
    }
}
