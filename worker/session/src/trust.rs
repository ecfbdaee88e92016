//! Whether a failed connection was a matter of trust, or went to another server, so that another attempt would end the same. What TLS has
//! to say is mostly lost behind "transport error", and with TLS 1.3 it is said only after the handshake; so a bare connection is made to
//! hear it. Who does not speak HTTP/2 is asked once in HTTP/1, which says whether it is the dashboard.

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
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use swfn_shared::{quote::quote, wire::WORKERS_HEADER};
use swfn_web::is_about_certificates;
use tonic::transport::Uri;

use crate::access::Access;

/// For each step. A coordinator that does not object says nothing, so all of it passes.
const PATIENCE: Duration = Duration::from_secs(2);

/// How an HTTP/2 connection begins. Who speaks TLS takes it for a broken record.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first byte of a TLS alert.
const ALERT: u8 = 21;

/// Bytes of an HTTP answer that are looked at.
const ANSWER: u64 = 4 << 10;

/// How to ask a coordinator.
#[derive(Debug, Clone)]
pub(crate) enum Probe {
    Plain,
    Tls(Arc<ClientConfig>),
}

impl Probe {
    /// The same terms as those of the real connection.
    pub(crate) fn tls(access: &Access) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in
            access.authorities.iter().flat_map(|authorities| certificates(&authorities.pem))
        {
            roots.add(certificate?)?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots);
        let mut config = match &access.identity {
            Some(identity) => {
                let chain = certificates(identity.certificate_pem()).collect::<Result<_, _>>()?;
                builder.with_client_auth_cert(
                    chain,
                    PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes())?,
                )?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.push(b"h2".to_vec());
        Ok(Self::Tls(Arc::new(config)))
    }

    /// Why the coordinator and this worker do not trust each other; `None` when that is not the problem.
    pub(crate) async fn ask(self, uri: &Uri) -> Option<String> {
        let host = uri.host()?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if matches!(self, Self::Plain) { 80 } else { 443 });
        tokio::task::spawn_blocking(move || self.ask_now(&host, port)).await.ok()?
    }

    fn ask_now(&self, host: &str, port: u16) -> Option<String> {
        let place = || format!("`{host}:{port}`");
        match self {
            Self::Plain => match first_byte(connect(host, port).ok()?) {
                Ok(ALERT) => Some(
                    "the coordinator speaks TLS\nhint: use an https:// address, with --tls-ca"
                        .to_owned(),
                ),
                // It speaks HTTP/2, whose first frame is short, and frames begin with their length.
                Ok(0) => None,
                Err(error) if is_patience(&error) => None,
                Ok(_) | Err(_) => http_server(connect(host, port).ok()?, &place()),
            },
            Self::Tls(config) => {
                // A byte that comes is nothing to object to.
                let error = self.over_tls(config, host, port)?.read(&mut [0]).err()?;
                match problem(&error)? {
                    TlsError::AlertReceived(AlertDescription::NoApplicationProtocol) => {
                        let mut config = (**config).clone();
                        config.alpn_protocols = vec![b"http/1.1".to_vec()];
                        http_server(self.over_tls(&Arc::new(config), host, port)?, &place())
                    }
                    problem @ TlsError::InvalidMessage(_) => {
                        let http = connect(host, port)
                            .ok()
                            .and_then(|stream| http_server(stream, &place()));
                        http.or_else(|| distrust(problem))
                    }
                    problem => distrust(problem),
                }
            }
        }
    }

    fn over_tls(
        &self,
        config: &Arc<ClientConfig>,
        host: &str,
        port: u16,
    ) -> Option<StreamOwned<ClientConnection, TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).ok()?;
        let connection = ClientConnection::new(Arc::clone(config), name).ok()?;
        Some(StreamOwned::new(connection, connect(host, port).ok()?))
    }
}

fn certificates(
    pem: &str,
) -> impl Iterator<Item = Result<CertificateDer<'static>, rustls::pki_types::pem::Error>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
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

/// The first byte of the answer to the beginning of HTTP/2.
fn first_byte(mut stream: TcpStream) -> io::Result<u8> {
    stream.write_all(PREFACE)?;
    let mut first = [0];
    stream.read_exact(&mut first)?;
    Ok(first[0])
}

/// Whether nothing came for as long as one waits.
fn is_patience(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// What an HTTP/1 server is, if it is one. One that has trouble may be a proxy before a coordinator that has not begun.
fn http_server(mut stream: impl Read + Write, place: &str) -> Option<String> {
    // A dashboard answers to this name, whatever others it has.
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .ok()?;
    let mut answer = Vec::new();
    // What came before an end that is no clean one is an answer.
    stream.take(ANSWER).read_to_end(&mut answer).ok();
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    let workers = answer.lines().take_while(|line| !line.is_empty()).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(WORKERS_HEADER).then(|| value.trim())
    });
    match workers {
        Some(workers) => {
            Some(format!("{place} is the dashboard\nhint: workers join at {}", quote(workers)))
        }
        None if status.starts_with('5') => None,
        None => Some(format!(
            "{place} is an HTTP server, and no coordinator\n\
             hint: a coordinator prints where workers join, on port 7077 unless --listen says otherwise"
        )),
    }
}

/// What TLS has to say of an error.
fn problem(error: &io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

/// The reason with what to do about it.
fn distrust(problem: &TlsError) -> Option<String> {
    match problem {
        TlsError::InvalidCertificate(_) => Some(format!(
            "the coordinator's certificate is not trusted: {problem}\n\
             hint: --tls-ca names the authority that has signed it, and the URL a host that it names"
        )),
        TlsError::AlertReceived(alert) if is_about_certificates(*alert) => Some(format!(
            "the coordinator misses this worker's certificate, or does not trust it: {alert:?}\n\
             hint: --tls-cert and --tls-key name one that the coordinator's --tls-client-ca has signed"
        )),
        TlsError::InvalidMessage(_) => Some(
            "the coordinator does not speak TLS\nhint: use an http:// address, or start the coordinator with --tls-cert"
                .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn matters_of_trust_are_told_from_what_may_pass() {
        let unknown =
            distrust(&TlsError::InvalidCertificate(CertificateError::UnknownIssuer)).unwrap();
        assert!(unknown.contains("not trusted") && unknown.contains("hint: --tls-ca"), "{unknown}");
        let required =
            distrust(&TlsError::AlertReceived(AlertDescription::CertificateRequired)).unwrap();
        assert!(
            required.contains("CertificateRequired") && required.contains("hint: --tls-cert"),
            "{required}"
        );
        assert_eq!(distrust(&TlsError::AlertReceived(AlertDescription::InternalError)), None);
        assert!(problem(&io::Error::new(ErrorKind::InvalidData, TlsError::DecryptError)).is_some());
        assert!(problem(&ErrorKind::ConnectionRefused.into()).is_none());
    }

    /// What a worker is told of a server that answers each connection with the next of these texts, and closes it.
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
        told.map(|told| told.replace(&format!("127.0.0.1:{port}"), "HERE"))
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
