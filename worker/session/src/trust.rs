//! Why a connection failed, if another attempt would end the same: the two sides do not trust each
//! other, or another server answers.
//!
//! tonic reports most TLS errors as "transport error", and TLS 1.3 delivers them only after the
//! handshake. So a bare connection is made to learn them. A server that does not speak HTTP/2 is
//! asked once in HTTP/1 whether it is the dashboard.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{TcpStream, ToSocketAddrs as _},
    sync::Arc,
    time::Duration,
};

use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Error as TlsError, RootCertStore,
    StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem, pem::PemObject as _},
};
use swfn_shared::{
    access::{Authorities, Identity, Token},
    problem,
    problem::Problem,
    quote::quote,
    wire::WORKERS_HEADER,
};
use swfn_web::is_about_certificates;
use tonic::transport::Uri;

/// Time for each step. A coordinator without objections is silent, so all of it passes.
const PATIENCE: Duration = Duration::from_secs(2);

/// How an HTTP/2 connection begins. A TLS server takes it for a broken record.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first byte of a TLS alert.
const ALERT: u8 = 21;

/// Longest part of an HTTP answer that is read, in bytes.
const ANSWER: u64 = 4 << 10;

/// Certificates and token of a worker.
#[derive(Debug, Default)]
pub struct Access {
    /// The authorities that the worker trusts.
    pub authorities: Option<Authorities>,
    /// The worker's own certificate.
    pub identity: Option<Identity>,
    /// The token that the coordinator requires.
    pub token: Option<Token>,
}

/// A way to ask a coordinator.
#[derive(Debug, Clone)]
pub(crate) enum Probe {
    Plain,
    Tls(Arc<ClientConfig>),
}

impl Probe {
    /// A probe on the same terms as the real connection.
    pub(crate) fn tls(access: &Access) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        if let Some(authorities) = &access.authorities {
            certificates(&authorities.pem)?.into_iter().try_for_each(|root| roots.add(root))?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots);
        let mut config = match &access.identity {
            Some(identity) => {
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
                builder.with_client_auth_cert(certificates(&identity.certificate)?, key)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.push(b"h2".to_vec());
        Ok(Self::Tls(Arc::new(config)))
    }

    /// Why no attempt can succeed; `None` if one may.
    pub(crate) async fn ask(self, uri: &Uri) -> Option<Problem> {
        let host = uri.host()?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if matches!(self, Self::Plain) { 80 } else { 443 });
        tokio::task::spawn_blocking(move || self.ask_now(&host, port)).await.ok()?
    }

    fn ask_now(&self, host: &str, port: u16) -> Option<Problem> {
        let place = format!("{host}:{port}");
        let Self::Tls(config) = self else {
            return match first_byte(connect(host, port).ok()?) {
                Ok(ALERT) => Some(problem!(
                    "the coordinator speaks TLS"; "use an https:// address, with --tls-ca"
                )),
                // It speaks HTTP/2: its first frame is short, and frames begin with their length.
                Ok(0) => None,
                Err(error) if is_timeout(&error) => None,
                Ok(_) | Err(_) => http_server(connect(host, port).ok()?, &place),
            };
        };
        let over_tls = |config| {
            let name = ServerName::try_from(host.to_owned()).ok()?;
            let connection = ClientConnection::new(config, name).ok()?;
            Some(StreamOwned::new(connection, connect(host, port).ok()?))
        };
        // A byte that comes is no objection.
        let error = over_tls(Arc::clone(config))?.read(&mut [0]).err()?;
        match tls_error(&error)? {
            TlsError::AlertReceived(AlertDescription::NoApplicationProtocol) => {
                let mut config = (**config).clone();
                config.alpn_protocols = vec![b"http/1.1".to_vec()];
                http_server(over_tls(Arc::new(config))?, &place)
            }
            error @ TlsError::InvalidMessage(_) => {
                let plain = connect(host, port).ok();
                plain.and_then(|stream| http_server(stream, &place)).or_else(|| distrust(error))
            }
            error => distrust(error),
        }
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect()
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = ErrorKind::AddrNotAvailable.into();
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Sends the beginning of HTTP/2; returns the first byte of the answer.
fn first_byte(mut stream: TcpStream) -> io::Result<u8> {
    stream.write_all(PREFACE)?;
    let mut first = [0];
    stream.read_exact(&mut first)?;
    Ok(first[0])
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The problem with an HTTP/1 server, if it is one. A server error may be that of a proxy before a
/// coordinator that has not started.
fn http_server(mut stream: impl Read + Write, host: &str) -> Option<Problem> {
    // Every dashboard answers to this host name.
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .ok()?;
    let mut answer = Vec::new();
    // A connection that breaks off may have brought an answer.
    stream.take(ANSWER).read_to_end(&mut answer).ok();
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    let workers = answer.lines().take_while(|line| !line.is_empty()).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(WORKERS_HEADER).then(|| value.trim())
    });
    match workers {
        Some(workers) => Some(problem!(
            "`{host}` is the dashboard"; "workers join at {}", quote(workers)
        )),
        None if status.starts_with('5') => None,
        None => Some(problem!(
            "`{host}` is an HTTP server, and no coordinator";
            "use the address that the coordinator prints; its port is 7077 unless --listen is set"
        )),
    }
}

fn tls_error(error: &io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

/// The problem behind a TLS error, unless another attempt may succeed.
fn distrust(error: &TlsError) -> Option<Problem> {
    match error {
        TlsError::InvalidCertificate(_) => Some(problem!(
            "the coordinator's certificate is not trusted: {error}";
            "name its authority with --tls-ca, and use a host name that the certificate contains"
        )),
        TlsError::AlertReceived(alert) if is_about_certificates(*alert) => Some(problem!(
            "the coordinator misses this worker's certificate, or does not trust it: {alert:?}";
            "name a certificate with --tls-cert and --tls-key that the coordinator's \
             --tls-client-ca has signed"
        )),
        TlsError::InvalidMessage(_) => Some(problem!(
            "the coordinator does not speak TLS";
            "use an http:// address, or start the coordinator with --tls-cert"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn only_lasting_tls_errors_are_problems() {
        let told = |error| distrust(&error).map(|problem| problem.to_string());
        let unknown = told(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)).unwrap();
        assert!(unknown.contains("not trusted") && unknown.contains("--tls-ca"), "{unknown}");
        let required =
            told(TlsError::AlertReceived(AlertDescription::CertificateRequired)).unwrap();
        assert!(
            required.contains("CertificateRequired") && required.contains("--tls-cert"),
            "{required}"
        );
        assert_eq!(told(TlsError::AlertReceived(AlertDescription::InternalError)), None);
        assert!(
            tls_error(&io::Error::new(ErrorKind::InvalidData, TlsError::DecryptError)).is_some()
        );
        assert!(tls_error(&ErrorKind::ConnectionRefused.into()).is_none());
    }

    /// The problem with a server that answers each connection with the next of these texts, and
    /// closes it.
    fn told(answers: &'static [&'static str]) -> Option<String> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = [0; 1024];
                let _ = stream.read(&mut asked);
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let told = Probe::Plain.ask_now("127.0.0.1", port);
        told.map(|told| told.to_string().replace(&format!("127.0.0.1:{port}"), "HERE"))
    }

    #[test]
    fn a_dashboard_and_other_http_servers_are_named() {
        let dashboard = "HTTP/1.1 200 OK\r\nSwfn-Workers: https://head:7077\r\n\r\nalive\n";
        // It closes what it does not understand, or says so.
        for first in ["", "HTTP/1.1 400 Bad Request\r\n\r\n", "<!DOCTYPE HTML>"] {
            let answers: &'static [&str] = Vec::leak(vec![first, dashboard]);
            let said = told(answers).unwrap();
            assert_eq!(said, "`HERE` is the dashboard\nhint: workers join at `https://head:7077`");
        }
        let other = "HTTP/1.0 404 Not Found\r\n\r\nswfn-workers: x";
        assert!(
            told(&["", "HTTP/1.0 404 Not Found\r\n\r\n"])
                .unwrap()
                .contains("is an HTTP server, and no coordinator")
        );
        assert!(
            told(Vec::leak(vec!["", other])).unwrap().contains("no coordinator\nhint: "),
            "a page is no header"
        );
        for passing in ["HTTP/1.1 503 Service Unavailable\r\n\r\n", "", "SSH-2.0-x\r\n"] {
            assert_eq!(told(Vec::leak(vec!["", passing])), None, "{passing}");
        }
        assert_eq!(told(&["\0\0\x12\x04\0"]), None, "it speaks HTTP/2");
        assert!(told(&["\x15\x03\x03\0"]).unwrap().contains("speaks TLS"));
    }
}
